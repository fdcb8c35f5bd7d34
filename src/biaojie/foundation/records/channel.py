"""How one reader per channel numbers and reads the journal.

A serial is given when a committed change set is read, never when it is written, so none is skipped, however late it
commits. Serials of a channel are contiguous from 1. Order: by serial; within one numbering, by change set. Because a set
may commit after one written later, a key's changes can arrive out of order: the highest version holds (`newest`).
Delivery is at least once: what was numbered but not acknowledged is read again from `after`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from types import TracebackType
from typing import Any, Self

import msgspec
import psycopg
from django.db import connection as django_connection
from psycopg import sql
from psycopg.types.json import set_json_loads

from biaojie.foundation.records.errors import ChannelBusy, UnknownChannel
from biaojie.foundation.records.journal import NOTIFY_CHANNEL
from biaojie.foundation.records.models import Change
from biaojie.foundation.records.retention import CHANNELS

SETS_PER_NUMBERING = 1000
_FETCH = 5000
_LOCK_SPACE = 0x626A_6368  # first key of the advisory locks taken here ("bjch")

_NUMBER = """
WITH held AS (SELECT serial FROM records_channel WHERE name = %(channel)s FOR UPDATE),
     ready AS (SELECT id, row_number() OVER (ORDER BY change_set_id) AS place FROM (
                 SELECT id, change_set_id FROM records_stamp
                 WHERE channel = %(channel)s AND serial IS NULL ORDER BY change_set_id LIMIT %(limit)s) AS waiting),
     numbered AS (UPDATE records_stamp AS s SET serial = held.serial + ready.place
                  FROM ready, held WHERE s.id = ready.id RETURNING s.serial)
UPDATE records_channel AS c SET serial = last.serial FROM (SELECT max(serial) AS serial FROM numbered) AS last
WHERE c.name = %(channel)s AND last.serial IS NOT NULL RETURNING c.serial
"""
_READ = """
SELECT s.serial, c.id, c.change_set_id, c.kind, c.key, c.version, c.operation, c.content
FROM records_stamp s JOIN records_change c ON c.change_set_id = s.change_set_id
WHERE s.channel = %s AND s.serial > %s AND s.serial <= %s ORDER BY s.serial, c.id
"""
_FIELDS = ("id", "change_set_id", "kind", "key", "version", "operation", "content")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How far a channel is behind: sets not numbered yet, sets numbered but not acknowledged, and the oldest of both."""

    channel: str
    unnumbered: int
    unacknowledged: int
    oldest_at: datetime | None


