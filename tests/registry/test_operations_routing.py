"""A planned change of addresses: checked, agreed to by a second person, published side by side, settled, taken back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from nodes_around import MAKER, UNIT, Child, free_port, hold_prefix, user

from biaojie.base import clock
from biaojie.foundation.records.models import ChangeSet
from biaojie.foundation.workflow.errors import NoTransition, NotTheMover
from biaojie.handle.json_form import value_from_json
from biaojie.handle.sites import decode_site
from biaojie.registry import operations, operations_routing, prefix_changes
from biaojie.registry.errors import (
    ChangeOpen,
    NotAllowed,
    PortMissing,
    PrivateAddress,
    ReasonMissing,
    SamePerson,
    StateRefused,
    TopApprovalMissing,
    Unreachable,
)
from biaojie.registry.models import Handle, RoutingChange
from biaojie.registry.prefix_changes import addresses_of, rows_of

pytestmark = pytest.mark.django_db

Rows = list[dict[str, Any]]


@pytest.fixture
def top(as_node: Callable[..., Any]) -> None:
    """The root, with a second-level node's prefix 88.300 in force that no enrolled node has taken up."""
    as_node("top")
    operations.found_root(actor="test")
    operations.apply_prefix(actor="li", name="88.300", registrant=UNIT)
    operations.review_prefix(actor=user("reviewer"), name="88.300", decision="accept")


@pytest.fixture
def enterprise(second: None, child: Callable[..., Child]) -> Child:
    """An enterprise below 88.100 whose prefix 88.100.7 is in force."""
    node = child("enterprise", ["88.100.7"])
    hold_prefix("88.100.7", unit=MAKER, peer=node.peer)
    return node


def published(key: str) -> list[tuple[str, list[int]]]:
    """`(type, ports)` of the site values of a record; nothing when there is none."""
    row = Handle.objects.filter(key=key, deleted_at=None).first()
    found = []
    for form in row.values if row else []:
        if form["type"].startswith("HS_SITE"):
            site = decode_site(value_from_json(form).data)
            found.append((form["type"], sorted(item.port for server in site.servers for item in server.interfaces)))
    return found


def ports(rows: Rows) -> list[int]:
    return sorted(row["port"] for row in rows)


def test_change_at_the_top_waits_for_a_second_person_and_is_then_published(top: None, listener: Rows) -> None:
    change = operations_routing.propose_routing(actor="li", name="88.300", endpoints=listener)
    waiting = (change.state, published("1:0.NA/88.300"))

    approved = operations_routing.approve_change(actor=user("reviewer"), change_id=change.id)

    assert waiting == ("checked", [])
    assert (approved.state, approved.approved_by) == ("published", "reviewer-1")
    assert published("1:0.NA/88.300") == [("HS_SITE", ports(listener)), ("HS_SITE.PREFIX", ports(listener))]
    assert [row["answered"] for row in change.checks] == [True, True, True]


def test_change_approved_by_its_proposer_refused(top: None, listener: Rows) -> None:
    reviewer = user("reviewer")
    change = operations_routing.propose_routing(actor=str(reviewer), name="88.300", endpoints=listener)

    with pytest.raises(SamePerson):
        operations_routing.approve_change(actor=reviewer, change_id=change.id)

    assert RoutingChange.objects.get().state == "checked"


def test_change_approved_by_an_operator_refused(top: None, listener: Rows) -> None:
    change = operations_routing.propose_routing(actor="li", name="88.300", endpoints=listener)

    with pytest.raises(NotTheMover):
        operations_routing.approve_change(actor=user("operator"), change_id=change.id)


def test_change_refused_needs_a_reason_and_keeps_the_old(top: None, listener: Rows) -> None:
    change = operations_routing.propose_routing(actor="li", name="88.300", endpoints=listener)
    with pytest.raises(ReasonMissing):
        operations_routing.refuse_change(actor=user("reviewer"), change_id=change.id, reason=" ")

    refused = operations_routing.refuse_change(actor=user("reviewer"), change_id=change.id, reason="机房未验收")

    assert (refused.state, refused.reason, published("1:0.NA/88.300")) == ("refused", "机房未验收", [])


