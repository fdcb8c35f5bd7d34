"""The recursive node's service without sockets: what it says of outcomes that strangers' nodes have a hand in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import generate_latest

from biaojie.base.settings import load
from biaojie.client.aio import Client
from biaojie.handle.bodies import ErrorResponse, ResolutionRequest
from biaojie.handle.messages import decode_response, encode_message, make_request
from biaojie.processes.recursor import Recursor
from biaojie.processes.recursor_page.application import Application
from biaojie.resolution.authority import Authority
from biaojie.resolution.index import Index
from biaojie.resolution.questions import Outcome, Step

REQUEST = encode_message(make_request(ResolutionRequest("88.100.1/a"), request_id=7))


def recursor(folder: Path, outcome: Callable[[], Outcome]) -> Recursor:
    """A node whose walks all end alike."""
    service = Recursor(load({"BIAOJIE_ROLE": "recursive", "BIAOJIE_NODE_DIR": str(folder)}), Client())

    async def resolve(*_: object, **__: object) -> Outcome:
        return outcome()

    service.walker.resolve = resolve  # type: ignore[method-assign,assignment]  # the walk itself is tested elsewhere
    return service


def reply(service: Recursor) -> tuple[int, str]:
    octets = asyncio.run(service.reply_to(REQUEST, via="udp"))
    assert octets is not None
    message = decode_response(octets)
    assert isinstance(message.body, ErrorResponse)
    return message.response_code, message.body.message


def test_numbers_nobody_registered_share_one_metric(tmp_path: Path) -> None:
    codes = iter(range(4_000_000_000, 4_000_000_050))
    service = recursor(tmp_path, lambda: Outcome(identifier="x", response_code=next(codes)))

    replies = [reply(service)[0] for _ in range(50)]

    assert replies == list(range(4_000_000_000, 4_000_000_050))
    assert generate_latest(service.registry).count(b"biaojie_recursor_requests_total{") == 1


@pytest.mark.parametrize("code", [302, 303, 402])
def test_advice_that_could_not_be_followed_is_this_nodes_failure(tmp_path: Path, code: int) -> None:
    service = recursor(tmp_path, lambda: Outcome(identifier="x", response_code=code, message="去别处"))

    assert reply(service) == (2, "去别处")


def test_error_nobody_foresaw_is_still_answered(tmp_path: Path) -> None:
    def fail() -> Outcome:
        raise RecursionError

    assert reply(recursor(tmp_path, fail)) == (2, "递归节点内部错误。")


def test_texts_that_are_no_unicode_are_shown_in_json(tmp_path: Path) -> None:
    step = Step(node="n", reason="查询 88.1/\udcff", note="\udcfe")
    outcome = Outcome(identifier="x", response_code=1, aliases=("88.1/\udc80",), message="\udc81", trace=(step,))
    sent: list[tuple[int, bytes]] = []
    scope = SimpleNamespace(
        proto="http", method="GET", path="/resolve/88.1/a", query_string="trace=1&format=json", headers={}, client="127.0.0.1:1"
    )
    protocol: Any = SimpleNamespace(response_bytes=lambda status, headers, body: sent.append((status, body)))

    asyncio.run(Application(recursor(tmp_path, lambda: outcome)).__rsgi__(scope, protocol))

    form = json.loads(sent[0][1])
    assert (sent[0][0], form["aliases"], form["trace"][0]["note"]) == (200, ["88.1/\\udc80"], "\\udcfe")


@pytest.mark.parametrize("query", ["&".join(["index=1"] * 300), "index=" + "9" * 5000])
def test_queries_beyond_reason_are_bad_requests(tmp_path: Path, query: str) -> None:
    sent: list[int] = []
    scope = SimpleNamespace(
        proto="http", method="GET", path="/api/handles/88.1/a", query_string=query, headers={}, client="127.0.0.1:1"
    )
    protocol: Any = SimpleNamespace(response_bytes=lambda status, headers, body: sent.append(status))

    asyncio.run(Application(recursor(tmp_path, lambda: Outcome(identifier="x", response_code=1))).__rsgi__(scope, protocol))

    assert sent == [400]


@pytest.mark.parametrize(
    ("place", "octets", "code"),
    [(2, b"\x42", 501), (2, b"\x82", 4), (20, bytes(4), 4), (20, b"\0\0\x27\x10", 2), (20, b"\0\0\0\x64", 5), (40, b"\x7f", 4)],
    ids=["encrypted", "compressed", "operation 0", "operation 10000", "operation 100", "length"],
)
def test_what_is_no_request_served_is_refused_as_by_every_node(tmp_path: Path, place: int, octets: bytes, code: int) -> None:
    service = recursor(tmp_path, lambda: Outcome(identifier="x", response_code=1))
    damaged = REQUEST[:place] + octets + REQUEST[place + len(octets) :]

    answer = asyncio.run(service.reply_to(damaged, via="tcp"))

    assert answer is not None
    message = decode_response(answer)
    assert (message.response_code, message.request_id) == (code, 7)
    with Index.open(tmp_path / "index") as index:
        authority = Authority(index)
        other = authority.answer_message(damaged, "tcp", 1_700_000_000.0)
        authority.close()
    assert other is not None and other.response_code == code
