"""The history of every workflow, closed against change."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models
from django.db.migrations.operations.base import Operation

from biaojie.foundation.audit.append_only import protect


class Migration(migrations.Migration):
    initial = True

    dependencies: ClassVar[list[tuple[str, str]]] = []

    operations: ClassVar[list[Operation]] = [
        migrations.CreateModel(
            name="WorkflowStep",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("workflow", models.CharField(max_length=64, verbose_name="流程")),
                ("instance", models.CharField(max_length=200, verbose_name="对象")),
                ("event", models.CharField(max_length=64, verbose_name="事件")),
                ("source", models.CharField(max_length=32, verbose_name="原状态")),
                ("target", models.CharField(max_length=32, verbose_name="新状态")),
                ("actor", models.CharField(max_length=200, verbose_name="操作者")),
                ("at", models.DateTimeField(verbose_name="时间")),
                ("due_at", models.DateTimeField(null=True, verbose_name="办理期限")),
                ("deadline", models.CharField(blank=True, default="", max_length=32, verbose_name="期限规则")),
                ("note", models.TextField(blank=True, default="", verbose_name="意见")),
                ("detail", models.JSONField(default=dict, verbose_name="详情")),
            ],
            options={
                "verbose_name": "流程记录",
                "indexes": [
                    models.Index(fields=["workflow", "instance", "id"], name="workflow_instance"),
                    models.Index(fields=["due_at"], name="workflow_due"),
                ],
            },
        ),
        protect("workflow_workflowstep"),
    ]
