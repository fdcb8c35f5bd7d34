"""Bulk registration over HTTP with the real web server: chunked and plain bodies, torn ones, reports, limits."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx2
import pytest
from nodes_around import free_port, user
from served import make_prefix, url

from biaojie.foundation.accounts import tokens
from biaojie.registry.models import BulkLoad, Handle

pytestmark = pytest.mark.django_db(transaction=True)

BULK = "/api/v1/identifiers/bulk"
THREADS = 4


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory, database_url: str) -> Iterator[str]:
    """The address of a web process on this test's database."""
    folder = tmp_path_factory.mktemp("web")
    (folder / "secret.key").write_text(uuid.uuid4().hex * 2, encoding="utf-8")
    address = f"127.0.0.1:{free_port()}"
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("BIAOJIE_")},
        "DJANGO_SETTINGS_MODULE": "biaojie.site.settings",
        "BIAOJIE_ROLE": "second",
        "BIAOJIE_ENVIRONMENT": "test",
        "BIAOJIE_NODE_DIR": str(folder),
        "BIAOJIE_DATABASE_URL": database_url,
        "BIAOJIE_WEB": address,
        "BIAOJIE_WEB_THREADS": str(THREADS),
    }
    with subprocess.Popen([sys.executable, "-m", "biaojie.processes.web"], env=environment) as process:
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            with suppress(httpx2.TransportError):
                if httpx2.get(f"http://{address}/healthz", timeout=2).status_code == 200:
                    break
            time.sleep(0.1)
        yield f"http://{address}"
        process.terminate()
        process.wait(15)


@pytest.fixture(autouse=True)
def _served() -> None:
    make_prefix("88.100.2")


def rows(*names: str) -> bytes:
    lines = ({"handle": f"88.100.2/{name}", "values": [url(name)]} for name in names)
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def send(web: str, headers: dict[str, str], content: Any, **query: Any) -> tuple[int, dict[str, Any]]:
    more = query.pop("extra", {})
    answer = httpx2.post(
        f"{web}{BULK}", params={"prefix": "88.100.2", **query}, headers=headers | more, content=content, timeout=60
    )
    return answer.status_code, answer.json()


