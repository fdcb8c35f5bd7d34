"""Verbs of identifiers: who may, what is refused, what two writers at once see, and what the journal keeps."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, connections
from served import make_prefix, member, url

from biaojie.base import clock
from biaojie.base.errors import BiaojieError
from biaojie.codes.ranges import parse_coverage
from biaojie.codes.systems import System
from biaojie.foundation.accounts.operations import create_user
from biaojie.foundation.audit.models import AuditRecord
from biaojie.foundation.records.models import Change
from biaojie.registry import operations_handles as handles
from biaojie.registry.errors import Conflict, HandleExists, NotAllowed, NotFound, PrefixNotServed
from biaojie.registry.models import Handle, Prefix, RouteClaim
from biaojie.registry.workflows import move_claim

pytestmark = pytest.mark.django_db


def create(identifier: str = "88.100.2/Pump-1", values: Any = None, **more: Any) -> Handle:
    return handles.create_identifier(actor="wu", identifier=identifier, values=values or [url("x")], **more)


def test_create_identifier_writes_row_journal_and_audit_together(hosted: Prefix) -> None:
    row = create()

    assert (row.key, row.spelled, row.version, row.prefix, row.owner) == (
        "1:88.100.2/PUMP-1",
        "88.100.2/Pump-1",
        1,
        hosted,
        hosted.name,
    )
    change = Change.objects.get(kind="handle")
    assert (change.key, change.version, change.operation, change.content["values"]) == (row.key, 1, "put", [url("x")])
    assert AuditRecord.objects.get(action="identifier.create").subject == row.spelled


def test_create_identifier_that_lives_in_other_case_refused(hosted: Prefix) -> None:
    create()

    with pytest.raises(HandleExists):
        create("88.100.2/PUMP-1")

    assert Change.objects.filter(kind="handle").count() == 1


@pytest.mark.parametrize("state", [{"status": 0}, {"status": 4, "hosting": 2}, {"hosting": 1}, {"status": 2}])
def test_create_identifier_under_prefix_not_served_refused(state: dict[str, int]) -> None:
    make_prefix("88.100.2", **state)

    with pytest.raises(PrefixNotServed):
        create()


def test_create_identifier_with_faulty_values_names_every_fault(hosted: Prefix) -> None:
    with pytest.raises(handles.ValuesRefused) as refused:
        create(values=[url("x", 0), url("y", 1), url("z", 1)])

    assert [(row["code"], row["pointer"]) for row in refused.value.data["errors"]] == [
        ("REG-156", "values/0/index"),
        ("REG-157", "values/2/index"),
    ]
    assert Handle.objects.count() == 0


def test_delete_then_create_revives_with_growing_version(hosted: Prefix) -> None:
    first = create()

    handles.delete_identifier(actor="wu", identifier="88.100.2/pump-1")
    again = create("88.100.2/PUMP-1", [url("y")])

    assert (again.version, again.spelled, again.created_at > first.created_at) == (3, "88.100.2/PUMP-1", True)
    versions = Change.objects.filter(kind="handle").order_by("version").values_list("version", "operation")
    assert list(versions) == [(1, "put"), (2, "remove"), (3, "put")]


def test_delete_identifier_deleted_already_not_found(hosted: Prefix) -> None:
    create()
    handles.delete_identifier(actor="wu", identifier="88.100.2/Pump-1")

    with pytest.raises(NotFound):
        handles.delete_identifier(actor="wu", identifier="88.100.2/Pump-1")
    with pytest.raises(NotFound):
        handles.replace_identifier(actor="wu", identifier="88.100.2/Pump-1", values=[url("y")])
    with pytest.raises(NotFound):
        handles.get_identifier(identifier="88.100.2/Pump-1")


def test_replace_identifier_at_a_version_gone_by_refused_naming_the_present_one(hosted: Prefix) -> None:
    create()
    handles.replace_identifier(actor="wu", identifier="88.100.2/Pump-1", values=[url("y")], version=1)

    with pytest.raises(Conflict) as refused:
        handles.replace_identifier(actor="he", identifier="88.100.2/Pump-1", values=[url("z")], version=1)

    assert refused.value.data["version"] == 2
    assert Handle.objects.get().values == [url("y")]


@pytest.mark.django_db(transaction=True)
def test_replace_identifier_by_two_at_once_on_one_version_only_one_succeeds() -> None:
    make_prefix("88.100.2")
    create()

    outcomes = at_once(
        *(
            lambda n=n: handles.replace_identifier(actor=f"u{n}", identifier="88.100.2/Pump-1", values=[url(f"{n}")], version=1)
            for n in range(4)
        )
    )

    assert sorted(outcomes) == ["Conflict", "Conflict", "Conflict", "ok"]
    assert Handle.objects.get().version == 2
    assert Change.objects.filter(kind="handle").count() == 2


@pytest.mark.django_db(transaction=True)
def test_create_identifier_by_two_at_once_only_one_succeeds() -> None:
    make_prefix("88.100.2")

    outcomes = at_once(*(lambda n=n: create(values=[url(f"{n}")]) for n in range(4)))

    assert sorted(outcomes) == ["HandleExists", "HandleExists", "HandleExists", "ok"]
    assert list(Change.objects.filter(kind="handle").values_list("version", flat=True)) == [1]


def test_list_identifiers_pages_through_all_in_key_order(hosted: Prefix) -> None:
    make_prefix("88.100.3")
    for name in ("b", "A", "中", "c", "d"):
        create(f"88.100.2/{name}")
    create("88.100.3/other")
    handles.delete_identifier(actor="wu", identifier="88.100.2/c")

    pages, after = [], ""
    while True:
        page = handles.list_identifiers(prefix="88.100.2", after=after, limit=2)
        pages.append([row.spelled for row in page.rows])
        after = page.next
        if not after:
            break

    assert pages == [["88.100.2/A", "88.100.2/b"], ["88.100.2/d", "88.100.2/中"]]


def test_list_identifiers_of_any_length_takes_the_same_queries(hosted: Prefix, django_assert_num_queries: Any) -> None:
    for number in range(30):
        create(f"88.100.2/{number}")

    for limit in (1, 30):
        with django_assert_num_queries(2):
            handles.list_identifiers(prefix="88.100.2", limit=limit)


def test_enterprise_user_only_for_own_registrant(hosted: Prefix) -> None:
    other = make_prefix("88.100.3")
    user = create_user(actor="test", username="li.ent", password="a-long-pass-phrase-7", role="enterprise")
    member(user, hosted)

    create(user=user)
    create("88.100.3/held")

    for attempt in (
        lambda: handles.get_identifier(identifier="88.100.3/held", user=user),
        lambda: create("88.100.3/x", user=user),
        lambda: handles.list_identifiers(prefix=other.name, user=user),
        lambda: handles.delete_identifier(actor=user, identifier="88.100.3/x", user=user),
    ):
        with pytest.raises(NotAllowed):
            attempt()


def claim(coverage: str, low: bytes, high: bytes, **more: Any) -> RouteClaim:
    now = clock.now()
    values = {
        "system": "OID",
        "owner": "88.100",
        "holder": "单位",
        "final": True,
        "created_at": now,
        "version": 1,
        "addresses": [],
    }
    row = RouteClaim.objects.create(coverage=coverage, low=low, high=high, **(values | more))
    move_claim(row, "confirm", actor="test")
    return row


def test_create_identifier_of_other_system_needs_a_final_claim(hosted: Prefix) -> None:
    found = parse_coverage(System.OID, "1.2.156.3001")
    held = claim("1.2.156.3001", *found.interval())

    row = create("1.2.156.3001.7")

    assert (row.key, row.owner, row.prefix) == ("2:1.2.156.3001.7", "88.100", None)
    for outside in ("1.2.156.3002.7", "1.2.156.30010.7"):
        with pytest.raises(PrefixNotServed):
            create(outside)
    move_claim(held, "withdraw", actor="test", fields={"removed_at": clock.now()})
    with pytest.raises(PrefixNotServed):
        create("1.2.156.3001.8")


def test_create_identifier_in_a_range_handed_on_to_another_node_refused(hosted: Prefix) -> None:
    claim("1.2.156.3001", *parse_coverage(System.OID, "1.2.156.3001").interval())
    inner = parse_coverage(System.OID, "1.2.156.3001.5").interval()
    claim("1.2.156.3001.5", *inner, owner="88.100.7", final=False)

    with pytest.raises(PrefixNotServed):
        create("1.2.156.3001.5.1")
    assert create("1.2.156.3001.6.1").owner == "88.100"


def at_once(*verbs: Callable[[], object]) -> list[str]:
    """What became of verbs started together, each in a thread with a connection of its own."""
    outcomes: list[str] = []
    start = threading.Barrier(len(verbs))

    def run(verb: Callable[[], object]) -> None:
        try:
            connection.ensure_connection()
            start.wait(10)
            verb()
            outcomes.append("ok")
        except BiaojieError as error:
            outcomes.append(type(error).__name__)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(verb,)) for verb in verbs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return outcomes
