"""Code and database hold an instance to the same rows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest
from django.db import IntegrityError, connection, models, transaction
from django.test.utils import isolate_apps

from biaojie.base import clock
from biaojie.foundation.accounts.models import User
from biaojie.foundation.workflow.errors import GuardRefused, NoTransition, NotTheMover, StateMoved
from biaojie.foundation.workflow.guard import trigger_sql
from biaojie.foundation.workflow.models import WorkflowStep
from biaojie.foundation.workflow.progress import advance, history
from biaojie.foundation.workflow.rows import Deadline, State, Transition, Unit, Workflow

REVIEWER = User(username="wang", role="reviewer")
OPERATOR = User(username="li", role="operator")
FLOW = Workflow(
    name="lending",
    title="借阅",
    initial=(4, 1),
    states=(
        State(code=0, title="停用"),
        State(code=1, title="启用"),
        State(code=3, title="被驳回", mover="申请人"),
        State(code=4, title="待审核", mover="审核员"),
        State(code=5, title="审核中", mover="审核员"),
    ),
    transitions=(
        Transition(
            event="take",
            title="受理",
            source=4,
            target=5,
            roles=frozenset({"reviewer"}),
            deadline=Deadline(amount=2, unit=Unit.DAYS),
        ),
        Transition(
            event="accept",
            title="通过",
            source=5,
            target=1,
            roles=frozenset({"reviewer"}),
            guard=lambda row: None if row.reason else "缺少意见",
        ),
        Transition(event="reject", title="驳回", source=5, target=3, roles=frozenset({"reviewer"})),
        Transition(event="apply", title="重新申请", source=3, target=4, roles=frozenset({"operator"})),
        Transition(event="stop", title="停用", source=1, target=0),
    ),
)


@pytest.fixture
def loan(db: None) -> Iterator[type[models.Model]]:
    with isolate_apps("biaojie.foundation.workflow"):

        class Loan(models.Model):
            status = models.SmallIntegerField(default=4)
            reason = models.TextField(default="")

            class Meta:
                app_label = "workflow"
                db_table = "test_loan"

    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE test_loan (id serial PRIMARY KEY, status smallint, reason text)")
        cursor.execute(trigger_sql(FLOW, "test_loan", "status"))
    yield Loan
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE test_loan")


def in_state(loan: type[models.Model], state: int) -> models.Model:
    """A row brought to `state` past the trigger, as a restored backup would."""
    row = loan._default_manager.create(reason="好")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE test_loan SET status = %s WHERE id = %s", [state, row.pk])
        cursor.execute("SET LOCAL session_replication_role = origin")
    row.refresh_from_db()
    return row


def test_code_and_trigger_for_every_pair_of_states_agree(loan: type[models.Model]) -> None:
    codes = [state.code for state in FLOW.states]
    by_code, by_trigger = {}, {}
    for source, target in product(codes, codes):
        row = in_state(loan, int(source))
        by_code[source, target] = FLOW.allows(source, target)
        try:
            with transaction.atomic():
                loan._default_manager.filter(pk=row.pk).update(status=target)
            by_trigger[source, target] = True
        except IntegrityError:
            by_trigger[source, target] = False

    assert by_trigger == by_code
    assert 0 < sum(by_code.values()) < len(by_code)


def test_trigger_new_row_only_in_an_initial_state(loan: type[models.Model]) -> None:
    found = {}
    for state in FLOW.states:
        try:
            with transaction.atomic():
                loan._default_manager.create(status=state.code)
            found[state.code] = True
        except IntegrityError:
            found[state.code] = False

    assert found == {state.code: state.code in FLOW.initial for state in FLOW.states}


def test_advance_declared_event_moves_and_writes_history(loan: type[models.Model]) -> None:
    row = loan._default_manager.create()
    before = clock.now()

    advance(row, "take", actor=REVIEWER, workflow=FLOW)
    advance(row, "accept", actor=REVIEWER, workflow=FLOW, changes={"reason": "齐全"}, note="同意")

    row.refresh_from_db()
    assert (row.status, row.reason) == (1, "齐全")  # type: ignore[attr-defined]  # a model made in this test
    steps = history(FLOW, row)
    assert [(step.event, step.source, step.target, step.actor, step.note) for step in steps] == [
        ("take", "4", "5", "wang", ""),
        ("accept", "5", "1", "wang", "同意"),
    ]
    assert steps[0].deadline == "2 日"
    assert steps[0].due_at is not None
    assert (steps[0].due_at - before).days == 2


def test_advance_event_not_possible_here_refused(loan: type[models.Model]) -> None:
    row = loan._default_manager.create()

    with pytest.raises(NoTransition, match="借阅处于“待审核”状态，不能通过"):
        advance(row, "accept", actor=REVIEWER, workflow=FLOW)


def test_advance_wrong_role_refused_and_software_only_step_closed_to_people(loan: type[models.Model]) -> None:
    waiting, running = loan._default_manager.create(), in_state(loan, 1)

    with pytest.raises(NotTheMover):
        advance(waiting, "take", actor=OPERATOR, workflow=FLOW)
    with pytest.raises(NotTheMover):
        advance(running, "stop", actor=REVIEWER, workflow=FLOW)
    advance(running, "stop", actor="node:top", workflow=FLOW)

    assert (waiting.status, running.status) == (4, 0)  # type: ignore[attr-defined]  # a model made in this test


def test_advance_guard_not_met_changes_nothing(loan: type[models.Model]) -> None:
    row = loan._default_manager.create()
    advance(row, "take", actor=REVIEWER, workflow=FLOW)

    with pytest.raises(GuardRefused, match="缺少意见"):
        advance(row, "accept", actor=REVIEWER, workflow=FLOW)

    row.refresh_from_db()
    assert (row.status, WorkflowStep.objects.count()) == (5, 1)  # type: ignore[attr-defined]  # a model made in this test


def test_advance_row_moved_by_another_refused(loan: type[models.Model]) -> None:
    row = loan._default_manager.create()
    stale = loan._default_manager.get(pk=row.pk)
    advance(row, "take", actor=REVIEWER, workflow=FLOW)

    with pytest.raises(StateMoved, match="审核中"):
        advance(stale, "take", actor=REVIEWER, workflow=FLOW)


def test_history_change_refused_by_the_database(loan: type[models.Model]) -> None:
    advance(loan._default_manager.create(), "take", actor=REVIEWER, workflow=FLOW)

    with pytest.raises(IntegrityError), transaction.atomic():
        WorkflowStep.objects.update(actor="someone else")
