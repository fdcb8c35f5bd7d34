"""How `biaojie stop|start|down` speak to the supervisor of a folder: one JSON line each way over `DIR/control.sock`.

The socket lies in the folder (0700), so who may open the folder may command it. A path longer than the kernel takes is
reached through the folder's descriptor in /proc.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from biaojie.base.errors import BiaojieError
from biaojie.processes.errors import NotRunning, ProcessError

SOCKET_NAME = "control.sock"
_LONGEST_PATH = 100
_LONGEST_LINE = 65536


class Listener:
    """The supervisor's end. `serve_waiting` is called from its main loop and never blocks longer than a short read."""

    def __init__(self, directory: Path) -> None:
        path = directory / SOCKET_NAME
        path.unlink(missing_ok=True)
        self._directory = directory
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with _reachable(directory) as name:
            self.socket.bind(name)
        path.chmod(0o600)
        self.socket.listen(8)
        self.socket.setblocking(False)

    def serve_waiting(self, handle: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
        """Answer the calls that are waiting now."""
        while True:
            try:
                connection, _ = self.socket.accept()
            except BlockingIOError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(2.0)
                reply: Mapping[str, Any]
                try:
                    reply = {"ok": True, **handle(_read_line(connection))}
                except BiaojieError as error:
                    reply = {"ok": False, **error.as_row()}
                connection.sendall(json.dumps(reply, ensure_ascii=False).encode() + b"\n")

    def close(self) -> None:
        self.socket.close()
        (self._directory / SOCKET_NAME).unlink(missing_ok=True)


def call(directory: Path, command: str, *, timeout_s: float = 60.0, **arguments: Any) -> dict[str, Any]:
    """Ask the supervisor of a folder; raises `NotRunning` (PROC-103) or its refusal."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            with _reachable(directory) as name:
                connection.connect(name)
        except OSError as error:
            raise NotRunning(directory=directory) from error
        connection.sendall(json.dumps({"command": command, **arguments}).encode() + b"\n")
        reply = _read_line(connection)
    if not reply.get("ok"):
        raise _refusal(str(reply.get("code", "")), str(reply.get("message", "")))
    return reply


def _refusal(code: str, message: str) -> ProcessError:
    """The supervisor's refusal in its own words, as the kind of error that carries its code."""
    kinds: list[type[ProcessError]] = [ProcessError, *ProcessError.__subclasses__()]
    return next((kind for kind in kinds if kind.code == code), ProcessError)(message)


@contextlib.contextmanager
def _reachable(directory: Path) -> Iterator[str]:
    """A name of the socket short enough for the kernel, whatever the folder's path."""
    path = str(directory / SOCKET_NAME)
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        yield path
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET_NAME}"
    finally:
        os.close(descriptor)


def _read_line(connection: socket.socket) -> dict[str, Any]:
    data = b""
    while not data.endswith(b"\n"):
        part = connection.recv(_LONGEST_LINE)
        if not part or len(data) > _LONGEST_LINE:
            break
        data += part
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ProcessError("控制命令不是合法的 JSON") from error
    if not isinstance(value, dict):
        raise ProcessError("控制命令应为 JSON 对象")
    return value
