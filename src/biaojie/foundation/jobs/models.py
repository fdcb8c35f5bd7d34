"""The schedule table: what the planner knows of each declared row."""

from __future__ import annotations

from django.db import models


class ScheduleState(models.Model):
    """One row per `schedule.ScheduleRow`; an operator may override its cadence or pause it."""

    name = models.CharField("任务", max_length=100, primary_key=True)
    cadence = models.CharField("自定义周期", max_length=100, default="", blank=True)
    is_paused = models.BooleanField("暂停", default=False)
    planned_until = models.DateTimeField("已排至")
    last_due_at = models.DateTimeField("最近应办时刻", null=True)
    last_job_id = models.BigIntegerField("最近任务编号", null=True)

    class Meta:
        verbose_name = "周期任务"