def test_change_to_a_silent_address_is_refused_saying_which(top: None, listener: Rows) -> None:
    silent = {"ip_type": 4, "ip": "127.0.0.1", "protocol": "TCP", "port": free_port()}

    with pytest.raises(Unreachable, match=f"TCP 127.0.0.1:{silent['port']}") as caught:
        operations_routing.propose_routing(actor="li", name="88.300", endpoints=[*listener, silent])

    assert [row["answered"] for row in caught.value.data["checks"]].count(False) == 1
    assert RoutingChange.objects.get().state == "refused"


def test_change_at_a_second_level_node_is_published_at_once(enterprise: Child, listener: Rows) -> None:
    status, answer = enterprise.call("PUT", "/prefixes/88.100.7/routing", {"endpoints": listener})

    assert (status, answer["data"]["state"]) == (200, "published")
    assert published("1:0.NA/88.100.7") == [("HS_SITE", ports(listener))]
    key = next(form for form in Handle.objects.get(key="1:0.NA/88.100.7").values if form["index"] == 300)
    assert value_from_json(key).data.endswith(enterprise.key.public.public_bytes_raw())


def test_change_old_and_new_stand_side_by_side_until_one_ttl_has_passed(enterprise: Child, listener: Rows) -> None:
    by_udp, by_tcp = [[row for row in listener if row["protocol"] == name] for name in ("UDP", "TCP")]
    enterprise.call("PUT", "/prefixes/88.100.7/routing", {"endpoints": by_udp})
    clock.configure(offset_s=61)
    try:
        enterprise.call("PUT", "/prefixes/88.100.7/routing", {"endpoints": by_tcp})
        together = published("1:0.NA/88.100.7")
        assert operations_routing.settle_due() == 0
        clock.configure(offset_s=123)
        settled = operations_routing.settle_due()
    finally:
        clock.configure()

    assert together == [("HS_SITE", ports([*by_udp, *by_tcp]))]
    assert (settled, published("1:0.NA/88.100.7")) == (1, [("HS_SITE", ports(by_tcp))])
    assert list(RoutingChange.objects.order_by("id").values_list("state", flat=True)) == ["settled", "settled"]


def test_change_rolled_back_leaves_the_old_alone_at_once(enterprise: Child, listener: Rows) -> None:
    by_udp, by_tcp = [[row for row in listener if row["protocol"] == name] for name in ("UDP", "TCP")]
    enterprise.call("PUT", "/prefixes/88.100.7/routing", {"endpoints": by_udp})
    clock.configure(offset_s=61)
    try:
        _, answer = enterprise.call("PUT", "/prefixes/88.100.7/routing", {"endpoints": by_tcp})
        change = operations_routing.roll_back(actor=user("reviewer"), change_id=answer["data"]["change_id"], reason="新机房断电")
    finally:
        clock.configure()

    assert (change.state, published("1:0.NA/88.100.7")) == ("rolled_back", [("HS_SITE", ports(by_udp))])


def test_change_rolled_back_twice_refused(top: None, listener: Rows) -> None:
    change = operations_routing.propose_routing(actor="li", name="88.300", endpoints=listener)
    operations_routing.roll_back(actor=user("operator"), change_id=change.id)

    with pytest.raises(NoTransition):
        operations_routing.roll_back(actor=user("operator"), change_id=change.id)


def test_change_proposed_again_is_the_same_and_another_meanwhile_refused(top: None, listener: Rows) -> None:
    first = operations_routing.propose_routing(actor="li", name="88.300", endpoints=listener)

    again = operations_routing.propose_routing(actor="li", name="88.300", endpoints=list(reversed(listener)))
    with pytest.raises(ChangeOpen):
        operations_routing.propose_routing(actor="li", name="88.300", endpoints=listener[:1])

    assert again.id == first.id


def test_change_before_the_verdict_refused(second: None, listener: Rows) -> None:
    operations.apply_prefix(actor="li", name="88.100.9", registrant=MAKER)

    with pytest.raises(TopApprovalMissing):
        operations_routing.put_routing(actor="li", name="88.100.9", endpoints=listener)


