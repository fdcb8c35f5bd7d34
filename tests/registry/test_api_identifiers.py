"""The identifier API as a client sees it: statuses, error rows, rights."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from served import url

from biaojie.foundation.accounts import tokens
from biaojie.foundation.accounts.operations import create_user
from biaojie.registry.models import Prefix

pytestmark = pytest.mark.django_db

ONE = "/api/v1/identifiers/one"
NAME = "88.100.2/Pump 1?#%2F/ä"


@pytest.fixture
def api(hosted: Prefix, headers: dict[str, str]) -> Any:
    """`api(method, path, body=None, **query)` gives status and envelope, as the operator."""

    def call(method: str, path: str = "/api/v1/identifiers", body: Any = None, **query: Any) -> tuple[int, dict[str, Any]]:
        answer = Client().generic(
            method,
            path,
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode(),
            "application/json",
            headers=headers,
            query_params=query,
        )
        return answer.status_code, answer.json()

    return call


def test_identifier_whole_life_over_the_api(api: Any) -> None:
    status, made = api("POST", body={"identifier": NAME, "values": [url("x")]})
    assert (status, made["status"], made["data"]["version"], made["data"]["system"]) == (201, 1, 1, "Handle")

    status, got = api("GET", ONE, identifier=NAME.lower())
    assert (status, got["data"]["identifier"], got["data"]["values"]) == (200, NAME, [url("x")])

    status, changed = api("PUT", ONE, {"values": [url("y")], "version": 1}, identifier=NAME)
    assert (status, changed["data"]["version"]) == (200, 2)

    status, listed = api("GET", prefix="88.100.2")
    assert (status, [row["version"] for row in listed["data"]["items"]], listed["data"]["next"]) == (200, [2], "")

    assert api("DELETE", ONE, identifier=NAME, version=2)[0] == 200
    assert api("GET", ONE, identifier=NAME)[0] == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "query", "expected"),
    [
        (
            "POST",
            "/api/v1/identifiers",
            {"identifier": "88.100.2/held", "values": [url("x")]},
            {},
            (409, "REG-151", "identifier"),
        ),
        ("POST", "/api/v1/identifiers", {"identifier": "88.999/a", "values": [url("x")]}, {}, (422, "REG-154", "identifier")),
        ("POST", "/api/v1/identifiers", {"identifier": "88.100.2/a", "values": []}, {}, (422, "REG-155", "values")),
        (
            "POST",
            "/api/v1/identifiers",
            {"identifier": "88.100.2/a", "values": [url("\ud800")]},
            {},
            (422, "REG-156", "values/0"),
        ),
        (
            "POST",
            "/api/v1/identifiers",
            {"identifier": "a\ud800", "values": [url("x")]},
            {},
            (422, "API-422", "/body/identifier"),
        ),
        ("POST", "/api/v1/identifiers", {"identifier": "88.100.2/a"}, {}, (422, "API-422", "/body/values")),
        ("PUT", ONE, {"values": [url("x")], "version": 7}, {"identifier": "88.100.2/held"}, (409, "REG-102", "version")),
        ("PUT", ONE, {"values": [url("x")]}, {"identifier": "88.100.2/none"}, (404, "REG-101", "identifier")),
        ("DELETE", ONE, None, {"identifier": "88.100.2/none"}, (404, "REG-101", "identifier")),
        ("GET", ONE, None, {"identifier": "?"}, (422, "CODE-102", "")),
        ("GET", "/api/v1/identifiers", None, {"prefix": "88.999"}, (422, "REG-154", "identifier")),
    ],
)
def test_identifier_call_that_cannot_be_done_says_why(
    api: Any, method: str, path: str, body: Any, query: dict[str, Any], expected: tuple[int, str, str]
) -> None:
    api("POST", body={"identifier": "88.100.2/held", "values": [url("x")]})

    status, answer = api(method, path, body, **query)

    row = answer["errors"][0]
    assert (status, row["code"], row["pointer"]) == expected, answer
    assert answer["status"] == -2


def test_identifier_with_many_faults_lists_them_all(api: Any) -> None:
    status, answer = api(
        "POST", body={"identifier": "88.100.2/a", "values": [url("x", 0), {"index": 2}, url("z", 3), url("z", 3)]}
    )

    assert status == 422
    assert [(row["code"], row["pointer"]) for row in answer["errors"]] == [
        ("REG-156", "values/0/index"),
        ("REG-156", "values/1"),
        ("REG-157", "values/3/index"),
    ]


@pytest.mark.parametrize(("role", "write", "read"), [("reviewer", 403, 200), ("audit", 403, 403), ("enterprise", 403, 403)])
def test_identifier_call_without_the_right_refused(hosted: Prefix, role: str, write: int, read: int) -> None:
    user = create_user(actor="test", username=f"{role}.user", password="a-long-pass-phrase-7", role=role)
    signed = {"Authorization": f"Bearer {tokens.issue(user)[0]}"}
    body = {"identifier": "88.100.2/a", "values": [url("x")]}

    wrote = Client().post("/api/v1/identifiers", body, "application/json", headers=signed)
    listed = Client().get("/api/v1/identifiers", {"prefix": "88.100.2"}, headers=signed)

    assert (wrote.status_code, listed.status_code) == (write, read)


def test_identifier_call_without_token_not_signed_in(hosted: Prefix) -> None:
    answer = Client().get("/api/v1/identifiers", {"prefix": "88.100.2"})

    assert (answer.status_code, answer.json()["status"]) == (401, -1)
