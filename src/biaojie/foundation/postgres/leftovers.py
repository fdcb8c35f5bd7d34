"""Servers that outlived their launcher: how they are found, and how they are ended.

A launcher that is SIGKILLed cannot clean up; the kernel then sends its server SIGINT (a fast shutdown), but that takes a
while, and parts of a server may outlive a SIGKILLed postmaster. Processes are judged by what they are (/proc), not by
the pid in `postmaster.pid`, which may be a zombie's or, after a reboot, a stranger's.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from biaojie.foundation.postgres.errors import StopFailed


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """One live process of a cluster; `is_main` marks the postmaster."""

    pid: int
    is_main: bool


def tag_of(data: Path) -> str:
    """The name by which a cluster's processes carry it in their titles: of this very folder, wherever it moves, not of a copy."""
    found = data.stat()
    return f"biaojie-{found.st_dev:x}-{found.st_ino:x}"


def processes(data: Path) -> list[ServerProcess]:
    """Every live process of the cluster in `data`, the postmaster first."""
    try:
        found, tag = data.stat(), tag_of(data)
    except FileNotFoundError:
        return []
    identity = (found.st_dev, found.st_ino)
    rows = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            words = _command(int(entry.name))
            if words and _is_server(words) and _belongs(int(entry.name), words, tag, str(data), identity):
                rows.append(ServerProcess(int(entry.name), is_main=not words[0].startswith("postgres:")))
    return sorted(rows, key=lambda row: (not row.is_main, row.pid))


def main_pid(data: Path) -> int | None:
    """The postmaster's pid, if one lives."""
    return next((row.pid for row in processes(data) if row.is_main), None)


def end(data: Path, *, first: signal.Signals = signal.SIGINT, patience_s: float = 30.0) -> int:
    """Stop whatever runs in `data`, gently first; gives how many processes there were. Raises StopFailed."""
    found = processes(data)
    alive = found
    # SIGQUIT = immediate shutdown (crash recovery follows), SIGKILL = for a server that does not even answer that.
    for number, wait_s in ((first, patience_s), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 10.0)):
        mains = [row for row in alive if row.is_main]
        targets = alive if number is signal.SIGKILL else mains
        if not mains and number is signal.SIGQUIT:
            targets = alive
        elif not mains and number is not signal.SIGKILL:
            wait_s = 2.0  # without a postmaster the others only have to notice; SIGINT would mean "cancel the query" to them
        for row in targets:
            _send(row.pid, number)
        alive = _remaining(data, wait_s)
        if not alive:
            return len(found)
    raise StopFailed(pid=alive[0].pid)


def sweep(data: Path, sockets: Path, socket_name: str) -> None:
    """Remove the pid and socket files of a server of which no process is left; call only when `processes` is empty."""
    for path in (data / "postmaster.pid", sockets / socket_name, sockets / f"{socket_name}.lock"):
        path.unlink(missing_ok=True)


def _remaining(data: Path, wait_s: float) -> list[ServerProcess]:
    """What is still alive when all are gone or `wait_s` is over."""
    limit, pause_s = time.monotonic() + wait_s, 0.01
    while (alive := processes(data)) and time.monotonic() < limit:
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 0.2)
    return alive


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
    except PermissionError as problem:
        raise StopFailed(pid=pid) from problem


def _command(pid: int) -> list[str]:
    """The words of a live process's command line; none for zombies, kernel threads and the departed."""
    try:
        # A zombie's is empty.
        content = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return [os.fsdecode(word) for word in content.rstrip(b"\0").split(b"\0")] if content else []


def _is_server(words: list[str]) -> bool:
    return words[0].startswith("postgres:") or Path(words[0]).name == "postgres"


def _belongs(pid: int, words: list[str], tag: str, data: str, identity: tuple[int, int]) -> bool:
    if data in words or any(tag in word.replace("=", " ").replace(":", " ").split() for word in words):
        return True
    try:  # a server started by hand; readable for our own processes and for a full root
        found = Path(f"/proc/{pid}/cwd").stat()
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == identity
