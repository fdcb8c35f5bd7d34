"""Registrants and prefixes: each verb, each refusal, and what the publication says afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from nodes_around import MAKER, OTHER, user

from biaojie.foundation.audit.models import AuditRecord
from biaojie.foundation.workflow.errors import NoTransition, NotTheMover
from biaojie.foundation.workflow.models import WorkflowStep
from biaojie.handle.sites import decode_site
from biaojie.registry import operations, policies
from biaojie.registry.errors import (
    NotAllowed,
    ParentMissing,
    PrefixLookAlike,
    PrefixPlace,
    PrefixTaken,
    ReasonMissing,
    RegistrantForm,
    StateRefused,
)
from biaojie.registry.models import Handle, OwnSite, Prefix, Registrant
from biaojie.registry.publication import zones

pytestmark = pytest.mark.django_db


@pytest.fixture
def no_top_approval(monkeypatch: pytest.MonkeyPatch) -> None:
    """The policy row the other way: the second level decides alone."""
    row = policies.Policy(value=0, unit="是否", reason="test")
    monkeypatch.setattr(operations, "TOP_APPROVAL_REQUIRED", row)


def test_registrant_twice_is_one_unit_and_one_audit_row() -> None:
    first = operations.register_registrant(actor="li", name=f" {MAKER[0]} ", credit_code=MAKER[1].lower())
    again = operations.register_registrant(actor="li", name=MAKER[0], credit_code=MAKER[1])

    assert (first.pk, Registrant.objects.get().credit_code) == (again.pk, MAKER[1])
    assert AuditRecord.objects.filter(action="registry.registrant.register").count() == 1


def test_registrant_of_the_same_code_and_another_name_refused_naming_the_first() -> None:
    operations.register_registrant(actor="li", name=MAKER[0], credit_code=MAKER[1])

    with pytest.raises(RegistrantForm, match=MAKER[0]):
        operations.register_registrant(actor="li", name=OTHER[0], credit_code=MAKER[1])


def test_found_root_gives_zones_records_and_the_site_and_repeating_changes_nothing(as_node: Callable[..., Any]) -> None:
    as_node("top")

    octets = operations.found_root(actor="test")
    versions = dict(Handle.objects.values_list("key", "version"))
    again = operations.found_root(actor="test")

    assert octets == again == bytes(OwnSite.objects.get().site)
    assert [row.port for row in decode_site(octets).servers[0].interfaces] == [8080, 2641, 2641]
    assert set(versions) == {"1:0.NA/0.NA", "1:0.NA/86", "1:0.NA/88"}
    assert dict(Handle.objects.values_list("key", "version")) == versions
    assert {key for key, _, _ in zones()} == {"0.NA/", "86", "0.NA/86", "88", "0.NA/88"}
    types = {row["type"] for row in Handle.objects.get(key="1:0.NA/88").values}
    assert types == {"HS_SITE", "HS_ADMIN", "HS_PUBKEY"}  # no HS_SITE.PREFIX: the root would refer to itself


def test_found_root_after_an_address_change_says_the_new_one(as_node: Callable[..., Any]) -> None:
    as_node("top")
    operations.found_root(actor="test")
    as_node("top", handle_tcp=("127.0.0.1:2999",))

    octets = operations.found_root(actor="test")

    site = decode_site(octets)
    assert (site.serial, sorted(row.port for row in site.servers[0].interfaces)) == (2, [2641, 2999, 8080])


def test_application_at_the_desk_waits_for_review(second: None) -> None:
    prefix = operations.apply_prefix(actor=user("operator"), name="88.100.7", registrant=MAKER)

    assert (prefix.status, prefix.parent, prefix.is_own, prefix.registrant.name) == (4, "88.100", False, MAKER[0])
    assert [key for key, _, _ in zones()] == ["88.100", "0.NA/88.100"]


def test_application_repeated_is_one_row_of_one_version(second: None) -> None:
    operations.apply_prefix(actor="li", name="88.100.7", registrant=MAKER)

    again = operations.apply_prefix(actor="li", name="88.100.7", registrant=MAKER)

    assert (Prefix.objects.filter(name="88.100.7").count(), again.version) == (1, 1)


def test_application_for_a_held_prefix_names_the_holder(second: None) -> None:
    operations.apply_prefix(actor="li", name="88.100.7", registrant=MAKER)

    with pytest.raises(PrefixTaken, match=MAKER[0]):
        operations.apply_prefix(actor="li", name="88.100.7", registrant=OTHER)


def test_application_for_a_look_alike_names_the_holder(second: None) -> None:
    operations.apply_prefix(actor="li", name="88.100.7", registrant=MAKER)

    with pytest.raises(PrefixLookAlike, match=MAKER[0]):
        operations.apply_prefix(actor="li", name="88.100.007", registrant=OTHER)


def test_application_elsewhere_refused(second: None) -> None:
    with pytest.raises(PrefixPlace):
        operations.apply_prefix(actor="li", name="88.101.7", registrant=MAKER)


def test_application_under_a_disabled_prefix_refused(second: None) -> None:
    Prefix.objects.filter(name="88.100").update(status=0)

    with pytest.raises(StateRefused):
        operations.apply_prefix(actor="li", name="88.100.7", registrant=MAKER)


def test_review_without_a_parent_refused_and_nothing_moves(second: None) -> None:
    operations.apply_prefix(actor="li", name="88.100.7", registrant=MAKER)

    with pytest.raises(ParentMissing):
        operations.review_prefix(actor=user("reviewer"), name="88.100.7", decision="accept")

    assert Prefix.objects.get(name="88.100.7").status == 4


def test_review_by_an_operator_refused(second: None, no_top_approval: None) -> None:
    operations.apply_prefix(actor="li", name="88.100.7", registrant=MAKER)

    with pytest.raises(NotTheMover):
        operations.review_prefix(actor=user("operator"), name="88.100.7", decision="accept")


def test_review_accepting_a_hosted_application_publishes_zone_and_record(second: None, no_top_approval: None) -> None:
    operations.apply_prefix(actor="li", name="88.100.7", registrant=MAKER, hosted=True)

    prefix = operations.review_prefix(actor=user("reviewer"), name="88.100.7", decision="accept")

    assert (prefix.status, prefix.hosting) == (1, 4)
    assert "88.100.7" in {key for key, _, _ in zones()}
    record = Handle.objects.get(key="1:0.NA/88.100.7")
    assert [row["type"] for row in record.values] == ["HS_SITE", "HS_ADMIN", "HS_PUBKEY"]
    assert (record.purpose, record.owner, record.values[0]["ttl"]) == ("prefix", "88.100", 60)
    steps = WorkflowStep.objects.filter(instance=str(prefix.pk)).exclude(event="confirm").order_by("id")
    assert list(steps.values_list("workflow", "event", "source", "target")) == [
        ("registry_prefix", "accept", "4", "1"),
        ("registry_hosting", "accept", "2", "4"),
    ]


def test_review_rejecting_needs_code_and_words_and_keeps_them(second: None) -> None:
    operations.apply_prefix(actor="li", name="88.100.7", registrant=MAKER, hosted=True)
    reviewer = user("reviewer")

    for code, words in (("", "材料不全"), ("material", " "), ("no-such-code", "材料不全")):
        with pytest.raises(ReasonMissing):
            operations.review_prefix(actor=reviewer, name="88.100.7", decision="reject", reason_code=code, reason=words)
    prefix = operations.review_prefix(
        actor=reviewer, name="88.100.7", decision="reject", reason_code="material", reason="缺营业执照"
    )

    assert (prefix.status, prefix.hosting, prefix.reason_code, prefix.reason) == (3, 3, "material", "缺营业执照")


def test_application_after_a_rejection_is_submitted_anew_and_reviewed_again(second: None, no_top_approval: None) -> None:
    reviewer = user("reviewer")
    operations.apply_prefix(actor="li", name="88.100.7", registrant=MAKER)
    operations.review_prefix(actor=reviewer, name="88.100.7", decision="reject", reason_code="other", reason="见附件")

    again = operations.apply_prefix(actor="li", name="88.100.7", registrant=MAKER)
    accepted = operations.review_prefix(actor=reviewer, name="88.100.7", decision="accept")

    assert (again.status, again.reason_code, again.reason, accepted.status) == (4, "", "", 1)


def test_application_for_hosting_after_a_rejection_asks_for_hosting_again(second: None) -> None:
    operations.apply_prefix(actor="li", name="88.100.7", registrant=MAKER, hosted=True)
    operations.review_prefix(actor=user("reviewer"), name="88.100.7", decision="reject", reason_code="other", reason="见附件")

    again = operations.apply_prefix(actor="li", name="88.100.7", registrant=MAKER, hosted=True)

    assert (again.status, again.hosting) == (4, 2)


def test_state_through_disable_and_enable_takes_zone_and_record_out_and_back(second: None, no_top_approval: None) -> None:
    reviewer = user("reviewer")
    operations.apply_prefix(actor="li", name="88.100.7", registrant=MAKER, hosted=True)
    operations.review_prefix(actor=reviewer, name="88.100.7", decision="accept")
    before = Handle.objects.get(key="1:0.NA/88.100.7").version

    operations.change_state(actor=reviewer, name="88.100.7", event="disable", reason="年检")
    disabled = ("88.100.7" in {key for key, _, _ in zones()}, Handle.objects.get(key="1:0.NA/88.100.7").deleted_at is None)
    operations.change_state(actor=reviewer, name="88.100.7", event="enable")
    enabled = ("88.100.7" in {key for key, _, _ in zones()}, Handle.objects.get(key="1:0.NA/88.100.7").deleted_at is None)

    assert (disabled, enabled) == ((False, False), (True, True))
    assert Handle.objects.get(key="1:0.NA/88.100.7").version == before + 2


def test_state_event_of_another_state_refused(second: None) -> None:
    operations.apply_prefix(actor="li", name="88.100.7", registrant=MAKER)

    with pytest.raises(NoTransition):
        operations.change_state(actor=user("reviewer"), name="88.100.7", event="disable")


def test_own_prefix_is_moved_by_its_parent_alone(second: None) -> None:
    with pytest.raises(NotAllowed):
        operations.change_state(actor=user("reviewer"), name="88.100", event="disable")
    with pytest.raises(NotAllowed):
        operations.review_prefix(actor=user("reviewer"), name="88.100", decision="accept")


def test_hosting_ended_takes_the_zone_out(second: None, no_top_approval: None) -> None:
    operations.apply_prefix(actor="li", name="88.100.7", registrant=MAKER, hosted=True)
    operations.review_prefix(actor=user("reviewer"), name="88.100.7", decision="accept")

    prefix = operations.change_hosting(actor=user("reviewer"), name="88.100.7", event="end")

    assert prefix.hosting == 1
    assert "88.100.7" not in {key for key, _, _ in zones()}
    assert Handle.objects.get(key="1:0.NA/88.100.7").deleted_at is not None


@pytest.mark.parametrize(("column", "start", "value"), [("status", 3, 1), ("status", 0, 5), ("hosting", 1, 4), ("hosting", 3, 4)])
def test_database_refuses_a_step_no_row_declares(second: None, column: str, start: int, value: int) -> None:
    operations.apply_prefix(actor="li", name="88.100.7", registrant=MAKER)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        Prefix.objects.filter(name="88.100.7").update(**{column: start})
        cursor.execute("SET LOCAL session_replication_role = origin")

    with pytest.raises(IntegrityError), transaction.atomic():
        Prefix.objects.filter(name="88.100.7").update(**{column: value})

    assert getattr(Prefix.objects.get(name="88.100.7"), column) == start


def test_prefix_rows_of_one_and_of_many_take_as_many_queries(second: None, django_assert_num_queries: Any) -> None:
    for number in range(1, 8):
        operations.apply_prefix(actor="li", name=f"88.100.{number}", registrant=MAKER)
    rows = list(Prefix.objects.order_by("id"))

    for count in (1, len(rows)):
        with django_assert_num_queries(4):
            assert len(operations.prefix_rows(list(Prefix.objects.filter(pk__in=[row.pk for row in rows[:count]])))) == count
