"""Bodies that a refusal leaves unread, at the wrapper itself and over a real web process."""

from __future__ import annotations

import http.client
import io
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from biaojie.site.unread import DRAIN_OCTETS_MAX, UnreadBodies

REFUSED = "/api/v1/identifiers"


def refuse(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("401 Unauthorized", [("Content-Type", "text/plain"), ("Connection", "keep-alive")])
    return [b"no"]


def answered(environ: dict[str, Any], application: Any = refuse) -> tuple[dict[str, str], bytes]:
    """Headers of the answer, and what was left unread."""
    body = environ["wsgi.input"]
    told: dict[str, str] = {}
    UnreadBodies(application)(environ, lambda status, headers, exc_info=None: told.update(headers))
    return told, body.read()


@pytest.mark.parametrize(
    ("headers", "size", "connection", "left"),
    [
        ({"CONTENT_LENGTH": "1000"}, 1000, "keep-alive", 0),
        ({"CONTENT_LENGTH": str(DRAIN_OCTETS_MAX)}, DRAIN_OCTETS_MAX, "keep-alive", 0),
        ({"CONTENT_LENGTH": str(DRAIN_OCTETS_MAX + 1)}, DRAIN_OCTETS_MAX + 1, "close", DRAIN_OCTETS_MAX + 1),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, 300_000, "keep-alive", 0),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, 3_000_000, "close", 3_000_000 - DRAIN_OCTETS_MAX - 65_536),
        ({"CONTENT_LENGTH": "1000", "HTTP_EXPECT": "100-continue"}, 1000, "close", 1000),
        ({}, 0, "keep-alive", 0),
    ],
    ids=["short", "longest drained", "long", "chunked", "chunked long", "expecting", "none"],
)
def test_unread_body_is_drained_or_the_end_of_the_connection_announced(
    headers: dict[str, str], size: int, connection: str, left: int
) -> None:
    told, rest = answered({**headers, "wsgi.input": io.BytesIO(bytes(size))})

    assert (told["Connection"], len(rest)) == (connection, left)


def test_body_read_by_the_application_changes_nothing() -> None:
    def reading(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        lines = list(environ["wsgi.input"])
        start_response("200 OK", [("X-Lines", str(len(lines)))])
        return [b""]

    told, rest = answered({"CONTENT_LENGTH": "4", "HTTP_EXPECT": "100-continue", "wsgi.input": io.BytesIO(b"a\nb\n")}, reading)

    assert (told, rest) == ({"X-Lines": "2"}, b"")


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real web process; what is asked here needs no database."""
    folder = tmp_path_factory.mktemp("web")
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
    with subprocess.Popen([sys.executable, "-m", "biaojie.processes.web"], env=environment) as process:
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
    connection = http.client.HTTPConnection(address, timeout=2)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def chunks(size: int) -> Iterator[bytes]:
    for _ in range(size // 10_000):
        yield b"x" * 10_000


@pytest.mark.parametrize(
    ("path", "size", "chunked", "status"),
    [
        (REFUSED, 20, False, 401),
        (REFUSED, 900_000, False, 401),
        (f"{REFUSED}/bulk", 500_000, True, 401),
        ("/api/v1/nothing", 300_000, False, 404),
        ("/healthz", 300_000, False, 403),
    ],
)
def test_connection_kept_open_serves_on_after_a_refusal(web: str, path: str, size: int, chunked: bool, status: int) -> None:
    connection = http.client.HTTPConnection(web, timeout=10)
    try:
        found = []
        for _ in range(20):
            body: Any = chunks(size) if chunked else bytes(size)
            connection.request("POST", path, body, {"Content-Type": "application/json"}, encode_chunked=chunked)
            refused = connection.getresponse()
            refused.read()
            kept = connection.sock is not None
            connection.request("GET", "/metrics")
            answer = connection.getresponse()
            answer.read()
            found.append((refused.status, kept, answer.status))
    finally:
        connection.close()

    assert set(found) == {(status, True, 200)}


@pytest.mark.parametrize("expecting", [True, False])
def test_connection_that_ends_after_a_refusal_is_announced(web: str, expecting: bool) -> None:
    host, _, port = web.partition(":")
    length, more = (1000, "Expect: 100-continue\r\n") if expecting else (50_000_000, "")
    with socket.create_connection((host, int(port)), timeout=10) as peer:
        peer.sendall(f"POST {REFUSED} HTTP/1.1\r\nHost: {web}\r\nContent-Length: {length}\r\n{more}\r\n".encode())

        octets = b""
        while part := peer.recv(65_536):
            octets += part

    head = octets.partition(b"\r\n\r\n")[0].lower()
    assert head.startswith(b"http/1.1 401 ")
    assert b"\r\nconnection: close" in head
