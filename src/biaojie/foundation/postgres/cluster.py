"""The embedded server of one folder: make it, run it as a child, stop it, and recover from every way it can die.

A supervisor runs `argv, keywords = cluster.command()` and `subprocess.Popen(argv, **keywords)` itself, then
`wait_ready`; everybody else uses `start` and `stop`. The server is a foreground child that gets SIGINT (fast shutdown)
from the kernel when the *thread* that started it ends, so start it from a thread that lives as long as the server should.
It listens on a socket in a 0700 folder only; there every client is the superuser `biaojie` without a password, and only
the server's account and root can be there.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self
from urllib.parse import quote

import psycopg

from biaojie.foundation.postgres import binaries as programs
from biaojie.foundation.postgres import diagnosis, leftovers, options, place
from biaojie.foundation.postgres.account import Account
from biaojie.foundation.postgres.errors import (
    DiskFull,
    NotReady,
    PostgresError,
    StillRecovering,
    VersionMismatch,
)

SUPERUSER = "biaojie"
NEW_CLUSTER_MIN_FREE_MB = 128  # initdb writes some 45 MB, the first log segments as much again
SIGN_OF_LIFE_WITHIN_S = 1.5  # no process of the server for so long: it has given up

StopMode = Literal["smart", "fast", "immediate"]
_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
_RECOVERING = ("the database system is starting up", "not yet accepting connections", "the database system is in recovery")
_PR_SET_PDEATHSIG = 1

# Looked up before any fork: a child between fork and exec must not load anything.
_prctl = ctypes.CDLL(None, use_errno=True).prctl


class Cluster:
    """The PostgreSQL cluster of `directory`.

    `settings` are server settings of this run, over all others (tests may turn `fsync` off here, and nowhere else).
    `binaries` and `shared_root` are found by themselves. One launcher holds a folder at a time (AlreadyRunning names it);
    any process may ask `dsn` and `pid`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        settings: Mapping[str, str] | None = None,
        binaries: programs.Binaries | None = None,
        shared_root: Path = programs.SHARED_ROOT,
    ) -> None:
        self.directory = Path(directory).absolute()
        self.process: subprocess.Popen[bytes] | None = None
        self._settings = dict(settings or {})
        self._binaries = binaries
        self._shared_root = shared_root
        self._lock = place.Lock(self.directory)
        self._place: place.Place | None = None
        self._account: Account | None = None
        self._start_log: IO[bytes] | None = None
        self._log_marks: dict[Path, int] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    # ---- making

    def initialise(self) -> None:
        """Hold the folder, settle its place and make the cluster if there is none; repeatable.

        Raises AlreadyRunning, BinariesMissing, BinariesUnusable, ClusterLost, CopiedFolder, DiskFull, FolderUnwritable,
        ForeignOwner, NoServerAccount, PathTooLong, UnknownAccount, UnsafeFolder, VersionMismatch.
        """
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock.acquire()
            here, account = place.settle(self.directory, shared_root=self._shared_root)
            found = programs.usable(self._binaries or programs.find(), account, shared_root=self._shared_root)
            self._place, self._account, self._binaries = here, account, found
            if not (here.data / "PG_VERSION").exists():
                self._create(here, account, found)
            self._check_version(here, found)
        except OSError as problem:
            self.release()
            raise diagnosis.of_os_error(problem, path=self.directory) from problem
        except PostgresError:
            self.release()
            raise

    def reclaim(self) -> int:
        """Stop a server that outlived its launcher and clear its marks; gives how many processes were left."""
        here = self._held()
        if self.process is not None:
            self.process.poll()  # reap: to the next server a zombie's pid looks alive
        ended = leftovers.end(here.data)
        leftovers.sweep(here.data, here.sockets, place.SOCKET_NAME)
        return ended

    def command(self) -> tuple[list[str], dict[str, Any]]:
        """Ready the folder and give what runs the server in the foreground; call it again before every restart.

        The keywords fit `subprocess.Popen` and `asyncio.create_subprocess_exec`. Raises as `initialise` and `reclaim` do.
        """
        self.initialise()
        self.reclaim()
        here, account, found = self._settled()
        fixed = options.fixed(tag=leftovers.tag_of(here.data), sockets=here.sockets)
        argv = [str(found.tool("postgres")), "-D", str(here.data), *options.arguments(fixed | self._settings)]
        self._log_marks = {file: file.stat().st_size for file in (here.home / "log").glob("*.log")}
        self._close_start_log()
        self._start_log = self.start_log.open("wb")  # lives as long as the keywords may be used
        return argv, self._keywords(account, signal.SIGINT) | {"stdout": self._start_log, "stderr": subprocess.STDOUT}

    # ---- running

    def start(self, timeout_s: float = 120.0) -> None:
        """Run the server as our child and wait until it answers.

        On StillRecovering the server is left to its recovery: call `wait_ready` again. On any other error nothing runs.
        """
        argv, keywords = self.command()
        try:
            self.process = subprocess.Popen(argv, **keywords)
        except OSError as problem:
            self.release()
            raise diagnosis.of_os_error(problem, path=Path(argv[0])) from problem
        try:
            self.wait_ready(timeout_s)
        except StillRecovering:
            raise
        except BaseException:
            self.stop("immediate")
            raise

    def wait_ready(self, timeout_s: float = 120.0, *, process: subprocess.Popen[bytes] | None = None) -> None:
        """Return when `SELECT 1` is answered; `process` is the server, where a supervisor runs it itself.

        Raises StillRecovering (alive, replaying its log: wait again), NotReady, or what a server that gave up said.
        """
        process = process or self.process
        last_alive = time.monotonic()
        limit, pause_s = last_alive + timeout_s, 0.01
        while True:
            patience_s = max(2, min(5, round(limit - time.monotonic())))  # libpq takes whole seconds, from two
            try:
                with psycopg.connect(self.dsn(), connect_timeout=patience_s, autocommit=True) as connection:
                    connection.execute("SELECT 1")
                return
            except psycopg.OperationalError as problem:
                is_recovering = any(words in str(problem) for words in _RECOVERING)
            if process is not None and process.poll() is not None:
                raise self._failure()
            if process is None and self._lock.is_held:  # run by a supervisor that did not say how: look for it
                last_alive = time.monotonic() if leftovers.processes(self._known().data) else last_alive
                if time.monotonic() - last_alive > SIGN_OF_LIFE_WITHIN_S:
                    raise self._failure()
            if time.monotonic() > limit:
                if is_recovering:
                    raise StillRecovering(timeout_s=f"{timeout_s:g}")
                raise NotReady(timeout_s=f"{timeout_s:g}", log=str(self._logs()))
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.5, 0.2)

    def stop(self, mode: StopMode = "fast", timeout_s: float = 30.0) -> None:
        """Stop the server and let go of the folder; after `timeout_s` the stop becomes immediate, then a kill.

        `smart` waits for clients, `fast` disconnects them, `immediate` leaves crash recovery to the next start.
        Raises StopFailed.
        """
        if not self._lock.is_held:
            return
        try:
            if self._place is not None:
                leftovers.end(self._place.data, first=_SIGNALS[mode], patience_s=timeout_s)
            if self.process is not None:
                self.process.wait(10)
        finally:
            self.process = None
            self.release()

    def release(self) -> None:
        """Let go of the folder without stopping anything; for a supervisor that has ended the server itself."""
        self._close_start_log()
        self._lock.release()

    def destroy(self) -> None:
        """Stop the server and remove the cluster with all its data."""
        self.initialise()
        here = self._held()
        self.stop("immediate")
        place.forget(here)

    # ---- asking

    def dsn(self, database: str = "postgres") -> str:
        """The address of a database as `postgresql://biaojie@/<database>?host=<folder>`. Raises NotInitialised."""
        here = self._known()
        return f"postgresql://{SUPERUSER}@/{quote(database, safe='')}?host={quote(str(here.sockets), safe='')}&port=5432"

    def pid(self) -> int | None:
        """The live server's pid. Raises NotInitialised."""
        return leftovers.main_pid(self._known().data)

    @property
    def start_log(self) -> Path:
        """What the server said before its own log opened."""
        return self.directory / "pg-start.log"

    def tool(self, name: str) -> Path:
        """The path of `pg_dump`, `pg_restore`, `psql`… of the same version as the server. Raises as `initialise`."""
        found = self._binaries = self._binaries or programs.find()
        return found.tool(name)

    # ---- within

    def _known(self) -> place.Place:
        """Where the cluster is, without holding the folder."""
        try:
            return self._place or place.read(self.directory)
        except OSError as problem:
            raise diagnosis.of_os_error(problem, path=self.directory) from problem

    def _held(self) -> place.Place:
        if self._place is None or not self._lock.is_held:
            self.initialise()
        return self._settled()[0]

    def _settled(self) -> tuple[place.Place, Account, programs.Binaries]:
        assert self._place is not None and self._account is not None and self._binaries is not None
        return self._place, self._account, self._binaries

    def _create(self, here: place.Place, account: Account, found: programs.Binaries) -> None:
        """initdb, aside; the finished cluster appears by a rename."""
        room = os.statvfs(here.home)
        free_mb = room.f_bavail * room.f_frsize >> 20
        if room.f_blocks and free_mb < NEW_CLUSTER_MIN_FREE_MB:
            raise DiskFull(path=str(here.home), reason=f"剩余 {free_mb} MB，新建数据库至少需要 {NEW_CLUSTER_MIN_FREE_MB} MB")
        aside = here.home / "data.partial"
        shutil.rmtree(aside, ignore_errors=True)
        # A failed or foreign folder without PG_VERSION is no cluster; rmdir refuses if anything is in it.
        if here.data.exists():
            here.data.rmdir()
        argv = [str(found.tool("initdb")), "-D", str(aside), f"--username={SUPERUSER}", "--encoding=UTF8", "--no-instructions"]
        argv += ["--auth-local=trust", "--auth-host=reject"]
        # The builtin provider sorts by code point like C, yet knows upper and lower case of all scripts.
        argv += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if found.major >= 17 else ["--locale=C"]
        argv += [f"--set={name}={value}" for name, value in options.tuned(found.major).items()]
        if self._settings.get("fsync") == "off":
            argv.append("--no-sync")
        done = subprocess.run(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **self._keywords(account, signal.SIGKILL)
        )
        if done.returncode != 0:
            output = done.stdout.decode("utf-8", "replace")
            self.start_log.write_text(output, encoding="utf-8")
            shutil.rmtree(aside, ignore_errors=True)
            raise diagnosis.of_output(output, path=here.home, log=self.start_log)
        aside.rename(here.data)

    def _check_version(self, here: place.Place, found: programs.Binaries) -> None:
        version = (here.data / "PG_VERSION").read_text(encoding="ascii").strip()
        if version != str(found.major):
            raise VersionMismatch(path=str(here.data), found=version, expected=found.major)

    def _keywords(self, account: Account, death_signal: signal.Signals) -> dict[str, Any]:
        return {
            "stdin": subprocess.DEVNULL,
            "cwd": "/",  # the caller's folder may be closed to the account
            "env": _environment(),
            "start_new_session": True,  # Ctrl-C in the terminal is for the supervisor, which stops clients first
            "preexec_fn": _dying_with_parent(death_signal),
        } | account.popen_identity()

    def _failure(self) -> PostgresError:
        """What the server said since `command`, as an error."""
        here = self._known()
        said = diagnosis.tail(self.start_log)
        for file in sorted((here.home / "log").glob("*.log")):
            said += "\n" + diagnosis.tail(file, since=self._log_marks.get(file, 0))
        return diagnosis.of_output(said, path=here.home, log=self._logs())

    def _logs(self) -> Path:
        here = self._known()
        newest = diagnosis.newest_log(here.home / "log")
        return newest if newest.exists() else self.start_log

    def _close_start_log(self) -> None:
        if self._start_log is not None:
            self._start_log.close()
            self._start_log = None


def _environment() -> dict[str, str]:
    """The caller's, without what would steer the server (PG*) or its messages' language."""
    kept = {name: value for name, value in os.environ.items() if not re.match(r"PG[A-Z]|LC_|LANG|NOTIFY_SOCKET", name)}
    return kept | {"LC_ALL": "C"}


def _dying_with_parent(death_signal: signal.Signals) -> Callable[[], None]:
    """What a child runs just before exec: after `subprocess` has changed its user, which would clear the death signal."""
    parent, number = os.getpid(), int(death_signal)

    def arm() -> None:
        if _prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0) != 0 or os.getppid() != parent:
            os._exit(71)  # the parent is gone already: nobody would stop us

    return arm
