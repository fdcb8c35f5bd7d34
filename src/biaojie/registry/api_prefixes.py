"""Registrants and prefixes over HTTP, for people."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Router
from ninja.params.functions import Query

from biaojie.foundation.accounts.bearer import BearerAuth, require
from biaojie.foundation.ui.envelope import answers, ok
from biaojie.registry import operations
from biaojie.registry.api_forms import (
    ApplicationIn,
    HostingIn,
    PrefixOut,
    PrefixPage,
    RegistrantIn,
    RegistrantOut,
    RegistrantPage,
    ReviewIn,
    StateIn,
)
from biaojie.registry.errors import NotAllowed
from biaojie.registry.policies import PAGE_LIMIT
from biaojie.registry.visibility import check_speaks_for, is_confined, prefix_for, prefixes_for, registrants_for

router = Router(tags=["前缀"], auth=BearerAuth())

Limit = Annotated[int, Query(title="条数", ge=1, le=PAGE_LIMIT.value)]


@router.post("/registrants", response=answers(RegistrantOut), summary="登记单位", operation_id="registrants_register")
def register_registrant(request: HttpRequest, body: RegistrantIn) -> dict[str, Any]:
    """The unit of this 统一社会信用代码; the same call again gives the same unit."""
    row = operations.register_registrant(
        actor=require(request, "registrants.write"), name=body.name, credit_code=body.credit_code
    )
    return ok({"name": row.name, "credit_code": row.credit_code})


@router.get("/registrants", response=answers(RegistrantPage), summary="单位列表", operation_id="registrants_list")
def list_registrants(request: HttpRequest, after: int = 0, limit: Limit = 50) -> dict[str, Any]:
    """In order of registration."""
    rows = list(registrants_for(require(request, "registry.read")).filter(id__gt=after).order_by("id")[: limit + 1])
    items = [{"name": row.name, "credit_code": row.credit_code} for row in rows[:limit]]
    return ok({"items": items, "next": rows[limit - 1].id if len(rows) > limit else 0})


@router.post("/prefixes", response=answers(PrefixOut, 502), summary="申请前缀", operation_id="prefixes_apply")
def apply(request: HttpRequest, body: ApplicationIn) -> dict[str, Any]:
    """Records the application; one for the node's own prefix goes to the parent at once."""
    user = require(request, "prefixes.apply")
    check_speaks_for(user, body.registrant.credit_code)
    prefix = operations.apply_prefix(
        actor=user, name=body.name, registrant=(body.registrant.name, body.registrant.credit_code), hosted=body.hosted
    )
    return ok(operations.prefix_row(prefix))


@router.get("/prefixes", response=answers(PrefixPage), summary="前缀列表", operation_id="prefixes_list")
def list_prefixes(
    request: HttpRequest,
    parent: Annotated[str | None, Query(title="上级前缀")] = None,
    status: Annotated[int | None, Query(title="状态", ge=0, le=5)] = None,
    after: Annotated[str, Query(title="起点", max_length=64)] = "",
    limit: Limit = 50,
) -> dict[str, Any]:
    """By name, in the order of its characters."""
    rows = prefixes_for(require(request, "registry.read")).filter(name__gt=after)
    if parent is not None:
        rows = rows.filter(parent=parent)
    if status is not None:
        rows = rows.filter(status=status)
    found = list(rows.order_by("name")[: limit + 1])
    items = operations.prefix_rows(found[:limit])
    return ok({"items": items, "next": found[limit - 1].name if len(found) > limit else ""})


@router.get("/prefixes/{name}", response=answers(PrefixOut, 404), summary="前缀", operation_id="prefixes_get")
def get_prefix(request: HttpRequest, name: str) -> dict[str, Any]:
    """One prefix with its live addresses."""
    return ok(operations.prefix_row(prefix_for(require(request, "registry.read"), name)))


@router.post("/prefixes/{name}/review", response=answers(PrefixOut, 404, 502), summary="审核前缀", operation_id="prefixes_review")
def review(request: HttpRequest, name: str, body: ReviewIn) -> dict[str, Any]:
    """Accepts or rejects; at a second-level node an accepted application goes on to the top."""
    prefix = operations.review_prefix(
        actor=require(request, "prefixes.review"),
        name=name,
        decision=body.decision,
        reason_code=body.reason_code,
        reason=body.reason,
    )
    return ok(operations.prefix_row(prefix))


@router.post("/prefixes/{name}/sync", response=answers(PrefixOut, 404, 502), summary="取回上级结论", operation_id="prefixes_sync")
def sync(request: HttpRequest, name: str) -> dict[str, Any]:
    """Asks the parent now; a planned job asks every minute."""
    user = require(request, "prefixes.apply")
    prefix_for(user, name)
    return ok(operations.prefix_row(operations.sync_prefix(actor=user, name=name)))


@router.post(
    "/prefixes/{name}/state", response=answers(PrefixOut, 404), summary="停用、启用、删除", operation_id="prefixes_state"
)
def change_state(request: HttpRequest, name: str, body: StateIn) -> dict[str, Any]:
    """What the prefix publishes follows at once."""
    user = require(request, "prefixes.review")
    return ok(operations.prefix_row(operations.change_state(actor=user, name=name, event=body.event, reason=body.reason)))


@router.post("/prefixes/{name}/hosting", response=answers(PrefixOut, 404), summary="托管", operation_id="prefixes_hosting")
def change_hosting(request: HttpRequest, name: str, body: HostingIn) -> dict[str, Any]:
    """Applying is the holder's, everything else the reviewer's."""
    user = require(request, "prefixes.apply" if body.event == "apply" else "prefixes.review")
    prefix_for(user, name)
    if is_confined(user) and body.event != "apply":
        raise NotAllowed(name=name)
    return ok(operations.prefix_row(operations.change_hosting(actor=user, name=name, event=body.event, reason=body.reason)))
