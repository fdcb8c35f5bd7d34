"""Registrants, prefixes and routing over HTTP: forms, permissions, who sees what, what a strange node may not do."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from nodes_around import MAKER, OTHER, Child, hold_prefix, user

from biaojie.foundation.accounts import tokens
from biaojie.registry import operations
from biaojie.registry.models import Membership, Prefix, Registrant

pytestmark = pytest.mark.django_db

APPLICATION = {"name": "88.100.7", "registrant": {"name": MAKER[0], "credit_code": MAKER[1]}}


class As:
    """Calls of one signed-in person."""

    def __init__(self, role: str, number: int = 1) -> None:
        self.user = user(role, number)
        self._headers = {"HTTP_AUTHORIZATION": f"Bearer {tokens.issue(self.user)[0]}"}

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        octets = b"" if body is None else json.dumps(body).encode()
        answer = Client().generic(method, f"/api/v1{path}", octets, "application/json", **self._headers)
        return answer.status_code, answer.json()


def test_application_by_an_operator_is_listed_and_read(second: None) -> None:
    operator = As("operator")
    status, made = operator("POST", "/prefixes", APPLICATION)
    _, listed = operator("GET", "/prefixes?parent=88.100&status=4")
    _, read = operator("GET", "/prefixes/88.100.7")

    assert (status, made["status"], made["data"]["status_title"]) == (200, 1, "待审核")
    assert [row["name"] for row in listed["data"]["items"]] == ["88.100.7"]
    assert read["data"]["registrant"] == {"name": MAKER[0], "credit_code": MAKER[1]}


@pytest.mark.parametrize(
    ("change", "http", "code", "pointer"),
    [
        ({"name": "88.100.x"}, 422, "REG-112", "name"),
        ({"name": "88.101.7"}, 422, "REG-113", "name"),
        ({"registrant": {"name": "甲", "credit_code": "123"}}, 422, "REG-117", "registrant/credit_code"),
        ({"colour": "red"}, 422, "API-422", "/body/colour"),
    ],
)
def test_application_with_a_fault_says_code_and_place(
    second: None, change: dict[str, Any], http: int, code: str, pointer: str
) -> None:
    status, answer = As("operator")("POST", "/prefixes", {**APPLICATION, **change})

    assert (status, answer["status"]) == (http, -2)
    assert [(row["code"], row["pointer"]) for row in answer["errors"]] == [(code, pointer)]


@pytest.mark.parametrize(
    ("role", "method", "path", "body"),
    [
        ("reviewer", "POST", "/prefixes", APPLICATION),
        ("operator", "POST", "/prefixes/88.100.7/review", {"decision": "accept"}),
        ("audit", "GET", "/prefixes", None),
        ("operator", "POST", "/routing-changes/1/approve", None),
        ("reviewer", "POST", "/registrants", {"name": MAKER[0], "credit_code": MAKER[1]}),
        ("enterprise", "POST", "/prefixes/88.100.7/state", {"event": "disable"}),
    ],
)
def test_call_beyond_the_role_refused(second: None, role: str, method: str, path: str, body: Any) -> None:
    status, answer = As(role)(method, path, body)

    assert (status, answer["status"]) == (403, -3)


def test_call_without_a_token_refused(second: None) -> None:
    answer = Client().get("/api/v1/prefixes")

    assert (answer.status_code, answer.json()["status"]) == (401, -1)


def test_prefix_unknown_is_404(second: None) -> None:
    status, answer = As("operator")("GET", "/prefixes/88.100.9")

    assert (status, answer["errors"][0]["code"]) == (404, "REG-101")


def test_pages_of_prefixes_follow_each_other_without_gap(second: None) -> None:
    for number in range(1, 8):
        operations.apply_prefix(actor="li", name=f"88.100.{number}", registrant=MAKER)
    operator, after, seen = As("operator"), "", []
    while True:
        _, page = operator("GET", f"/prefixes?limit=3&after={after}")
        seen += [row["name"] for row in page["data"]["items"]]
        after = page["data"]["next"]
        if not after:
            break

    assert seen == sorted(["88.100", *(f"88.100.{number}" for number in range(1, 8))])


def test_enterprise_person_sees_and_applies_for_its_own_units_alone(second: None) -> None:
    operations.apply_prefix(actor="li", name="88.100.1", registrant=MAKER)
    operations.apply_prefix(actor="li", name="88.100.2", registrant=OTHER)
    person = As("enterprise")
    Membership.objects.create(user=person.user, registrant=Registrant.objects.get(credit_code=MAKER[1]))

    _, listed = person("GET", "/prefixes")
    other, _ = person("GET", "/prefixes/88.100.2")
    routing, _ = person("PUT", "/prefixes/88.100.2/routing", {"endpoints": []})
    foreign, _ = person("POST", "/prefixes", {"name": "88.100.3", "registrant": {"name": OTHER[0], "credit_code": OTHER[1]}})
    own, _ = person("POST", "/prefixes", {"name": "88.100.3", "registrant": {"name": MAKER[0], "credit_code": MAKER[1]}})

    assert [row["name"] for row in listed["data"]["items"]] == ["88.100.1"]
    assert (other, routing, foreign, own) == (404, 404, 403, 200)


def test_node_reads_and_routes_only_what_it_brought(second: None, child: Callable[..., Child]) -> None:
    mine, theirs = child("enterprise", ["88.100.7"], "甲"), child("enterprise", ["88.100.8"], "乙")
    hold_prefix("88.100.7", unit=MAKER, peer=mine.peer)
    endpoint = {"ip_type": 4, "ip": "127.0.0.1", "protocol": "TCP", "port": 1}

    read, _ = theirs.call("GET", "/prefixes/88.100.7")
    put, _ = theirs.call("PUT", "/prefixes/88.100.7/routing", {"endpoints": [endpoint]})
    taken, answer = theirs.call(
        "POST", "/prefixes", {"name": "88.100.7", "registrant": {"name": MAKER[0], "credit_code": MAKER[1]}}
    )
    unknown, _ = mine.call("GET", "/prefixes/88.100.9")

    assert (read, put, unknown) == (403, 403, 404)
    assert (taken, answer["errors"][0]["code"]) == (422, "REG-115")


def test_node_takes_up_a_prefix_its_unit_applied_for_at_the_desk(second: None, child: Callable[..., Child]) -> None:
    operations.apply_prefix(actor="li", name="88.100.7", registrant=MAKER)
    node = child("enterprise", ["88.100.7"])

    status, _ = node.call("POST", "/prefixes", {"name": "88.100.7", "registrant": {"name": MAKER[0], "credit_code": MAKER[1]}})

    assert (status, Prefix.objects.get(name="88.100.7").peer_id) == (200, node.peer.node_id)


def test_node_cannot_take_up_a_prefix_its_code_does_not_name(second: None, child: Callable[..., Child]) -> None:
    operations.apply_prefix(actor="li", name="88.100.7", registrant=MAKER)
    stranger = child("enterprise", ["88.100.8"])

    status, answer = stranger.call(
        "POST", "/prefixes", {"name": "88.100.7", "registrant": {"name": MAKER[0], "credit_code": MAKER[1]}}
    )

    assert (status, answer["errors"][0]["code"], Prefix.objects.get(name="88.100.7").peer_id) == (422, "REG-115", "")


@pytest.mark.parametrize("port", [True, "2641", 2641.0])
def test_routing_port_of_another_type_is_refused(second: None, port: object) -> None:
    hold_prefix("88.100.7", unit=MAKER)
    body = {"endpoints": [{"ip_type": 4, "ip": "127.0.0.1", "protocol": "TCP", "port": port}]}

    status, answer = As("operator")("PUT", "/prefixes/88.100.7/routing", body)

    assert (status, answer["errors"][0]["pointer"]) == (422, "/body/endpoints/0/port")


def test_unsigned_call_to_a_node_address_refused(second: None) -> None:
    answer = Client().get("/api/v1/peer/prefixes/88.100")

    assert (answer.status_code, answer.json()["status"]) == (401, -1)
