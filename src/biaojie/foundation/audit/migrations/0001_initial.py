"""The audit log, closed against change."""

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
            name="AuditRecord",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField(verbose_name="时间")),
                ("actor", models.CharField(max_length=200, verbose_name="操作者")),
                ("action", models.CharField(max_length=100, verbose_name="动作")),
                ("subject", models.CharField(max_length=500, verbose_name="对象")),
                ("detail", models.JSONField(default=dict, verbose_name="详情")),
                ("source_ip", models.GenericIPAddressField(null=True, verbose_name="来源地址")),
                ("request_id", models.CharField(default="", max_length=64, verbose_name="请求编号")),
            ],
            options={
                "verbose_name": "审计记录",
                "indexes": [
                    models.Index(fields=["at"], name="audit_at"),
                    models.Index(fields=["subject", "id"], name="audit_subject"),
                    models.Index(fields=["actor", "id"], name="audit_actor"),
                ],
            },
        ),
        protect("audit_auditrecord"),
    ]
