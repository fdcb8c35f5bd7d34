"""Business verbs of registrants and prefixes: register, apply, review, follow the parent's verdict, change state.

A prefix lives at up to three nodes: at its holder (`is_own`), at the node that allots it, and, for an enterprise's, at the
top that approves it (SNMS practice). Each keeps its own row; the lower asks the upper by signed calls. What is asked is
stored first, so every call can be repeated, and `sync_prefix` repeats what was not heard. Routing is `operations_routing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.models import Prefetch, Q, prefetch_related_objects

from biaojie.base import clock
from biaojie.base.errors import BiaojieError
from biaojie.codes.handle_names import parent_prefix
from biaojie.foundation.audit import log as audit
from biaojie.foundation.nodes import operations as nodes
from biaojie.foundation.nodes.models import Peer, Relation
from biaojie.foundation.nodes.peers import covers, one_at_a_time
from biaojie.registry import rules, workflows
from biaojie.registry.errors import (
    NotAllowed,
    NotFound,
    ParentMissing,
    ParentRefused,
    ParentSilent,
    PortMissing,
    PrefixPlace,
    PrefixTaken,
    ReasonMissing,
    RegistrantForm,
    StateRefused,
)
from biaojie.registry.models import Endpoint, OwnSite, Prefix, Registrant, RoutingChange
from biaojie.registry.node_calls import ask_parent, parent_or_none
from biaojie.registry.policies import REASONS, TOP_APPROVAL_REQUIRED
from biaojie.registry.prefix_changes import (
    ROOT,
    addresses_of,
    changing,
    configured_addresses,
    from_rows,
    locked,
    rows_of,
    set_addresses,
)
from biaojie.registry.rules import Address

log = structlog.get_logger(__name__)

Status = Prefix.Status
Hosting = Prefix.Hosting

ROOT_PREFIXES = (ROOT, "86", "88")
"""What the root of a deployment holds (DESIGN §2)."""

PARENT = "system:parent"
"""Who moves a prefix on its parent's verdict, whoever asked for it."""


def register_registrant(*, actor: object, name: str, credit_code: str) -> Registrant:
    """The unit of this 统一社会信用代码, registered at its first call. Raises `RegistrantForm`, also for another name."""
    name, code = rules.check_registrant(name, credit_code)
    now = clock.now()
    with transaction.atomic():
        row, is_new = Registrant.objects.get_or_create(
            credit_code=code, defaults={"name": name, "created_at": now, "updated_at": now}
        )
        if row.name != name:
            raise RegistrantForm(pointer="registrant/name", reason=f"统一社会信用代码 {code} 已登记为“{row.name}”")
        if is_new:
            audit.record(actor=actor, action="registry.registrant.register", subject=f"registrant:{code}", detail={"name": name})
    return row


def apply_prefix(
    *, actor: object, name: str, registrant: tuple[str, str], hosted: bool = False, peer: Peer | None = None
) -> Prefix:
    """Records an application, 待审核, and passes it on if the prefix is to be this node's own.

    `registrant` is name and 统一社会信用代码; `peer` is the node that brings it, None for an application at our desk.
    Repeating an application gives the row as it stands; after a rejection it is submitted anew. Raises
    `PrefixRefused`s, `RegistrantForm`, `StateRefused`; for an own prefix also `ParentRefused` or `ParentSilent`, with the
    row kept.
    """
    rules.check_prefix_name(name)
    is_own = peer is None and _is_own(name)
    parent = parent_prefix(name) or ""
    if not is_own:
        _check_place(name, parent, peer)
    elif hosted:
        raise StateRefused(name=name, state="本节点自己的前缀", act="申请托管")
    with transaction.atomic():
        unit = register_registrant(actor=actor, name=registrant[0], credit_code=registrant[1])
        _lock_siblings(parent)
        prefix = Prefix.objects.select_for_update().filter(name=name).first()
        if prefix is None:
            rules.check_look_alike(name, _look_alikes(name, parent))
            prefix = _new_prefix(name, parent, unit, is_own=is_own, peer=peer, hosted=hosted)
            act = "apply"
        else:
            act = _apply_again(prefix, unit, peer)
        if act:
            with changing(prefix, actor=actor):
                if act == "resubmit":
                    workflows.move(prefix, "resubmit", actor=actor)
                    if hosted and prefix.hosting != Hosting.APPLIED and nodes.this_node().role == "second":
                        workflows.move_hosting(prefix, "apply", actor=actor)
            detail = {"event": act, "registrant": unit.credit_code, "hosted": hosted}
            audit.record(actor=actor, action="registry.prefix.apply", subject=f"prefix:{name}", detail=detail)
    if is_own:
        _submit(prefix, actor=actor)
        prefix.refresh_from_db()
    return prefix


