"""The change journal and its guards."""

from __future__ import annotations

from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models
from django.db.migrations.operations.base import Operation

from biaojie.foundation.records.triggers import INSTALL, REMOVE


class Migration(migrations.Migration):
    initial = True

    dependencies: ClassVar[list[tuple[str, str]]] = []

    operations: ClassVar[list[Operation]] = [
        migrations.CreateModel(
            name="Channel",
            fields=[
                ("name", models.TextField(primary_key=True, serialize=False, verbose_name="通道")),
                ("serial", models.BigIntegerField(default=0, verbose_name="最新序号")),
                ("acknowledged", models.BigIntegerField(default=0, verbose_name="已处理序号")),
            ],
            options={
                "verbose_name": "变更通道",
            },
        ),
        migrations.CreateModel(
            name="ChangeSet",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("actor", models.TextField(verbose_name="操作者")),
                ("at", models.DateTimeField(verbose_name="时间")),
            ],
            options={
                "verbose_name": "变更集",
                "indexes": [models.Index(fields=["at"], name="records_set_at")],
            },
        ),
        migrations.CreateModel(
            name="Change",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("kind", models.TextField(verbose_name="类别")),
                ("key", models.TextField(verbose_name="键")),
                ("version", models.BigIntegerField(verbose_name="版本")),
                ("operation", models.TextField(choices=[("put", "写入"), ("remove", "删除")], verbose_name="操作")),
                ("content", models.JSONField(null=True, verbose_name="内容")),
                (
                    "change_set",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="changes",
                        to="records.changeset",
                    ),
                ),
            ],
            options={
                "verbose_name": "变更",
                "indexes": [models.Index(fields=["kind", "key", "version"], name="records_history")],
            },
        ),
        migrations.CreateModel(
            name="Stamp",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("channel", models.TextField(verbose_name="通道")),
                ("serial", models.BigIntegerField(null=True, verbose_name="序号")),
                (
                    "change_set",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.DO_NOTHING, related_name="stamps", to="records.changeset"
                    ),
                ),
            ],
            options={
                "verbose_name": "通道序号",
                "indexes": [
                    models.Index(condition=models.Q(("serial", None)), fields=["channel", "change_set"], name="records_unstamped")
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("channel", "serial"), name="records_stamp_serial"),
                    models.UniqueConstraint(fields=("change_set", "channel"), name="records_stamp_once"),
                ],
            },
        ),
        migrations.RunSQL(sql=INSTALL, reverse_sql=REMOVE),
    ]
