"""The publish lane: from the journal's channel `publication` to files that resolvers follow.

What is safe at which moment: the journal numbers, a delta is written and synced, the manifest names it, then the channel
is acknowledged. Killed anywhere, the next run reads again from the manifest's serial; repeating is harmless because a
publication leaves serials it has alone. A manifest ahead of the journal (the database was restored from an older
backup) or an unreadable one begins a new session, so that every follower starts over from what the registry holds now.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import structlog
from django.db import Error as DatabaseError
from django.db import close_old_connections, connection, transaction

from biaojie.foundation.records.channel import Reader, newest
from biaojie.foundation.records.errors import ChannelBusy
from biaojie.foundation.records.models import Change
from biaojie.registry.publication import current_entries, entries_of
from biaojie.resolution.entries import Entry
from biaojie.resolution.errors import ManifestInvalid, ResolutionError
from biaojie.resolution.publication import Manifest, PublicationWriter

CHANNEL = "publication"
WAIT_S = 1.0
CHANGES_PER_DELTA = 20_000

log = structlog.get_logger(__name__)


class Publisher:
    """One node's publisher; `run` until the event is set, `publish_once` for tests and commands."""

    def __init__(self, folder: Path, *, node: str) -> None:
        self.writer = PublicationWriter(folder, node=node)

    def run(self, stop: threading.Event) -> None:
        """Publish until `stop` is set; a lost database, a full disk or another writer is waited out."""
        while not stop.is_set():
            try:
                with Reader(CHANNEL, wait_lock=False) as reader:
                    self._follow(reader, stop)
            except ChannelBusy:
                stop.wait(WAIT_S)
            except (psycopg.Error, DatabaseError, OSError, ResolutionError) as error:
                log.warning("publication.interrupted", error=str(error).strip())
                stop.wait(WAIT_S)
            finally:
                close_old_connections()

    def publish_once(self) -> Manifest:
        """Publish everything committed so far and return the manifest."""
        with Reader(CHANNEL) as reader:
            self._begin(reader)
            return self._catch_up(reader)

    def _follow(self, reader: Reader, stop: threading.Event) -> None:
        self._begin(reader)
        while not stop.is_set():
            self._catch_up(reader)
            reader.wait(WAIT_S)

    def _begin(self, reader: Reader) -> None:
        """Make sure there is a publication that the journal can continue."""
        # Before numbering: a restored database would else catch up with the manifest's serial and hide what it lost.
        given = reader.serial()
        try:
            held = self.writer.manifest()
        except ManifestInvalid as error:
            log.error("publication.manifest_invalid", error=str(error))
            held = None
        if held is None or held.serial > given or self._cannot_continue(reader, held.serial):
            self._start(reader)
        else:
            reader.acknowledge(held.serial)

    def _start(self, reader: Reader) -> Manifest:
        """A new session: every follower starts over from what the registry holds now."""
        last = reader.number()
        manifest = self.writer.start(_one_moment(), last)
        reader.acknowledge(last)
        log.info("publication.started", session=manifest.session, serial=manifest.serial, entries=manifest.snapshot.entries)
        return manifest

    def _catch_up(self, reader: Reader) -> Manifest:
        manifest = self._held()
        while True:
            changes: list[Change] = []
            serial, wanted = manifest.serial, 0
            for number, set_changes in reader.read(after=manifest.serial):
                if number != serial + 1:
                    wanted = number
                    break
                changes.extend(set_changes)
                serial = number
                if len(changes) >= CHANGES_PER_DELTA:
                    break
            if wanted:
                # The journal has lost a set that nobody published: only the tables still know. Begun out here, because
                # what is numbered and acknowledged while `read` is under way is lost with its transaction.
                log.error("publication.gap", held=serial, wanted=wanted)
                return self._start(reader)
            if serial == manifest.serial:
                break
            entries = (entry for change in newest(changes) for entry in entries_of(change))
            manifest = self.writer.append(entries, from_serial=manifest.serial, to_serial=serial)
            reader.acknowledge(serial)
        if self.writer.needs_snapshot():
            manifest = self.writer.snapshot(_one_moment(), manifest.serial)
        return manifest

    def _held(self) -> Manifest:
        manifest = self.writer.manifest()
        assert manifest is not None, "begun"
        return manifest

    def _cannot_continue(self, reader: Reader, serial: int) -> bool:
        """Whether the change set that follows `serial` has left the journal."""
        if serial >= reader.acknowledged():
            return False
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM records_stamp WHERE channel = %s AND serial = %s", [reader.channel, serial + 1])
            return cursor.fetchone() is None


def _one_moment() -> Iterator[Entry]:
    """All live entries as of one moment of the database."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield from current_entries()
