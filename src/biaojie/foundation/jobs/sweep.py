"""Jobs whose worker died: found by its missing heartbeat, and asked for again."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from asgiref.sync import async_to_sync
from procrastinate.contrib.django import app

log = logging.getLogger(__name__)

# A worker's heart beats every 10 s (real time: it measures the machine, not the calendar).
SILENT_S = 30


def sweep_stalled(silent_s: float = SILENT_S) -> list[int]:
    """Sets jobs of workers silent for `silent_s` back to waiting; gives their ids. Repeatable, safe beside live workers."""
    return async_to_sync(_sweep)(silent_s)


async def _sweep(silent_s: float) -> list[int]:
    found = []
    for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=silent_s):
        if job.id is not None:
            await app.job_manager.retry_job(job, retry_at=datetime.now(UTC))
            log.warning("job %s (%s) asked for again: its worker is gone", job.id, job.task_name)
            found.append(job.id)
    return found
