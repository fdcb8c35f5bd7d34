"""Routes of the code systems other than Handle (表2/表7): who may claim which prefix or range, and where it leads.

A node that claims a coverage publishes a route to itself (`final`: it answers the identifiers) or to the addresses given.
Upward goes always a route to this node: the top answers "ask that second-level node", it answers "ask that enterprise".
VAA is asked for by its Handle form and needs no route. Overlaps between owners are refused, by name here and by trigger
in the database. Nobody can prove by software who holds a coverage, so that people look at it (INT-9): a reviewer of each
node that a claim comes to, the child's own row following the verdict above (`sync_claims`). Only active claims are published.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Q, QuerySet

from biaojie.base import clock
from biaojie.base.errors import BiaojieError
from biaojie.codes.ranges import Coverage, parse_coverage
from biaojie.codes.systems import System
from biaojie.foundation.audit import log as audit
from biaojie.foundation.nodes.models import Peer
from biaojie.foundation.nodes.operations import this_node
from biaojie.foundation.records import journal
from biaojie.registry import rules, workflows
from biaojie.registry.errors import (
    NotAllowed,
    NotFound,
    ParentMissing,
    ParentRefused,
    ParentSilent,
    ReasonMissing,
    RouteOverlap,
    RouteRefused,
    SamePerson,
    StateRefused,
)
from biaojie.registry.handle_rows import PUBLICATION
from biaojie.registry.models import Prefix, RouteClaim
from biaojie.registry.node_calls import ask_parent, parent_or_none
from biaojie.registry.policies import ROUTE_REVIEW_REQUIRED
from biaojie.registry.prefix_changes import ROOT, own_addresses, rows_of
from biaojie.registry.publication import route_content_of, route_key
from biaojie.registry.rules import Address
from biaojie.registry.triggers import OVERLAP

State = RouteClaim.State
SOFTWARE = "system:routes"
PARENT = "system:parent"

log = structlog.get_logger(__name__)


def claim_route(
    *, actor: object, system: str, coverage: str, addresses: Sequence[dict[str, Any]] = (), final: bool = True
) -> RouteClaim:
    """Claims a coverage for this node's own prefix, here and at every node above; the same claim again is the same row.

    Without `addresses` the node itself answers (`final` must hold). The parent is asked first: what it refuses at once is
    not kept here, and what waits for its reviewer waits here too. A claim that goes no further up (at the top, or inside a
    wider one of ours) waits for a reviewer of this node. Raises `RouteRefused`, `RouteOverlap` (names the holder), `StateRefused`, `ParentRefused`,
    `ParentSilent`.
    """
    parsed = _parse(system, coverage)
    own = Prefix.objects.filter(is_own=True, status=Prefix.Status.ENABLED).exclude(name=ROOT).order_by("id").first()
    if own is None:
        raise StateRefused(name="本节点的前缀", state="未启用", act="登记编码路由")
    if not addresses and not final:
        raise RouteRefused(pointer="addresses", reason="不由本节点应答时必须填写地址")
    given = rules.check_addresses(addresses, allow_private=_private()) if addresses else _own_http()
    holder = own.registrant.name if own.registrant else this_node().name
    refuse_overlap(parsed, owner=own.name)
    above = _tell_parent(parsed, owner=own.name)
    claim = _store(actor=actor, coverage=parsed, owner=own.name, holder=holder, peer=None, addresses=given, final=final)
    if above:
        _follow(claim, above, "")
    elif not ROUTE_REVIEW_REQUIRED.value:
        _activate(claim, "confirm", actor=SOFTWARE)
    return claim


def accept_claim(
    *, actor: object, peer: Peer, system: str, coverage: str, addresses: Sequence[dict[str, Any]], owner: str
) -> RouteClaim:
    """A child's claim: it waits for a reviewer, who has it published or passed on upward (`approve_claim`).

    An active claim's new addresses are published at once: who holds the coverage has been looked at. `owner` must be an enabled prefix that the child holds. Raises as `claim_route`, and `NotAllowed`.
    """
    parsed = _parse(system, coverage)
    prefix = Prefix.objects.filter(name=owner, peer_id=peer.node_id).select_related("registrant").first()
    if prefix is None:
        raise NotAllowed(pointer="owner", name=owner)
    if prefix.status != Prefix.Status.ENABLED:
        raise StateRefused(name=owner, state=Prefix.Status(prefix.status).label, act="登记编码路由")
    given = rules.check_addresses(addresses, allow_private=_private())
    if not any(row.protocol == "HTTP" for row in given):
        raise RouteRefused(pointer="addresses", reason="其他编码体系经 HTTP 解析，须有 HTTP 地址")
    holder = prefix.registrant.name if prefix.registrant else peer.name
    refuse_overlap(parsed, owner=owner)
    claim = _store(actor=actor, coverage=parsed, owner=owner, holder=holder, peer=peer, addresses=given, final=False)
    if claim.state == State.PROPOSED and not ROUTE_REVIEW_REQUIRED.value:
        _approve(claim, actor=SOFTWARE)
    return claim


def approve_claim(*, actor: object, claim_id: int) -> RouteClaim:
    """The reviewer's yes: published here, or passed on upward and published with the parent's verdict.

    Repeating it after a silence of the parent is the same. Raises `SamePerson`, `StateRefused` (the holder's prefix is not
    enabled any more), `NotFound`, `WF-10x`, `ParentMissing`, `ParentRefused`, `ParentSilent`; then the claim still waits.
    """
    claim = _found(claim_id)
    workflows.check_claim(claim, "approve", actor=actor)
    if claim.proposed_by == str(actor):
        raise SamePerson(name=claim.coverage, state=State(claim.state).label, act="批准")
    _approve(claim, actor=actor)
    return claim


def refuse_claim(*, actor: object, claim_id: int, reason: str) -> RouteClaim:
    """The reviewer's no; the coverage is free again. Raises `ReasonMissing`, `SamePerson`, `NotFound`, `WF-10x`."""
    if not reason.strip():
        raise ReasonMissing(pointer="reason")
    claim = _found(claim_id)
    workflows.check_claim(claim, "refuse", actor=actor)
    if claim.proposed_by == str(actor):
        raise SamePerson(name=claim.coverage, state=State(claim.state).label, act="拒绝")
    _end(claim, "refuse", actor=actor, reason=reason.strip())
    return claim


