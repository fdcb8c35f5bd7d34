"""The housekeeping tasks of the foundation."""

from __future__ import annotations

from asgiref.sync import async_to_sync
from procrastinate.contrib.django import app

from biaojie.foundation.accounts import lockout, tokens
from biaojie.foundation.jobs.queue import task

FINISHED_KEPT_H = 7 * 24


@task("jobs.purge")
def purge(due_at: str = "") -> None:
    """Removes finished jobs after a week, failed ones too."""
    async_to_sync(app.job_manager.delete_old_jobs)(
        FINISHED_KEPT_H, include_failed=True, include_cancelled=True, include_aborted=True
    )


@task("accounts.purge_tokens")
def purge_tokens(due_at: str = "") -> int:
    """Removes tokens long ended, and failed sign-ins that no longer count; gives how many tokens."""
    lockout.purge()
    return tokens.purge()
