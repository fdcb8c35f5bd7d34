"""Asking for work: `@task` names a function, `enqueue` asks for it in the caller's transaction.

Thin over procrastinate, so that another queue could take its place: nothing else in the product imports it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, ParamSpec, TypeVar

from django.db import transaction
from procrastinate import RetryStrategy
from procrastinate.contrib.django import app
from procrastinate.exceptions import AlreadyEnqueued, TaskNotFound

from biaojie.foundation.jobs.errors import UnknownLane, UnknownTask
from biaojie.foundation.jobs.lane_rows import LANES

P = ParamSpec("P")
R = TypeVar("R")

# Waits of 4, 16, 64, 256 s between attempts.
ATTEMPTS = 5
_WAIT_BASE_S = 4

_LANE_OF: dict[str, str] = {}


def task(name: str, *, lane: str = "default", attempts: int = ATTEMPTS) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Registers a function of an app's `jobs.py` under a lasting name; arguments must be JSON. It runs at least once.

    The function itself is returned unchanged: calling it runs it here and now.
    """
    _check_lane(lane)

    def register(function: Callable[P, R]) -> Callable[P, R]:
        _LANE_OF[name] = lane
        retry = RetryStrategy(max_attempts=attempts, exponential_wait=_WAIT_BASE_S) if attempts > 1 else False
        app.task(name=name, queue=lane, retry=retry)(function)
        return function

    return register


def enqueue(
    task: str, *, lane: str | None = None, once: str | None = None, at: datetime | None = None, **args: Any
) -> int | None:
    """Asks for a task; gives the job's id. The job exists if and when the caller's transaction commits.

    `lane` defaults to the task's own. `once` is a key of which at most one job may be waiting: None is given (and nothing
    asked for) where one is. `at` delays it. Raises UnknownTask, UnknownLane.
    """
    chosen = lane or _LANE_OF.get(task, "default")
    _check_lane(chosen)
    try:
        deferrer = app.configure_task(task, allow_unknown=False, queue=chosen, queueing_lock=once, schedule_at=at)
    except TaskNotFound as error:
        raise UnknownTask(task=task) from error
    try:
        with transaction.atomic():  # a savepoint, so that a refused duplicate does not spoil the caller's transaction
            return int(deferrer.defer(**args))
    except AlreadyEnqueued:
        return None


def _check_lane(lane: str) -> None:
    if lane not in LANES or not LANES[lane].has_queue:
        raise UnknownLane(lane=lane)