def sync_claim(*, actor: object, claim_id: int) -> RouteClaim:
    """Asks the parent for its verdicts and gives one claim as it then stands. Raises `NotFound`, `ParentRefused`, `ParentSilent`."""
    claim = _found(claim_id)
    if this_node().role != "top" and parent_or_none() is not None:
        _sync()
        claim.refresh_from_db()
    return claim


def sync_claims() -> int:
    """Follows the parent's verdicts on claims passed up; gives how many moved. A planned job."""
    if this_node().role == "top" or parent_or_none() is None or not _forwarded().exists():
        return 0
    try:
        return _sync()
    except (ParentSilent, ParentRefused) as error:
        log.warning("registry.claims_not_followed", error=str(error))
        return 0


def remove_claim(*, actor: object, claim_id: int) -> RouteClaim:
    """Gives up a claim of this node, above first. Raises `NotFound`, `NotAllowed`, `ParentRefused`, `ParentSilent`."""
    claim = RouteClaim.objects.filter(id=claim_id, removed_at=None).first()
    if claim is None:
        raise NotFound(pointer="id", what="编码路由", name=claim_id)
    if claim.peer_id and this_node().role == "top":
        raise NotAllowed(name=claim.coverage)  # its second-level node gives it up
    return _remove(actor=actor, claim=claim)


def withdraw_claim(*, actor: object, peer: Peer, system: str, coverage: str) -> RouteClaim | None:
    """A child gives up its claim; None when it has none (so that the call may be repeated)."""
    parsed = _parse(system, coverage)
    claim = RouteClaim.objects.filter(
        system=parsed.system.value, coverage=parsed.canonical, peer_id=peer.node_id, removed_at=None
    ).first()
    return None if claim is None else _remove(actor=actor, claim=claim)


