"""Routing of prefixes, and routes of the other code systems, over HTTP, for people."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Router
from ninja.params.functions import Query

from biaojie.foundation.accounts.bearer import BearerAuth, require
from biaojie.foundation.ui.envelope import answers, ok
from biaojie.registry import operations_routes, operations_routing
from biaojie.registry.api_forms import ChangeOut, ChangePage, ClaimIn, ClaimOut, ClaimPage, ReasonIn, RoutingIn, RoutingPut
from biaojie.registry.api_prefixes import Limit
from biaojie.registry.errors import NotAllowed, NotFound
from biaojie.registry.visibility import changes_for, is_confined, prefix_for

router = Router(tags=["解析路由"], auth=BearerAuth())


@router.put(
    "/prefixes/{name}/routing", response=answers(RoutingPut, 404, 502), summary="配置解析路由", operation_id="routing_put"
)
def put_routing(request: HttpRequest, name: str, body: RoutingIn) -> dict[str, Any]:
    """Plans a change; for this node's own prefix at its parent."""
    user = require(request, "routing.propose")
    prefix_for(user, name)
    return ok(operations_routing.put_routing(actor=user, name=name, endpoints=[row.dict() for row in body.endpoints]))


@router.get("/routing-changes", response=answers(ChangePage), summary="路由变更列表", operation_id="routing_changes_list")
def list_changes(
    request: HttpRequest,
    prefix: Annotated[str | None, Query(title="前缀")] = None,
    state: Annotated[str | None, Query(title="状态")] = None,
    before: Annotated[int, Query(title="起点", ge=0)] = 0,
    limit: Limit = 50,
) -> dict[str, Any]:
    """Newest first."""
    rows = changes_for(require(request, "registry.read")).select_related("prefix")
    if prefix is not None:
        rows = rows.filter(prefix__name=prefix)
    if state is not None:
        rows = rows.filter(state=state)
    if before:
        rows = rows.filter(id__lt=before)
    found = list(rows.order_by("-id")[: limit + 1])
    items = [operations_routing.change_row(row) for row in found[:limit]]
    return ok({"items": items, "next": found[limit - 1].id if len(found) > limit else 0})


@router.post(
    "/routing-changes/{change_id}/approve",
    response=answers(ChangeOut, 404),
    summary="批准路由变更",
    operation_id="routing_approve",
)
def approve(request: HttpRequest, change_id: int) -> dict[str, Any]:
    """By another person than the one who proposed it; published at once."""
    change = operations_routing.approve_change(actor=require(request, "routing.approve"), change_id=change_id)
    return ok(operations_routing.change_row(change))


@router.post(
    "/routing-changes/{change_id}/refuse", response=answers(ChangeOut, 404), summary="拒绝路由变更", operation_id="routing_refuse"
)
def refuse(request: HttpRequest, change_id: int, body: ReasonIn) -> dict[str, Any]:
    """With a reason."""
    user = require(request, "routing.approve")
    return ok(
        operations_routing.change_row(operations_routing.refuse_change(actor=user, change_id=change_id, reason=body.reason))
    )


@router.post(
    "/routing-changes/{change_id}/roll-back",
    response=answers(ChangeOut, 404),
    summary="回退路由变更",
    operation_id="routing_roll_back",
)
def roll_back(request: HttpRequest, change_id: int, body: ReasonIn | None = None) -> dict[str, Any]:
    """One call: the old addresses stand alone again. A holder may take back what is not yet approved."""
    user = require(request, "routing.approve") if _is_reviewer(request) else require(request, "routing.propose")
    if not changes_for(user).filter(id=change_id).exists():
        raise NotFound(pointer="change_id", what="路由变更", name=change_id)
    change = operations_routing.roll_back(actor=user, change_id=change_id, reason=body.reason if body else "")
    return ok(operations_routing.change_row(change))


@router.post("/routes", response=answers(ClaimOut, 502), summary="登记编码路由", operation_id="routes_claim")
def claim(request: HttpRequest, body: ClaimIn) -> dict[str, Any]:
    """Here and at every node above, which route the coverage to this node once their reviewers have approved it."""
    user = require(request, "routing.propose")
    _staff_only(is_confined(user))
    made = operations_routes.claim_route(
        actor=user,
        system=body.system,
        coverage=body.coverage,
        addresses=[row.dict() for row in body.addresses],
        final=body.final,
    )
    return ok(operations_routes.claim_row(made))


@router.get("/routes/claims", response=answers(ClaimPage), summary="编码路由列表", operation_id="routes_list")
def list_claims(request: HttpRequest, state: Annotated[str | None, Query(title="状态", max_length=16)] = None) -> dict[str, Any]:
    """Those of one state, or all but the withdrawn."""
    require(request, "registry.read")
    return ok({"items": operations_routes.claims(state=state)})


@router.post(
    "/routes/claims/{claim_id}/approve",
    response=answers(ClaimOut, 404, 502),
    summary="批准编码路由",
    operation_id="routes_approve",
)
def approve_claim(request: HttpRequest, claim_id: int) -> dict[str, Any]:
    """By another person than the one who proposed it; published at once, or passed to the node above for its verdict."""
    user = require(request, "routing.approve")
    return ok(operations_routes.claim_row(operations_routes.approve_claim(actor=user, claim_id=claim_id)))


@router.post(
    "/routes/claims/{claim_id}/refuse", response=answers(ClaimOut, 404), summary="拒绝编码路由", operation_id="routes_refuse"
)
def refuse_claim(request: HttpRequest, claim_id: int, body: ReasonIn) -> dict[str, Any]:
    """With a reason, which the proposer is told."""
    user = require(request, "routing.approve")
    claim = operations_routes.refuse_claim(actor=user, claim_id=claim_id, reason=body.reason)
    return ok(operations_routes.claim_row(claim))


@router.post(
    "/routes/claims/{claim_id}/sync",
    response=answers(ClaimOut, 404, 502),
    summary="取回上级结论",
    operation_id="routes_sync",
)
def sync_claim(request: HttpRequest, claim_id: int) -> dict[str, Any]:
    """Asks the parent now; a planned job asks every minute."""
    user = require(request, "routing.propose")
    _staff_only(is_confined(user))
    return ok(operations_routes.claim_row(operations_routes.sync_claim(actor=user, claim_id=claim_id)))


@router.delete(
    "/routes/claims/{claim_id}", response=answers(ClaimOut, 404, 502), summary="撤销编码路由", operation_id="routes_remove"
)
def remove_claim(request: HttpRequest, claim_id: int) -> dict[str, Any]:
    """Above first, then here."""
    user = require(request, "routing.propose")
    _staff_only(is_confined(user))
    return ok(operations_routes.claim_row(operations_routes.remove_claim(actor=user, claim_id=claim_id)))


def _is_reviewer(request: HttpRequest) -> bool:
    return bool(require(request, "registry.read").may("routing.approve"))


def _staff_only(confined: bool) -> None:
    """A coverage belongs to the node, not to one of the units it serves."""
    if confined:
        raise NotAllowed(name="编码路由")
