"""The life cycles of this room as rows: a prefix (0–5), its hosting (1–4), a change of its routing, a claim of a code route.

State numbers are those of SNMS. `move…` take a step through `foundation.workflow`; a trigger made from the same rows
refuses every other change in the database. Steps without roles are taken by the software: on the parent's verdict, on a
peer's signed call, by a planned job.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from biaojie.foundation.workflow.progress import advance, decide
from biaojie.foundation.workflow.rows import State, Transition, Workflow
from biaojie.registry.models import Prefix, RouteClaim, RoutingChange

_Status = Prefix.Status
_Change = RoutingChange.State

_REVIEWER: Final = frozenset({"reviewer"})
_DESK: Final = frozenset({"operator", "enterprise"})
_STAFF: Final = _REVIEWER | _DESK
_SOFTWARE: Final = frozenset[str]()

PREFIX: Final = Workflow(
    name="registry_prefix",
    title="前缀",
    states=(
        State(code=0, title="停用", mover="业务审核"),
        State(code=1, title="启用"),
        State(code=2, title="待删除", mover="业务审核"),
        State(code=3, title="被驳回", mover="申请单位"),
        State(code=4, title="待审核", mover="业务审核"),
        State(code=5, title="审核中", mover="上级节点"),
    ),
    initial=(4, 1),
    transitions=(
        Transition(event="accept", title="审核通过", source=4, target=1, roles=_REVIEWER, clause="第3条"),
        Transition(event="reject", title="驳回", source=4, target=3, roles=_REVIEWER, clause="第3条"),
        Transition(event="forward", title="提交国家顶级节点", source=4, target=5, roles=_REVIEWER, clause="SNMS 前缀审核"),
        Transition(event="reviewing", title="上级审核中", source=4, target=5),
        Transition(event="confirm", title="上级审核通过", source=4, target=1),
        Transition(event="confirm", title="上级审核通过", source=5, target=1),
        Transition(event="reject_above", title="上级驳回", source=4, target=3),
        Transition(event="reject_above", title="上级驳回", source=5, target=3),
        Transition(event="resubmit", title="重新申请", source=3, target=4, roles=_DESK),
        Transition(event="disable", title="停用", source=1, target=0, roles=_REVIEWER),
        Transition(event="enable", title="启用", source=0, target=1, roles=_REVIEWER),
        Transition(event="mark_for_deletion", title="转入待删除", source=1, target=2, roles=_REVIEWER),
        Transition(event="mark_for_deletion", title="转入待删除", source=0, target=2, roles=_REVIEWER),
        Transition(event="keep", title="撤销删除", source=2, target=0, roles=_REVIEWER),
    ),
)

HOSTING: Final = Workflow(
    name="registry_hosting",
    title="托管",
    states=(
        State(code=1, title="未托管"),
        State(code=2, title="托管申请中", mover="业务审核"),
        State(code=3, title="托管被驳回", mover="申请单位"),
        State(code=4, title="已托管"),
    ),
    initial=(1, 2),
    transitions=(
        Transition(event="apply", title="申请托管", source=1, target=2, roles=_DESK),
        Transition(event="apply", title="重新申请托管", source=3, target=2, roles=_DESK),
        Transition(event="accept", title="同意托管", source=2, target=4, roles=_REVIEWER),
        Transition(event="reject", title="驳回托管", source=2, target=3, roles=_REVIEWER),
        Transition(event="end", title="结束托管", source=4, target=1, roles=_REVIEWER),
    ),
)

ROUTING: Final = Workflow(
    name="registry_routing",
    title="路由变更",
    states=(
        State(code="proposed", title="已提交", mover="系统核对"),
        State(code="checked", title="地址已核对", mover="业务审核"),
        State(code="approved", title="已批准", mover="系统发布"),
        State(code="published", title="新旧并行", mover="系统"),
        State(code="settled", title="已完成"),
        State(code="refused", title="被拒绝"),
        State(code="rolled_back", title="已回退"),
    ),
    initial=("proposed",),
    transitions=(
        Transition(event="check", title="核对地址", source="proposed", target="checked"),
        Transition(event="fail", title="核对未通过", source="proposed", target="refused"),
        Transition(event="approve", title="批准", source="checked", target="approved", roles=_REVIEWER, clause="附件1 表2"),
        Transition(event="refuse", title="拒绝", source="checked", target="refused", roles=_REVIEWER),
        Transition(event="publish", title="发布", source="approved", target="published"),
        Transition(event="settle", title="停用旧地址", source="published", target="settled"),
        Transition(event="roll_back", title="撤回", source="proposed", target="rolled_back", roles=_STAFF),
        Transition(event="roll_back", title="撤回", source="checked", target="rolled_back", roles=_STAFF),
        Transition(event="roll_back", title="撤回", source="approved", target="rolled_back", roles=_REVIEWER),
        Transition(event="roll_back", title="回退", source="published", target="rolled_back", roles=_REVIEWER),
    ),
)

CLAIM: Final = Workflow(
    name="registry_claim",
    title="编码路由",
    states=(
        State(code="proposed", title="待审核", mover="业务审核"),
        State(code="forwarded", title="上级审核中", mover="上级节点"),
        State(code="active", title="已生效"),
        State(code="refused", title="被拒绝", mover="申请单位"),
        State(code="withdrawn", title="已撤销"),
    ),
    initial=("proposed",),
    transitions=(
        Transition(event="approve", title="批准", source="proposed", target="active", roles=_REVIEWER, clause="附件1 表2、表7"),
        Transition(event="forward", title="提交上级节点", source="proposed", target="forwarded", roles=_REVIEWER),
        Transition(event="refuse", title="拒绝", source="proposed", target="refused", roles=_REVIEWER),
        Transition(event="reviewing", title="上级审核中", source="proposed", target="forwarded"),
        Transition(event="confirm", title="生效", source="proposed", target="active"),
        Transition(event="confirm", title="上级审核通过", source="forwarded", target="active"),
        Transition(event="refuse_above", title="上级拒绝", source="forwarded", target="refused"),
        Transition(event="withdraw", title="撤销", source="proposed", target="withdrawn", roles=_STAFF),
        Transition(event="withdraw", title="撤销", source="forwarded", target="withdrawn", roles=_STAFF),
        Transition(event="withdraw", title="撤销", source="active", target="withdrawn", roles=_STAFF),
        Transition(event="propose", title="重新申请", source="refused", target="proposed", roles=_DESK),
        Transition(event="propose", title="重新申请", source="withdrawn", target="proposed", roles=_DESK),
    ),
)

WORKFLOWS: Final = ((PREFIX, "registry_prefix", "status"), (HOSTING, "registry_prefix", "hosting"))
WORKFLOW_OF_CHANGES: Final = (ROUTING, "registry_routingchange", "state")
WORKFLOW_OF_CLAIMS: Final = (CLAIM, "registry_routeclaim", "state")
"""Each workflow with the column that it holds, for the migration and the reference page."""

OPEN_CHANGE_STATES: Final = (_Change.PROPOSED, _Change.CHECKED, _Change.APPROVED, _Change.PUBLISHED)

# (our status, the parent's) → the step we take to follow it; own prefixes follow in everything, passed-on ones in verdicts.
VERDICTS: Final[Mapping[tuple[int, int], str]] = {
    (_Status.PENDING, _Status.IN_REVIEW): "reviewing",
    (_Status.PENDING, _Status.ENABLED): "confirm",
    (_Status.IN_REVIEW, _Status.ENABLED): "confirm",
    (_Status.PENDING, _Status.REJECTED): "reject_above",
    (_Status.IN_REVIEW, _Status.REJECTED): "reject_above",
    (_Status.ENABLED, _Status.DISABLED): "disable",
    (_Status.ENABLED, _Status.TO_DELETE): "mark_for_deletion",
    (_Status.DISABLED, _Status.TO_DELETE): "mark_for_deletion",
    (_Status.DISABLED, _Status.ENABLED): "enable",
    (_Status.TO_DELETE, _Status.DISABLED): "keep",
}
ONLY_OWN: Final = frozenset({"reviewing", "enable", "keep"})
"""Steps that a prefix which is not our own does not follow: whether it works here is this node's decision too."""


