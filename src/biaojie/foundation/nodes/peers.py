"""Pinning: which keys and which card of another node this node holds to be true.

Everything here runs inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db import connection

from biaojie.foundation.nodes.card import NodeCard, SignedCard
from biaojie.foundation.nodes.errors import CardKeyNotPinned, CardKeyTaken, PeerBlocked
from biaojie.foundation.nodes.models import Peer, PeerKey, Relation, ThisNode


def covers(prefixes: Iterable[str], prefix: str) -> bool:
    """Whether a prefix is one of `prefixes` or derived from one (`88.100` covers `88.100.1`, not `88.1001`)."""
    name = prefix.upper()
    return any(name == item.upper() or name.startswith(item.upper() + ".") for item in prefixes)


def one_at_a_time() -> None:
    """Waits until no other transaction pins anything. Enrolments and cards are rare, and each may touch several peers' keys."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('biaojie.nodes.pin'))")


def pin(
    signed: SignedCard,
    card: NodeCard,
    *,
    relation: Relation,
    granted: Sequence[str],
    now: datetime,
    via: Peer | None = None,
) -> Peer:
    """Makes the (verified) card's node a peer with the card's keys, or renews a peer by a card that a pinned key signed.

    A node that is known keeps its keys (until `unpin_peer`): a stranger's card with its id raises `CardKeyNotPinned`, a
    blocked one `PeerBlocked`, a key of somebody else `CardKeyTaken`.
    """
    peer = Peer.objects.select_for_update().filter(node_id=card.node_id).first()
    if peer is None:
        peer = Peer(node_id=card.node_id, enrolled_at=now, card_serial=0)
    elif peer.is_blocked:
        raise PeerBlocked(node=peer.name)
    elif peer.keys.exists() and not set(peer.trusted_keys(now)) & set(card.valid_keys(card.issued_at)):
        # verify_card has checked that each of the card's valid keys signed it.
        raise CardKeyNotPinned(pointer="/signatures")
    peer.relation, peer.granted, peer.via = relation, list(granted), via
    store_card(peer, signed, card, now=now)
    return peer


def store_card(peer: Peer, signed: SignedCard, card: NodeCard, *, now: datetime) -> None:
    """Saves a verified card that is not older than the one held, and pins its keys; keys it no longer lists end."""
    if card.serial >= peer.card_serial:
        peer.name, peer.role, peer.environment, peer.web_url = card.name, card.role, card.environment, card.web_url
        peer.card, peer.card_serial, peer.card_at = signed.as_object(), card.serial, now
    peer.save()
    if card.serial < peer.card_serial:
        return
    own = ThisNode.objects.first()
    own_keys = {item["key_id"] for item in own.keys} if own else set()
    for item in card.keys:
        row = PeerKey.objects.select_for_update().filter(key_id=item.key_id).first()
        if item.key_id in own_keys or (row is not None and row.peer_id != peer.node_id):
            raise CardKeyTaken(key_id=item.key_id)
        if row is None:
            row = PeerKey(key_id=item.key_id, peer=peer, public=item.public, pinned_at=now)
        row.not_before, row.not_after = item.not_before, item.not_after
        row.save()
    listed = [item.key_id for item in card.keys]
    peer.keys.exclude(key_id__in=listed).filter(not_after__gt=now).update(not_after=now)