def refuse_overlap(coverage: Coverage, *, owner: str) -> None:
    """Raises `RouteOverlap` naming the holder of an open claim that this one would meet."""
    low, high = coverage.interval()
    met = RouteClaim.objects.filter(system=coverage.system.value, removed_at=None, low__lt=high, high__gt=low)
    for other in met.exclude(owner=owner).order_by("low", "id"):
        other_low, other_high = bytes(other.low), bytes(other.high)
        is_inside = owner.startswith(f"{other.owner}.") and other_low <= low and high <= other_high
        is_around = other.owner.startswith(f"{owner}.") and low <= other_low and other_high <= high
        is_same = (low, high) == (other_low, other_high)
        if is_same or not (is_inside or is_around):
            raise _overlap(coverage, other)


def claims(*, state: str | None = None) -> list[dict[str, Any]]:
    """The claims of a state, or all but the withdrawn, as the API lists them."""
    rows = RouteClaim.objects.exclude(state=State.WITHDRAWN) if state is None else RouteClaim.objects.filter(state=state)
    return [claim_row(claim) for claim in rows.order_by("system", "coverage")]


def claims_of(peer: Peer) -> list[dict[str, Any]]:
    """A child's claims with the verdicts on them."""
    return [claim_row(claim) for claim in RouteClaim.objects.filter(peer_id=peer.node_id).order_by("id")]


def claim_row(claim: RouteClaim) -> dict[str, Any]:
    """The form in which the API lists a claim."""
    return {
        "id": claim.id,
        "system": claim.system,
        "coverage": claim.coverage,
        "owner": claim.owner,
        "holder": claim.holder,
        "peer_id": claim.peer_id,
        "addresses": claim.addresses,
        "final": claim.final,
        "state": claim.state,
        "state_title": State(claim.state).label,
        "proposed_by": claim.proposed_by,
        "decided_by": claim.decided_by,
        "reason": claim.reason,
        "created_at": claim.created_at,
        "version": claim.version,
    }


def _parse(system: str, coverage: str) -> Coverage:
    try:
        found = System.from_wire(system)
        if found in (System.HANDLE, System.VAA):
            raise RouteRefused(pointer="system", reason=f"{found.value} 通过前缀登记，不需要编码路由")
        return parse_coverage(found, coverage)
    except RouteRefused:
        raise
    except BiaojieError as error:
        raise RouteRefused(pointer="coverage", reason=error.message, cause=error.code) from error


def _store(
    *,
    actor: object,
    coverage: Coverage,
    owner: str,
    holder: str,
    peer: Peer | None,
    addresses: Sequence[Address],
    final: bool,
) -> RouteClaim:
    """Writes the claim as proposed; one that is open already gets what is new in it, published if it is active.

    A coverage once given up or refused comes back in its old row, so that its version grows.
    """
    low, high = coverage.interval()
    system = coverage.system.value
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                # The trigger's own lock: taken first, so that what is looked up here is still true when it is written.
                cursor.execute("SELECT pg_advisory_xact_lock(hashtext('registry_routeclaim'), hashtext(%s))", [system])
            refuse_overlap(coverage, owner=owner)
            claim = RouteClaim.objects.select_for_update().filter(system=system, coverage=coverage.canonical).first()
            if claim is None:
                claim = RouteClaim(system=system, coverage=coverage.canonical, low=low, high=high, version=0)
            wanted = {
                "owner": owner,
                "holder": holder,
                "peer_id": peer.node_id if peer else "",
                "addresses": rows_of(addresses),
                "final": final,
            }
            is_open = bool(claim.pk) and claim.removed_at is None
            if is_open and all(getattr(claim, name) == value for name, value in wanted.items()):
                return claim
            anew = {"created_at": clock.now(), "proposed_by": str(actor), "decided_by": "", "reason": "", "removed_at": None}
            for name, value in (wanted if is_open else wanted | anew).items():
                setattr(claim, name, value)
            claim.version += 1
            if claim.pk and not is_open:
                fields = {name: getattr(claim, name) for name in (*wanted, *anew, "version")}
                workflows.move_claim(claim, "propose", actor=actor, fields=fields)
            else:
                claim.save()
            if claim.state == State.ACTIVE:
                _publish(claim, actor=actor)
            detail = {"owner": owner, "final": final, "addresses": rows_of(addresses)}
            audit.record(
                actor=actor, action="registry.route.claim", subject=f"route:{system}:{coverage.canonical}", detail=detail
            )
            return claim
    except IntegrityError as error:
        if OVERLAP not in str(error) and "registry_claim_once" not in str(error):
            raise
        refuse_overlap(coverage, owner=owner)
        raise