def test_change_of_a_hosted_prefix_refused(second: None, listener: Rows) -> None:
    operations.apply_prefix(actor="li", name="88.100.9", registrant=MAKER, hosted=True)
    operations._settle_verdict(operations.locked("88.100.9"), "confirm", actor=operations.PARENT)

    with pytest.raises(StateRefused):
        operations_routing.put_routing(actor="li", name="88.100.9", endpoints=listener)


def test_change_of_the_roots_own_prefix_refused(top: None, listener: Rows) -> None:
    with pytest.raises(NotAllowed):
        operations_routing.put_routing(actor="li", name="88", endpoints=listener)


def test_change_without_any_port_or_with_a_private_one_in_production_refused(top: None, listener: Rows, settings: Any) -> None:
    with pytest.raises(PortMissing):
        operations_routing.propose_routing(actor="li", name="88.300", endpoints=[])
    settings.NODE = dataclasses.replace(settings.NODE, environment="production")
    with pytest.raises(PrivateAddress):
        operations_routing.propose_routing(actor="li", name="88.300", endpoints=listener)

    assert not RoutingChange.objects.exists()


def test_change_cut_short_by_a_crash_is_taken_up_by_the_job(top: None, listener: Rows) -> None:
    prefix = operations.locked("88.300")
    RoutingChange.objects.create(prefix=prefix, new=listener, proposed_by="li", created_at=clock.now() - timedelta(minutes=2))

    assert operations_routing.recheck_proposed() == 1
    assert RoutingChange.objects.get().state == "checked"


def test_change_of_own_addresses_moves_the_hosted_records_too(second: None, listener: Rows) -> None:
    operations.apply_prefix(actor="li", name="88.100.9", registrant=MAKER, hosted=True)
    operations._settle_verdict(operations.locked("88.100.9"), "confirm", actor=operations.PARENT)
    own = operations.locked("88.100")
    with operations.changing(own, actor="test"):
        operations.set_addresses(own, operations.from_rows(listener))

    assert published("1:0.NA/88.100.9") == [("HS_SITE", ports(listener))]
    assert rows_of(addresses_of(own)) == sorted(listener, key=lambda row: row["protocol"])


def test_database_refuses_a_change_that_skips_the_second_person(top: None, listener: Rows) -> None:
    operations_routing.propose_routing(actor="li", name="88.300", endpoints=listener)

    with pytest.raises(IntegrityError), transaction.atomic():
        RoutingChange.objects.update(state="published")


def test_check_cut_short_of_a_prefix_disabled_meanwhile_holds_up_no_other(enterprise: Child, listener: Rows) -> None:
    hold_prefix("88.100.8", unit=MAKER, peer=enterprise.peer)
    operations.change_state(actor=user("reviewer"), name="88.100.7", event="disable")
    for name in ("88.100.7", "88.100.8"):
        prefix = operations.locked(name)
        RoutingChange.objects.create(prefix=prefix, new=listener, proposed_by="li", created_at=clock.now() - timedelta(minutes=2))

    operations_routing.recheck_proposed()

    states = dict(RoutingChange.objects.values_list("prefix__name", "state"))
    assert states == {"88.100.7": "proposed", "88.100.8": "published"}


def test_hosted_records_beyond_one_change_set_follow_the_nodes_addresses(
    second: None, listener: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefix_changes, "HOSTED_PER_SET", 2)
    names = [f"88.100.{number}" for number in range(91, 96)]
    for name in names:
        operations.apply_prefix(actor="li", name=name, registrant=MAKER, hosted=True)
        operations._settle_verdict(operations.locked(name), "confirm", actor=operations.PARENT)
    before = ChangeSet.objects.count()

    with operations.changing(operations.locked("88.100"), actor="test"):
        operations.set_addresses(operations.locked("88.100"), operations.from_rows(listener))

    assert {tuple(published(f"1:0.NA/{name}")[0][1]) for name in names} == {tuple(ports(listener))}
    assert ChangeSet.objects.count() - before == 1 + 3
