"""A workflow as a mermaid state diagram, for the reference pages."""

from __future__ import annotations

from biaojie.foundation.workflow.rows import Workflow


def mermaid(workflow: Workflow) -> str:
    """The diagram's source; states carry title and mover, arrows the event, its deadline and clause."""
    lines = ["stateDiagram-v2"]
    for state in workflow.states:
        mover = f"（待{state.mover}）" if state.mover else ""
        lines.append(f"    s{state.code}: {_plain(state.title + mover)}")
    lines += [f"    [*] --> s{code}" for code in workflow.initial]
    for row in workflow.transitions:
        extras = [str(row.deadline)] if row.deadline else []
        extras += [row.clause] if row.clause else []
        lines.append(f"    s{row.source} --> s{row.target}: {_plain(' · '.join([row.title, *extras]))}")
    left = {row.source for row in workflow.transitions}
    lines += [f"    s{state.code} --> [*]" for state in workflow.states if state.code not in left]
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    # A colon or semicolon ends a label in mermaid.
    return text.replace(":", "：").replace(";", "；").replace("\n", " ")
