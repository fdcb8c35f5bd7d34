"""Writing to an index generation: entry by entry in one transaction, or everything at once in key order.

Bulk loading appends while the input comes sorted (as a snapshot written in key order does). Otherwise it sorts runs in
memory, spills them to files and merges them, so that LMDB still gets ascending keys: five times faster and less than
half the size of random insertion.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Final

import lmdb
import msgspec

from biaojie.resolution import policy
from biaojie.resolution.entries import (
    HANDLE,
    OVERLONG,
    OWN,
    PRIVATE,
    ROUTE,
    SITE,
    ZONE,
    Entry,
    check_entry,
    handle_content,
    index_key,
    split_public,
)
from biaojie.resolution.environment import STATE_KEY, Environment, State, owner_number_key
from biaojie.resolution.errors import EntryInvalid
from biaojie.resolution.reader import RECORD_HEAD

_VERSION: Final = struct.Struct(">Q")
_VERSION_AT: Final = slice(8, 16)
_Row = tuple[bytes, bytes]
_FIRST: Final = itemgetter(0)
_BLOCK_ROWS: Final = 500


class Built(msgspec.Struct, frozen=True):
    """What a bulk load did: live handles, entries of other kinds, sorted runs spilled to files (0 for sorted input)."""

    handles: int
    others: int
    spilled: int


class Batch:
    """Applies entries to one write transaction; `effective` counts those that changed something."""

    def __init__(self, environment: Environment, txn: lmdb.Transaction) -> None:
        self._environment = environment
        self._txn = txn
        self._owners = Owners(environment, txn)
        self.effective = 0
        self.touched_tables = 0

    def write(self, entry: Entry) -> None:
        """Put or remove one entry unless a newer version is there; raises `EntryInvalid`."""
        environment, txn = self._environment, self._txn
        kind = entry.kind
        key = index_key(entry.key)
        if kind == HANDLE:
            database, offset = environment.handles, 8
            record = handle_record(entry, self._owners) if entry.content is not None else None
        else:
            check_entry(entry)
            offset = 0
            database = environment.zones if kind == ZONE else environment.routes if kind == ROUTE else environment.meta
            key = b"site:" + key if kind == SITE else key
            record = None if entry.content is None else _VERSION.pack(entry.version) + entry.content
        held = txn.get(key, None, database)
        if held is None:
            if record is None:
                return
        elif _VERSION.unpack_from(held, offset)[0] > entry.version:
            return
        if record is None:
            txn.delete(key, b"", database)
        else:
            txn.put(key, record, db=database)
        self.effective += 1
        if kind != HANDLE:
            self.touched_tables = 1


class Owners:
    """Numbers for owner names within one transaction: known ones looked up, new ones given and stored."""

    def __init__(self, environment: Environment, txn: lmdb.Transaction) -> None:
        self._database = environment.owners
        self._txn = txn
        self._known: dict[str, int] = {}

    def number(self, name: str) -> int:
        """The number of an owner; the same for ever in one generation."""
        known = self._known.get(name)
        if known is None:
            key = owner_name_key(name)
            raw = self._txn.get(key, None, self._database)
            if raw is not None:
                known = int.from_bytes(raw, "big")
            else:
                known = self._txn.stat(self._database)["entries"] // 2 + 1
                self._txn.put(key, known.to_bytes(4, "big"), db=self._database)
                self._txn.put(owner_number_key(known), name.encode(), db=self._database)
            self._known[name] = known
        return known


def write_state(txn: lmdb.Transaction, environment: Environment, state: State) -> None:
    """Record where the generation stands, in the same transaction as what it holds."""
    txn.put(STATE_KEY, msgspec.msgpack.encode(state), db=environment.meta)


def handle_record(entry: Entry, owners: Owners) -> bytes:
    """The stored form of a handle entry that puts; raises `EntryInvalid`."""
    content = handle_content(entry)
    values = content.values
    try:
        flags, public = split_public(values)
    except ValueError as error:
        raise EntryInvalid(kind=HANDLE, key=entry.key[1:81].decode("utf-8", "replace"), reason=str(error)) from None
    if content.own:
        flags |= OWN
    if len(public) > policy.OVERLONG_OCTETS.value:
        flags |= OVERLONG
    head = RECORD_HEAD.pack(owners.number(content.owner), flags, entry.version, len(public))
    return head + public + values if flags & PRIVATE else head + public


def bulk_load(environment: Environment, entries: Iterable[Entry], folder: Path) -> Built:
    """Fill an empty generation from entries in any order; `folder` takes the spilled runs. Not durable until synced."""
    loader = _Loader(environment, folder)
    for rows in loader.runs(entries):
        loader.take(rows)
    return loader.finish()


class _Loader:
    def __init__(self, environment: Environment, folder: Path) -> None:
        self._environment = environment
        self._folder = folder
        self._owners = _BulkOwners()
        self._last = b""
        self._waiting: list[_Row] = []
        self._appended = False
        self._spilled: list[Path] = []
        self._others = 0

    def runs(self, entries: Iterable[Entry]) -> Iterator[list[_Row]]:
        """Handle rows, a run at a time, sorted by key and one per key; other kinds are written on the way."""
        iterator = iter(entries)
        while True:
            rows, others = self._read(iterator)
            if others:
                self._write(partial(self._put_others, others))
            if rows:
                rows.sort(key=_FIRST)
                yield list(_newest(rows))
            elif not others:
                return

    def _read(self, iterator: Iterator[Entry]) -> tuple[list[_Row], list[Entry]]:
        rows: list[_Row] = []
        others: list[Entry] = []
        octets, octets_limit, key_limit, owners = 0, policy.RUN_OCTETS.value, policy.KEY_OCTETS_MAX.value, self._owners
        for entry in islice(iterator, policy.RUN_RECORDS.value):
            if entry.content is None:
                raise EntryInvalid(kind=entry.kind, key=entry.key[:80].decode("utf-8", "replace"), reason="快照中不应有删除条目")
            if entry.kind != HANDLE:
                others.append(entry)
                continue
            key = entry.key
            record = handle_record(entry, owners)
            rows.append((key if len(key) <= key_limit else index_key(key), record))
            octets += len(record)
            if octets > octets_limit:
                break
        return rows, others

    def take(self, rows: list[_Row]) -> None:
        """Append a run when it lies after all before it; each waits to see whether the next one does."""
        if self._spilled:
            self._spill(rows)
        elif rows[0][0] > self._last:
            self._flush()
            self._waiting, self._last = rows, rows[-1][0]
        else:
            # Out of order. What is appended already stays and is merged into at the end; the rest is sorted on disk.
            waiting, self._waiting = self._waiting, []
            self._spill(waiting)
            self._spill(rows)

    def finish(self) -> Built:
        """Write what waits, merge what was spilled, and count."""
        self._flush()
        merged = _newest(heapq.merge(*(_read_run(path) for path in self._spilled), key=_FIRST))
        store = self._insert if self._appended else self._append
        while rows := list(islice(merged, policy.RUN_RECORDS.value)):
            self._write(partial(store, rows))
        for path in self._spilled:
            path.unlink()
        self._write(partial(self._owners.store, self._environment))
        with self._environment.env.begin() as txn:
            handles = txn.stat(self._environment.handles)["entries"]
        return Built(handles, self._others, len(self._spilled))

    def _flush(self) -> None:
        rows, self._waiting = self._waiting, []
        if rows:
            self._write(partial(self._append, rows))
            self._appended = True

    def _write(self, action: Callable[[lmdb.Transaction], None]) -> None:
        while True:
            try:
                with self._environment.env.begin(write=True) as txn:
                    action(txn)
                return
            except lmdb.MapFullError:
                self._environment.grow()

    def _append(self, rows: list[_Row], txn: lmdb.Transaction) -> None:
        with txn.cursor(self._environment.handles) as cursor:
            cursor.putmulti(rows, append=True)

    def _insert(self, rows: list[_Row], txn: lmdb.Transaction) -> None:
        database = self._environment.handles
        for key, record in rows:
            held = txn.get(key, None, database)
            if held is None or bytes(held[_VERSION_AT]) <= record[_VERSION_AT]:
                txn.put(key, record, db=database)

    def _put_others(self, others: list[Entry], txn: lmdb.Transaction) -> None:
        batch = Batch(self._environment, txn)
        for entry in others:
            batch.write(entry)
        self._others += batch.effective

    def _spill(self, rows: list[_Row]) -> None:
        if not rows:
            return
        path = self._folder / f"run-{len(self._spilled):05d}.tmp"
        with path.open("wb") as stream:
            for start in range(0, len(rows), _BLOCK_ROWS):
                block = msgspec.msgpack.encode(rows[start : start + _BLOCK_ROWS])
                stream.write(len(block).to_bytes(4, "big") + block)
        self._spilled.append(path)


class _BulkOwners(Owners):
    """Numbers owners in memory while a new generation is filled; `store` writes them all."""

    def __init__(self) -> None:
        self._known = {}

    def number(self, name: str) -> int:
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = len(self._known) + 1
        return known

    def store(self, environment: Environment, txn: lmdb.Transaction) -> None:
        for name, number in self._known.items():
            txn.put(owner_name_key(name), number.to_bytes(4, "big"), db=environment.owners)
            txn.put(owner_number_key(number), name.encode(), db=environment.owners)


def owner_name_key(name: str) -> bytes:
    """Where an owner's number lies."""
    return index_key(b"n" + name.encode())


def _newest(rows: Iterable[_Row]) -> Iterator[_Row]:
    """One row per key of rows sorted by key: the highest version, the later of equal ones."""
    iterator = iter(rows)
    kept = next(iterator, None)
    if kept is None:
        return
    for row in iterator:
        if row[0] != kept[0]:
            yield kept
            kept = row
        elif row[1][_VERSION_AT] >= kept[1][_VERSION_AT]:
            kept = row
    yield kept


def _read_run(path: Path) -> Iterator[_Row]:
    decode = msgspec.msgpack.Decoder(list[_Row]).decode
    with path.open("rb") as stream:
        while head := stream.read(4):
            yield from decode(stream.read(int.from_bytes(head, "big")))