def review_prefix(*, actor: object, name: str, decision: str, reason_code: str = "", reason: str = "") -> Prefix:
    """Accepts or rejects an application that waits for us.

    At a second-level node an accepted one goes up to the top (审核中) where `TOP_APPROVAL_REQUIRED` says so, and comes
    into force with its verdict. A rejection needs a code of `policies.REASONS` and a sentence. Raises `StateRefused`,
    `ReasonMissing`, `ParentMissing`, `ParentRefused`, `ParentSilent` (the application then stays 审核中 and is sent again).
    """
    needs_top = False
    with transaction.atomic():
        prefix = locked(name)
        if prefix.is_own:
            raise NotAllowed(name=name)
        if decision == "reject":
            if reason_code not in REASONS or not reason.strip():
                raise ReasonMissing(pointer="reason_code" if reason_code not in REASONS else "reason")
            _settle_verdict(prefix, "reject", actor=actor, reason_code=reason_code, reason=reason.strip())
            return prefix
        needs_top = nodes.this_node().role != "top" and bool(TOP_APPROVAL_REQUIRED.value)
        if needs_top:
            if parent_or_none() is None:
                raise ParentMissing(name=name, state="待审核", act="向国家顶级节点提交")
            with changing(prefix, actor=actor):
                workflows.move(prefix, "forward", actor=actor)
            audit.record(actor=actor, action="registry.prefix.forward", subject=f"prefix:{name}")
        else:
            _settle_verdict(prefix, "accept", actor=actor)
    if needs_top:
        _submit(prefix, actor=actor)
        prefix.refresh_from_db()
    return prefix


def sync_prefix(*, actor: object, name: str) -> Prefix:
    """Asks the parent for its verdict on our own prefix or on one we passed on, and follows it; sends it if it is not there.

    Raises `NotFound`, `ParentMissing`, `ParentRefused` or `ParentSilent`.
    """
    prefix = Prefix.objects.filter(name=name).first()
    if prefix is None:
        raise NotFound(pointer="name", what="前缀", name=name)
    if nodes.this_node().role == "top" or not (prefix.is_own or prefix.status == Status.IN_REVIEW):
        return prefix
    verdict = ask_parent("GET", f"/prefixes/{name}", name=name, may_miss=True)
    if verdict is None:
        if prefix.status != Status.REJECTED:  # then it is the applicant's turn
            _submit(prefix, actor=actor)
    else:
        _follow(name, verdict, actor=actor)
    prefix.refresh_from_db()
    return prefix


def sync_verdicts(*, actor: object = "system:sync") -> int:
    """`sync_prefix` for every own prefix and every one that waits for the parent; gives how many moved. A planned job."""
    moved = 0
    if nodes.this_node().role == "top" or parent_or_none() is None:
        return 0
    waiting = Prefix.objects.filter(Q(is_own=True) | Q(status=Status.IN_REVIEW))
    for name, status in list(waiting.order_by("id").values_list("name", "status")):
        try:
            moved += sync_prefix(actor=actor, name=name).status != status
        except ParentSilent:
            break
        except ParentRefused:
            continue
        except BiaojieError as error:
            # What cannot be followed for one prefix must not keep the others from their verdicts.
            log.error("registry.verdict_not_followed", prefix=name, error=str(error))
    return moved


