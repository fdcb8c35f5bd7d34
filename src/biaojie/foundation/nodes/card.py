"""The node card: what a node says about itself, signed with its own keys.

A `NodeCard` is a value; a `SignedCard` is what travels: the card's JSON object with one signature per key. Signatures
are taken over the canonical JSON of that object (`base.digests.canonical_json`), unknown members included, so a card
survives any JSON store and a later version's additions without being re-signed.

Key rollover: the next card lists the old and the new key and is signed by both; whoever pinned the old key accepts it
and pins the new one. Every key that is valid when the card is issued must sign, which proves that the node holds it.
The first entry of `keys` is the first key for ever (it may have expired), because `node_id` is made from it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from biaojie.base.digests import canonical_json
from biaojie.foundation.nodes.errors import (
    CardKeyNotPinned,
    CardMalformed,
    CardSignatureInvalid,
    CardVersionUnknown,
)
from biaojie.foundation.nodes.keys import (
    ALGORITHM,
    NodeKey,
    decode_public,
    encode_public,
    is_signed_by,
    key_id_of,
    node_id_of,
)

VERSION = 1

# A card is a page of text; whoever sends more is refused before anything is parsed.
CARD_LIMIT_OCTETS = 64 * 1024

CLOCK_TOLERANCE = timedelta(minutes=5)

Environment = Literal["test", "production"]

_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,200}")
_ROLE = re.compile(r"[a-z]{1,20}")
_PREFIX = re.compile(r"[0-9A-Za-z]+(\.[0-9A-Za-z]+){0,7}")


class CardKey(msgspec.Struct, frozen=True, kw_only=True):
    """One public key of a node: Base64 of its SubjectPublicKeyInfo, and the time in which it may sign."""

    key_id: str
    algorithm: str
    public: str
    not_before: datetime
    not_after: datetime

    def is_valid_at(self, moment: datetime) -> bool:
        return self.not_before <= moment <= self.not_after


class HandleAddresses(msgspec.Struct, frozen=True, kw_only=True):
    """Where the node answers the Handle protocol: `host:port` each, `http` as a URL; empty where it does not."""

    udp: str = ""
    tcp: str = ""
    http: str = ""


class NodeCard(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a neighbour needs to know of a node; times are aware UTC, `serial` grows with each new card."""

    version: int = VERSION
    node_id: str
    name: str
    role: str
    environment: Environment
    prefixes: tuple[str, ...]
    web_url: str
    handle: HandleAddresses
    status_url: str
    keys: tuple[CardKey, ...]
    serial: int
    issued_at: datetime

    def canonical(self) -> bytes:
        """The octets that are signed."""
        return canonical_json(self)

    def valid_keys(self, moment: datetime) -> dict[str, Ed25519PublicKey]:
        """The keys that may sign at a moment, by key id."""
        return {row.key_id: decode_public(row.public) for row in self.keys if row.is_valid_at(moment)}


class CardSignature(msgspec.Struct, frozen=True, kw_only=True):
    """One signature over the card: key id and Base64 of 64 octets."""

    key_id: str
    signature: str


class SignedCard(msgspec.Struct, frozen=True, kw_only=True):
    """A card as it travels and as it is stored: the JSON object it was signed as, and its signatures."""

    card: dict[str, Any]
    signatures: tuple[CardSignature, ...]

    def to_json(self) -> bytes:
        return canonical_json(self)

    def as_object(self) -> dict[str, Any]:
        """Plain JSON values, for a `jsonb` column or a request body."""
        plain: dict[str, Any] = msgspec.json.decode(self.to_json())
        return plain


def card_key(key: NodeKey, *, not_before: datetime, not_after: datetime) -> CardKey:
    """The public half of a key as a card lists it."""
    return CardKey(
        key_id=key.key_id,
        algorithm=ALGORITHM,
        public=encode_public(key.public),
        not_before=not_before.replace(microsecond=0),
        not_after=not_after.replace(microsecond=0),
    )


def sign_card(card: NodeCard, keys: Sequence[NodeKey]) -> SignedCard:
    """The card signed by each of `keys`; during a rollover these are the old and the new one. Raises `CardError`s."""
    check_card(card)
    octets = card.canonical()
    return SignedCard(
        card=msgspec.json.decode(octets),
        signatures=tuple(
            CardSignature(key_id=key.key_id, signature=base64.b64encode(key.sign(octets)).decode("ascii")) for key in keys
        ),
    )


def read_card(source: bytes | Mapping[str, Any]) -> SignedCard:
    """A signed card from JSON octets or from plain JSON values; nothing is verified. Raises `CardMalformed`."""
    try:
        if isinstance(source, bytes):
            if len(source) > CARD_LIMIT_OCTETS:
                raise CardMalformed(reason=f"超过 {CARD_LIMIT_OCTETS} 字节")
            return msgspec.json.decode(source, type=SignedCard)
        signed = msgspec.convert(source, type=SignedCard)
        if len(canonical_json(signed)) > CARD_LIMIT_OCTETS:
            raise CardMalformed(reason=f"超过 {CARD_LIMIT_OCTETS} 字节")
        return signed
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise CardMalformed(reason=str(error)) from error


