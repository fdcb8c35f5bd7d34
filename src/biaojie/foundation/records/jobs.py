"""The journal's own task."""

from __future__ import annotations

from biaojie.foundation.jobs.queue import task
from biaojie.foundation.records import retention


@task("records.prune", lane="bulk")
def prune(due_at: str = "") -> int:
    """Removes change sets past their term."""
    return retention.prune()
