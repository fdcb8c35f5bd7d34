"""The schedule table."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models
from django.db.migrations.operations.base import Operation


class Migration(migrations.Migration):
    initial = True

    dependencies: ClassVar[list[tuple[str, str]]] = []

    operations: ClassVar[list[Operation]] = [
        migrations.CreateModel(
            name="ScheduleState",
            fields=[
                ("name", models.CharField(max_length=100, primary_key=True, serialize=False, verbose_name="任务")),
                ("cadence", models.CharField(blank=True, default="", max_length=100, verbose_name="自定义周期")),
                ("is_paused", models.BooleanField(default=False, verbose_name="暂停")),
                ("planned_until", models.DateTimeField(verbose_name="已排至")),
                ("last_due_at", models.DateTimeField(null=True, verbose_name="最近应办时刻")),
                ("last_job_id", models.BigIntegerField(null=True, verbose_name="最近任务编号")),
            ],
            options={
                "verbose_name": "周期任务",
            },
        ),
    ]
