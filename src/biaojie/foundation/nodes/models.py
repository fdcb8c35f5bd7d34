"""This node, the nodes it knows, the codes it gave out, and the nonces it has seen.

Cards are kept as they came, signatures included (`SignedCard.as_object()`); what is searched for lies in columns beside.
Keys are rows of their own: one key belongs to one peer for ever, and the database says so.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.db import models

from biaojie.foundation.nodes.card import NodeCard, SignedCard, read_card
from biaojie.foundation.nodes.keys import decode_public, fingerprint


class Relation(models.TextChoices):
    """What a peer is to this node. A relayed peer is below one of our children and vouched for by it."""

    PARENT = "parent", "上级节点"
    CHILD = "child", "下级节点"
    OTHER = "other", "其他节点"


class PeerState(models.TextChoices):
    """Whether a peer's signature counts."""

    ENABLED = "enabled", "启用"
    BLOCKED = "blocked", "停用"


class ThisNode(models.Model):
    """The one row about the node whose database this is; its private keys are files (`identity.key_files`)."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    node_id = models.CharField("节点标识", max_length=64)
    name = models.CharField("名称", max_length=200)
    role = models.CharField("角色", max_length=20)
    environment = models.CharField("环境", max_length=10)
    prefixes = models.JSONField("前缀", default=list)
    web_url = models.CharField("Web 地址", max_length=500)
    handle = models.JSONField("解析地址", default=dict)
    status_url = models.CharField("状态地址", max_length=500, default="")
    keys = models.JSONField("公钥", default=list)
    card = models.JSONField("名片")
    serial = models.BigIntegerField("名片序号")
    pushed_serial = models.BigIntegerField("上级已收到的序号", default=0)
    established_at = models.DateTimeField("建立时间")

    class Meta:
        verbose_name = "本节点"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=models.Q(id=1), name="nodes_thisnode_single")
        ]

    def __str__(self) -> str:
        return f"{self.name}（{self.node_id}）"

    @property
    def signed_card(self) -> SignedCard:
        return read_card(self.card)


class Peer(models.Model):
    """A node this one knows. `granted` are the prefixes its card may name, `via` the child that relays its cards."""

    node_id = models.CharField("节点标识", max_length=64, primary_key=True)
    name = models.CharField("名称", max_length=200)
    role = models.CharField("角色", max_length=20)
    environment = models.CharField("环境", max_length=10)
    relation = models.CharField("关系", max_length=10, choices=Relation.choices)
    state = models.CharField("状态", max_length=10, choices=PeerState.choices, default=PeerState.ENABLED)
    via = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="relayed")
    granted = models.JSONField("允许的前缀", default=list)
    web_url = models.CharField("Web 地址", max_length=500)
    card = models.JSONField("名片")
    card_serial = models.BigIntegerField("名片序号")
    relayed_serial = models.BigIntegerField("已转报的序号", default=0)
    enrolled_at = models.DateTimeField("登记时间")
    card_at = models.DateTimeField("名片更新时间")

    class Meta:
        verbose_name = "节点"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["relation"], condition=models.Q(relation="parent"), name="nodes_peer_one_parent"),
        ]

    def __str__(self) -> str:
        return f"node:{self.node_id}"

    @property
    def is_blocked(self) -> bool:
        return self.state == PeerState.BLOCKED

    @property
    def signed_card(self) -> SignedCard:
        return read_card(self.card)

    def node_card(self) -> NodeCard:
        """The card as a value; it was verified when it was stored."""
        return msgspec.convert(self.signed_card.card, type=NodeCard)

    def trusted_keys(self, now: datetime) -> dict[str, Ed25519PublicKey]:
        """The pinned keys that may sign now, by key id."""
        return {row.key_id: row.public_key() for row in self.keys.all() if row.is_valid_at(now)}

    def as_row(self) -> dict[str, Any]:
        """The form in which the API lists it."""
        return {
            "node_id": self.node_id,
            "name": self.name,
            "role": self.role,
            "environment": self.environment,
            "relation": self.relation,
            "state": self.state,
            "via": self.via_id,
            "prefixes": self.card["card"]["prefixes"],
            "web_url": self.web_url,
            "card_serial": self.card_serial,
            "enrolled_at": self.enrolled_at,
            "keys": [row.as_row() for row in self.keys.all()],
        }


class PeerKey(models.Model):
    """A pinned public key."""

    key_id = models.CharField("密钥编号", max_length=64, primary_key=True)
    peer = models.ForeignKey(Peer, on_delete=models.CASCADE, related_name="keys")
    public = models.CharField("公钥", max_length=200)
    not_before = models.DateTimeField("生效时间")
    not_after = models.DateTimeField("失效时间")
    pinned_at = models.DateTimeField("登记时间")

    class Meta:
        verbose_name = "节点公钥"
        ordering: ClassVar[list[str]] = ["not_before", "key_id"]

    def public_key(self) -> Ed25519PublicKey:
        return decode_public(self.public)

    def is_valid_at(self, moment: datetime) -> bool:
        return self.not_before <= moment <= self.not_after

    def as_row(self) -> dict[str, Any]:
        return {
            "key_id": self.key_id,
            "fingerprint": fingerprint(self.public_key()),
            "not_before": self.not_before,
            "not_after": self.not_after,
        }


class EnrolmentCode(models.Model):
    """A one-time code, of which only the digest is kept; it admits one node of one role with certain prefixes."""

    id = models.BigAutoField(primary_key=True)
    digest = models.CharField("摘要", max_length=64, unique=True)
    role = models.CharField("角色", max_length=20)
    prefixes = models.JSONField("前缀", default=list)
    issued_by = models.CharField("签发人", max_length=200)
    issued_at = models.DateTimeField("签发时间")
    expires_at = models.DateTimeField("到期时间")
    used_at = models.DateTimeField("使用时间", null=True)
    used_by = models.CharField("使用节点", max_length=64, default="")

    class Meta:
        verbose_name = "登记码"


class EnrolmentAttempt(models.Model):
    """A refused attempt to enrol; counted per source and in all, then forgotten."""

    id = models.BigAutoField(primary_key=True)
    source = models.GenericIPAddressField("来源地址")
    at = models.DateTimeField("时间")

    class Meta:
        verbose_name = "登记尝试"
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["at"], name="nodes_attempt_at")]


class Nonce(models.Model):
    """A used nonce; after `expires_at` a call that carries it is stale anyway."""

    pk = models.CompositePrimaryKey("key_id", "nonce")
    key_id = models.CharField("密钥编号", max_length=64)
    nonce = models.CharField(max_length=128)
    expires_at = models.DateTimeField("失效时间")

    class Meta:
        verbose_name = "已用随机数"
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["expires_at"], name="nodes_nonce_expiry")]
