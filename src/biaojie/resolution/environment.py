"""One generation of an index: an LMDB environment, shared by everything in this process that uses its folder.

LMDB forbids to open one environment twice in a process and to move its map while a transaction of this process is
open. Both rules live here: `open_environment` shares, and `grow`/`adopt` wait until this process's readers pause
(`Pausable.active`). Other processes notice a grown map at their next transaction and adopt it.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Final, Protocol

import lmdb
import msgspec

from biaojie.resolution import policy
from biaojie.resolution.entries import RouteContent, ZoneContent
from biaojie.resolution.errors import IndexBusy
from biaojie.resolution.routes import RouteTable

STATE_KEY: Final = b"state"
_DATABASES: Final = ("handles", "zones", "routes", "owners", "meta")
_decode_zone: Final = msgspec.msgpack.Decoder(ZoneContent).decode
_decode_route: Final = msgspec.msgpack.Decoder(RouteContent).decode


class State(msgspec.Struct, frozen=True, array_like=True):
    """Where an index stands: session and serial of the publication, and how often zones, routes or site changed."""

    session: str = ""
    serial: int = 0
    revision: int = 0


class Tables(msgspec.Struct, frozen=True):
    """The small kinds of one revision in memory: zones by key, the zones answered without referral, routes, own site."""

    revision: int
    zones: dict[bytes, ZoneContent]
    answered: frozenset[bytes]
    routes: RouteTable
    site: bytes | None


class Pausable(Protocol):
    """A reader of this process; `active` is true while it holds a transaction."""

    active: bool


class Environment:
    """An open generation. `paused` tells readers to wait before their next transaction."""

    def __init__(self, path: Path, env: lmdb.Environment) -> None:
        self.path = path
        self.env = env
        self.handles, self.zones, self.routes, self.owners, self.meta = (env.open_db(name.encode()) for name in _DATABASES)
        self.users = 0
        self.paused = False
        self.readers: list[Pausable] = []
        self._tables: Tables | None = None
        self._owners: dict[int, str] = {}
        self._resizing = threading.Lock()

    def state(self, txn: lmdb.Transaction) -> State:
        """Where this generation stands in the view of a transaction."""
        raw = txn.get(STATE_KEY, None, self.meta)
        return State() if raw is None else msgspec.msgpack.decode(raw, type=State)

    def tables(self, txn: lmdb.Transaction, state: State) -> Tables:
        """The small kinds as of `state`, read once per revision."""
        held = self._tables
        if held is None or held.revision != state.revision:
            held = self._tables = self._load(txn, state.revision)
        return held

    def owner(self, txn: lmdb.Transaction, owner_id: int) -> str:
        """The prefix an owner number stands for; "" for an unknown number."""
        name = self._owners.get(owner_id)
        if name is None:
            raw = txn.get(owner_number_key(owner_id), None, self.owners)
            if raw is None:
                return ""
            name = self._owners[owner_id] = bytes(raw).decode()
        return name

    def make_room(self) -> None:
        """Double the map when little of it is left, so that the next transaction need not fail first."""
        info = self.env.info()
        used = (info["last_pgno"] + 1) * 4096
        if used * 100 > info["map_size"] * policy.MAP_FULL_PERCENT.value:
            self.grow()

    def grow(self) -> None:
        """Double the map; raises `IndexBusy` when a reader of this process does not pause in time."""
        self._resize(self.env.info()["map_size"] * 2)

    def adopt(self) -> None:
        """Take over the size another process gave the map."""
        self._resize(0)

    def _resize(self, octets: int) -> None:
        with self._resizing:
            self.paused = True
            try:
                deadline = time.monotonic() + policy.GROW_WAIT_MS.value / 1000
                # A copy: readers come and go meanwhile, and skipping one would move the map under it.
                while any(reader.active for reader in tuple(self.readers)):
                    if time.monotonic() > deadline:
                        raise IndexBusy(folder=self.path, reason="读取方未暂停，无法扩大映射")
                    time.sleep(0.0005)
                self.env.set_mapsize(octets)
            finally:
                self.paused = False

    def _load(self, txn: lmdb.Transaction, revision: int) -> Tables:
        with txn.cursor(self.zones) as cursor:
            zones = {bytes(key): _decode_zone(bytes(raw)[8:]) for key, raw in cursor}
        with txn.cursor(self.routes) as cursor:
            routes = RouteTable([(bytes(key)[0], _decode_route(bytes(raw)[8:])) for key, raw in cursor])
        site = txn.get(b"site:self", None, self.meta)
        answered = {key for key, zone in zones.items() if not zone.refer and not key.startswith(b"0.NA/")}
        if (root := zones.get(b"0.NA/")) is not None and not any(key.startswith(b"0.NA/") and len(key) > 5 for key in zones):
            # Only where one zone covers every prefix record may these records be answered without looking further.
            answered |= set() if root.refer else {b"0.NA"}
        return Tables(revision, zones, frozenset(answered), routes, None if site is None else bytes(site)[8:])


def owner_number_key(owner_id: int) -> bytes:
    """Where an owner's name lies."""
    return b"i" + owner_id.to_bytes(4, "big")


_shared: dict[str, Environment] = {}
_sharing = threading.Lock()


def open_environment(path: Path, *, map_octets: int = 0, durable: bool = True) -> Environment:
    """The environment of a generation folder, opened or shared; pair with `close_environment`.

    `map_octets` is for a new environment; 0 takes what the existing one says. `durable` False is for one being built.
    Raises `lmdb.Error`.
    """
    with _sharing:
        name = str(path.resolve())
        environment = _shared.get(name)
        if environment is None:
            env = lmdb.open(
                str(path),
                map_size=map_octets,
                max_dbs=len(_DATABASES),
                max_readers=policy.READERS_MAX.value,
                max_spare_txns=64,
                create=map_octets > 0,
                metasync=durable,
                sync=durable,
                readahead=False,
            )
            try:
                environment = Environment(path, env)
            except BaseException:
                env.close()
                raise
            env.reader_check()
            _shared[name] = environment
        environment.users += 1
        return environment


def share(environment: Environment) -> bool:
    """Become one more user of an open environment; False when its last user has already closed it."""
    with _sharing:
        if environment.users == 0:
            return False
        environment.users += 1
        return True


def close_environment(environment: Environment) -> None:
    """Give back what `open_environment` gave; the last user closes."""
    with _sharing:
        environment.users -= 1
        if environment.users == 0:
            _shared.pop(str(environment.path.resolve()), None)
            environment.env.close()
