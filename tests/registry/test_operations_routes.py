"""Routes of the other code systems: claims, overlaps between owners, also when both come at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from nodes_around import MAKER, OTHER, UNIT, Child, hold_prefix

from biaojie.base import clock
from biaojie.codes.ranges import parse_coverage
from biaojie.codes.systems import System
from biaojie.foundation.records.models import Change
from biaojie.registry import operations, operations_routes
from biaojie.registry.errors import NotAllowed, ParentMissing, RouteOverlap, RouteRefused, StateRefused
from biaojie.registry.models import RouteClaim

HTTP = [{"ip_type": 4, "ip": "127.0.0.1", "protocol": "HTTP", "port": 8080}]


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
def test_claim_of_a_child_is_published_as_a_route_to_it(top: tuple[Child, Child]) -> None:
    status, answer = top[0].call(
        "POST", "/routes", {"system": "GS1", "coverage": "6901234", "addresses": HTTP, "owner": "88.301"}
    )

    assert (status, answer["data"]["final"], answer["data"]["holder"]) == (200, False, MAKER[0])
    change = Change.objects.get(kind="route")
    assert (change.key, change.version, change.content["addresses"]) == ("6:6901234", 1, HTTP)


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

    assert (again.version, RouteClaim.objects.count(), Change.objects.filter(kind="route").count()) == (1, 1, 1)


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

    inner = claim(node, "6901234", owner="88.100.7")
    with pytest.raises(RouteOverlap, match=UNIT[0]):
        claim(node, "690", owner="88.100.7")
    outer = RouteClaim.objects.get(coverage="690")
    with pytest.raises(RouteRefused):
        operations_routes.remove_claim(actor="test", claim_id=outer.id)

    assert (inner.owner, inner.final) == ("88.100.7", False)


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
