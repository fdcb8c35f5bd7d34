"""One row per act."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models


class AuditRecord(models.Model):
    """`actor` did `action` to `subject`; names are text, so that a row outlives what it speaks of."""

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField("时间")
    actor = models.CharField("操作者", max_length=200)
    action = models.CharField("动作", max_length=100)
    subject = models.CharField("对象", max_length=500)
    detail = models.JSONField("详情", default=dict)
    source_ip = models.GenericIPAddressField("来源地址", null=True)
    request_id = models.CharField("请求编号", max_length=64, default="")

    class Meta:
        verbose_name = "审计记录"
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["at"], name="audit_at"),
            models.Index(fields=["subject", "id"], name="audit_subject"),
            models.Index(fields=["actor", "id"], name="audit_actor"),
        ]

    def as_row(self) -> dict[str, Any]:
        """The form in which an API lists it."""
        return {
            "id": self.id,
            "at": self.at.isoformat(),
            "actor": self.actor,
            "action": self.action,
            "subject": self.subject,
            "detail": self.detail,
            "source_ip": self.source_ip,
        }
