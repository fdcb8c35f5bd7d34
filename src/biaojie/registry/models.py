"""What a node has registered. Written only through `operations*`; states change only as `workflows` declares.

`Registrant` 1—n `Prefix` 1—n `Endpoint` (where it is served) and `RoutingChange` (how that came about and what comes
next); `RouteClaim` (prefix or range of the other code systems); `Handle` (every record this node answers or publishes:
identifiers and the `0.NA/…` records of prefixes); `BulkLoad` (a bulk registration and how far it has come); `Usage*`
(what resolvers counted). One database is one node: there is no node column; `peer_id` names the enrolled node that
serves a prefix, empty when this node serves it itself.
"""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models


class Registrant(models.Model):
    """A unit that holds prefixes (表1 or 表6 subject); its descriptive data comes with the thirteen tables."""

    id = models.BigAutoField(primary_key=True)
    name = models.CharField("单位名称", max_length=255)
    credit_code = models.CharField("统一社会信用代码", max_length=32, unique=True)
    peer_id = models.CharField("入网节点", max_length=80, default="", blank=True)
    created_at = models.DateTimeField("登记时间")
    updated_at = models.DateTimeField("更新时间")
    version = models.BigIntegerField("版本", default=1)

    class Meta:
        verbose_name = "注册单位"


class Membership(models.Model):
    """Which person speaks for which registrant; `for_user()` querysets start here."""

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    registrant = models.ForeignKey(Registrant, on_delete=models.CASCADE, related_name="memberships")

    class Meta:
        verbose_name = "成员"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["user", "registrant"], name="registry_member_once")
        ]


class Prefix(models.Model):
    """A Handle prefix and its life: status 0–5 and hosting 1–4 as SNMS numbers them."""

    class Status(models.IntegerChoices):
        """前缀状态"""

        DISABLED = 0, "停用"
        ENABLED = 1, "启用"
        TO_DELETE = 2, "待删除"
        REJECTED = 3, "被驳回"
        PENDING = 4, "待审核"
        IN_REVIEW = 5, "审核中"

    class Hosting(models.IntegerChoices):
        """托管状态"""

        NONE = 1, "未托管"
        APPLIED = 2, "托管申请中"
        REJECTED = 3, "托管被驳回"
        HOSTED = 4, "已托管"

    id = models.BigAutoField(primary_key=True)
    name = models.CharField("前缀", max_length=64, unique=True, db_collation="C")
    parent = models.CharField("上级前缀", max_length=64, db_collation="C")
    registrant = models.ForeignKey(Registrant, on_delete=models.PROTECT, related_name="prefixes", null=True)
    peer_id = models.CharField("服务节点", max_length=80, default="", blank=True)
    is_own = models.BooleanField("本节点自己的前缀", default=False)
    status = models.SmallIntegerField("状态", choices=Status.choices, default=Status.PENDING)
    hosting = models.SmallIntegerField("托管", choices=Hosting.choices, default=Hosting.NONE)
    reason_code = models.CharField("驳回理由代码", max_length=32, default="", blank=True)
    reason = models.TextField("驳回理由", default="", blank=True)
    site_serial = models.IntegerField("路由序号", default=0)
    created_at = models.DateTimeField("申请时间")
    updated_at = models.DateTimeField("更新时间")
    version = models.BigIntegerField("版本", default=1)

    class Meta:
        verbose_name = "前缀"
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["parent", "name"], name="registry_prefix_parent"),
            models.Index(fields=["status", "id"], name="registry_prefix_status"),
        ]


class Endpoint(models.Model):
    """One address and port at which a prefix is served now (表2/表7 #3–5)."""

    class Protocol(models.TextChoices):
        """协议类型"""

        TCP = "TCP", "TCP"
        UDP = "UDP", "UDP"
        HTTP = "HTTP", "HTTP"

    id = models.BigAutoField(primary_key=True)
    prefix = models.ForeignKey(Prefix, on_delete=models.CASCADE, related_name="endpoints")
    ip_type = models.SmallIntegerField("IP 类型", choices=[(4, "IPv4"), (6, "IPv6")])
    ip = models.GenericIPAddressField("IP 地址")
    protocol = models.CharField("协议类型", max_length=4, choices=Protocol.choices)
    port = models.IntegerField("端口")

    class Meta:
        verbose_name = "解析路由"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["prefix", "ip", "protocol", "port"], name="registry_endpoint_once")
        ]