def in_parts(data: bytes, size: int) -> Iterator[bytes]:
    """Sent chunked, for want of a known length."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


def test_bulk_chunked_body_is_read_whole(web: str, headers: dict[str, str]) -> None:
    names = [f"{number:05d}" for number in range(12_000)]

    status, answer = send(web, headers, in_parts(rows(*names), 7000), extra={"X-Row-Count": "12000"})

    assert (status, answer["status"]) == (200, 1), answer
    data = answer["data"]
    assert (data["state"], data["rows_done"], data["accepted"], data["rejected"]) == ("done", 12_000, 12_000, 0)
    assert Handle.objects.count() == 12_000


@pytest.mark.parametrize("chunked", [True, False])
def test_bulk_body_with_its_digest_accepted_with_another_refused(web: str, headers: dict[str, str], chunked: bool) -> None:
    data = rows("a", "b")
    right, wrong = (f"sha-256=:{base64.b64encode(hashlib.sha256(octets).digest()).decode()}:" for octets in (data, b""))

    refused = send(web, headers, in_parts(data, 10) if chunked else data, extra={"Content-Digest": wrong})
    accepted = send(web, headers, in_parts(data, 10) if chunked else data, extra={"Content-Digest": right})

    assert (refused[0], refused[1]["errors"][0]["code"]) == (422, "REG-164")
    assert (accepted[0], accepted[1]["data"]["accepted"]) == (200, 2)


def test_bulk_bad_rows_listed_and_in_the_report(web: str, headers: dict[str, str]) -> None:
    data = rows("a") + b"{bad\n" * 150 + rows("b")

    status, answer = send(web, headers, in_parts(data, 100))
    load = answer["data"]
    report = httpx2.get(f"{web}{BULK}/{load['load']}/report", headers=headers)
    shown = httpx2.get(f"{web}{BULK}/{load['load']}", headers=headers).json()["data"]
    listed = httpx2.get(f"{web}{BULK}", params={"prefix": "88.100.2"}, headers=headers).json()["data"]["items"]

    assert (status, load["accepted"], load["rejected"], len(load["errors"])) == (200, 2, 150, 100)
    lines = [json.loads(line) for line in report.text.splitlines()]
    assert [line["row"] for line in lines] == list(range(2, 152))
    assert lines[0]["errors"][0]["code"] == "REG-161"
    assert report.headers["content-type"].startswith("application/x-ndjson")
    assert shown == load
    assert [row["load"] for row in listed] == [load["load"]]


def test_bulk_atomic_with_a_bad_row_refused_with_its_place(web: str, headers: dict[str, str]) -> None:
    status, answer = send(web, headers, rows("a") + rows("b").replace(b'"index": 1', b'"index": 0'), atomic="true")

    assert (status, answer["status"]) == (422, -2)
    assert [(row["code"], row["pointer"]) for row in answer["errors"]] == [("REG-156", "rows/2/values/0/index")]
    assert (answer["data"]["state"], answer["data"]["accepted"], Handle.objects.count()) == ("failed", 0, 0)


@pytest.mark.parametrize("chunked", [True, False])
def test_bulk_connection_lost_then_resumed_exactly(web: str, headers: dict[str, str], chunked: bool) -> None:
    names = [f"{number:05d}" for number in range(11_000)]
    data, identity = rows(*names), uuid.uuid4()
    cut = len(rows(*names[:10_500])) - 30
    host, _, port = web.removeprefix("http://").rpartition(":")
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(data)}"
    head = (
        f"POST {BULK}?prefix=88.100.2&load={identity} HTTP/1.1\r\nHost: {host}:{port}\r\n"
        f"Authorization: {headers['Authorization']}\r\n{framing}\r\n\r\n"
    )
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode())
        for part in in_parts(data[:cut], 60_000):
            connection.sendall(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
        until(lambda: BulkLoad.objects.filter(id=identity, rows_done__gte=5000).exists())
    until(lambda: free_places(web, headers))
    broken = httpx2.get(f"{web}{BULK}/{identity}", headers=headers).json()["data"]
    assert (broken["state"], broken["rejected"]) == ("open", 0), broken
    assert broken["rows_done"] in (5000, 10_000)

    rest = rows(*names[broken["next_row"] - 1 :])
    status, answer = send(web, headers, in_parts(rest, 60_000), load=str(identity), from_row=broken["next_row"])

    assert (status, answer["data"]["state"], answer["data"]["accepted"], answer["data"]["rejected"]) == (200, "done", 11_000, 0)
    assert Handle.objects.count() == 11_000


def until(condition: Any, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


def free_places(web: str, headers: dict[str, str]) -> bool:
    """Whether the torn request has ended: an empty load is let in while another could still be at work."""
    return send(web, headers, b"")[0] == 200


def test_bulk_more_at_once_than_places_refused_and_others_go_on(web: str, headers: dict[str, str]) -> None:
    release = threading.Event()

    def slow(name: str) -> Iterator[bytes]:
        yield rows(name)
        release.wait(20)

    answers: list[int] = []
    third_account = {"Authorization": f"Bearer {tokens.issue(user('operator', 3))[0]}"}
    other_account = {"Authorization": f"Bearer {tokens.issue(user('operator', 2))[0]}"}
    threads = [
        threading.Thread(target=lambda name=name, who=who: answers.append(send(web, who, slow(name))[0]))
        for name, who in (("a", headers), ("b", other_account))
    ]
    threads[0].start()
    until(lambda: BulkLoad.objects.filter(state="open").count() == 1)
    same_account = send(web, headers, rows("c"))
    threads[1].start()
    until(lambda: BulkLoad.objects.filter(state="open").count() == THREADS // 2)

    status, answer = send(web, third_account, rows("c"))
    other = httpx2.get(f"{web}/api/v1/identifiers", params={"prefix": "88.100.2"}, headers=headers)
    release.set()
    for thread in threads:
        thread.join(20)

    assert (same_account[0], same_account[1]["errors"][0]["code"]) == (429, "REG-174")
    assert (status, answer["errors"][0]["code"]) == (429, "REG-168")
    assert other.status_code == 200
    assert answers == [200, 200]


@pytest.mark.parametrize(
    ("query", "more", "expected"),
    [
        ({"prefix": "88.999"}, {}, (422, "REG-154")),
        ({"format": "xml"}, {}, (422, "API-422")),
        ({"load": "x"}, {}, (422, "API-422")),
        ({"from_row": "2"}, {}, (409, "REG-166")),
        ({}, {"X-Row-Count": "many"}, (422, "REG-160")),
        ({}, {"X-Row-Count": "9" * 5000}, (422, "REG-160")),
        ({"from_row": "9" * 5000}, {}, (422, "API-422")),
        ({"from_row": "9" * 30}, {}, (409, "REG-166")),
        ({}, {"Content-Encoding": "gzip"}, (422, "REG-160")),
        ({}, {"Authorization": "Bearer none"}, (401, "ACC-102")),
    ],
)
def test_bulk_request_that_cannot_be_taken_refused(
    web: str, headers: dict[str, str], query: dict[str, str], more: dict[str, str], expected: tuple[int, str]
) -> None:
    status, answer = send(web, headers, in_parts(rows("a"), 10), extra=more, **query)

    assert (status, answer["errors"][0]["code"]) == expected, answer
    assert Handle.objects.count() == 0
