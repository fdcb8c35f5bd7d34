"""The JSON forms of registrants, prefixes, routing and routes: what the API takes and gives."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from ninja import Schema
from pydantic import ConfigDict, Field


class Strict(Schema):
    """A request body: unknown fields are refused, because a misspelt one would be lost in silence."""

    model_config = ConfigDict(extra="forbid")


class RegistrantIn(Strict):
    """A unit (表1/表6 subject)."""

    name: str = Field(title="单位名称", min_length=1, max_length=255)
    credit_code: str = Field(title="统一社会信用代码", min_length=1, max_length=32)


class RegistrantOut(Schema):
    """A registered unit."""

    name: str = Field(title="单位名称")
    credit_code: str = Field(title="统一社会信用代码")


class RegistrantPage(Schema):
    """A page of units; `next` is the `after` of the following page, 0 at the end."""

    items: list[RegistrantOut] = Field(title="单位")
    next: int = Field(title="下一页起点")


class EndpointForm(Strict):
    """One address and port (表2/表7 #3–5)."""

    ip_type: Literal[4, 6] = Field(title="IP 类型")
    ip: str = Field(title="IP 地址", max_length=64, examples=["203.0.113.7"])
    protocol: Literal["TCP", "UDP", "HTTP"] = Field(title="协议类型")
    port: int = Field(title="端口", ge=1, le=65535, strict=True)


class RoutingIn(Strict):
    """Where a prefix is to be served: at least one port."""

    endpoints: list[EndpointForm] = Field(title="解析地址", max_length=64)


class RoutingPut(Schema):
    """What became of it."""

    change_id: int = Field(title="变更编号")
    state: str = Field(title="变更状态")


class OpenChange(RoutingPut):
    """A change that is not finished."""


class ApplicationIn(Strict):
    """An application for a prefix."""

    name: str = Field(title="前缀", min_length=1, max_length=64, examples=["88.100.1"])
    registrant: RegistrantIn = Field(title="申请单位")
    hosted: bool = Field(default=False, title="申请托管")


class PrefixOut(Schema):
    """A prefix; `status` 0–5 and `hosting` 1–4 as SNMS numbers them."""

    name: str = Field(title="前缀")
    parent: str = Field(title="上级前缀")
    registrant: RegistrantOut | None = Field(title="持有单位")
    status: int = Field(title="状态", description="0 停用 1 启用 2 待删除 3 被驳回 4 待审核 5 审核中")
    status_title: str = Field(title="状态名称")
    hosting: int = Field(title="托管", description="1 未托管 2 托管申请中 3 托管被驳回 4 已托管")
    hosting_title: str = Field(title="托管名称")
    is_own: bool = Field(title="本节点自己的前缀")
    peer_id: str = Field(title="服务节点")
    reason_code: str = Field(title="驳回理由代码")
    reason: str = Field(title="驳回理由")
    endpoints: list[EndpointForm] = Field(title="解析地址")
    site_serial: int = Field(title="路由序号")
    open_change: OpenChange | None = Field(title="未完成的路由变更")
    created_at: datetime = Field(title="申请时间")
    updated_at: datetime = Field(title="更新时间")
    version: int = Field(title="版本")


class PrefixPage(Schema):
    """A page of prefixes; `next` is the `after` of the following page, empty at the end."""

    items: list[PrefixOut] = Field(title="前缀")
    next: str = Field(title="下一页起点")


class ReviewIn(Strict):
    """A reviewer's decision; a rejection carries a coded reason and a sentence."""

    decision: Literal["accept", "reject"] = Field(title="结论")
    reason_code: str = Field(default="", title="驳回理由代码", max_length=32, examples=["material"])
    reason: str = Field(default="", title="驳回理由", max_length=1000)


class StateIn(Strict):
    """A step of a prefix's life."""

    event: Literal["disable", "enable", "mark_for_deletion", "keep"] = Field(title="操作")
    reason: str = Field(default="", title="原因", max_length=1000)


class HostingIn(Strict):
    """A step of a prefix's hosting."""

    event: Literal["apply", "accept", "reject", "end"] = Field(title="操作")
    reason: str = Field(default="", title="原因", max_length=1000)


class ReasonIn(Strict):
    """Why it is done."""

    reason: str = Field(default="", title="原因", max_length=1000)


class CheckRow(EndpointForm):
    """What came of asking one new address."""

    answered: bool = Field(title="有应答")
    elapsed_ms: float = Field(title="用时（毫秒）")
    reason: str = Field(title="原因")


class ChangeOut(Schema):
    """A routing change."""

    change_id: int = Field(title="变更编号")
    prefix: str = Field(title="前缀")
    state: str = Field(title="状态")
    state_title: str = Field(title="状态名称")
    old: list[EndpointForm] = Field(title="原地址")
    new: list[EndpointForm] = Field(title="新地址")
    checks: list[CheckRow] = Field(title="核对结果")
    proposed_by: str = Field(title="提交人")
    approved_by: str = Field(title="批准人")
    reason: str = Field(title="说明")
    created_at: datetime = Field(title="提交时间")
    settle_at: datetime | None = Field(title="旧地址停用时间")


class ChangePage(Schema):
    """A page of changes, newest first; `next` is the `before` of the following page, 0 at the end."""

    items: list[ChangeOut] = Field(title="路由变更")
    next: int = Field(title="下一页起点")


class ClaimIn(Strict):
    """A coverage of another code system; without addresses this node answers itself."""

    system: str = Field(title="标识编码类型", max_length=16, examples=["GS1"])
    coverage: str = Field(title="标识前缀或范围", min_length=1, max_length=600, examples=["6901234"])
    addresses: list[EndpointForm] = Field(default_factory=list, title="地址", max_length=64)
    final: bool = Field(default=True, title="由此直接应答")


class PeerClaimIn(Strict):
    """A child's coverage, for one of its prefixes."""

    system: str = Field(title="标识编码类型", max_length=16)
    coverage: str = Field(title="标识前缀或范围", min_length=1, max_length=600)
    addresses: list[EndpointForm] = Field(title="地址", max_length=64)
    owner: str = Field(title="持有前缀", max_length=64)


class WithdrawIn(Strict):
    """A coverage that a child gives up."""

    system: str = Field(title="标识编码类型", max_length=16)
    coverage: str = Field(title="标识前缀或范围", min_length=1, max_length=600)


class ClaimOut(Schema):
    """A claim."""

    id: int = Field(title="编号")
    system: str = Field(title="标识编码类型")
    coverage: str = Field(title="标识前缀或范围")
    owner: str = Field(title="持有前缀")
    holder: str = Field(title="持有单位")
    peer_id: str = Field(title="服务节点")
    addresses: list[EndpointForm] = Field(title="地址")
    final: bool = Field(title="由此直接应答")
    state: str = Field(
        title="状态", description="proposed 待审核 forwarded 上级审核中 active 已生效 refused 被拒绝 withdrawn 已撤销"
    )
    state_title: str = Field(title="状态名称")
    proposed_by: str = Field(title="提交人")
    decided_by: str = Field(title="审核人")
    reason: str = Field(title="拒绝理由")
    created_at: datetime = Field(title="登记时间")
    version: int = Field(title="版本")


class ClaimPage(Schema):
    """Claims of routes."""

    items: list[ClaimOut] = Field(title="编码路由")


class Withdrawn(Schema):
    """Whether there was such a claim."""

    withdrawn: bool = Field(title="已撤销")
