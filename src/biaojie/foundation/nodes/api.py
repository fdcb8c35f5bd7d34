"""The JSON API of this room: enrolment and cards between nodes, and what an operator does about them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest
from ninja import Field, Router, Schema

from biaojie.foundation.accounts.bearer import BearerAuth, require
from biaojie.foundation.nodes import enrolment, operations
from biaojie.foundation.nodes.auth import NodeAuth, peer_of
from biaojie.foundation.nodes.card import read_card
from biaojie.foundation.nodes.errors import CodeRefused
from biaojie.foundation.nodes.models import Peer
from biaojie.foundation.ui.envelope import answers, ok

router = Router(tags=["节点"])


class CardIn(Schema):
    """A signed card as it travels."""

    card: dict[str, Any] = Field(title="节点名片", description="{card, signatures}")


class EnrolIn(CardIn):
    """A child's card with its one-time code."""

    code: str = Field(title="登记码", min_length=1, max_length=64)


class EnrolOut(Schema):
    """The parent's signed card and what the code granted."""

    card: dict[str, Any] = Field(title="上级节点名片")
    prefixes: list[str] = Field(title="获准的前缀")


class CardOut(Schema):
    """This node's signed card."""

    card: dict[str, Any] = Field(title="本节点名片")
    fingerprint: str = Field(title="当前密钥指纹")


class ParentIn(Schema):
    """Where to enrol, and the code received from there."""

    url: str = Field(title="上级节点 Web 地址", max_length=500, examples=["https://top.example.com"])
    code: str = Field(title="登记码", min_length=1, max_length=64)
    fingerprint: str | None = Field(default=None, title="上级节点密钥指纹", max_length=200)


class CodeIn(Schema):
    """What a code is bound to."""

    role: str = Field(title="角色", examples=["enterprise"])
    prefixes: list[str] = Field(default_factory=list, title="前缀", max_length=1000)
    valid_for_s: int = Field(default=24 * 3600, title="有效期（秒）", gt=0, le=30 * 24 * 3600)


class CodeOut(Schema):
    """A fresh code, shown this once, and our fingerprint to hand over with it."""

    code: str = Field(title="登记码")
    fingerprint: str = Field(title="本节点密钥指纹")
    expires_at: datetime = Field(title="到期时间")


class KeyOut(Schema):
    """A pinned key."""

    key_id: str = Field(title="密钥编号")
    fingerprint: str = Field(title="指纹")
    not_before: datetime = Field(title="生效时间")
    not_after: datetime = Field(title="失效时间")


class PeerOut(Schema):
    """A node this one knows."""

    node_id: str = Field(title="节点标识")
    name: str = Field(title="名称")
    role: str = Field(title="角色")
    environment: str = Field(title="环境")
    relation: str = Field(title="关系")
    state: str = Field(title="状态")
    via: str | None = Field(title="转报节点")
    prefixes: list[str] = Field(title="前缀")
    web_url: str = Field(title="Web 地址")
    card_serial: int = Field(title="名片序号")
    enrolled_at: datetime = Field(title="登记时间")
    keys: list[KeyOut] = Field(title="密钥")


class ReasonIn(Schema):
    """Why it is done, for the audit log."""

    reason: str = Field(default="", title="原因", max_length=500)


@router.post("/nodes/enrol", response=answers(EnrolOut, 429), auth=None, summary="下级节点登记", operation_id="nodes_enrol")
def enrol(request: HttpRequest, body: EnrolIn) -> dict[str, Any]:
    """Pins the caller as our child if the code is right. A source with too many wrong codes must wait (NODE-152)."""
    source = request.META.get("REMOTE_ADDR") or "127.0.0.1"  # a local socket has no address: it is this machine
    enrolment.check_attempts(source)
    try:
        peer = operations.accept_enrolment(read_card(body.card), body.code)
    except CodeRefused:
        enrolment.note_attempt(source)
        raise
    operations.push_card_or_owe()
    return ok({"card": operations.this_node().card.as_object(), "prefixes": peer.granted})


