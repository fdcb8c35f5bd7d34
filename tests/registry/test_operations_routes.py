"""Routes of the other code systems: claims, overlaps between owners, also when both come at the same moment."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from nodes_around import MAKER, OTHER, UNIT, Child, hold_prefix, user

from biaojie.base import clock
from biaojie.codes.ranges import parse_coverage
from biaojie.codes.systems import System
from biaojie.foundation.accounts import tokens
from biaojie.foundation.records.models import Change
from biaojie.foundation.workflow.errors import NoTransition, NotTheMover
from biaojie.registry import operations, operations_routes, workflows
from biaojie.registry.errors import NotAllowed, ParentMissing, ReasonMissing, RouteOverlap, RouteRefused, SamePerson, StateRefused
from biaojie.registry.models import RouteClaim
from biaojie.registry.publication import current_entries

HTTP = [{"ip_type": 4, "ip": "127.0.0.1", "protocol": "HTTP", "port": 8080}]
MOVED = [{"ip_type": 4, "ip": "127.0.0.1", "protocol": "HTTP", "port": 8081}]


def routes() -> list[bytes]:
    """The keys of the routes that a snapshot would publish."""
    return [entry.key for entry in current_entries() if entry.kind == "route"]


def claim(node: Child, coverage: str, *, system: str = "GS1", owner: str) -> RouteClaim:
    return operations_routes.accept_claim(
        actor="test", peer=node.peer, system=system, coverage=coverage, addresses=HTTP, owner=owner
    )


@pytest.fixture
def top(as_node: Callable[..., Any], child: Callable[..., Child]) -> tuple[Child, Child]:
    """The root and two second-level nodes, holding 88.301 and 88.302."""
    as_node("top")
    operations.found_root(actor="test")
    nodes = child("second", ["88.301"], "甲节点"), child("second", ["88.302"], "乙节点")
    hold_prefix("88.301", unit=MAKER, peer=nodes[0].peer)
    hold_prefix("88.302", unit=OTHER, peer=nodes[1].peer)
    return nodes


@pytest.mark.django_db
def test_claim_of_a_child_is_published_as_a_route_to_it_once_a_reviewer_has_approved_it(top: tuple[Child, Child]) -> None:
    status, answer = top[0].call(
        "POST", "/routes", {"system": "GS1", "coverage": "6901234", "addresses": HTTP, "owner": "88.301"}
    )
    before = Change.objects.filter(kind="route").count(), routes()
    approved = operations_routes.approve_claim(actor=user("reviewer"), claim_id=answer["data"]["id"])
    _, listed = top[0].call("GET", "/routes")
    _, others = top[1].call("GET", "/routes")

    assert (status, answer["data"]["final"], answer["data"]["holder"]) == (200, False, MAKER[0])
    assert (answer["data"]["state"], before, approved.state) == ("proposed", (0, []), "active")
    assert ([row["state"] for row in listed["data"]["items"]], others["data"]["items"]) == (["active"], [])
    change = Change.objects.get(kind="route")
    assert (change.key, change.version, change.content["addresses"]) == ("6:6901234", 2, HTTP)
    assert routes() == [b"\x066901234"]


@pytest.mark.django_db
def test_claim_refused_is_not_published_frees_the_coverage_and_may_be_proposed_again(top: tuple[Child, Child]) -> None:
    held = claim(top[0], "6901234", owner="88.301")
    with pytest.raises(ReasonMissing):
        operations_routes.refuse_claim(actor=user("reviewer"), claim_id=held.id, reason=" ")
    operations_routes.refuse_claim(actor=user("reviewer"), claim_id=held.id, reason="不是该厂商的厂商代码")
    _, listed = top[0].call("GET", "/routes")
    claim(top[1], "69012345", owner="88.302")
    with pytest.raises(RouteOverlap):
        claim(top[0], "6901234", owner="88.301")
    top[1].call("POST", "/routes/withdraw", {"system": "GS1", "coverage": "69012345"})

    again = claim(top[0], "6901234", owner="88.301")

    assert [(row["state"], row["reason"]) for row in listed["data"]["items"]] == [("refused", "不是该厂商的厂商代码")]
    assert (again.id, again.state, again.reason, again.removed_at) == (held.id, "proposed", "", None)
    assert not Change.objects.filter(kind="route").exists()


@pytest.mark.django_db
def test_claim_typed_at_the_top_waits_for_another_person(top: tuple[Child, Child]) -> None:
    own = operations_routes._store(
        actor=user("reviewer"),
        coverage=parse_coverage(System.OID, "1.2.156.3001"),
        owner="86",
        holder=UNIT[0],
        peer=None,
        addresses=operations.from_rows(HTTP),
        final=True,
    )

    for act in (operations_routes.approve_claim, partial(operations_routes.refuse_claim, reason="自己的")):
        with pytest.raises(SamePerson):
            act(actor=user("reviewer"), claim_id=own.id)
    with pytest.raises(NotTheMover):
        operations_routes.approve_claim(actor=user("operator"), claim_id=own.id)
    before = routes()
    operations_routes.approve_claim(actor=user("reviewer", 2), claim_id=own.id)
    with pytest.raises(NoTransition):
        operations_routes.refuse_claim(actor=user("reviewer", 2), claim_id=own.id, reason="晚了")

    assert (before, routes()) == ([], [b"\x021.2.156.3001"])


@pytest.mark.django_db
def test_claim_of_a_disabled_prefix_cannot_be_approved(top: tuple[Child, Child]) -> None:
    held = claim(top[0], "6901234", owner="88.301")
    operations.change_state(actor=user("reviewer"), name="88.301", event="disable")

    with pytest.raises(StateRefused):
        operations_routes.approve_claim(actor=user("reviewer"), claim_id=held.id)


@pytest.mark.django_db
def test_claim_active_already_gets_new_addresses_at_once(top: tuple[Child, Child]) -> None:
    held = claim(top[0], "6901234", owner="88.301")
    operations_routes.approve_claim(actor=user("reviewer"), claim_id=held.id)

    moved = operations_routes.accept_claim(
        actor="test", peer=top[0].peer, system="GS1", coverage="6901234", addresses=MOVED, owner="88.301"
    )

    assert moved.state == "active"
    assert Change.objects.filter(kind="route").order_by("id").last().content["addresses"] == MOVED


@pytest.mark.django_db
def test_claim_published_without_review_where_the_policy_says_so(
    top: tuple[Child, Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    off = dataclasses.replace(operations_routes.ROUTE_REVIEW_REQUIRED, value=0)
    monkeypatch.setattr(operations_routes, "ROUTE_REVIEW_REQUIRED", off)

    assert claim(top[0], "6901234", owner="88.301").state == "active"


@pytest.mark.django_db
def test_claims_over_the_api_listed_by_state_and_decided_by_a_reviewer_alone(top: tuple[Child, Child]) -> None:
    first, second = claim(top[0], "6901234", owner="88.301"), claim(top[0], "6901235", owner="88.301")

    def call(role: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        token = {"Authorization": f"Bearer {tokens.issue(user(role))[0]}"}
        answer = Client().generic(method, f"/api/v1/routes{path}", json.dumps(body), "application/json", headers=token)
        return answer.status_code, answer.json()

    denied = call("operator", "POST", f"/claims/{first.id}/approve")
    approved = call("reviewer", "POST", f"/claims/{first.id}/approve")
    refused = call("reviewer", "POST", f"/claims/{second.id}/refuse", {"reason": "材料不全"})
    absent = call("reviewer", "POST", f"/claims/{10**30}/approve")
    confined = call("enterprise", "POST", "", {"system": "GS1", "coverage": "6901236"})

    assert (denied[0], approved[1]["data"]["state"], refused[1]["data"]["state"], absent[0]) == (403, "active", "refused", 404)
    assert (confined[0], confined[1]["errors"][0]["code"]) == (403, "REG-103")
    listed = {state: call("operator", "GET", f"/claims?state={state}")[1]["data"]["items"] for state in ("active", "refused")}
    assert {state: [row["coverage"] for row in rows] for state, rows in listed.items()} == {
        "active": ["6901234"],
        "refused": ["6901235"],
    }


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("system", "held", "wanted"),
    [
        ("GS1", "6901234", "6901234"),
        ("GS1", "6901234", "69012345"),
        ("GS1", "6901234", "690"),
        ("GS1", "6901234-6901299", "6901250"),
        ("OID", "1.2.156.3001", "1.2.156.3001.5"),
        ("OID", "1.2.156.3001.5", "1.2.156.3001"),
        ("Ecode", "10064", "1006469"),
        ("DID:BID", "byo1", "byo1"),
    ],
)
def test_claim_that_meets_another_owners_refused_naming_the_holder(
    top: tuple[Child, Child], system: str, held: str, wanted: str
) -> None:
    claim(top[0], held, system=system, owner="88.301")

    with pytest.raises(RouteOverlap, match=MAKER[0]):
        claim(top[1], wanted, system=system, owner="88.302")

    assert RouteClaim.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(("system", "held", "wanted"), [("GS1", "6901234", "6901235"), ("OID", "1.2.156.300", "1.2.156.3001")])
def test_claim_beside_another_owners_accepted(top: tuple[Child, Child], system: str, held: str, wanted: str) -> None:
    claim(top[0], held, system=system, owner="88.301")
    claim(top[1], wanted, system=system, owner="88.302")

    assert RouteClaim.objects.filter(removed_at=None).count() == 2


@pytest.mark.django_db
def test_claim_repeated_is_one_row_of_one_version(top: tuple[Child, Child]) -> None:
    claim(top[0], "6901234", owner="88.301")

    again = claim(top[0], "6901234", owner="88.301")

    assert (again.version, RouteClaim.objects.count(), again.state) == (1, 1, "proposed")


@pytest.mark.django_db
def test_claim_given_up_may_be_taken_by_another_with_a_higher_version(top: tuple[Child, Child]) -> None:
    claim(top[0], "6901234", owner="88.301")
    _, gone = top[0].call("POST", "/routes/withdraw", {"system": "GS1", "coverage": "6901234"})
    _, repeated = top[0].call("POST", "/routes/withdraw", {"system": "GS1", "coverage": "6901234"})

    taken = claim(top[1], "6901234", owner="88.302")

    assert (gone["data"]["withdrawn"], repeated["data"]["withdrawn"]) == (True, False)
    assert (taken.owner, taken.version) == ("88.302", 3)


@pytest.mark.django_db
def test_claim_for_a_prefix_of_somebody_else_refused(top: tuple[Child, Child]) -> None:
    with pytest.raises(NotAllowed):
        claim(top[0], "6901234", owner="88.302")


@pytest.mark.django_db
@pytest.mark.parametrize(("system", "coverage"), [("Handle", "88.1"), ("VAA", "VAA088100"), ("GS1", "x"), ("ISBN", "978")])
def test_claim_of_what_is_no_route_refused(top: tuple[Child, Child], system: str, coverage: str) -> None:
    with pytest.raises(RouteRefused):
        claim(top[0], coverage, system=system, owner="88.301")


@pytest.mark.django_db
def test_claim_of_an_enterprise_inside_its_second_level_nodes_accepted_and_the_same_refused(
    second: None, child: Callable[..., Child]
) -> None:
    node = child("enterprise", ["88.100.7"])
    hold_prefix("88.100.7", unit=MAKER, peer=node.peer)
    coverage = parse_coverage(System.GS1, "690")
    operations_routes._store(
        actor="test",
        coverage=coverage,
        owner="88.100",
        holder=UNIT[0],
        peer=None,
        addresses=operations.from_rows(HTTP),
        final=True,
    )
    outer = RouteClaim.objects.get(coverage="690")
    workflows.move_claim(outer, "confirm", actor="test")

    inner = claim(node, "6901234", owner="88.100.7")
    with pytest.raises(RouteOverlap, match=UNIT[0]):
        claim(node, "690", owner="88.100.7")
    operations_routes.approve_claim(actor=user("reviewer"), claim_id=inner.id)
    inner.refresh_from_db()
    with pytest.raises(RouteRefused):
        operations_routes.remove_claim(actor="test", claim_id=outer.id)

    assert (inner.owner, inner.final, inner.state) == ("88.100.7", False, "active")


@pytest.mark.django_db
def test_claim_of_a_node_without_parent_or_prefix_refused(as_node: Callable[..., Any]) -> None:
    as_node("second")
    with pytest.raises(StateRefused):
        operations_routes.claim_route(actor="test", system="GS1", coverage="6901234")
    hold_prefix("88.100")
    with pytest.raises(ParentMissing):
        operations_routes.claim_route(actor="test", system="GS1", coverage="6901234")
    with pytest.raises(RouteRefused):
        operations_routes.claim_route(actor="test", system="GS1", coverage="6901234", final=False)

    assert not RouteClaim.objects.exists()


def insert(coverage: str, owner: str) -> None:
    low, high = parse_coverage(System.GS1, coverage).interval()
    RouteClaim.objects.create(
        system="GS1",
        coverage=coverage,
        low=low,
        high=high,
        owner=owner,
        holder=owner,
        final=False,
        created_at=clock.now(),
        version=1,
    )


@pytest.mark.django_db(transaction=True)
def test_database_lets_one_of_two_simultaneous_overlapping_claims_in() -> None:
    for attempt in range(5):
        barrier = threading.Barrier(4)
        outcomes: list[str] = []

        def race(number: int, base: int = attempt, gate: threading.Barrier = barrier, found: list[str] = outcomes) -> None:
            try:
                with transaction.atomic():
                    gate.wait()
                    insert(f"69{base}0{'1' * number}", owner=f"88.30{number}")
                found.append("in")
            except IntegrityError as error:
                assert "重叠" in str(error)
                found.append("refused")
            finally:
                connection.close()

        threads = [threading.Thread(target=race, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(outcomes) == ["in", "refused", "refused", "refused"]


@pytest.mark.django_db(transaction=True)
def test_database_refuses_a_claim_under_another_isolation_level() -> None:
    with pytest.raises(Exception, match="READ COMMITTED"), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        insert("6901", owner="88.301")
