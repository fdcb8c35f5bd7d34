"""This node: made at first start, described by its card, and its keys' roll.

Key files lie in the node's folder: `node.key` is the key made at first start, later ones are `node-<key id>.key`. The row
`ThisNode` lists the keys in order; files are written before the row, so a start after any crash finds what it names.

Calls and answers are signed with the oldest key that is still valid. So a new key is first announced (by cards that both
keys sign) and used only when the old one ends: no neighbour ever meets a key it could not have heard of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from django.conf import settings as django_settings
from django.db import transaction

from biaojie.base import clock
from biaojie.base.settings import Settings
from biaojie.foundation.audit import log as audit
from biaojie.foundation.nodes.card import CardKey, Environment, HandleAddresses, NodeCard, SignedCard, card_key, sign_card
from biaojie.foundation.nodes.errors import AlreadyEstablished, KeyFileMissing, NotEstablished
from biaojie.foundation.nodes.keys import NodeKey, load_key, load_or_make_key, make_key, node_id_of, save_key
from biaojie.foundation.nodes.models import ThisNode

KEY_LIFE = timedelta(days=5 * 365)

# How long the old key goes on signing after a new one is announced: a neighbour may miss a month of cards.
KEY_OVERLAP = timedelta(days=30)

# A key is laid down a little before its end, so that nothing under way outlives it.
KEY_MARGIN = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who this node is; `card` is the current signed card, `key` signs its calls."""

    id: str
    name: str
    role: str
    environment: str
    prefixes: tuple[str, ...]
    web_url: str
    key: NodeKey
    card: SignedCard
    serial: int

    @property
    def fingerprint(self) -> str:
        return self.key.fingerprint

    def __str__(self) -> str:
        return f"node:{self.id}"


def establish(
    *, settings: Settings, title: str = "", prefixes: Sequence[str] = (), actor: object = "system:establish"
) -> Identity:
    """This node, made at first start and brought up to date with its settings at later ones; may be repeated.

    Name and addresses may change and give a new card. `prefixes` are those of a node without parent (the top node); all
    others learn theirs on enrolment. Raises `AlreadyEstablished` when the database belongs to another key, role or
    environment, and `KeyFileError`s.
    """
    folder = Path(settings.node_dir)
    key = load_or_make_key(folder / "node.key")
    now = clock.now()
    with transaction.atomic():
        row, is_new = ThisNode.objects.select_for_update().get_or_create(
            id=1,
            defaults={
                "node_id": node_id_of(key.key_id),
                "role": settings.role,
                "environment": settings.environment,
                "keys": [msgspec.to_builtins(card_key(key, not_before=now, not_after=now + KEY_LIFE))],
                "card": {},
                "serial": 0,
                "established_at": now,
            },
        )
        _check_same(row, key, settings)
        before = (row.name, row.prefixes, row.web_url, row.handle, row.status_url)
        row.name = title or row.name or settings.node
        row.prefixes = list(prefixes) or row.prefixes
        row.web_url = settings.web_url
        row.handle = _handle_addresses(settings)
        row.status_url = f"{settings.web_url}/healthz"
        if is_new or before != (row.name, row.prefixes, row.web_url, row.handle, row.status_url):
            _issue(row, folder)
            action = "nodes.establish" if is_new else "nodes.card.issue"
            audit.record(actor=actor, action=action, subject=f"node:{row.node_id}", detail={"serial": row.serial})
    return _identity(row, folder)


def this_node() -> Identity:
    """Id, name, role, environment, prefixes, key and card of this node. Raises `NotEstablished` or `KeyFileError`s."""
    row = ThisNode.objects.first()
    if row is None:
        raise NotEstablished()
    return _identity(row, _folder())


def set_prefixes(*, actor: object, prefixes: Sequence[str]) -> Identity:
    """Gives this node's card other prefixes, as its parent granted them."""
    with transaction.atomic():
        row = _locked()
        if row.prefixes != list(prefixes):
            row.prefixes = list(prefixes)
            _issue(row, _folder())
            audit.record(actor=actor, action="nodes.prefixes", subject=f"node:{row.node_id}", detail={"prefixes": row.prefixes})
    return _identity(row, _folder())


