"""The journal's four tables. Append-only by triggers (see the first migration); written only through `journal`.

`ChangeSet` 1—n `Change`; one `Stamp` per set and channel, whose `serial` is null until the channel's reader gives it.
`Channel` holds the last serial given and how far its consumer has come.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class ChangeSet(models.Model):
    """What one transaction changed."""

    id = models.BigAutoField(primary_key=True)
    actor = models.TextField("操作者")
    at = models.DateTimeField("时间")

    class Meta:
        verbose_name = "变更集"
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["at"], name="records_set_at")]


class Change(models.Model):
    """One thing put or removed. `version` grows for a key for ever; of two changes the higher version holds."""

    class Operation(models.TextChoices):
        """What was done."""

        PUT = "put", "写入"
        REMOVE = "remove", "删除"

    id = models.BigAutoField(primary_key=True)
    # No constraint in the database: the row is written in one statement with its set, neither can be deleted alone
    # (triggers), and checking it row by row costs a tenth of a bulk registration.
    change_set = models.ForeignKey(ChangeSet, on_delete=models.DO_NOTHING, db_constraint=False, related_name="changes")
    kind = models.TextField("类别")
    key = models.TextField("键")
    version = models.BigIntegerField("版本")
    operation = models.TextField("操作", choices=Operation.choices)
    content = models.JSONField("内容", null=True)

    class Meta:
        verbose_name = "变更"
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["kind", "key", "version"], name="records_history")]


class Stamp(models.Model):
    """A set's place in a channel."""

    id = models.BigAutoField(primary_key=True)
    channel = models.TextField("通道")
    change_set = models.ForeignKey(ChangeSet, on_delete=models.DO_NOTHING, related_name="stamps")
    serial = models.BigIntegerField("序号", null=True)

    class Meta:
        verbose_name = "通道序号"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["channel", "serial"], name="records_stamp_serial"),
            models.UniqueConstraint(fields=["change_set", "channel"], name="records_stamp_once"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["channel", "change_set"], condition=models.Q(serial=None), name="records_unstamped"),
        ]


class Channel(models.Model):
    """How far a channel has been numbered and consumed."""

    name = models.TextField("通道", primary_key=True)
    serial = models.BigIntegerField("最新序号", default=0)
    acknowledged = models.BigIntegerField("已处理序号", default=0)

    class Meta:
        verbose_name = "变更通道"