def _remove(*, actor: object, claim: RouteClaim) -> RouteClaim:
    if not claim.peer_id and (inner := _taken_in_by(claim)):
        raise RouteRefused(pointer="id", reason=f"其下还有 {inner} 项下级节点的路由，请先撤销")
    if this_node().role != "top" and parent_or_none() is not None:
        # Asked even where a wider claim takes it in now: it may have been passed up before there was one.
        body = {"system": claim.system, "coverage": claim.coverage}
        ask_parent("POST", "/routes/withdraw", name=claim.coverage, json=body)
    claim.refresh_from_db()
    if claim.removed_at is None:
        _end(claim, "withdraw", actor=actor)
    return claim


def _approve(claim: RouteClaim, *, actor: object) -> None:
    holder = Prefix.objects.filter(name=claim.owner).first()
    if holder is None or holder.status != Prefix.Status.ENABLED:
        state = Prefix.Status(holder.status).label if holder else "未登记"
        raise StateRefused(name=claim.owner, state=state, act="登记编码路由")
    above = _tell_parent(_parse(claim.system, claim.coverage), owner=holder.parent if claim.peer_id else holder.name)
    by_person = actor != SOFTWARE
    if above is None or above == State.ACTIVE:
        _activate(claim, "approve" if by_person else "confirm", actor=actor)
        return
    with transaction.atomic():
        fields = {"decided_by": str(actor)}
        workflows.move_claim(claim, "forward" if by_person else "reviewing", actor=actor, fields=fields)
        _record(claim, "forward", actor=actor)


def _activate(claim: RouteClaim, event: str, *, actor: object) -> None:
    """Publishes a claim that waited; nothing where it is active already."""
    if claim.state == State.ACTIVE:
        return
    with transaction.atomic():
        _lock(claim)
        fields = {"version": claim.version + 1, "decided_by": claim.decided_by or str(actor)}
        workflows.move_claim(claim, event, actor=actor, fields=fields)
        _publish(claim, actor=actor)
        _record(claim, event, actor=actor)


def _end(claim: RouteClaim, event: str, *, actor: object, reason: str = "") -> None:
    """Refuses or withdraws an open claim; what was published goes."""
    with transaction.atomic():
        _lock(claim)
        was_active = claim.state == State.ACTIVE
        fields = {"version": claim.version + 1, "removed_at": clock.now(), "reason": reason}
        if event != "withdraw":
            fields["decided_by"] = str(actor)
        workflows.move_claim(claim, event, actor=actor, note=reason, fields=fields)
        if was_active:
            with journal.change_set(actor=actor, channels=(PUBLICATION,)) as changes:
                changes.remove(kind="route", key=route_key(claim), version=claim.version)
        _record(claim, event, actor=actor, reason=reason)


def _sync() -> int:
    """One call for all: the parent lists what it knows of our claims; what it has never heard of is sent again."""
    answer = ask_parent("GET", "/routes") or {}
    verdicts = {(row["system"], row["coverage"]): row for row in answer.get("items", ())}
    moved = 0
    for claim in list(_forwarded()):
        verdict = verdicts.get((claim.system, claim.coverage))
        try:
            if verdict is None:
                owner = Prefix.objects.get(name=claim.owner)
                _tell_parent(_parse(claim.system, claim.coverage), owner=owner.parent if claim.peer_id else owner.name)
            else:
                moved += _follow(claim, str(verdict["state"]), str(verdict["reason"]))
        except ParentSilent:
            raise
        except BiaojieError as error:
            # What cannot be followed for one claim must not keep the others from their verdicts.
            log.error("registry.claim_not_followed", system=claim.system, coverage=claim.coverage, error=str(error))
    return moved


