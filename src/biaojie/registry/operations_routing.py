"""Where a prefix is served: a planned change from proposal to publication, and back.

    proposed ── each new address answers ──► checked ── second person (top) ──► approved ──► published ── one TTL ──► settled

While `published`, old and new addresses stand side by side, so that a client holding the old record still finds someone.
The holder proposes through its parent; the parent checks, decides and publishes, and only its record decides resolution.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction

from biaojie.base import clock
from biaojie.base.errors import BiaojieError
from biaojie.foundation.audit import log as audit
from biaojie.foundation.nodes.operations import this_node
from biaojie.registry import rules, workflows
from biaojie.registry.errors import (
    ChangeOpen,
    NotAllowed,
    NotFound,
    ReasonMissing,
    RoutingRefused,
    SamePerson,
    StateRefused,
    TopApprovalMissing,
    Unreachable,
)
from biaojie.registry.models import Prefix, RoutingChange
from biaojie.registry.node_calls import ask_parent
from biaojie.registry.policies import ADDRESSES_MAX, CHECK_TIMEOUT_MS, SECOND_PERSON_AT_TOP
from biaojie.registry.prefix_changes import addresses_of, changing, from_rows, locked, rows_of, set_addresses
from biaojie.registry.reachability import check_addresses
from biaojie.registry.rules import Address

log = structlog.get_logger(__name__)

State = RoutingChange.State
SOFTWARE = "system:routing"


def put_routing(*, actor: object, name: str, endpoints: list[dict[str, Any]]) -> dict[str, Any]:
    """The holder's verb: `{"change_id", "state"}` of the change this makes, at this node or, for an own prefix, at the parent.

    Raises the errors of `propose_routing`; for an own prefix also `ParentMissing`, `ParentRefused`, `ParentSilent`.
    """
    prefix = Prefix.objects.filter(name=name).first()
    if prefix is None:
        raise NotFound(pointer="name", what="前缀", name=name)
    if not prefix.is_own:
        change = propose_routing(actor=actor, name=name, endpoints=endpoints)
        return {"change_id": change.id, "state": change.state}
    if this_node().role == "top":
        raise NotAllowed(name=name)  # the root's addresses are its settings (`found_root`)
    _check_status(prefix)
    wanted = _check_form(endpoints)
    answer = ask_parent("PUT", f"/prefixes/{name}/routing", name=name, json={"endpoints": rows_of(wanted)})
    assert answer is not None, "may_miss was not asked for"
    with transaction.atomic():
        prefix = locked(name)
        if wanted != addresses_of(prefix):
            with changing(prefix, actor=actor):
                set_addresses(prefix, wanted)
        detail = {"endpoints": rows_of(wanted), "change_at_parent": answer["change_id"], "state": answer["state"]}
        audit.record(actor=actor, action="registry.routing.forward", subject=f"prefix:{name}", detail=detail)
    return {"change_id": answer["change_id"], "state": answer["state"]}


def propose_routing(*, actor: object, name: str, endpoints: list[dict[str, Any]]) -> RoutingChange:
    """Plans a change at the node that publishes it; checks each new address and, where nobody else must agree, publishes.

    Proposing what is open or in force already gives that change again. Raises `RoutingRefused`s (form, private address,
    `Unreachable` with every check in its data, `ChangeOpen`), `TopApprovalMissing`, `StateRefused`, `NotFound`.
    """
    settle_due(name=name)
    wanted = _check_form(endpoints)
    with transaction.atomic():
        prefix = locked(name)
        _check_status(prefix)
        if prefix.is_own or (this_node().role == "top" and name.count(".") != 1):
            raise NotAllowed(name=name)
        change = RoutingChange.objects.filter(prefix=prefix, state__in=workflows.OPEN_CHANGE_STATES).first()
        if change is not None:
            if change.new != rows_of(wanted):
                raise ChangeOpen(pointer="endpoints", name=name, change=change.id)
            if change.state != State.PROPOSED:
                return change
        else:
            held = addresses_of(prefix)
            if held == wanted and (last := _last_settled(prefix, wanted)) is not None:
                return last
            change = RoutingChange.objects.create(
                prefix=prefix,
                state=State.PROPOSED,
                old=rows_of(held),
                new=rows_of(wanted),
                proposed_by=str(actor),
                created_at=clock.now(),
            )
            detail = {"change": change.id, "old": change.old, "new": change.new}
            audit.record(actor=actor, action="registry.routing.propose", subject=f"prefix:{name}", detail=detail)
    return _check_and_go_on(change, name)


def approve_change(*, actor: object, change_id: int) -> RoutingChange:
    """The second person's yes; published at once. Raises `SamePerson`, `NotFound`, `WF-10x`."""
    with transaction.atomic():
        change = _locked_change(change_id)
        if change.proposed_by == str(actor):
            raise SamePerson(name=change.prefix.name, state=State(change.state).label, act="批准")
        _publish(change, actor=actor)
    return change


