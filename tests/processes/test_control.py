"""The supervisor's control socket."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from biaojie.processes import control
from biaojie.processes.errors import NoSuchNode, NotRunning


def answer(call: Mapping[str, Any]) -> Mapping[str, Any]:
    if call["command"] == "stop":
        raise NoSuchNode(name=call["node"], known="top")
    return {"echo": call}


@pytest.fixture(params=["short", "deep" * 40])
def served(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder with a listener; once with a path longer than a socket address may be."""
    directory = tmp_path / request.param
    directory.mkdir()
    listener = control.Listener(directory)
    ending = threading.Event()

    def serve() -> None:
        while not ending.is_set():
            select.select([listener.socket], [], [], 0.05)
            listener.serve_waiting(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    yield directory
    ending.set()
    thread.join()
    listener.close()


def test_call_gets_the_answer(served: Path) -> None:
    assert control.call(served, "status", node="top")["echo"] == {"command": "status", "node": "top"}


def test_call_refused_raises_with_the_supervisors_words(served: Path) -> None:
    with pytest.raises(NoSuchNode, match=r"^\[PROC-105\] 没有名为 x 的节点"):
        control.call(served, "stop", node="x")


def test_call_without_a_supervisor_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotRunning) as refusal:
        control.call(tmp_path, "down")

    assert refusal.value.code == "PROC-103"


def test_socket_is_for_its_owner_only(served: Path) -> None:
    assert (served / control.SOCKET_NAME).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("octets", [b"[" * 60_000 + b"\n", b"null\n", b"\xff\n"])
def test_line_that_is_no_command_is_refused_and_the_listener_lives(served: Path, octets: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection, control._reachable(served) as name:
        connection.settimeout(5.0)
        connection.connect(name)
        connection.sendall(octets)
        refused = connection.recv(65536)

    assert b"PROC-100" in refused
    assert control.call(served, "status")["echo"] == {"command": "status"}