def change_state(*, actor: object, name: str, event: str, reason: str = "") -> Prefix:
    """Moves a prefix by `disable`, `enable`, `mark_for_deletion` or `keep`; what it publishes follows at once.

    An own prefix is moved by its parent alone. Raises `NotFound`, `NotAllowed`, `StateRefused`.
    """
    with transaction.atomic():
        prefix = locked(name)
        if prefix.is_own:
            raise NotAllowed(name=name)
        with changing(prefix, actor=actor):
            workflows.move(prefix, event, actor=actor, note=reason)
        audit.record(actor=actor, action=f"registry.prefix.{event}", subject=f"prefix:{name}", detail={"reason": reason})
    return prefix


def change_hosting(*, actor: object, name: str, event: str, reason: str = "") -> Prefix:
    """Moves the hosting of an enterprise's prefix by `apply`, `accept`, `reject` or `end` (SNMS proxyState 1–4).

    Accepting asks for an enabled prefix without addresses of its own. Raises `NotFound`, `NotAllowed`, `StateRefused`.
    """
    with transaction.atomic():
        prefix = locked(name)
        if prefix.is_own or nodes.this_node().role != "second":
            raise NotAllowed(name=name)
        if event == "accept" and (prefix.status != Status.ENABLED or Endpoint.objects.filter(prefix=prefix).exists()):
            raise StateRefused(name=name, state=Status(prefix.status).label, act="托管（须已启用且没有自建解析路由）")
        with changing(prefix, actor=actor):
            workflows.move_hosting(prefix, event, actor=actor, note=reason)
            prefix.site_serial += 1
        audit.record(actor=actor, action=f"registry.hosting.{event}", subject=f"prefix:{name}", detail={"reason": reason})
    return prefix


def found_root(*, actor: object) -> bytes:
    """Makes this (top) node the root of a deployment, or brings its records up to date; gives the root site's octets.

    `0.NA/0.NA`, `0.NA/86` and `0.NA/88` say that the root serves them; the zone `0.NA/` takes in every other prefix
    record. May be repeated at every start. Raises `PortMissing` when the settings name no address to announce.
    """
    if not configured_addresses():
        raise PortMissing(pointer="handle_udp")
    wanted = configured_addresses()
    with transaction.atomic():
        _lock_siblings("")
        for name in ROOT_PREFIXES:
            prefix = Prefix.objects.select_for_update().filter(name=name).first()
            if prefix is None:
                prefix = Prefix(name=name, parent="" if name == ROOT else ROOT, is_own=True, status=Status.ENABLED)
                prefix.created_at = clock.now()
                with changing(prefix, actor=actor):
                    pass
                audit.record(actor=actor, action="registry.root.found", subject=f"prefix:{name}")
            if wanted != addresses_of(prefix):
                with changing(prefix, actor=actor):
                    set_addresses(prefix, wanted)
        return bytes(OwnSite.objects.get().site)


def prefix_row(prefix: Prefix) -> dict[str, Any]:
    """The form in which API and calls between nodes carry a prefix."""
    return prefix_rows([prefix])[0]


def prefix_rows(prefixes: Sequence[Prefix]) -> list[dict[str, Any]]:
    """Several of them, in the same number of queries as one."""
    changes = RoutingChange.objects.filter(state__in=workflows.OPEN_CHANGE_STATES)
    prefetch_related_objects(
        list(prefixes), "registrant", "endpoints", Prefetch("routing_changes", queryset=changes, to_attr="open_changes")
    )
    return [_row(prefix) for prefix in prefixes]


def peer_prefix(name: str, peer: Peer) -> Prefix:
    """A prefix that `peer` applied for or passed on. Raises `NotFound`, or `NotAllowed` for somebody else's."""
    prefix = Prefix.objects.filter(name=name).first()
    if prefix is None:
        raise NotFound(pointer="name", what="前缀", name=name)
    if prefix.peer_id != peer.node_id:
        raise NotAllowed(name=name)
    return prefix