def refuse_change(*, actor: object, change_id: int, reason: str) -> RoutingChange:
    """The second person's no, with a reason. Raises `ReasonMissing`, `NotFound`, `WF-10x`."""
    if not reason.strip():
        raise ReasonMissing(pointer="reason")
    with transaction.atomic():
        change = _locked_change(change_id)
        workflows.move_change(change, "refuse", actor=actor, note=reason, fields={"reason": reason.strip()})
        _record(change, "refuse", actor=actor, reason=reason)
    return change


def roll_back(*, actor: object, change_id: int, reason: str = "") -> RoutingChange:
    """Takes a change back: before publication it just ends, after it the old addresses stand alone again, at once."""
    with transaction.atomic():
        change = _locked_change(change_id)
        was_published = change.state == State.PUBLISHED
        workflows.move_change(change, "roll_back", actor=actor, note=reason, fields={"reason": reason.strip()})
        if was_published:
            prefix = locked(change.prefix.name)
            with changing(prefix, actor=actor):
                set_addresses(prefix, from_rows(change.old))
        _record(change, "roll_back", actor=actor, reason=reason)
    return change


def settle_due(*, name: str | None = None) -> int:
    """Ends the time of the old addresses where one TTL has passed; gives how many changes were settled. A planned job."""
    due = RoutingChange.objects.filter(state=State.PUBLISHED, settle_at__lte=clock.now())
    if name is not None:
        due = due.filter(prefix__name=name)
    settled = 0
    for change_id in list(due.order_by("id").values_list("id", flat=True)):
        with transaction.atomic():
            change = _locked_change(change_id)
            if change.state != State.PUBLISHED:
                continue  # somebody was faster
            prefix = locked(change.prefix.name)
            workflows.move_change(change, "settle", actor=SOFTWARE)
            with changing(prefix, actor=SOFTWARE):
                set_addresses(prefix, from_rows(change.new))
            _record(change, "settle", actor=SOFTWARE)
            settled += 1
    return settled


def recheck_proposed() -> int:
    """Takes up changes whose check was cut short by a crash; gives how many. A planned job."""
    before = clock.now() - timedelta(minutes=1)
    stuck = RoutingChange.objects.filter(state=State.PROPOSED, created_at__lte=before).select_related("prefix")
    count = 0
    for change in list(stuck):
        try:
            _check_and_go_on(change, change.prefix.name)
        except Unreachable:
            pass  # it is refused now, with the reason in the row
        except BiaojieError as error:
            # A prefix disabled meanwhile, say: its change waits, the others must not wait with it.
            log.warning("registry.change_waits", change=change.id, prefix=change.prefix.name, error=str(error))
        count += 1
    return count


def change_row(change: RoutingChange) -> dict[str, Any]:
    """The form in which the API lists a change."""
    return {
        "change_id": change.id,
        "prefix": change.prefix.name,
        "state": change.state,
        "state_title": State(change.state).label,
        "old": change.old,
        "new": change.new,
        "checks": change.checks,
        "proposed_by": change.proposed_by,
        "approved_by": change.approved_by,
        "reason": change.reason,
        "created_at": change.created_at,
        "settle_at": change.settle_at,
    }