class RoutingChange(models.Model):
    """A planned change of a prefix's addresses; `old` and `new` are lists of `{ip_type, ip, protocol, port}`."""

    class State(models.TextChoices):
        """路由变更状态"""

        PROPOSED = "proposed", "已提交"
        CHECKED = "checked", "地址已核对"
        APPROVED = "approved", "已批准"
        PUBLISHED = "published", "新旧并行"
        SETTLED = "settled", "已完成"
        REFUSED = "refused", "被拒绝"
        ROLLED_BACK = "rolled_back", "已回退"

    id = models.BigAutoField(primary_key=True)
    prefix = models.ForeignKey(Prefix, on_delete=models.CASCADE, related_name="routing_changes")
    state = models.CharField("状态", max_length=16, choices=State.choices, default=State.PROPOSED)
    old = models.JSONField("原地址", default=list)
    new = models.JSONField("新地址", default=list)
    checks = models.JSONField("核对结果", default=list)
    proposed_by = models.CharField("提交人", max_length=200)
    approved_by = models.CharField("批准人", max_length=200, default="", blank=True)
    reason = models.TextField("说明", default="", blank=True)
    created_at = models.DateTimeField("提交时间")
    settle_at = models.DateTimeField("旧地址停用时间", null=True)

    class Meta:
        verbose_name = "路由变更"
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["state", "settle_at"], name="registry_change_due"),
        ]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["prefix"],
                condition=models.Q(state__in=["proposed", "checked", "approved", "published"]),
                name="registry_one_open_change",
            )
        ]


class RouteClaim(models.Model):
    """A prefix or range of a code system other than Handle, its holder and its addresses (表2/表7).

    `low` and `high` bound the half-open interval of routing octets; no two open claims of different owners overlap
    unless one owner's lies wholly inside a claim of the node above it (a trigger refuses, see `operations_routes`).
    Open are those without `removed_at`: proposed, forwarded and active ones. Published are active ones alone.
    """

    class State(models.TextChoices):
        """编码路由状态"""

        PROPOSED = "proposed", "待审核"
        FORWARDED = "forwarded", "上级审核中"
        ACTIVE = "active", "已生效"
        REFUSED = "refused", "被拒绝"
        WITHDRAWN = "withdrawn", "已撤销"

    id = models.BigAutoField(primary_key=True)
    system = models.CharField("标识编码类型", max_length=16)
    coverage = models.CharField("标识前缀或范围", max_length=600, db_collation="C")
    low = models.BinaryField("起")
    high = models.BinaryField("止")
    owner = models.CharField("持有前缀", max_length=64)
    holder = models.CharField("持有单位", max_length=255)
    peer_id = models.CharField("服务节点", max_length=80, default="", blank=True)
    addresses = models.JSONField("地址", default=list)
    final = models.BooleanField("由此直接应答")
    state = models.CharField("状态", max_length=16, choices=State.choices, default=State.PROPOSED)
    proposed_by = models.CharField("提交人", max_length=200, default="", blank=True)
    decided_by = models.CharField("审核人", max_length=200, default="", blank=True)
    reason = models.TextField("拒绝理由", default="", blank=True)
    created_at = models.DateTimeField("登记时间")
    version = models.BigIntegerField("版本")
    removed_at = models.DateTimeField("拒绝或撤销时间", null=True)

    class Meta:
        verbose_name = "其他编码体系的路由"
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["system", "low"], condition=models.Q(removed_at=None), name="registry_claim_low"),
        ]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["system", "coverage"], name="registry_claim_once"),
            models.CheckConstraint(
                condition=models.Q(removed_at=None) ^ models.Q(state__in=["refused", "withdrawn"]), name="registry_claim_ended"
            ),
        ]


class Handle(models.Model):
    """One record that this node answers or publishes. Removed ones stay, so that a version never repeats.

    `key` is the canonical text with the system's number in front (`1:88.100.1/ABC`); `spelled` as registered;
    `values` the list of values in the Handle JSON form (facts of the HTTP API), sorted by index.
    """

    class Purpose(models.TextChoices):
        """用途"""

        IDENTIFIER = "identifier", "标识"
        PREFIX = "prefix", "前缀记录"
        PROBE = "probe", "探测标识"

    key = models.TextField("规范形式", primary_key=True, db_collation="C")
    spelled = models.TextField("标识")
    prefix = models.ForeignKey(Prefix, on_delete=models.PROTECT, related_name="handles", null=True, db_index=False)
    owner = models.CharField("归属前缀", max_length=64)
    purpose = models.CharField("用途", max_length=10, choices=Purpose.choices, default=Purpose.IDENTIFIER)
    values = models.JSONField("值")
    version = models.BigIntegerField("版本", default=1)
    created_at = models.DateTimeField("创建时间")
    updated_at = models.DateTimeField("更新时间")
    deleted_at = models.DateTimeField("删除时间", null=True)

    class Meta:
        verbose_name = "标识"
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["prefix", "key"], condition=models.Q(deleted_at=None), name="registry_handle_live"),
        ]


