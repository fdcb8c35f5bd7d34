"""Request bodies that stop coming: at sockets of our own, and over a real web process whose patience is short."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from biaojie.site import silence

BODY = "POST /api/v1/token HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "SILENCE_S", 1.0)


@pytest.mark.usefixtures("impatient")
def test_watch_ends_the_silent_connection_of_a_waiting_read_and_no_other() -> None:
    with socket.create_server(("127.0.0.1", 0)) as ours, socket.create_server(("127.0.0.1", 0)) as elsewhere:
        port = ours.getsockname()[1]
        silent, lively = (socket.create_connection(("127.0.0.1", port)) for _ in range(2))
        other = socket.create_connection(elsewhere.getsockname())  # like one to a database on the same machine
        served, served_lively, served_other = ours.accept()[0], ours.accept()[0], elsewhere.accept()[0]
        watch, environ = silence.Watch(), {"REMOTE_ADDR": "::ffff:127.0.0.1", "SERVER_PORT": str(port)}
        with silent, lively, other, served, served_lively, served_other:
            stop = threading.Event()

            def talk() -> None:
                while not stop.wait(0.1):
                    lively.sendall(b"x")

            talker = threading.Thread(target=talk)
            talker.start()
            began = time.monotonic()
            with watch.reading(environ) as waiting:
                got = served.recv(10)
            took = time.monotonic() - began
            stop.set()
            talker.join()
            served_lively.setblocking(False)
            served_other.settimeout(0.2)

            assert (got, waiting.is_ended, 1 <= took < 5) == (b"", True, True)
            assert len(served_lively.recv(1000)) > 5
            with pytest.raises(TimeoutError):
                served_other.recv(1)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A web process of two threads that gives a silent body one second; what is asked here needs no database."""
    folder: Path = tmp_path_factory.mktemp("web")
    (folder / "secret.key").write_text(uuid.uuid4().hex * 2, encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("BIAOJIE_")},
        "DJANGO_SETTINGS_MODULE": "biaojie.site.settings",
        "BIAOJIE_ROLE": "second",
        "BIAOJIE_ENVIRONMENT": "test",
        "BIAOJIE_NODE_DIR": str(folder),
        "BIAOJIE_DATABASE_URL": "postgresql:///nobody-asks-it",
        "BIAOJIE_WEB": address,
        "BIAOJIE_WEB_THREADS": "2",
    }
    code = "from biaojie.site import silence; silence.SILENCE_S = 1.0; from biaojie.processes import web; web.main()"
    with subprocess.Popen([sys.executable, "-c", code], env=environment) as process:
        try:
            deadline = time.monotonic() + 40
            while not is_up(address):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
            yield address
        finally:
            process.terminate()
            process.wait(15)


def is_up(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=3) as connection:
            connection.sendall(f"GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
            return connection.recv(20).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


@pytest.mark.parametrize("path", ["/api/v1/token", "/api/v1/identifiers"], ids=["read by the operation", "drained"])
def test_bodies_that_never_come_are_answered_and_hold_no_thread(web: str, path: str) -> None:
    host, _, port = web.rpartition(":")
    head = BODY.format(web).replace("/api/v1/token", path).encode()
    silent = [socket.create_connection((host, int(port)), timeout=20) for _ in range(6)]  # thrice the threads there are
    try:
        for connection in silent:
            connection.sendall(head)
        answers = [connection.recv(4096) for connection in silent]

        assert [answer[:10] for answer in answers] == [b"HTTP/1.1 4"] * 6
        assert [b"connection: close" in answer.lower() for answer in answers] == [True] * 6
        assert is_up(web)
    finally:
        for connection in silent:
            connection.close()