@router.get("/nodes/card", response=answers(CardOut), auth=None, summary="本节点名片", operation_id="nodes_card_get")
def own_card(request: HttpRequest) -> dict[str, Any]:
    """Our signed card; public, as all it says is."""
    node = operations.this_node()
    return ok({"card": node.card.as_object(), "fingerprint": node.fingerprint})


@router.post("/nodes/card", response=answers(CardOut), auth=NodeAuth(), summary="上报节点名片", operation_id="nodes_card_receive")
def receive_card(request: HttpRequest, body: CardIn) -> dict[str, Any]:
    """Takes a child's new card, or one that it relays, and answers with ours."""
    operations.receive_card(read_card(body.card), caller=peer_of(request))
    operations.push_card_or_owe()
    return own_card(request)


@router.post(
    "/nodes/parent",
    response=answers(PeerOut, 502),
    auth=BearerAuth(),
    summary="向上级节点登记",
    operation_id="nodes_parent_enrol",
)
def enrol_with_parent(request: HttpRequest, body: ParentIn) -> dict[str, Any]:
    """Enrols this node; the answer shows the parent's fingerprints for comparison."""
    actor = require(request, "nodes.manage")
    peer = operations.enrol_with_parent(
        actor=actor, parent_url=body.url, code=body.code, expected_fingerprint=body.fingerprint or None
    )
    operations.push_card_or_owe()
    return ok(peer.as_row())


@router.post("/nodes/codes", response=answers(CodeOut), auth=BearerAuth(), summary="签发登记码", operation_id="nodes_code_issue")
def issue_code(request: HttpRequest, body: CodeIn) -> dict[str, Any]:
    """A one-time code for one node."""
    actor = require(request, "nodes.manage")
    issued = operations.issue_code(
        actor=actor, role=body.role, prefixes=body.prefixes, valid_for=timedelta(seconds=body.valid_for_s)
    )
    return ok({"code": issued.code, "fingerprint": issued.fingerprint, "expires_at": issued.expires_at})


@router.get("/nodes", response=answers(list[PeerOut]), auth=BearerAuth(), summary="节点列表", operation_id="nodes_list")
def peers(request: HttpRequest) -> dict[str, Any]:
    """All peers with the fingerprints of their pinned keys."""
    require(request, "nodes.manage")
    rows = Peer.objects.prefetch_related("keys").order_by("relation", "node_id")
    return ok([peer.as_row() for peer in rows])


@router.post(
    "/nodes/{node_id}/block", response=answers(PeerOut, 404), auth=BearerAuth(), summary="停用节点", operation_id="nodes_block"
)
def block(request: HttpRequest, node_id: str, body: ReasonIn) -> dict[str, Any]:
    """Stops believing a peer's signature."""
    actor = require(request, "nodes.block")
    return ok(operations.block_peer(actor=actor, node_id=node_id, reason=body.reason).as_row())


@router.post(
    "/nodes/{node_id}/unblock",
    response=answers(PeerOut, 404),
    auth=BearerAuth(),
    summary="启用节点",
    operation_id="nodes_unblock",
)
def unblock(request: HttpRequest, node_id: str, body: ReasonIn) -> dict[str, Any]:
    """Takes a block back."""
    actor = require(request, "nodes.block")
    return ok(operations.unblock_peer(actor=actor, node_id=node_id, reason=body.reason).as_row())


@router.post(
    "/nodes/{node_id}/unpin",
    response=answers(PeerOut, 404),
    auth=BearerAuth(),
    summary="清除节点密钥",
    operation_id="nodes_unpin",
)
def unpin(request: HttpRequest, node_id: str, body: ReasonIn) -> dict[str, Any]:
    """Forgets a peer's keys; it may enrol again with a new code."""
    actor = require(request, "nodes.block")
    return ok(operations.unpin_peer(actor=actor, node_id=node_id, reason=body.reason).as_row())
