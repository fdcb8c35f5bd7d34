"""Figures of a whole node are read, and old seconds removed, by time alone: without these, by reading every row."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models
from django.db.migrations.operations.base import Operation


class Migration(migrations.Migration):
    dependencies: ClassVar[list[tuple[str, str]]] = [("registry", "0002_guards")]

    operations: ClassVar[list[Operation]] = [
        migrations.AddIndex(model_name="usageday", index=models.Index(fields=["day"], name="registry_usage_day_of")),
        migrations.AddIndex(model_name="usagesource", index=models.Index(fields=["day"], name="registry_usage_source_day")),
        migrations.AddIndex(model_name="usagesecond", index=models.Index(fields=["second"], name="registry_usage_second_at")),
    ]
