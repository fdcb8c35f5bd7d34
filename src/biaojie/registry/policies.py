"""The rules of this registry that an operator may one day wish to have otherwise, one row each; and the coded reasons.

Code reads them from here and nowhere else. The TTL of delegation records is a setting (`delegation_ttl_s`), because
takeover depends on it. Pure: no Django.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One rule: its value, its unit and why it is so."""

    value: int
    unit: str
    reason: str


TOP_APPROVAL_REQUIRED: Final = Policy(
    value=1, unit="是否", reason="SNMS：企业已申请且国家顶级节点业务管理系统审核通过，方可配置解析路由"
)
SECOND_PERSON_AT_TOP: Final = Policy(value=1, unit="是否", reason="表2 的路由影响整个二级节点：提交人与批准人须为两人")
ROUTE_REVIEW_REQUIRED: Final = Policy(
    value=1, unit="是否", reason="其他编码体系的前缀由各自的机构分配，系统无从验证（INT-9）：登记须经接收节点业务审核"
)
CHECK_TIMEOUT_MS: Final = Policy(value=3000, unit="毫秒", reason="新地址核对一次的最长等待；UDP 的三次发送在此之内")
ADDRESSES_MAX: Final = Policy(value=8, unit="个", reason="一组路由中同一类型 IP 的上限；新旧并行时记录不超过 16 个站点")
CALL_TIMEOUT_S: Final = Policy(value=20, unit="秒", reason="上级核对新地址需要时间，调用须等得到它的结论")
BULK_ACCOUNT_SHARE: Final = Policy(value=2, unit="分之一", reason="一个账号至多占用批量任务位置的几分之一，以免一个令牌占满")
PAGE_LIMIT: Final = Policy(value=200, unit="条", reason="一页列表的上限")

REASONS: Final[Mapping[str, str]] = {
    "material": "申请材料不全",
    "subject": "单位信息不符",
    "form": "前缀不符合编码规则",
    "occupied": "前缀与其他单位冲突",
    "duplicate": "重复申请",
    "parent": "上级节点驳回",
    "other": "其他",
}
"""Codes of 驳回理由 and their titles; a rejection carries one and a sentence of its own."""
