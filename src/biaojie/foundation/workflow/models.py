"""What happened in every workflow, append-only."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class WorkflowStep(models.Model):
    """One transition taken: `instance` went from `source` to `target` by `event`."""

    id = models.BigAutoField(primary_key=True)
    workflow = models.CharField("流程", max_length=64)
    instance = models.CharField("对象", max_length=200)
    event = models.CharField("事件", max_length=64)
    source = models.CharField("原状态", max_length=32)
    target = models.CharField("新状态", max_length=32)
    actor = models.CharField("操作者", max_length=200)
    at = models.DateTimeField("时间")
    due_at = models.DateTimeField("办理期限", null=True)
    deadline = models.CharField("期限规则", max_length=32, default="", blank=True)
    note = models.TextField("意见", default="", blank=True)
    detail = models.JSONField("详情", default=dict)

    class Meta:
        verbose_name = "流程记录"
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["workflow", "instance", "id"], name="workflow_instance"),
            models.Index(fields=["due_at"], name="workflow_due"),
        ]
