"""The web address answers about handles as the resolver does: same questions, same statuses, same JSON."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client
from served import make_prefix, url

from biaojie.base import clock
from biaojie.codes.ranges import parse_coverage
from biaojie.codes.systems import System
from biaojie.foundation.records.journal import change_set
from biaojie.net.http import Health, HttpApp
from biaojie.net.responder import Responder
from biaojie.registry import operations_handles as handles
from biaojie.registry.handle_rows import PUBLICATION, prefix_record_key, put_handle
from biaojie.registry.models import RouteClaim
from biaojie.registry.publication import current_entries
from biaojie.registry.workflows import move_claim
from biaojie.resolution.index import Index

pytestmark = pytest.mark.django_db

QUESTIONS = [
    ("88.100.2/Pump-1", ""),
    ("88.100.2/pump-1", "pretty=1"),
    ("88.100.2/Pump-1", "index=2"),
    ("88.100.2/Pump-1", "index=1&index=9"),
    ("88.100.2/Pump-1", "type=url&type=NAME"),
    ("88.100.2/Pump-1", "type=NONE"),
    ("88.100.2/Pump-1", "index=7"),
    ("88.100.2/Pump-1", "index=7&publicOnly=false"),
    ("88.100.2/Pump-1", "auth"),
    ("88.100.2/Pump-1", "index=x"),
    ("88.100.2/Pump-1", "callback=show.it"),
    ("88.100.2/Pump-1", "callback=1()"),
    ("88.100.2/件 1?#&%2F", ""),
    ("88.100.2/none", ""),
    ("88.100.2/gone", ""),
    ("88.999/a", ""),
    ("0.NA/88.100.2", ""),
    ("88.100.2", ""),
    ("0.NA/88.100.7", ""),
    ("1.2.156.3001.7", ""),
    ("urn:oid:1.2.156.3001.7", "index=1"),
    ("1.2.156.3001.8", ""),
    ("no identifier", ""),
    ("88.100.2/" + "x" * 3000, ""),
]


@pytest.fixture
def registered() -> None:
    make_prefix("88.100", is_own=True, hosting=1)
    make_prefix("88.100.2")
    values = [
        url("https://p.example/1", ttl=60),
        {"index": 2, "type": "NAME", "data": "泵"},
        url("hidden", 7, permissions="1100"),
    ]
    for name in ("Pump-1", "件 1?#&%2F", "gone"):
        handles.create_identifier(actor="wu", identifier=f"88.100.2/{name}", values=values)
    handles.delete_identifier(actor="wu", identifier="88.100.2/gone")
    low, high = parse_coverage(System.OID, "1.2.156.3001").interval()
    claim = RouteClaim.objects.create(
        system="OID", coverage="1.2.156.3001", low=low, high=high, owner="88.100", holder="单位", addresses=[], final=True,
        created_at=clock.now(), version=1,
    )  # fmt: skip
    move_claim(claim, "confirm", actor="test")
    handles.create_identifier(actor="wu", identifier="1.2.156.3001.7", values=[url("x")])
    with change_set(actor="wu", channels=(PUBLICATION,)) as changes:
        put_handle(
            changes,
            key=prefix_record_key("88.100.2"),
            spelled="0.NA/88.100.2",
            values=[url("x")],
            owner="88.100",
            purpose="prefix",
        )


class Asked:
    """One request to the resolver's application, and its answer."""

    def __init__(self, path: str, query: str) -> None:
        self.proto, self.method, self.path, self.query_string, self.client = (
            "http",
            "GET",
            f"/api/handles/{path}",
            query,
            "127.0.0.1:1",
        )
        self.headers: dict[str, str] = {}
        self.answer: tuple[int, str, bytes] = (0, "", b"")

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.answer = (status, dict(headers)["content-type"], body)


@pytest.fixture
def resolver(registered: None, tmp_path: Path) -> Any:
    """`resolver(path, query)` as the resolver answers from an index of what is registered."""
    index = Index.open(tmp_path / "index")
    index.rebuild(sorted(current_entries(), key=lambda entry: (entry.kind, entry.key)), session="s", serial=1)
    responder = Responder(index, None, transport="http")
    app = HttpApp(responder, health=lambda: Health(True, {}), metrics=bytes)

    def ask(path: str, query: str) -> tuple[int, str, bytes]:
        asked = Asked(path, query)
        asyncio.run(app.__rsgi__(asked, asked))  # type: ignore[arg-type]  # what it uses of an exchange
        return asked.answer

    yield ask
    responder.close()
    index.close()


@pytest.mark.parametrize(("identifier", "query"), QUESTIONS)
def test_handles_any_question_answered_as_the_resolver_does(resolver: Any, identifier: str, query: str) -> None:
    expected = resolver(identifier, query)

    answer = Client().get(f"/api/handles/{quote(identifier)}" + (f"?{query}" if query else ""))

    assert (answer.status_code, answer.headers["content-type"], answer.content) == expected


def test_handles_known_and_unknown_in_the_handle_net_form(registered: None) -> None:
    known = Client().get("/api/handles/88.100.2/Pump-1")
    unknown = Client().get("/api/handles/88.100.2/none")

    body = known.json()
    assert (known.status_code, body["responseCode"], body["handle"]) == (200, 1, "88.100.2/Pump-1")
    assert [(value["index"], value["type"], value["data"], value["ttl"]) for value in body["values"]] == [
        (1, "URL", {"format": "string", "value": "https://p.example/1"}, 60),
        (2, "NAME", {"format": "string", "value": "泵"}, 86400),
    ]
    assert (unknown.status_code, unknown.json()["responseCode"]) == (404, 100)


def test_handles_by_form_and_head(registered: None) -> None:
    posted = Client().post("/api/handles/88.100.2/Pump-1", "index=2", "application/x-www-form-urlencoded")
    head = Client().head("/api/handles/88.100.2/Pump-1")

    assert [value["index"] for value in posted.json()["values"]] == [2]
    assert (head.status_code, head.content) == (200, b"")