def move(prefix: Prefix, event: str, *, actor: object, note: str = "") -> None:
    """One step of a prefix. Raises the `WF-10x` errors."""
    advance(prefix, event, actor=actor, workflow=PREFIX, column="status", note=note)


def move_hosting(prefix: Prefix, event: str, *, actor: object, note: str = "") -> None:
    """One step of a prefix's hosting. Raises the `WF-10x` errors."""
    advance(prefix, event, actor=actor, workflow=HOSTING, column="hosting", note=note)


def move_change(
    change: RoutingChange, event: str, *, actor: object, note: str = "", fields: Mapping[str, Any] | None = None
) -> None:
    """One step of a routing change, with further fields that change in it. Raises the `WF-10x` errors."""
    advance(change, event, actor=actor, workflow=ROUTING, column="state", changes=fields, note=note)


def move_claim(claim: RouteClaim, event: str, *, actor: object, note: str = "", fields: Mapping[str, Any] | None = None) -> None:
    """One step of a claim, with further fields that change in it. Raises the `WF-10x` errors."""
    advance(claim, event, actor=actor, workflow=CLAIM, column="state", changes=fields, note=note)


def check_claim(claim: RouteClaim, event: str, *, actor: object) -> None:
    """Whether the actor may take that step now, before anybody is asked. Raises the `WF-10x` errors."""
    decide(CLAIM, claim, event, column="state", role=getattr(actor, "role", None))