class OwnSite(models.Model):
    """The node's own HS_SITE octets, the answer of GET_SITE_INFO; one row."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    site = models.BinaryField("站点")
    version = models.BigIntegerField("版本", default=1)

    class Meta:
        verbose_name = "本节点站点"


class BulkLoad(models.Model):
    """A bulk registration: what was asked, how far it has come, where its report is. `rows_done` grows with the data."""

    class State(models.TextChoices):
        """批量任务状态"""

        OPEN = "open", "接收中"
        DONE = "done", "已完成"
        FAILED = "failed", "未执行"

    id = models.UUIDField(primary_key=True)
    prefix = models.ForeignKey(Prefix, on_delete=models.PROTECT, related_name="loads")
    format = models.CharField("格式", max_length=8)
    mode = models.CharField("方式", max_length=8)
    atomic = models.BooleanField("全部成功才生效", default=False)
    state = models.CharField("状态", max_length=8, choices=State.choices, default=State.OPEN)
    actor = models.CharField("操作者", max_length=200)
    rows_done = models.BigIntegerField("已处理行数", default=0)
    accepted = models.BigIntegerField("成功", default=0)
    rejected = models.BigIntegerField("失败", default=0)
    digest = models.CharField("内容摘要", max_length=128, default="", blank=True)
    created_at = models.DateTimeField("开始时间")
    finished_at = models.DateTimeField("完成时间", null=True)

    class Meta:
        verbose_name = "批量任务"


class BulkError(models.Model):
    """One refused row of a bulk load: all its faults as `[{code, pointer, message}]`."""

    id = models.BigAutoField(primary_key=True)
    load = models.ForeignKey(BulkLoad, on_delete=models.CASCADE, related_name="errors")
    row = models.BigIntegerField("行号")
    handle = models.TextField("标识", default="", blank=True)
    errors = models.JSONField("错误")

    class Meta:
        verbose_name = "批量错误"
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["load", "row"], name="registry_bulk_error")]


class SpoolFile(models.Model):
    """A counter file that has been loaded: its name is the idempotency key."""

    name = models.TextField(primary_key=True)
    loaded_at = models.DateTimeField()


class UsageDay(models.Model):
    """What was asked of a prefix on one Shanghai day (表3/表8 #4–5, 附件2 #1–7). `own` counts probes and self-checks apart."""

    id = models.BigAutoField(primary_key=True)
    prefix = models.CharField("前缀", max_length=64, db_collation="C")
    day = models.DateField("日期")
    own = models.BooleanField("本节点自检", default=False)
    requests = models.BigIntegerField("解析请求量", default=0)
    answered = models.BigIntegerField("成功响应量", default=0)
    latency_count = models.BigIntegerField(default=0)
    latency_sum_us = models.BigIntegerField(default=0)
    latency_min_us = models.BigIntegerField(null=True)
    latency_min_at = models.DateTimeField(null=True)
    latency_max_us = models.BigIntegerField(null=True)
    latency_max_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "解析统计"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["prefix", "day", "own"], name="registry_usage_day")
        ]
        # A node's own figures are those of all its prefixes: they are read by time alone.
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["day"], name="registry_usage_day_of")]


class UsageSource(models.Model):
    """Requests by source address of a prefix and day (表3/表8 #6)."""

    id = models.BigAutoField(primary_key=True)
    prefix = models.CharField("前缀", max_length=64, db_collation="C")
    day = models.DateField("日期")
    ip = models.GenericIPAddressField("来源 IP")
    requests = models.BigIntegerField("解析量")

    class Meta:
        verbose_name = "解析来源"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["prefix", "day", "ip"], name="registry_usage_source")
        ]
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["day"], name="registry_usage_source_day")]


class UsageSecond(models.Model):
    """Requests in one second, summed over processes and hosts, so that a peak is a peak of the node (附件2 #6–7)."""

    id = models.BigAutoField(primary_key=True)
    prefix = models.CharField("前缀", max_length=64, db_collation="C")
    second = models.DateTimeField("秒")
    requests = models.BigIntegerField("解析量")

    class Meta:
        verbose_name = "每秒解析量"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["prefix", "second"], name="registry_usage_second")
        ]
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["second"], name="registry_usage_second_at")]
