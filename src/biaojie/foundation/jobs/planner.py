"""Asks, once a minute, for everything that has come due since it last looked, however long ago that was."""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timedelta

from django.db import DatabaseError, close_old_connections, transaction

from biaojie.base import clock
from biaojie.foundation.jobs.cadence import parse
from biaojie.foundation.jobs.errors import JobsError
from biaojie.foundation.jobs.models import ScheduleState
from biaojie.foundation.jobs.queue import enqueue
from biaojie.foundation.jobs.schedule import SCHEDULE, ScheduleRow

log = logging.getLogger(__name__)

PERIOD = timedelta(minutes=1)


def plan(role: str, now: datetime | None = None) -> list[str]:
    """Enqueues each row of `role` that is due; gives their names. Several planners at once plan each moment once.

    A row seen for the first time is due from now on, not for its past.
    """
    now = now or clock.now()
    rows = [row for row in SCHEDULE.values() if role in row.roles]
    ScheduleState.objects.bulk_create([ScheduleState(name=row.name, planned_until=now) for row in rows], ignore_conflicts=True)
    planned = []
    for row in rows:
        try:
            if _plan_row(row, now):
                planned.append(row.name)
        except JobsError:
            log.exception("schedule row %s cannot be planned", row.name)
    return planned


@transaction.atomic
def _plan_row(row: ScheduleRow, now: datetime) -> bool:
    state = ScheduleState.objects.select_for_update(skip_locked=True).filter(pk=row.name).first()
    if state is None or state.planned_until >= now:
        return False
    due_at = parse(state.cadence or row.cadence).last_due(max(state.planned_until, now - row.look_back), now)
    state.planned_until = now
    if due_at is not None and not state.is_paused:
        # Where the last run still waits, one more would only do the same.
        job = enqueue(row.task, lane=row.lane, once=f"schedule:{row.name}", due_at=due_at.isoformat())
        state.last_due_at, state.last_job_id = due_at, job or state.last_job_id
    state.save()
    return due_at is not None and not state.is_paused


def run(role: str, stop: threading.Event) -> None:
    """Plans every minute of the product's clock until `stop`; a lost database is tried again."""
    while not stop.is_set():
        try:
            plan(role)
        except DatabaseError:
            log.exception("planning failed")
        finally:
            close_old_connections()
        stop.wait(max(0.05, clock.real_seconds(PERIOD.total_seconds())))
