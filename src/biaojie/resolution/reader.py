"""Looking up: one thread's consistent view of an index, renewed for each batch of questions.

A `Reader` holds a read transaction between `renew` and `release`. Whoever serves requests calls `renew` before a batch
and `release` after it: an idle reader would keep old pages from being used again and hold up growth. What the raw
methods return lies in the map and is valid until then; everything else is copied.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

import lmdb

from biaojie.resolution.entries import (
    OWN,
    PRIVATE,
    ROUTE,
    SITE,
    SITE_KEY,
    ZONE,
    Entry,
    RouteContent,
    ZoneContent,
    handle_entry,
    index_key,
)
from biaojie.resolution.environment import State, Tables, close_environment, share
from biaojie.resolution.errors import IndexBusy

if TYPE_CHECKING:
    from biaojie.resolution.index import Index

RECORD_HEAD: Final = struct.Struct(">IB3xQI")
"""Owner id, flags, version, length of the public list."""


class HandleRecord(NamedTuple):
    """An identifier as the index holds it: value lists in wire form; `all_values` is `public` when nothing is private."""

    owner_id: int
    flags: int
    version: int
    public: bytes
    all_values: bytes

    @property
    def own(self) -> bool:
        """Whether it is a probe identifier, counted apart."""
        return bool(self.flags & OWN)


class Reader:
    """A view of the index for one thread; a context manager that closes it."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self.active = False
        self._attach()
        self.renew()

    def renew(self) -> None:
        """Move to the newest state, of the live generation."""
        self.release()
        index = self._index
        index.refresh()
        while True:
            if index.environment is not self.environment:
                self._detach()
                self._attach()
            environment = self.environment
            self.active = True
            # The order matters: a grower first pauses, then looks who is active.
            if environment.paused:
                self.active = False
                time.sleep(0.0005)
                continue
            try:
                self.txn = environment.env.begin(environment.handles)
            except lmdb.MapResizedError:
                self.active = False
                environment.adopt()
                continue
            except lmdb.ReadersFullError:
                self.active = False
                if not environment.env.reader_check():
                    raise IndexBusy(folder=environment.path, reason="读取槽位已满") from None
                continue
            except BaseException:
                self.active = False
                raise
            break
        self.state: State = environment.state(self.txn)
        self.tables: Tables = environment.tables(self.txn, self.state)

    def release(self) -> None:
        """Let go of the view until the next `renew`."""
        if self.active:
            self.txn.abort()
            self.active = False

    def close(self) -> None:
        """Release for good."""
        if self._open:
            self.release()
            self._detach()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get_raw(self, key: bytes) -> bytes | memoryview | None:
        """A handle record as it is stored."""
        return self.txn.get(index_key(key))

    def get_handle(self, key: bytes) -> HandleRecord | None:
        """The record of an identifier (system number octet, canonical form), or None."""
        raw = self.txn.get(index_key(key))
        return None if raw is None else parse_record(bytes(raw))

    def zone_of(self, prefix: bytes) -> ZoneContent | None:
        """The zone published under exactly this key, or None."""
        return self.tables.zones.get(prefix)

    def best_route(self, system_number: int, routing_bytes: bytes) -> RouteContent | None:
        """The narrowest published route that covers a routing key of a code system, or None."""
        return self.tables.routes.find(system_number, routing_bytes)

    def owner(self, owner_id: int) -> str:
        """The prefix that an owner number stands for; "" when unknown."""
        return self.environment.owner(self.txn, owner_id)

    @property
    def site(self) -> bytes | None:
        """The node's own HS_SITE octets, None before they are published."""
        return self.tables.site

    def items(self) -> Iterator[Entry]:
        """Every live entry, kinds one after another; keys over 480 octets in their index form."""
        environment, txn = self.environment, self.txn
        with txn.cursor(environment.handles) as cursor:
            for key, raw in cursor:
                record = parse_record(bytes(raw))
                owner = self.owner(record.owner_id)
                yield handle_entry(bytes(key), record.version, owner=owner, values=record.all_values, own=record.own)
        for kind, database in ((ZONE, environment.zones), (ROUTE, environment.routes)):
            with txn.cursor(database) as cursor:
                for key, raw in cursor:
                    yield Entry(kind, bytes(key), int.from_bytes(raw[:8], "big"), bytes(raw[8:]))
        site = txn.get(b"site:" + SITE_KEY, None, environment.meta)
        if site is not None:
            yield Entry(SITE, SITE_KEY, int.from_bytes(site[:8], "big"), bytes(site[8:]))

    def _attach(self) -> None:
        # Between reading which generation is live and sharing it, another thread may have closed it.
        while not share(environment := self._index.environment):
            if self._index.closed:
                raise IndexBusy(folder=self._index.folder, reason="索引已关闭")
            time.sleep(0.0005)
        self.environment = environment
        self.environment.readers.append(self)
        self._open = True

    def _detach(self) -> None:
        self.environment.readers.remove(self)
        self._open = False
        close_environment(self.environment)


def parse_record(raw: bytes) -> HandleRecord:
    """The parts of a stored handle record."""
    owner_id, flags, version, length = RECORD_HEAD.unpack_from(raw)
    public = raw[20 : 20 + length]
    return HandleRecord(owner_id, flags, version, public, raw[20 + length :] if flags & PRIVATE else public)
