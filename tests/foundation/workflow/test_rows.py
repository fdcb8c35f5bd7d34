"""Rows that contradict each other are refused; a diagram shows all of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from biaojie.foundation.workflow.diagram import mermaid
from biaojie.foundation.workflow.rows import Deadline, State, Transition, Unit, Workflow

FLOW = Workflow(
    name="door",
    title="门",
    initial=("open",),
    states=(State(code="open", title="开", mover="门卫"), State(code="shut", title="关")),
    transitions=(
        Transition(
            event="shut",
            title="关门",
            source="open",
            target="shut",
            deadline=Deadline(amount=5, unit=Unit.WORKING_DAYS),
            clause="第2条",
        ),
    ),
)


@pytest.mark.parametrize(
    "change",
    [
        {"initial": ()},
        {"initial": ("ajar",)},
        {"states": (FLOW.states[0], FLOW.states[0])},
        {"states": (FLOW.states[0], State(code=1, title="关"))},
        {"transitions": (replace(FLOW.transitions[0], target="ajar"),)},
        {"transitions": (FLOW.transitions[0], replace(FLOW.transitions[0], target="open"))},
    ],
)
def test_workflow_rows_that_contradict_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="workflow door"):
        replace(FLOW, **change)


def test_mermaid_every_state_and_step_shown() -> None:
    found = mermaid(FLOW)

    assert found.splitlines() == [
        "stateDiagram-v2",
        "    sopen: 开（待门卫）",
        "    sshut: 关",
        "    [*] --> sopen",
        "    sopen --> sshut: 关门 · 5 个工作日 · 第2条",
        "    sshut --> [*]",
    ]
