"""What the nodes below call, signed: applications, verdicts, routing and routes (DESIGN §3.8).

A node reads and moves only what it brought itself. Every call may be repeated.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Router

from biaojie.foundation.nodes.auth import NodeAuth, peer_of
from biaojie.foundation.ui.envelope import answers, ok
from biaojie.registry import operations, operations_routes, operations_routing
from biaojie.registry.api_forms import (
    ApplicationIn,
    ClaimOut,
    ClaimPage,
    PeerClaimIn,
    PrefixOut,
    RoutingIn,
    RoutingPut,
    WithdrawIn,
    Withdrawn,
)

router = Router(tags=["节点间"], auth=NodeAuth())


@router.post("/peer/prefixes", response=answers(PrefixOut), summary="下级节点申请前缀", operation_id="peer_prefixes_apply")
def apply(request: HttpRequest, body: ApplicationIn) -> dict[str, Any]:
    """For the node itself or, from a second-level node, for an enterprise below it."""
    peer = peer_of(request)
    registrant = (body.registrant.name, body.registrant.credit_code)
    prefix = operations.apply_prefix(actor=str(peer), name=body.name, registrant=registrant, hosted=body.hosted, peer=peer)
    return ok(operations.prefix_row(prefix))


@router.get(
    "/peer/prefixes/{name}", response=answers(PrefixOut, 404), summary="下级节点查询结论", operation_id="peer_prefixes_get"
)
def get_prefix(request: HttpRequest, name: str) -> dict[str, Any]:
    """The verdict, and what is published."""
    return ok(operations.prefix_row(operations.peer_prefix(name, peer_of(request))))


@router.put(
    "/peer/prefixes/{name}/routing",
    response=answers(RoutingPut, 404),
    summary="下级节点配置解析路由",
    operation_id="peer_routing_put",
)
def put_routing(request: HttpRequest, name: str, body: RoutingIn) -> dict[str, Any]:
    """Plans a change of the caller's own prefix; the new addresses are asked before the answer."""
    peer = peer_of(request)
    operations.peer_prefix(name, peer)
    endpoints = [row.dict() for row in body.endpoints]
    change = operations_routing.propose_routing(actor=str(peer), name=name, endpoints=endpoints)
    return ok({"change_id": change.id, "state": change.state})


@router.post("/peer/routes", response=answers(ClaimOut, 502), summary="下级节点登记编码路由", operation_id="peer_routes_claim")
def claim(request: HttpRequest, body: PeerClaimIn) -> dict[str, Any]:
    """A coverage that is to be routed to the caller: `state` says whether it waits for a reviewer."""
    peer = peer_of(request)
    made = operations_routes.accept_claim(
        actor=str(peer),
        peer=peer,
        system=body.system,
        coverage=body.coverage,
        addresses=[row.dict() for row in body.addresses],
        owner=body.owner,
    )
    return ok(operations_routes.claim_row(made))


@router.get("/peer/routes", response=answers(ClaimPage), summary="下级节点查询编码路由", operation_id="peer_routes_list")
def list_claims(request: HttpRequest) -> dict[str, Any]:
    """The caller's claims, ended ones too, with the verdicts on them."""
    return ok({"items": operations_routes.claims_of(peer_of(request))})


@router.post(
    "/peer/routes/withdraw", response=answers(Withdrawn, 502), summary="下级节点撤销编码路由", operation_id="peer_routes_withdraw"
)
def withdraw(request: HttpRequest, body: WithdrawIn) -> dict[str, Any]:
    """True also says that it is gone above us."""
    peer = peer_of(request)
    gone = operations_routes.withdraw_claim(actor=str(peer), peer=peer, system=body.system, coverage=body.coverage)
    return ok({"withdrawn": gone is not None})