def verify_card(signed: SignedCard, *, now: datetime, trusted: Mapping[str, Ed25519PublicKey] | None = None) -> NodeCard:
    """The card, once its form and its signatures hold.

    Every key valid at `issued_at` must have signed. With `trusted` (the pinned keys by key id) one of them must have
    signed too; without it the card only proves that the sender holds its keys, and a person compares the fingerprint.
    Raises `CardMalformed`, `CardVersionUnknown`, `CardSignatureInvalid` or `CardKeyNotPinned`.
    """
    version = signed.card.get("version")
    if version != VERSION:
        raise CardVersionUnknown(pointer="/card/version", version=version)
    try:
        card = msgspec.convert(signed.card, type=NodeCard)
    except msgspec.ValidationError as error:
        raise CardMalformed(reason=str(error)) from error
    check_card(card)
    if card.issued_at > now + CLOCK_TOLERANCE:
        raise CardMalformed(pointer="/card/issued_at", reason="签发时间在将来")

    octets = canonical_json(signed.card)
    signatures = _signatures(signed)
    needed = card.valid_keys(card.issued_at)
    for key_id, public in needed.items():
        if key_id not in signatures:
            raise CardSignatureInvalid(pointer="/signatures", reason=f"缺少密钥 {key_id} 的签名")
        if not is_signed_by(public, signatures[key_id], octets):
            raise CardSignatureInvalid(pointer="/signatures", reason=f"密钥 {key_id} 的签名与内容不符")
    if trusted is not None and not any(
        key_id in signatures and is_signed_by(public, signatures[key_id], octets) for key_id, public in trusted.items()
    ):
        raise CardKeyNotPinned(pointer="/signatures")
    return card


def check_card(card: NodeCard) -> None:
    """Whether a card's own members agree with each other. Raises `CardMalformed` naming the member."""
    for pointer, is_right, reason in _checks(card):
        if not is_right:
            raise CardMalformed(pointer=f"/card/{pointer}", reason=reason)
    seen: set[str] = set()
    for place, row in enumerate(card.keys):
        pointer = f"/card/keys/{place}"
        if row.algorithm != ALGORITHM:
            raise CardMalformed(pointer=pointer, reason=f"不支持的签名算法 {row.algorithm}")
        if row.key_id != key_id_of(decode_public(row.public)):
            raise CardMalformed(pointer=pointer, reason="密钥编号与公钥不符")
        if row.key_id in seen:
            raise CardMalformed(pointer=pointer, reason="密钥重复")
        if not (_is_utc(row.not_before) and _is_utc(row.not_after) and row.not_before <= row.not_after):
            raise CardMalformed(pointer=pointer, reason="密钥有效期不正确")
        seen.add(row.key_id)
    if card.node_id != node_id_of(card.keys[0].key_id):
        raise CardMalformed(pointer="/card/node_id", reason="节点标识与首个密钥不符")
    if not card.valid_keys(card.issued_at):
        raise CardMalformed(pointer="/card/keys", reason="签发时没有有效的密钥")


def _checks(card: NodeCard) -> tuple[tuple[str, bool, str], ...]:
    return (
        ("version", card.version == VERSION, "版本不受支持"),
        ("name", _NAME.fullmatch(card.name) is not None, "名称为空、过长或含控制字符"),
        ("role", _ROLE.fullmatch(card.role) is not None, "角色不正确"),
        ("prefixes", len(card.prefixes) <= 1000 and all(_PREFIX.fullmatch(item) for item in card.prefixes), "前缀不正确"),
        ("web_url", card.web_url == "" or _is_base_url(card.web_url), "应为 http(s) 地址，不含参数"),
        ("status_url", card.status_url == "" or _is_base_url(card.status_url), "应为 http(s) 地址，不含参数"),
        ("keys", 1 <= len(card.keys) <= 16, "密钥应为 1 至 16 个"),
        ("serial", 1 <= card.serial < 2**53, "序号应为正整数"),
        ("issued_at", _is_utc(card.issued_at), "签发时间应带时区"),
    )


def _signatures(signed: SignedCard) -> dict[str, bytes]:
    if len(signed.signatures) > 16:
        raise CardMalformed(pointer="/signatures", reason="签名过多")
    try:
        return {row.key_id: base64.b64decode(row.signature, validate=True) for row in signed.signatures}
    except ValueError as error:
        raise CardMalformed(pointer="/signatures", reason="签名不是 Base64") from error


def _is_utc(moment: datetime) -> bool:
    return moment.utcoffset() == timedelta(0)


def _is_base_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    clean = url.isascii() and url.isprintable() and " " not in url
    return clean and parts.scheme in ("http", "https") and bool(host) and not (parts.query or parts.fragment or parts.username)