def _check_form(endpoints: list[dict[str, Any]]) -> list[Address]:
    """表2/表7 #3–5; private addresses only among test nodes (INT: a production record must be reachable by everybody)."""
    wanted = rules.check_addresses(endpoints, allow_private=settings.NODE.environment == "test")
    for version in (4, 6):
        if len({row.ip for row in wanted if row.ip_type == version}) > ADDRESSES_MAX.value:
            raise RoutingRefused(pointer="endpoints", reason=f"同一类型的 IP 地址最多 {ADDRESSES_MAX.value} 个")
    return wanted


def _check_status(prefix: Prefix) -> None:
    if prefix.status in (Prefix.Status.PENDING, Prefix.Status.IN_REVIEW):
        raise TopApprovalMissing(name=prefix.name, state=Prefix.Status(prefix.status).label, act="配置解析路由")
    if prefix.status != Prefix.Status.ENABLED:
        raise StateRefused(name=prefix.name, state=Prefix.Status(prefix.status).label, act="配置解析路由")
    if prefix.hosting == Prefix.Hosting.HOSTED:
        raise StateRefused(name=prefix.name, state="已托管", act="自行配置解析路由")


def _check_and_go_on(change: RoutingChange, name: str) -> RoutingChange:
    """Asks each new address once, outside any transaction, and takes the next steps by what came of it."""
    old = from_rows(change.old)
    new = [row for row in from_rows(change.new) if row not in old]
    checks = check_addresses(new, record=f"0.NA/{name}", timeout_ms=CHECK_TIMEOUT_MS.value)
    silent = [check for check in checks if not check.is_answered]
    rows = [check.as_row() for check in checks]
    with transaction.atomic():
        change = _locked_change(change.id)
        if change.state != State.PROPOSED:
            return change  # checked by a call at the same time
        if silent:
            reason = "；".join(
                f"{check.address.protocol} {check.address.ip}:{check.address.port} {check.reason}" for check in silent
            )
            workflows.move_change(change, "fail", actor=SOFTWARE, note=reason, fields={"checks": rows, "reason": reason})
            _record(change, "fail", actor=SOFTWARE, reason=reason)
        else:
            workflows.move_change(change, "check", actor=SOFTWARE, fields={"checks": rows})
            if not (this_node().role == "top" and SECOND_PERSON_AT_TOP.value):
                _publish(change, actor=SOFTWARE)
    if silent:
        raise Unreachable(pointer="endpoints", reason=reason, checks=rows)
    return change


def _publish(change: RoutingChange, *, actor: object) -> None:
    """Approval and publication are one transaction: nothing can be approved and not published."""
    prefix = locked(change.prefix.name)
    _check_status(prefix)
    workflows.move_change(change, "approve", actor=actor, fields={"approved_by": str(actor)})
    settle_at = clock.now() + timedelta(seconds=settings.NODE.delegation_ttl_s)
    workflows.move_change(change, "publish", actor=SOFTWARE, fields={"settle_at": settle_at})
    with changing(prefix, actor=actor):
        old = from_rows(change.old)
        both = old + [row for row in from_rows(change.new) if row not in old]
        set_addresses(prefix, sorted(both, key=lambda row: (row.ip, row.protocol, row.port)))
    _record(change, "publish", actor=actor)


def _last_settled(prefix: Prefix, wanted: list[Address]) -> RoutingChange | None:
    last = RoutingChange.objects.filter(prefix=prefix, state=State.SETTLED).order_by("-id").first()
    return last if last is not None and last.new == rows_of(wanted) else None


def _locked_change(change_id: int) -> RoutingChange:
    change = RoutingChange.objects.select_for_update().filter(id=change_id).first()
    if change is None:
        raise NotFound(pointer="change_id", what="路由变更", name=change_id)
    return change


def _record(change: RoutingChange, event: str, *, actor: object, reason: str = "") -> None:
    detail = {"change": change.id, "state": change.state, "reason": reason}
    audit.record(actor=actor, action=f"registry.routing.{event}", subject=f"prefix:{change.prefix.name}", detail=detail)
