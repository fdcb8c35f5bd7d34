"""Taking a step: one row lock, one check, one write, one line of history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from django.db import models, transaction

from biaojie.base import clock
from biaojie.foundation.workflow.errors import GuardRefused, NoTransition, NotTheMover, StateMoved
from biaojie.foundation.workflow.models import WorkflowStep
from biaojie.foundation.workflow.rows import Transition, Workflow

M = TypeVar("M", bound=models.Model)


def decide(workflow: Workflow, instance: object, event: str, *, column: str, role: str | None) -> Transition:
    """The step to take, checked against the rows. Pure but for the guard. Raises NoTransition, NotTheMover, GuardRefused."""
    state = getattr(instance, column)
    step = workflow.find(event, state)
    if step is None:
        raise NoTransition(workflow=workflow.title, state=workflow.state(state).title, event=workflow.title_of(event))
    if role is not None and role not in step.roles:
        raise NotTheMover(role=role, workflow=workflow.title, event=step.title)
    reason = step.guard(instance) if step.guard else None
    if reason:
        raise GuardRefused(reason=reason)
    return step


@transaction.atomic
def advance(
    instance: M,
    event: str,
    *,
    actor: object,
    workflow: Workflow,
    column: str = "status",
    changes: Mapping[str, Any] | None = None,
    note: str = "",
    detail: Mapping[str, Any] | None = None,
) -> WorkflowStep:
    """Takes the step `event` and writes its history row; `instance` is brought up to date.

    `actor` is a `User` (its role must be among the step's) or anything else for the software itself (a node, a job).
    `changes` are further fields, seen by the guard and saved with the state. The row is locked; if its state is not the one in
    `instance`, somebody else moved it: `StateMoved`. Raises also NoTransition, NotTheMover, GuardRefused.
    """
    held = type(instance)._default_manager.select_for_update().get(pk=instance.pk)
    if getattr(held, column) != getattr(instance, column):
        raise StateMoved(workflow=workflow.title, state=workflow.state(getattr(held, column)).title)
    for name, value in (changes or {}).items():
        setattr(held, name, value)
    step = decide(workflow, held, event, column=column, role=getattr(actor, "role", None))
    setattr(held, column, step.target)
    held.save(update_fields=[column, *(changes or {})])
    for name in (column, *(changes or {})):
        setattr(instance, name, getattr(held, name))
    now = clock.now()
    return WorkflowStep.objects.create(
        workflow=workflow.name,
        instance=str(instance.pk),
        event=event,
        source=str(step.source),
        target=str(step.target),
        actor=str(actor),
        at=now,
        due_at=step.deadline.due_at(now) if step.deadline else None,
        deadline=str(step.deadline or ""),
        note=note,
        detail=dict(detail or {}),
    )


def history(workflow: Workflow, instance: models.Model) -> list[WorkflowStep]:
    """Every step an instance has taken, oldest first."""
    return list(WorkflowStep.objects.filter(workflow=workflow.name, instance=str(instance.pk)).order_by("id"))
