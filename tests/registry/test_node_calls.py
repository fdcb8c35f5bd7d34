"""A second-level node and a real top node in a process of its own: applications, verdicts, routing, routes, silences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from nodes_around import MAKER, OTHER, UNIT, Child, ParentNode, hold_prefix, user

from biaojie.foundation.nodes.models import Peer, ThisNode
from biaojie.foundation.nodes.operations import this_node
from biaojie.foundation.records.models import Change
from biaojie.registry import operations, operations_routes, operations_routing
from biaojie.registry.errors import ParentMissing, ParentRefused, ParentSilent
from biaojie.registry.models import Handle, OwnSite, Prefix, RouteClaim

pytestmark = pytest.mark.django_db

Below = Callable[[str], ParentNode]
Rows = list[dict[str, Any]]
HTTP = [{"ip_type": 4, "ip": "127.0.0.1", "protocol": "HTTP", "port": 8080}]


def obtain(parent: ParentNode, name: str) -> Prefix:
    """Our own prefix, applied for and accepted."""
    operations.apply_prefix(actor="li", name=name, registrant=UNIT)
    accepted = parent.call("reviewer", "POST", f"/prefixes/{name}/review", {"decision": "accept"})
    assert accepted["status"] == 1, accepted
    return operations.sync_prefix(actor="li", name=name)


def test_own_prefix_applied_for_accepted_above_and_fetched_is_served_here(below: Below) -> None:
    parent = below("88.401")
    applied = operations.apply_prefix(actor="li", name="88.401", registrant=UNIT)
    seen_above = parent.call("reviewer", "GET", "/prefixes/88.401")["data"]

    parent.call("reviewer", "POST", "/prefixes/88.401/review", {"decision": "accept"})
    moved = operations.sync_verdicts()

    assert (applied.status, applied.is_own, seen_above["status"], seen_above["peer_id"]) == (4, True, 4, this_node().id)
    assert (moved, Prefix.objects.get(name="88.401").status) == (1, 1)
    assert OwnSite.objects.count() == 1
    assert {row.key for row in Change.objects.filter(kind="zone", operation="put")} == {"88.401", "0.NA/88.401"}


def test_own_prefix_rejected_above_is_rejected_here_with_the_reason_and_may_be_applied_for_again(below: Below) -> None:
    parent = below("88.402")
    operations.apply_prefix(actor="li", name="88.402", registrant=UNIT)
    rejecting = {"decision": "reject", "reason_code": "material", "reason": "缺许可证扫描件"}
    parent.call("reviewer", "POST", "/prefixes/88.402/review", rejecting)

    rejected = operations.sync_prefix(actor="li", name="88.402")
    again = operations.apply_prefix(actor="li", name="88.402", registrant=UNIT)

    assert (rejected.status, rejected.reason_code, rejected.reason) == (3, "material", "缺许可证扫描件")
    assert again.status == 4
    assert parent.call("reviewer", "GET", "/prefixes/88.402")["data"]["status"] == 4


def test_application_the_parent_refuses_outright_is_rejected_here_in_its_words(below: Below) -> None:
    parent = below("88.403")
    parent.call("operator", "POST", "/prefixes", {"name": "88.403", "registrant": {"name": OTHER[0], "credit_code": OTHER[1]}})

    with pytest.raises(ParentRefused, match=OTHER[0]):
        operations.apply_prefix(actor="li", name="88.403", registrant=UNIT)

    held = Prefix.objects.get(name="88.403")
    assert (held.status, held.reason_code) == (3, "parent")


def test_application_refused_outright_is_not_sent_again_and_holds_up_no_other_verdict(below: Below) -> None:
    parent = below("88.431")
    for name in ("88.430", "88.432"):
        registrant = {"name": OTHER[0], "credit_code": OTHER[1]}
        parent.call("operator", "POST", "/prefixes", {"name": name.replace(".", ".0"), "registrant": registrant})
        with pytest.raises(ParentRefused, match="前导零"):
            operations.apply_prefix(actor="li", name=name, registrant=UNIT)
    # One that cannot be followed at all: in force here, unknown to the parent, and refused by it.
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        Prefix.objects.filter(name="88.432").update(status=1)
        cursor.execute("SET session_replication_role = origin")
    operations.apply_prefix(actor="li", name="88.431", registrant=UNIT)
    parent.call("reviewer", "POST", "/prefixes/88.431/review", {"decision": "accept"})

    moved = operations.sync_verdicts()

    assert moved == 1
    assert dict(Prefix.objects.values_list("name", "status")) == {"88.430": 3, "88.432": 1, "88.431": 1}


def test_enterprise_application_goes_through_us_to_the_top_and_the_verdict_comes_back(below: Below, child: Any) -> None:
    parent = below("88.404")
    obtain(parent, "88.404")
    node: Child = child("enterprise", ["88.404.7"])
    body = {"name": "88.404.7", "registrant": {"name": MAKER[0], "credit_code": MAKER[1]}}
    status, answer = node.call("POST", "/prefixes", body)
    assert (status, answer["data"]["status"]) == (200, 4)

    forwarded = operations.review_prefix(actor=user("reviewer"), name="88.404.7", decision="accept")
    _, waiting = node.call("GET", "/prefixes/88.404.7")
    parent.call("reviewer", "POST", "/prefixes/88.404.7/review", {"decision": "accept"})
    operations.sync_verdicts()
    _, verdict = node.call("GET", "/prefixes/88.404.7")

    assert (forwarded.status, waiting["data"]["status"], verdict["data"]["status"]) == (5, 5, 1)
    top_row = parent.call("reviewer", "GET", "/prefixes/88.404.7")["data"]
    assert (top_row["registrant"]["name"], top_row["peer_id"], top_row["endpoints"]) == (MAKER[0], this_node().id, [])


def test_hosted_application_comes_into_force_with_zone_and_record_after_the_tops_verdict(below: Below) -> None:
    parent = below("88.405")
    obtain(parent, "88.405")
    operations.apply_prefix(actor="li", name="88.405.2", registrant=MAKER, hosted=True)
    operations.review_prefix(actor=user("reviewer"), name="88.405.2", decision="accept")
    parent.call("reviewer", "POST", "/prefixes/88.405.2/review", {"decision": "accept"})

    prefix = operations.sync_prefix(actor="li", name="88.405.2")

    assert (prefix.status, prefix.hosting) == (1, 4)
    assert Handle.objects.filter(key="1:0.NA/88.405.2", deleted_at=None).exists()


def test_prefix_disabled_above_is_disabled_here(below: Below) -> None:
    parent = below("88.406")
    obtain(parent, "88.406")
    parent.call("reviewer", "POST", "/prefixes/88.406/state", {"event": "disable", "reason": "逾期未整改"})

    operations.sync_verdicts()
    disabled = Prefix.objects.get(name="88.406").status
    parent.call("reviewer", "POST", "/prefixes/88.406/state", {"event": "enable"})
    operations.sync_verdicts()

    assert (disabled, Prefix.objects.get(name="88.406").status) == (0, 1)


def test_routing_put_here_waits_above_for_a_second_person_and_is_published_there(below: Below, listener: Rows) -> None:
    parent = below("88.407")
    obtain(parent, "88.407")

    answer = operations_routing.put_routing(actor="li", name="88.407", endpoints=listener)
    approved = parent.call("reviewer2", "POST", f"/routing-changes/{answer['change_id']}/approve")

    assert (answer["state"], approved["data"]["state"]) == ("checked", "published")
    above = parent.call("operator", "GET", "/prefixes/88.407")["data"]["endpoints"]
    mine = operations.prefix_row(Prefix.objects.get(name="88.407"))["endpoints"]
    assert above == mine == sorted(listener, key=lambda row: row["protocol"])


def test_routing_of_a_prefix_of_another_node_refused_above(below: Below, parent_node: ParentNode, listener: Rows) -> None:
    parent = below("88.408")
    obtain(parent, "88.408")
    stolen = Prefix.objects.get(name="88.408")
    Prefix.objects.filter(pk=stolen.pk).update(name="88.407")  # as if our database claimed what the last test's node holds

    with pytest.raises(ParentRefused):
        operations_routing.put_routing(actor="li", name="88.407", endpoints=listener)


def test_claim_goes_up_and_an_overlap_refused_above_is_not_kept_here(below: Below) -> None:
    parent = below("88.409")
    obtain(parent, "88.409")

    kept = operations_routes.claim_route(actor="li", system="GS1", coverage="6904409")
    above = [row for row in parent.call("operator", "GET", "/routes/claims")["data"]["items"] if row["owner"] == "88.409"]

    assert (kept.final, [row["coverage"] for row in above], above[0]["final"]) == (True, ["6904409"], False)
    assert (kept.state, above[0]["state"]) == ("forwarded", "proposed")


def test_claim_becomes_active_here_with_the_verdict_above(below: Below) -> None:
    parent = below("88.415")
    obtain(parent, "88.415")
    wanted, unwanted = (
        operations_routes.claim_route(actor="li", system="GS1", coverage=coverage) for coverage in ("6904415", "6905415")
    )
    above = {row["coverage"]: row["id"] for row in parent.call("operator", "GET", "/routes/claims")["data"]["items"]}

    before = operations_routes.sync_claims()
    parent.call("reviewer", "POST", f"/routes/claims/{above['6904415']}/approve")
    parent.call("reviewer", "POST", f"/routes/claims/{above['6905415']}/refuse", {"reason": "材料不全"})
    moved = operations_routes.sync_claims()

    for row in (wanted, unwanted):
        row.refresh_from_db()
    assert (before, moved, operations_routes.sync_claims()) == (0, 2, 0)
    assert (wanted.state, unwanted.state, unwanted.reason) == ("active", "refused", "材料不全")
    assert [row.key for row in Change.objects.filter(kind="route")] == ["6:6904415"]
    repeated = operations_routes.claim_route(actor="li", system="GS1", coverage="6904415")
    assert (repeated.state, repeated.version) == ("active", wanted.version)


def test_claim_of_a_child_is_passed_on_by_the_reviewer_and_follows_the_verdict_above(
    below: Below, child: Callable[..., Child]
) -> None:
    parent = below("88.416")
    obtain(parent, "88.416")
    node = child("enterprise", ["88.416.1"])
    hold_prefix("88.416.1", unit=MAKER, peer=node.peer)
    body = {"system": "GS1", "coverage": "6904416", "addresses": HTTP, "owner": "88.416.1"}
    claim_id = node.call("POST", "/routes", body)[1]["data"]["id"]
    unknown = parent.call("operator", "GET", "/routes/claims")["data"]["items"]

    passed = operations_routes.approve_claim(actor=user("reviewer"), claim_id=claim_id).state
    above = next(row for row in parent.call("operator", "GET", "/routes/claims")["data"]["items"] if row["owner"] == "88.416")
    parent.call("reviewer", "POST", f"/routes/claims/{above['id']}/approve")
    synced = operations_routes.sync_claim(actor="li", claim_id=claim_id)

    assert "6904416" not in {row["coverage"] for row in unknown}
    assert (passed, above["coverage"], synced.state) == ("forwarded", "6904416", "active")
    assert node.call("GET", "/routes")[1]["data"]["items"][0]["state"] == "active"


def test_claim_that_meets_another_nodes_is_refused_above_and_not_kept_here(below: Below, settings: Any) -> None:
    parent = below("88.410")
    obtain(parent, "88.410")
    operations_routes.claim_route(actor="li", system="GS1", coverage="6905410")
    # From here on we are another node: new key, new enrolment, an empty registry.
    for model in (RouteClaim, Prefix, Peer, ThisNode):
        model.objects.all().delete()
    (settings.NODE.node_dir / "node.key").unlink()
    below("88.414")
    obtain(parent, "88.414")

    with pytest.raises(ParentRefused, match=UNIT[0]):
        operations_routes.claim_route(actor="li", system="GS1", coverage="690541")

    assert not RouteClaim.objects.exists()


def test_claim_removed_is_gone_above_too(below: Below) -> None:
    parent = below("88.411")
    obtain(parent, "88.411")
    claim = operations_routes.claim_route(actor="li", system="OID", coverage="1.2.156.3411")

    operations_routes.remove_claim(actor="li", claim_id=claim.id)

    assert "88.411" not in {row["owner"] for row in parent.call("operator", "GET", "/routes/claims")["data"]["items"]}


def test_application_without_a_parent_refused_and_kept(as_node: Callable[..., Any]) -> None:
    as_node("second")

    with pytest.raises(ParentMissing):
        operations.apply_prefix(actor="li", name="88.412", registrant=UNIT)

    assert Prefix.objects.get(name="88.412").status == 4


def test_application_while_the_parent_is_silent_is_kept_and_sent_by_the_job(below: Below) -> None:
    parent = below("88.413")
    parent.stop()
    try:
        with pytest.raises(ParentSilent):
            operations.apply_prefix(actor="li", name="88.413", registrant=UNIT)
        assert operations.sync_verdicts() == 0
    finally:
        parent.start()
    kept = Prefix.objects.get(name="88.413").status

    operations.sync_verdicts()

    assert (kept, parent.call("reviewer", "GET", "/prefixes/88.413")["data"]["status"]) == (4, 4)