class Reader:
    """The one reader of a channel; a context manager holding a session-level advisory lock on a connection of its own.

        with Reader("publication") as reader:
            for serial, changes in reader.read(after=manifest.serial):
                ...
            reader.acknowledge(serial)

    `wait_lock=False` raises `ChannelBusy` where another reader holds the channel; otherwise entering waits. When the
    connection is lost the lock is too, and the next call raises `psycopg.OperationalError`: enter again.
    """

    def __init__(self, channel: str, *, wait_lock: bool = True) -> None:
        if channel not in CHANNELS:
            raise UnknownChannel(channel=channel)
        self.channel = channel
        self._wait_lock = wait_lock
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def __enter__(self) -> Self:
        connection = connect()
        try:
            # First LISTEN, then look: nothing written in between goes unheard.
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(NOTIFY_CHANNEL)))
            if self._wait_lock:
                connection.execute("SELECT pg_advisory_lock(%s, hashtext(%s))", (_LOCK_SPACE, self.channel))
            else:
                row = connection.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", (_LOCK_SPACE, self.channel)).fetchone()
                if row != (True,):
                    raise ChannelBusy(channel=self.channel)
            connection.execute(
                "INSERT INTO records_channel (name, serial, acknowledged) VALUES (%s, 0, 0) ON CONFLICT DO NOTHING",
                (self.channel,),
            )
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def number(self, limit: int = SETS_PER_NUMBERING) -> int:
        """Gives the next serials to at most `limit` committed change sets; gives the channel's last serial."""
        connection = self._held()
        with connection.transaction():
            connection.execute(_NUMBER, {"channel": self.channel, "limit": limit})
        return self.serial()

    def read(self, *, after: int, limit: int = SETS_PER_NUMBERING) -> Iterator[tuple[int, list[Change]]]:
        """Yields `(serial, changes)` from `after + 1` on: first what was numbered before, then up to `limit` new sets.

        One call ends when it has yielded what was committed at its start and fits the limit; call again until it
        yields nothing. Serials are contiguous. At most one change set (5,000 changes) is in memory besides the buffer.
        Number and acknowledge only after the loop: within it they belong to a transaction that a `break` rolls back.
        """
        last = self.number(limit)
        connection = self._held()
        with connection.transaction(), connection.cursor(name="biaojie_journal_read") as cursor:
            cursor.itersize = _FETCH
            cursor.execute(_READ, (self.channel, after, last))
            for serial, rows in groupby(cursor, key=lambda row: int(row[0])):
                yield serial, [Change.from_db("default", _FIELDS, row[1:]) for row in rows]

    def acknowledge(self, serial: int) -> None:
        """Notes that the consumer has safely stored everything up to `serial`; going back is ignored."""
        self._held().execute(
            "UPDATE records_channel SET acknowledged = %s WHERE name = %s AND acknowledged < %s", (serial, self.channel, serial)
        )

    def serial(self) -> int:
        """The last serial given."""
        return self._position()[0]

    def acknowledged(self) -> int:
        """The last serial acknowledged."""
        return self._position()[1]

    def wait(self, timeout_s: float) -> bool:
        """Sleeps until this channel is notified or `timeout_s` of real time has passed; True when notified.

        A notification may have come before the last `read`: an empty read after waking is normal.
        """
        return any(note.payload == self.channel for note in self._held().notifies(timeout=timeout_s, stop_after=1))

    def _position(self) -> tuple[int, int]:
        row = self._held().execute("SELECT serial, acknowledged FROM records_channel WHERE name = %s", (self.channel,)).fetchone()
        return (int(row[0]), int(row[1])) if row else (0, 0)

    def _held(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._connection is None:
            raise ChannelBusy(channel=self.channel)
        return self._connection


def newest(changes: Iterable[Change]) -> list[Change]:
    """One change per (kind, key): the highest version, in order of first appearance."""
    found: dict[tuple[str, str], Change] = {}
    for change in changes:
        held = found.get((change.kind, change.key))
        if held is None or change.version >= held.version:
            found[change.kind, change.key] = change
    return list(found.values())


def backlog() -> list[Backlog]:
    """Every declared channel's backlog, by name; for `/metrics`, `biaojie doctor` and the console."""
    with django_connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT n.name, count(s.id) FILTER (WHERE s.serial IS NULL),
                   count(s.id) FILTER (WHERE s.serial IS NOT NULL), min(cs.at)
            FROM unnest(%s::text[]) AS n(name)
            LEFT JOIN records_channel c ON c.name = n.name
            LEFT JOIN records_stamp s ON s.channel = n.name AND (s.serial IS NULL OR s.serial > coalesce(c.acknowledged, 0))
            LEFT JOIN records_changeset cs ON cs.id = s.change_set_id
            GROUP BY n.name ORDER BY n.name
            """,
            [sorted(CHANNELS)],
        )
        rows = cursor.fetchall()
    return [Backlog(channel=row[0], unnumbered=row[1], unacknowledged=row[2], oldest_at=row[3]) for row in rows]


def connect() -> psycopg.Connection[tuple[Any, ...]]:
    """A connection of one's own to the node's database, outside Django's pool, autocommitting."""
    parameters = django_connection.get_connection_params()
    for name in ("cursor_factory", "context"):
        parameters.pop(name, None)
    connection: psycopg.Connection[tuple[Any, ...]] = psycopg.connect(**parameters, autocommit=True)
    set_json_loads(msgspec.json.decode, context=connection)
    return connection
