"""The declared schedule: what is due how often, in which lane, in which roles. Chapters add rows in `AppConfig.ready()`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from biaojie.foundation.jobs.cadence import parse


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRow:
    """`task` is a registered task; it gets `due_at` (ISO 8601, UTC) as its argument.

    Missed moments within `look_back` are made up for by one run, for the latest of them; older ones are let go.
    """

    name: str
    title: str
    task: str
    cadence: str
    lane: str = "default"
    roles: frozenset[str] = frozenset({"top", "second", "enterprise", "escrow"})
    look_back: timedelta = timedelta(days=32)


SCHEDULE: dict[str, ScheduleRow] = {}


def declare(row: ScheduleRow) -> None:
    """Adds a row; declaring the same row twice is harmless. Raises BadCadence, ValueError."""
    parse(row.cadence)
    if SCHEDULE.setdefault(row.name, row) != row:
        raise ValueError(f"schedule row {row.name} is declared twice")


declare(ScheduleRow(name="journal-prune", title="清理变更日志", task="records.prune", cadence="daily 03:10", lane="bulk"))
declare(ScheduleRow(name="tokens-purge", title="清理过期令牌与登录失败记录", task="accounts.purge_tokens", cadence="daily 03:20"))
declare(ScheduleRow(name="jobs-purge", title="清理已完成任务", task="jobs.purge", cadence="daily 03:30"))