def _row(prefix: Prefix) -> dict[str, Any]:
    unit = prefix.registrant
    open_changes: list[RoutingChange] = getattr(prefix, "open_changes", [])
    addresses = sorted(
        (Address(ip_type=row.ip_type, ip=str(row.ip), protocol=row.protocol, port=row.port) for row in prefix.endpoints.all()),
        key=lambda row: (row.ip, row.protocol, row.port),
    )
    return {
        "name": prefix.name,
        "parent": prefix.parent,
        "registrant": {"name": unit.name, "credit_code": unit.credit_code} if unit else None,
        "status": prefix.status,
        "status_title": Status(prefix.status).label,
        "hosting": prefix.hosting,
        "hosting_title": Hosting(prefix.hosting).label,
        "is_own": prefix.is_own,
        "peer_id": prefix.peer_id,
        "reason_code": prefix.reason_code,
        "reason": prefix.reason,
        "endpoints": rows_of(addresses),
        "site_serial": prefix.site_serial,
        "open_change": {"change_id": open_changes[0].id, "state": open_changes[0].state} if open_changes else None,
        "created_at": prefix.created_at,
        "updated_at": prefix.updated_at,
        "version": prefix.version,
    }


def _is_own(name: str) -> bool:
    """Whether an application at our desk is for a prefix of our own: by our role, one arc deeper than what we hold."""
    role = nodes.this_node().role
    return role == "enterprise" or (role == "second" and name.count(".") == 1)


def _check_place(name: str, parent: str, peer: Peer | None) -> None:
    """The place an application must have: under an enabled prefix of ours, or at the top under one of the peer's."""
    above = Prefix.objects.filter(name=parent).first()
    if above is None or not (above.is_own or (peer is not None and above.peer_id == peer.node_id)):
        held = "、".join(Prefix.objects.filter(is_own=True).exclude(name=ROOT).values_list("name", flat=True)) or "本节点的前缀"
        raise PrefixPlace(pointer="name", name=name, parent=held)
    if above.status != Status.ENABLED:
        raise StateRefused(name=above.name, state=Status(above.status).label, act=f"受理 {name} 的申请")


def _lock_siblings(parent: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('registry_prefix'), hashtext(%s))", [parent])


def _look_alikes(name: str, parent: str) -> list[tuple[str, str]]:
    """Siblings that differ only by leading zeros, with their holders."""
    arc = name.rpartition(".")[2].lstrip("0")
    # Named one by one: the index finds sixty names faster than a pattern is tried on a hundred thousand siblings.
    spellings = {f"{parent}.{'0' * zeros}{arc}" for zeros in range(rules.PREFIX_LONGEST)} - {name}
    found = Prefix.objects.filter(name__in=spellings).values_list("name", "registrant__name")
    return [(other, holder or "其他单位") for other, holder in found]


def _new_prefix(name: str, parent: str, unit: Registrant, *, is_own: bool, peer: Peer | None, hosted: bool) -> Prefix:
    return Prefix(
        name=name,
        parent=parent,
        registrant=unit,
        is_own=is_own,
        peer_id=peer.node_id if peer else "",
        status=Status.PENDING,
        # Only the second-level node hosts; the top needs no more than the prefix itself.
        hosting=Hosting.APPLIED if hosted and nodes.this_node().role == "second" else Hosting.NONE,
        created_at=clock.now(),
    )


def _apply_again(prefix: Prefix, unit: Registrant, peer: Peer | None) -> str:
    """What an application for a known prefix means: nothing new (""), a resubmission, or a node for a prefix of the desk."""
    caller = peer.node_id if peer else ""
    is_same_unit = prefix.registrant_id in (None, unit.pk)
    # Name and code of a unit are public: only the enrolment code says which node may take up its prefix.
    is_strange = peer is not None and caller != prefix.peer_id and (prefix.peer_id or not covers(peer.granted, prefix.name))
    if not is_same_unit or is_strange:
        holder = prefix.registrant.name if prefix.registrant else "其他单位"
        raise PrefixTaken(pointer="name", name=prefix.name, holder=holder)
    act = ""
    if caller and not prefix.peer_id:
        prefix.peer_id = caller
        act = "adopt"
    if prefix.status == Status.REJECTED:
        prefix.reason_code = prefix.reason = ""
        act = "resubmit"
    return act


