"""Runs a chain of nodes on one machine: start in order, watch, restart what dies, end everything with itself.

All children are forked from the main thread, whose death the kernel tells them (see `lifeline`); a folder has one
supervisor at a time (a lock on `DIR/up.lock`). Setting up — enrolment, prefixes, demonstration data — runs in a thread
over the nodes' own API and knows nothing that a stranger's client would not know.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import IO, Any

from biaojie.base.errors import BiaojieError
from biaojie.foundation.postgres.cluster import Cluster
from biaojie.processes import chain, databases, ports, setting_up
from biaojie.processes.children import Child, ChildSpec, terminate_all
from biaojie.processes.control import Listener
from biaojie.processes.errors import AlreadyRunning, ChildFailed, NoSuchNode, ProcessError, SetupFailed

READY_WITHIN_S = 90.0
END_WITHIN_S = 20.0
TICK_S = 0.2
DATABASE_CHILD = "database/postgres"


class Supervisor:
    """One folder's chain. `run` returns the exit status when the chain has ended."""

    def __init__(
        self, directory: Path, *, port_base: int | None = None, demo: bool = True, say: Callable[[str], None] = print
    ) -> None:
        self.directory = directory
        self.port_base = port_base
        self.demo = demo
        self.say = say
        self.children: dict[str, Child] = {}
        self.nodes: list[chain.PlannedNode] = []
        self._ending = threading.Event()
        self._failure: BaseException | None = None
        self._cluster: Cluster | None = None

    def run(self) -> int:
        """Start everything, serve until asked to end. Raises `BiaojieError` when it cannot even begin."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _folder_lock(self.directory):
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: self._ending.set())
            listener = Listener(self.directory)
            try:
                self._begin()
                self._serve(listener)
            finally:
                self._end()
                listener.close()
        if self._failure is not None:
            if isinstance(self._failure, BiaojieError):
                raise self._failure
            raise RuntimeError("启动未完成") from self._failure
        return 0

    def _begin(self) -> None:
        """Resolvers first: they answer from their index while the database recovers or is prepared."""
        self.say(f"正在启动，数据目录 {self.directory}；首次约需一分钟")
        block = ports.choose(self.directory, wanted=self.port_base, nodes=len(chain.CHAIN))
        server = databases.server_for(self.directory)
        database = self._start_database(server.cluster) if server.cluster is not None else None
        self.nodes = chain.plan(self.directory, block, server.url)
        for node in self.nodes:
            chain.write_settings(node, bootstrap=self.directory / "bootstrap.bin")
            (node.directory / "worker.ready").unlink(missing_ok=True)
            for spec in chain.child_specs(node):
                self._add(spec)
        self._start_processes(chain.WITHOUT_DATABASE)
        if server.cluster is not None and database is not None:
            server.cluster.wait_ready(process=database.process)
        prepared = databases.prepare(server, [node for node in self.nodes if node.has_database], self.directory)
        self._start_processes({process for node in self.nodes for process in node.processes} - chain.WITHOUT_DATABASE)
        threading.Thread(target=self._set_up, args=(prepared,), name="setting-up", daemon=True).start()

    def _start_processes(self, wanted: Collection[str]) -> None:
        for node in self.nodes:
            for process in node.processes:
                if process in wanted:
                    self.children[f"{node.row.name}/{process}"].start()

    def _start_database(self, cluster: Cluster) -> Child:
        child = self._add(self._database_spec(cluster))
        child.start()
        self._cluster = cluster
        return child

    def _database_spec(self, cluster: Cluster) -> ChildSpec:
        argv, popen = cluster.command()
        return ChildSpec(
            name=DATABASE_CHILD,
            argv=argv,
            environment=os.environ.copy(),
            log=self.directory / "log" / "postgres.log",
            probe=lambda: True,
            popen=popen,
            renew=lambda: self._database_spec(cluster),
        )

    def _add(self, spec: ChildSpec) -> Child:
        child = self.children[spec.name] = Child(spec)
        return child

    def _set_up(self, prepared: Mapping[str, Any]) -> None:
        """In a thread: wait for the nodes one by one, set them up, write nodes.json, say `ready`."""
        try:
            for node in self.nodes:
                for process in node.processes:
                    self._wait_ready(self.children[f"{node.row.name}/{process}"])
            announced = self._announced(prepared)
            self.say(setting_up.address_table(announced))
            self.say("ready")
        except _Ended:
            pass
        except BaseException as error:
            if not self._ending.is_set():  # else: the nodes went away under it because the chain was told to end
                self._failure = error
                self._ending.set()

    def _announced(self, prepared: Mapping[str, Any]) -> Mapping[str, Any]:
        """What `nodes.json` says. A chain that was whole once does not fall over an account closed or a state changed since."""
        try:
            announced = setting_up.run(self.nodes, prepared, directory=self.directory, demo=self.demo, say=self.say)
        except SetupFailed as error:
            held = setting_up.announced_before(self.directory, self.nodes)
            if held is None or self._ending.is_set():
                raise
            self.say(f"{error}；沿用上次启动时的设置")
            return held
        setting_up.write_nodes_file(self.directory, announced)
        return announced

    def _wait_ready(self, child: Child) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while not child.ready():
            if self._ending.is_set():
                raise _Ended
            if time.monotonic() > deadline:
                raise ChildFailed(name=child.spec.name, seconds=READY_WITHIN_S, log=child.spec.log)
            time.sleep(0.05)

    def _serve(self, listener: Listener) -> None:
        while not self._ending.is_set():
            select.select([listener.socket], [], [], TICK_S)
            listener.serve_waiting(self._command)
            for name, child in self.children.items():
                status = child.restart_if_due()
                if status is not None and not self._ending.is_set():
                    self.say(f"{name} 已退出（{_status(status)}），正在重新启动")

    def _end(self) -> None:
        database = self.children.pop(DATABASE_CHILD, None)
        terminate_all(list(self.children.values()), timeout_s=END_WITHIN_S)
        if database is not None and database.process is not None:
            database.wanted = False
            # SIGINT is PostgreSQL's fast shutdown: it ends sessions, writes a checkpoint and leaves.
            database.process.send_signal(signal.SIGINT)
            database.terminate(timeout_s=END_WITHIN_S)
        if self._cluster is not None:
            self._cluster.release()

    def _command(self, call: Mapping[str, Any]) -> Mapping[str, Any]:
        command = call.get("command")
        if command == "down":
            self._ending.set()
            return {}
        node = str(call.get("node", ""))
        if command not in ("status", "start", "stop"):
            raise ProcessError(f"没有名为 {command} 的控制命令")
        if command != "status" and not node:
            raise NoSuchNode(name=node, known="、".join(sorted(self.children)))
        chosen = self._chosen(node, call.get("process"))
        for child in chosen:
            if command == "stop":
                child.kill()
            elif command == "start":
                child.start_again()
        return {"processes": [{"name": child.spec.name, "pid": child.pid, "restarts": child.restarts} for child in chosen]}

    def _chosen(self, node: str, process: object) -> list[Child]:
        if not node:
            return list(self.children.values())
        wanted = f"{node}/{process}" if process else f"{node}/"
        chosen = [child for name, child in self.children.items() if name == wanted or (not process and name.startswith(wanted))]
        if not chosen:
            raise NoSuchNode(name=wanted.rstrip("/"), known="、".join(sorted(self.children)))
        return chosen


_LOCKS: list[IO[str]] = []
"""Files of locks that this process keeps until it ends."""


class _Ended(Exception):
    """The chain was told to end while it was being set up."""


class _folder_lock:  # noqa: N801  # reads as a verb in `with _folder_lock(directory):`
    """Holds `DIR/up.lock`; a second holder is refused with the first one's pid."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "up.lock"
        self._directory = directory

    def __enter__(self) -> None:
        self._file = os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = self._file.read().strip() or "?"
            self._file.close()
            raise AlreadyRunning(directory=self._directory, pid=pid) from None
        self._file.seek(0)
        self._file.truncate()
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def __exit__(self, *_: object) -> None:
        self._file.truncate(0)
        # Left open: the lock goes with this process, so that who gets it (`biaojie down` waits for it) finds nothing alive.
        _LOCKS.append(self._file)


def _status(code: int) -> str:
    if code < 0:
        return f"信号 {signal.Signals(-code).name}"
    return f"退出码 {code}"


def main(directory: Path, *, port_base: int | None, demo: bool) -> int:
    """Run a chain until it is told to end; errors are printed as one line with their code."""

    def say(text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    try:
        os.fsencode(directory).decode()
    except UnicodeDecodeError:
        say_path = os.fsencode(directory).decode(errors="replace")
        sys.stderr.write(f"{ProcessError(f'数据目录 {say_path} 的名称不是 UTF-8')}\n")
        return 1
    try:
        return Supervisor(directory, port_base=port_base, demo=demo, say=say).run()
    except BiaojieError as error:
        sys.stderr.write(f"{error}\n")
    except OSError as error:
        where = error.filename or directory
        sys.stderr.write(f"{ProcessError(f'无法使用 {where}：{error.strerror or error}')}\n")
    return 1