def roll_key(*, actor: object, overlap: timedelta = KEY_OVERLAP) -> Identity:
    """Announces a new key: the new card is signed by the old key too, which signs calls for `overlap` yet, then ends.

    Neighbours that see any card within the overlap follow by themselves (`push_card`); those that miss it must enrol
    again. After a theft use an overlap of zero and enrol again everywhere.
    """
    now = clock.now()
    folder = _folder()
    new = make_key()
    save_key(new, folder / f"node-{new.key_id}.key")
    with transaction.atomic():
        row = _locked()
        keys = [_ending(msgspec.convert(item, type=CardKey), now + overlap) for item in row.keys]
        keys.append(card_key(new, not_before=now, not_after=now + KEY_LIFE))
        # The first key stays for ever, as the node's id is made from it; of the others only what still signs.
        row.keys = [msgspec.to_builtins(item) for place, item in enumerate(keys) if place == 0 or item.not_after >= now]
        _issue(row, folder)
        detail = {"key_id": new.key_id, "fingerprint": new.fingerprint, "serial": row.serial}
        audit.record(actor=actor, action="nodes.key.roll", subject=f"node:{row.node_id}", detail=detail)
    return _identity(row, folder)


def key_files(folder: Path) -> dict[str, Path]:
    """The node's key files by key id; each is read and checked. Raises `KeyFileError`s."""
    return {load_key(path).key_id: path for path in (folder / "node.key", *sorted(folder.glob("node-*.key"))) if path.exists()}


def _locked() -> ThisNode:
    row = ThisNode.objects.select_for_update().first()
    if row is None:
        raise NotEstablished()
    return row


def _folder() -> Path:
    return Path(django_settings.NODE.node_dir)


def _check_same(row: ThisNode, key: NodeKey, settings: Settings) -> None:
    if node_id_of(key.key_id) != row.node_id:
        raise AlreadyEstablished(what="密钥文件 node.key")
    if row.role != settings.role:
        raise AlreadyEstablished(what="角色")
    if row.environment != settings.environment:
        raise AlreadyEstablished(what="环境")


def _issue(row: ThisNode, folder: Path) -> None:
    """Writes the next card into the row, signed by every key that is valid now."""
    now = clock.now().replace(microsecond=0)
    keys = tuple(msgspec.convert(item, type=CardKey) for item in row.keys)
    row.serial += 1
    card = NodeCard(
        node_id=row.node_id,
        name=row.name,
        role=row.role,
        environment=msgspec.convert(row.environment, type=Environment),
        prefixes=tuple(row.prefixes),
        web_url=row.web_url,
        handle=msgspec.convert(row.handle, type=HandleAddresses),
        status_url=row.status_url,
        keys=keys,
        serial=row.serial,
        issued_at=now,
    )
    files = key_files(folder)
    signers = []
    for key_id in card.valid_keys(now):
        if key_id not in files:
            raise KeyFileMissing(path=folder / f"node-{key_id}.key")
        signers.append(load_key(files[key_id]))
    row.card = sign_card(card, signers).as_object()
    row.save()


def _identity(row: ThisNode, folder: Path) -> Identity:
    key_id = _signing_key_id([msgspec.convert(item, type=CardKey) for item in row.keys])
    path = folder / f"node-{key_id}.key"
    key = load_key(path if path.exists() else folder / "node.key")
    if key.key_id != key_id:
        raise KeyFileMissing(path=path)
    return Identity(
        id=row.node_id,
        name=row.name,
        role=row.role,
        environment=row.environment,
        prefixes=tuple(row.prefixes),
        web_url=row.web_url,
        key=key,
        card=row.signed_card,
        serial=row.serial,
    )


def _signing_key_id(keys: Sequence[CardKey]) -> str:
    lasting = clock.now() + KEY_MARGIN
    return next((key.key_id for key in keys if key.not_before <= lasting <= key.not_after), keys[-1].key_id)


def _ending(key: CardKey, latest: datetime) -> CardKey:
    return msgspec.structs.replace(key, not_after=min(key.not_after, latest.replace(microsecond=0)))


def _handle_addresses(settings: Settings) -> dict[str, str]:
    first = {name: next(iter(getattr(settings, f"handle_{name}")), "") for name in ("udp", "tcp", "http")}
    if first["http"]:
        first["http"] = f"http://{first['http']}"
    return first