def _submit(prefix: Prefix, *, actor: object) -> None:
    """Brings an application before the parent and follows its answer; a refusal of the parent rejects it here too."""
    unit = prefix.registrant
    assert unit is not None, "only the root's prefixes have no registrant, and they are never submitted"
    body = {
        "name": prefix.name,
        "registrant": {"name": unit.name, "credit_code": unit.credit_code},
        "hosted": prefix.hosting in (Hosting.APPLIED, Hosting.HOSTED),
    }
    try:
        verdict = ask_parent("POST", "/prefixes", name=prefix.name, json=body)
    except ParentRefused as error:
        # REG-11x judge the application itself; anything else (the parent's state, our signature) may be otherwise tomorrow.
        if any(str(row.get("code", "")).startswith("REG-11") for row in error.data.get("errors_there") or ()):
            with transaction.atomic():
                held = locked(prefix.name)
                if held.status in (Status.PENDING, Status.IN_REVIEW):
                    reason = str(error.data.get("reason", ""))
                    _settle_verdict(held, "reject_above", actor=PARENT, reason_code="parent", reason=reason)
        raise
    assert verdict is not None, "may_miss was not asked for"
    _follow(prefix.name, verdict, actor=actor)


def _follow(name: str, verdict: dict[str, Any], *, actor: object) -> None:
    """Takes over what the parent says of a prefix: its verdict and, for an own one, its addresses."""
    with transaction.atomic():
        prefix = locked(name)
        event = workflows.VERDICTS.get((prefix.status, int(verdict["status"])))
        if event in workflows.ONLY_OWN and not prefix.is_own:
            event = None
        if event in ("confirm", "reject_above"):
            code, reason = str(verdict["reason_code"]), str(verdict["reason"])
            _settle_verdict(prefix, event, actor=PARENT, reason_code=code, reason=reason)
        elif event is not None:
            with changing(prefix, actor=PARENT):
                workflows.move(prefix, event, actor=PARENT, note=str(verdict["reason"]))
            audit.record(actor=actor, action=f"registry.prefix.{event}", subject=f"prefix:{name}", detail={"by": PARENT})
        if prefix.is_own and verdict["endpoints"] and not verdict["open_change"]:
            wanted = from_rows(verdict["endpoints"])
            if wanted != addresses_of(prefix):
                with changing(prefix, actor=actor):
                    set_addresses(prefix, wanted)


def _settle_verdict(prefix: Prefix, event: str, *, actor: object, reason_code: str = "", reason: str = "") -> None:
    """Enables or rejects, with the hosting that was asked for, and grants the node's card the prefix."""
    is_enabled = event in ("accept", "confirm")
    with changing(prefix, actor=actor):
        workflows.move(prefix, event, actor=actor, note=reason)
        prefix.reason_code, prefix.reason = ("", "") if is_enabled else (reason_code, reason)
        if prefix.hosting == Hosting.APPLIED:
            workflows.move_hosting(prefix, "accept" if is_enabled else "reject", actor=actor, note=reason)
            prefix.site_serial += 1
    detail = {"reason_code": reason_code, "reason": reason}
    audit.record(actor=actor, action=f"registry.prefix.{event}", subject=f"prefix:{prefix.name}", detail=detail)
    if is_enabled:
        _grant(prefix, actor=actor)


def _grant(prefix: Prefix, *, actor: object) -> None:
    """Lets the cards name the prefix: the child's, or our own."""
    one_at_a_time()  # else two verdicts at once read the same list, and the second overwrites what the first has added
    node = nodes.this_node()
    if prefix.is_own and not covers(node.prefixes, prefix.name):
        nodes.set_prefixes(actor=actor, prefixes=[*node.prefixes, prefix.name])
        transaction.on_commit(nodes.push_card_or_owe)
    peer = Peer.objects.filter(node_id=prefix.peer_id, relation=Relation.CHILD).first()
    if peer is not None and not covers(peer.granted, prefix.name):
        nodes.grant_prefixes(actor=actor, node_id=peer.node_id, prefixes=[*peer.granted, prefix.name])