def _follow(claim: RouteClaim, above: str, reason: str) -> bool:
    """Takes the step that the parent's state of our claim asks for; whether there was one."""
    if claim.state not in (State.PROPOSED, State.FORWARDED):
        return False
    if above == State.ACTIVE:
        _activate(claim, "confirm", actor=PARENT)
    elif above in (State.PROPOSED, State.FORWARDED):
        if claim.state == State.FORWARDED:
            return False
        workflows.move_claim(claim, "reviewing", actor=PARENT)
    elif above == State.REFUSED and claim.state == State.FORWARDED:
        _end(claim, "refuse_above", actor=PARENT, reason=reason)
    elif above == State.WITHDRAWN:
        _end(claim, "withdraw", actor=PARENT)
    else:
        return False
    return True


def _forwarded() -> QuerySet[RouteClaim]:
    return RouteClaim.objects.filter(state=State.FORWARDED).order_by("id")


def _found(claim_id: int) -> RouteClaim:
    claim = RouteClaim.objects.filter(id=claim_id).first()
    if claim is None:
        raise NotFound(pointer="claim_id", what="编码路由", name=claim_id)
    return claim


def _lock(claim: RouteClaim) -> None:
    """The row as it is now, until the transaction ends: its version and content are not to be those of a moment ago."""
    claim.refresh_from_db(from_queryset=RouteClaim.objects.select_for_update())


def _publish(claim: RouteClaim, *, actor: object) -> None:
    with journal.change_set(actor=actor, channels=(PUBLICATION,)) as changes:
        changes.put(kind="route", key=route_key(claim), version=claim.version, content=route_content_of(claim))


def _record(claim: RouteClaim, event: str, *, actor: object, reason: str = "") -> None:
    subject = f"route:{claim.system}:{claim.coverage}"
    detail = {"owner": claim.owner, "state": claim.state, "reason": reason}
    audit.record(actor=actor, action=f"registry.route.{event}", subject=subject, detail=detail)


def _tell_parent(coverage: Coverage, *, owner: str) -> str | None:
    """Has the parent route the coverage to us, and gives the state it has there; None where there is nothing to ask.

    That is at the top, and inside what the parent routes to us already.
    """
    if this_node().role == "top":
        return None
    low, high = coverage.interval()
    wider = RouteClaim.objects.filter(system=coverage.system.value, state=State.ACTIVE, low__lte=low, high__gte=high, owner=owner)
    if wider.filter(~Q(coverage=coverage.canonical), peer_id="").exists():
        return None
    if parent_or_none() is None:
        raise ParentMissing(name=coverage.canonical, state="未入网", act="登记编码路由")
    body = {
        "system": coverage.system.value,
        "coverage": coverage.canonical,
        "addresses": rows_of(_own_http()),
        "owner": owner,
    }
    answer = ask_parent("POST", "/routes", name=coverage.canonical, json=body)
    assert answer is not None, "may_miss was not asked for"
    return str(answer["state"])


def _taken_in_by(claim: RouteClaim) -> int:
    """How many claims of nodes below are routed to us only because this one takes them in."""
    inner = RouteClaim.objects.filter(system=claim.system, removed_at=None, low__gte=claim.low, high__lte=claim.high)
    return inner.exclude(id=claim.id).exclude(peer_id="").count()


def _own_http() -> list[Address]:
    own = Prefix.objects.filter(is_own=True).order_by("id").first()
    found = [row for row in own_addresses(own) if row.protocol == "HTTP"]
    if not found:
        raise RouteRefused(pointer="addresses", reason="本节点没有标识解析 HTTP 地址")
    return found


def _private() -> bool:
    return bool(settings.NODE.environment == "test")


def _overlap(coverage: Coverage, other: RouteClaim) -> RouteOverlap:
    return RouteOverlap(
        pointer="coverage",
        system=coverage.system.value,
        coverage=coverage.canonical,
        holder=other.holder,
        other=other.coverage,
    )
