"""Routes of the code systems other than Handle (表2/表7): who may claim which prefix or range, and where it leads.

A node that claims a coverage publishes a route to itself (`final`: it answers the identifiers) or to the addresses given.
Upward goes always a route to this node: the top answers "ask that second-level node", it answers "ask that enterprise".
VAA is asked for by its Handle form and needs no route. Overlaps between owners are refused, by name here and by trigger
in the database.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Q

from biaojie.base import clock
from biaojie.base.errors import BiaojieError
from biaojie.codes.ranges import Coverage, parse_coverage
from biaojie.codes.systems import System
from biaojie.foundation.audit import log as audit
from biaojie.foundation.nodes.models import Peer
from biaojie.foundation.nodes.operations import this_node
from biaojie.foundation.records import journal
from biaojie.registry import rules
from biaojie.registry.errors import NotAllowed, NotFound, ParentMissing, RouteOverlap, RouteRefused, StateRefused
from biaojie.registry.handle_rows import PUBLICATION
from biaojie.registry.models import Prefix, RouteClaim
from biaojie.registry.node_calls import ask_parent, parent_or_none
from biaojie.registry.prefix_changes import ROOT, own_addresses, rows_of
from biaojie.registry.publication import route_content_of, route_key
from biaojie.registry.rules import Address
from biaojie.registry.triggers import OVERLAP


def claim_route(
    *, actor: object, system: str, coverage: str, addresses: Sequence[dict[str, Any]] = (), final: bool = True
) -> RouteClaim:
    """Claims a coverage for this node's own prefix, here and at every node above; the same claim again is the same row.

    Without `addresses` the node itself answers (`final` must hold). The parent is asked first: what it refuses is not
    published here. Raises `RouteRefused`, `RouteOverlap` (names the holder), `StateRefused`, `ParentRefused`,
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
    _tell_parent(parsed, owner=own.name)
    return _store(actor=actor, coverage=parsed, owner=own.name, holder=holder, peer=None, addresses=given, final=final)


def accept_claim(
    *, actor: object, peer: Peer, system: str, coverage: str, addresses: Sequence[dict[str, Any]], owner: str
) -> RouteClaim:
    """A child's claim: published here as a route to it, and passed on upward unless a claim of our own takes it in.

    `owner` must be an enabled prefix that the child holds. Raises as `claim_route`, and `NotAllowed`.
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
    if this_node().role != "top":
        _tell_parent(parsed, owner=prefix.parent)
    return _store(actor=actor, coverage=parsed, owner=owner, holder=holder, peer=peer, addresses=given, final=False)


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
    """Raises `RouteOverlap` naming the holder of a live claim that this one would meet."""
    low, high = coverage.interval()
    met = RouteClaim.objects.filter(system=coverage.system.value, removed_at=None, low__lt=high, high__gt=low)
    for other in met.exclude(owner=owner).order_by("low", "id"):
        other_low, other_high = bytes(other.low), bytes(other.high)
        is_inside = owner.startswith(f"{other.owner}.") and other_low <= low and high <= other_high
        is_around = other.owner.startswith(f"{owner}.") and low <= other_low and other_high <= high
        is_same = (low, high) == (other_low, other_high)
        if is_same or not (is_inside or is_around):
            raise _overlap(coverage, other)


def claims() -> list[dict[str, Any]]:
    """Every live claim, as the API lists it."""
    return [claim_row(claim) for claim in RouteClaim.objects.filter(removed_at=None).order_by("system", "coverage")]


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
    """Writes the claim and journals it; a coverage once given up comes back in its old row, so that its version grows."""
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
                "removed_at": None,
            }
            if claim.pk and all(getattr(claim, name) == value for name, value in wanted.items()):
                return claim
            if claim.removed_at is not None or not claim.pk:
                claim.created_at = clock.now()
            for name, value in wanted.items():
                setattr(claim, name, value)
            claim.version += 1
            claim.save()
            with journal.change_set(actor=actor, channels=(PUBLICATION,)) as changes:
                changes.put(kind="route", key=route_key(claim), version=claim.version, content=route_content_of(claim))
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
        body = {"system": claim.system, "coverage": claim.coverage}
        if not _is_taken_in(claim):
            ask_parent("POST", "/routes/withdraw", name=claim.coverage, json=body)
    with transaction.atomic():
        claim = RouteClaim.objects.select_for_update().get(id=claim.id)
        if claim.removed_at is not None:
            return claim
        claim.removed_at = clock.now()
        claim.version += 1
        claim.save(update_fields=["removed_at", "version"])
        with journal.change_set(actor=actor, channels=(PUBLICATION,)) as changes:
            changes.remove(kind="route", key=route_key(claim), version=claim.version)
        audit.record(actor=actor, action="registry.route.remove", subject=f"route:{claim.system}:{claim.coverage}")
    return claim


def _tell_parent(coverage: Coverage, *, owner: str) -> None:
    """Has the parent route the coverage to us; nothing to do at the top, or inside what it routes to us already."""
    if this_node().role == "top":
        return
    low, high = coverage.interval()
    wider = RouteClaim.objects.filter(system=coverage.system.value, removed_at=None, low__lte=low, high__gte=high, owner=owner)
    if wider.filter(~Q(coverage=coverage.canonical), peer_id="").exists():
        return
    if parent_or_none() is None:
        raise ParentMissing(name=coverage.canonical, state="未入网", act="登记编码路由")
    body = {
        "system": coverage.system.value,
        "coverage": coverage.canonical,
        "addresses": rows_of(_own_http()),
        "owner": owner,
    }
    ask_parent("POST", "/routes", name=coverage.canonical, json=body)


def _is_taken_in(claim: RouteClaim) -> bool:
    """Whether the parent routes it to us only as a part of a wider claim of ours."""
    wider = RouteClaim.objects.filter(system=claim.system, removed_at=None, peer_id="", low__lte=claim.low, high__gte=claim.high)
    return wider.exclude(id=claim.id).exists()


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
