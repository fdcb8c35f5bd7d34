"""The index a resolver answers from: LMDB generations in one folder, one of them live.

    <folder>/current            the name of the live generation, replaced atomically
    <folder>/gen-000001/        an LMDB environment: handles, zones, routes, owners, meta

Handle record: u32 owner id | u8 flags | 3 zero octets | u64 version | u32 length | public values | all values. The last
part is there only with flag `PRIVATE`. Other kinds: u64 version | content. One process writes (a lock file says which);
any number of processes and threads read, each through its own `Reader`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Final

import lmdb

from biaojie.resolution import policy
from biaojie.resolution.container import sync_folder
from biaojie.resolution.entries import Entry, digest_of
from biaojie.resolution.environment import Environment, State, close_environment, open_environment
from biaojie.resolution.errors import IndexBusy, IndexDamaged, SessionMismatch
from biaojie.resolution.reader import Reader
from biaojie.resolution.writing import Batch, Built, bulk_load, write_state

_CURRENT: Final = "current"
_OPEN_ATTEMPTS: Final = 20


class Index:
    """One folder's index in this process: `reader()` to look up, `apply` and `rebuild` to change, `close` at the end.

    `recovered` says why the generation found at opening could not be used and an empty one was begun, or is None.
    """

    def __init__(self, folder: Path, *, map_octets: int = policy.MAP_OCTETS.value) -> None:
        self.folder = folder
        self.recovered: str | None = None
        self.closed = False
        self._map_octets = map_octets
        # Writing may take long; moving over to another generation must not wait for it.
        self._write_lock = threading.RLock()
        self._lock = threading.Lock()
        self._writer_lock: IO[bytes] | None = None
        self._seen: tuple[int, int] = (0, 0)
        self._next_look = 0.0
        folder.mkdir(parents=True, exist_ok=True)
        self.environment = self._open_current()

    @classmethod
    def open(cls, folder: Path | str, *, map_octets: int = policy.MAP_OCTETS.value) -> Index:
        """The index of a folder, begun empty when there is none; `map_octets` is the map of new generations."""
        return cls(Path(folder), map_octets=map_octets)

    def reader(self) -> Reader:
        """A reader for one thread, at the newest state; close it, or use it with `with`."""
        return Reader(self)

    @property
    def state(self) -> State:
        """Session, serial and revision as they stand now."""
        with self.reader() as reader:
            return reader.state

    @property
    def serial(self) -> int:
        """The publication's serial this index has reached."""
        return self.state.serial

    @property
    def session(self) -> str:
        """The publication's session this index follows; "" before the first."""
        return self.state.session

    def items(self) -> Iterator[Entry]:
        """Every live entry in one consistent view, kinds one after another; keys over 480 octets in their index form."""
        with self.reader() as reader:
            yield from reader.items()

    def digest(self) -> str:
        """`digest_of` the live entries: equal to the registry's exactly when both hold the same."""
        return digest_of(self.items())

    def apply(self, entries: Iterable[Entry], *, session: str, serial: int) -> int:
        """Put and remove entries and move to `serial`, all in one transaction; gives how many took effect.

        A serial already reached changes nothing. An entry whose version is smaller than the one held is passed over.
        Raises `SessionMismatch`, `EntryInvalid`, `IndexBusy`; whatever `entries` raises leaves the index unchanged.
        An iterator is read into memory first; give something that can be iterated again when it is large.
        """
        rows = list(entries) if isinstance(entries, Iterator) else entries
        with self._writing():
            environment = self.environment
            environment.make_room()
            while True:
                try:
                    return self._apply(environment, rows, session, serial)
                except lmdb.MapFullError:
                    environment.grow()
                except lmdb.MapResizedError:
                    environment.adopt()

    def rebuild(self, entries: Iterable[Entry], *, session: str, serial: int) -> Built:
        """Load `entries`, in any order, into a new generation and make it live; readers move over at their next renewal.

        Memory stays at one sorted run. Of a key given twice the higher version counts. On any error the live
        generation stays as it is.
        """
        with self._writing():
            self._sweep()
            revision = self.state.revision + 1
            name = f"gen-{self._number() + 1:06d}"
            path = self.folder / name
            shutil.rmtree(path, ignore_errors=True)
            try:
                path.mkdir()
                environment = open_environment(path, map_octets=self._map_octets, durable=False)
                try:
                    built = bulk_load(environment, entries, path)
                    with environment.env.begin(write=True) as txn:
                        # Above the old generation's, so that no two states of a folder look alike.
                        write_state(txn, environment, State(session, serial, revision))
                    environment.env.sync(True)
                finally:
                    close_environment(environment)
                sync_folder(path)
            except BaseException:
                shutil.rmtree(path, ignore_errors=True)
                raise
            self._make_current(name)
            self.refresh(now=True)
            self._sweep()
            return built

    def clear_stale_readers(self) -> int:
        """Free the slots of readers whose process has ended; gives how many."""
        return self.environment.env.reader_check()

    def refresh(self, *, now: bool = False) -> None:
        """Move to the live generation if another process has swapped it; looks at most every 100 ms unless `now`."""
        moment = time.monotonic()
        if not now and moment < self._next_look:
            return
        with self._lock:
            if self.closed:
                raise IndexBusy(folder=self.folder, reason="索引已关闭")
            self._next_look = moment + policy.SWAP_CHECK_MS.value / 1000
            if self._stamp() != self._seen:
                old, self.environment = self.environment, self._open_current()
                close_environment(old)

    def close(self) -> None:
        """Release the folder; readers must be closed before."""
        with self._write_lock, self._lock:
            if self.closed:
                return
            self.closed = True
            close_environment(self.environment)
            if self._writer_lock is not None:
                self._writer_lock.close()
                self._writer_lock = None

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _apply(self, environment: Environment, rows: Iterable[Entry], session: str, serial: int) -> int:
        with environment.env.begin(write=True) as txn:
            state = environment.state(txn)
            if state.session and state.session != session:
                raise SessionMismatch(held=state.session, offered=session)
            if state.session == session and serial <= state.serial:
                return 0
            batch = Batch(environment, txn)
            for entry in rows:
                batch.write(entry)
            write_state(txn, environment, State(session, serial, state.revision + batch.touched_tables))
            return batch.effective

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Be the folder's only writer, among processes (until `close`) and threads (for this call)."""
        with self._write_lock:
            if self._writer_lock is None:
                stream = (self.folder / ".writer.lock").open("ab")
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    stream.close()
                    raise IndexBusy(folder=self.folder, reason="另一进程正在写入") from None
                self._writer_lock = stream
            self.refresh(now=True)
            try:
                yield
            except (lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.PanicError) as error:
                raise IndexDamaged(folder=self.environment.path, reason=str(error)) from error

    def _open_current(self) -> Environment:
        """Open the live generation, begin an empty one where there is none or it cannot be opened."""
        problem = ""
        for attempt in range(_OPEN_ATTEMPTS):
            self._seen = self._stamp()
            name = self._current_name()
            if name:
                try:
                    # LMDB would begin anew where the file is gone, and say nothing.
                    if not (self.folder / name / "data.mdb").stat().st_size:
                        raise OSError("data.mdb is empty")
                    return open_environment(self.folder / name)
                except (lmdb.Error, OSError) as error:
                    problem = str(error)
                    # It may have been swapped and swept between our reading its name and opening it.
                    if self._stamp() != self._seen:
                        continue
                    if attempt < 2:
                        time.sleep(0.02)
                        continue
            self._begin_empty(name, problem)
        raise IndexDamaged(folder=self.folder, reason=problem)

    def _begin_empty(self, unusable: str, problem: str) -> None:
        with (self.folder / ".create.lock").open("ab") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            if self._current_name() != unusable:
                return
            name = f"gen-{self._number() + 1:06d}"
            shutil.rmtree(self.folder / name, ignore_errors=True)
            (self.folder / name).mkdir()
            environment = open_environment(self.folder / name, map_octets=self._map_octets)
            try:
                with environment.env.begin(write=True) as txn:
                    write_state(txn, environment, State())
            finally:
                close_environment(environment)
            self._make_current(name)
            if unusable:
                self.recovered = problem

    def _make_current(self, name: str) -> None:
        part = self.folder / f"current.{os.getpid()}.part"
        with part.open("w") as stream:
            stream.write(name)
            stream.flush()
            os.fsync(stream.fileno())
        part.rename(self.folder / _CURRENT)
        sync_folder(self.folder)

    def _current_name(self) -> str:
        try:
            return (self.folder / _CURRENT).read_text().strip()
        except FileNotFoundError:
            return ""

    def _stamp(self) -> tuple[int, int]:
        try:
            stat = (self.folder / _CURRENT).stat()
        except FileNotFoundError:
            return (0, 0)
        return (stat.st_ino, stat.st_mtime_ns)

    def _number(self) -> int:
        """The highest generation number in the folder."""
        return max((int(path.name[4:]) for path in self.folder.glob("gen-*") if path.name[4:].isdigit()), default=0)

    def _sweep(self) -> None:
        """Remove generations that are not live; who still reads one keeps its pages until it moves over."""
        live = self._current_name()
        for path in self.folder.glob("gen-*"):
            if path.name != live:
                shutil.rmtree(path, ignore_errors=True)
