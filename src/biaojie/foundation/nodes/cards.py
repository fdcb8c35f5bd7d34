"""Cards on their way up: ours to the parent, our children's cards to us, and through us to the parent's side.

What has still to go up is state, not memory: a card is owed while its serial is above the one the parent acknowledged
(`pushed_serial`, `relayed_serial`). `push_card` pays all debts and may be called at any time.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import httpx2
from django.db import transaction
from django.db.models import F, Q

from biaojie.base import clock
from biaojie.foundation.audit import log as audit
from biaojie.foundation.nodes.card import SignedCard, read_card, verify_card
from biaojie.foundation.nodes.enrolment import envelope_data
from biaojie.foundation.nodes.errors import (
    AnswerRefused,
    CardNotNewer,
    CardOutOfScope,
    EnvironmentDiffers,
    NodeError,
    NoParent,
    PeerBlocked,
    PeerUnknown,
    PeerUnreachable,
)
from biaojie.foundation.nodes.identity import this_node
from biaojie.foundation.nodes.models import Peer, PeerState, Relation, ThisNode
from biaojie.foundation.nodes.peers import covers, one_at_a_time, pin, store_card
from biaojie.foundation.nodes.signing import SignedClient

log = logging.getLogger(__name__)

CARD_PATH = "/api/v1/nodes/card"


def parent() -> Peer:
    """The node this one is enrolled with. Raises `NoParent`."""
    peer = Peer.objects.filter(relation=Relation.PARENT).first()
    if peer is None:
        raise NoParent()
    return peer


def client_for(peer: Peer, *, timeout_s: float = 10.0) -> SignedClient:
    """A client for signed calls to a peer, which accepts only answers signed by its pinned keys. Raises `PeerBlocked`."""
    if peer.is_blocked:
        raise PeerBlocked(node=peer.name)
    keys = list(peer.trusted_keys(clock.now()).values())
    return SignedClient(peer.web_url, this_node().key, keys, timeout_s=timeout_s)


def push_card(*, timeout_s: float = 10.0) -> int:
    """Sends the parent our card and those of the nodes below us that it has not seen; gives how many went up.

    First the parent's own card is read, so that we know its keys before it uses them. A card the parent refuses is left
    owed and does not hold up the others. Raises `NoParent`, `CallError`s (nobody there, unsigned answer) or, once all were
    tried, the last `AnswerRefused`.
    """
    above = _refreshed(parent(), timeout_s=timeout_s)
    sent, refused = 0, None
    with client_for(above, timeout_s=timeout_s) as client:
        own = ThisNode.objects.get()
        if own.pushed_serial < own.serial:
            _send(client, above, own.signed_card)
            ThisNode.objects.filter(pushed_serial__lt=own.serial).update(pushed_serial=own.serial)
            sent += 1
        for peer in _owed():
            try:
                _send(client, above, peer.signed_card)
            except AnswerRefused as error:
                refused = error
                continue
            Peer.objects.filter(node_id=peer.node_id, relayed_serial__lt=peer.card_serial).update(relayed_serial=peer.card_serial)
            sent += 1
    if refused is not None:
        raise refused
    return sent


def push_card_or_owe(*, timeout_s: float = 5.0) -> None:
    """`push_card` for those who must not fail with it: without a parent, or if it cannot be reached, cards stay owed."""
    try:
        push_card(timeout_s=timeout_s)
    except NoParent:
        return
    except NodeError as error:
        log.warning("cards stay owed to the parent: %s", error)


def receive_card(signed: SignedCard, *, caller: Peer) -> Peer:
    """Takes a card that `caller`, our child, brought: its own, or that of a node below it.

    Accepted if it is newer than the one held, signed by a pinned key, of our environment and within what was granted. A
    node seen for the first time below `caller` is vouched for by it: it is pinned as `other`, within the caller's
    prefixes. The same serial again is the same card repeated and changes nothing. Raises `CardError`s or `PeerBlocked`.
    """
    now = clock.now()
    with transaction.atomic():
        one_at_a_time()
        claimed = signed.card.get("node_id")
        held = Peer.objects.select_for_update().filter(node_id=claimed).first() if isinstance(claimed, str) else None
        trusted = held.trusted_keys(now) if held else None
        card = verify_card(signed, now=now, trusted=trusted)
        environment = this_node().environment
        if card.environment != environment:
            raise EnvironmentDiffers(pointer="/card/environment", theirs=card.environment, ours=environment)
        if held is None:
            peer = _first_relayed(signed, caller)
        else:
            peer = held
            if peer.is_blocked:
                raise PeerBlocked(node=peer.name)
            if peer.node_id != caller.node_id and peer.via_id != caller.node_id and peer.relation != Relation.CHILD:
                raise CardOutOfScope(pointer="/card/node_id", what="节点")
            if card.serial == peer.card_serial and signed.as_object()["card"] == peer.card["card"]:
                return peer
            if card.serial <= peer.card_serial:
                raise CardNotNewer(pointer="/card/serial", serial=card.serial, known=peer.card_serial)
            if card.role != peer.role:
                raise CardOutOfScope(pointer="/card/role", what=f"角色 {card.role}")
            allowed = peer.granted if peer.relation == Relation.CHILD else caller.granted
            _check_prefixes(card.prefixes, allowed)
            store_card(peer, signed, card, now=now)
        detail = {"serial": card.serial, "keys": [item.key_id for item in card.keys]}
        audit.record(actor=caller, action="nodes.card.receive", subject=peer, detail=detail)
    return peer


def grant_prefixes(*, actor: object, node_id: str, prefixes: Sequence[str]) -> Peer:
    """Sets which prefixes a child's card may name; the registry calls it when it allots or withdraws one."""
    with transaction.atomic():
        peer = _get(node_id)
        peer.granted = list(prefixes)
        peer.save(update_fields=["granted"])
        audit.record(actor=actor, action="nodes.grant", subject=peer, detail={"prefixes": list(prefixes)})
    return peer


def block_peer(*, actor: object, node_id: str, reason: str = "") -> Peer:
    """From now on nothing this peer signs counts, neither calls nor cards. Raises `PeerUnknown`."""
    return _set_state(actor, node_id, PeerState.BLOCKED, "nodes.block", reason)


def unblock_peer(*, actor: object, node_id: str, reason: str = "") -> Peer:
    """Takes a block back. Raises `PeerUnknown`."""
    return _set_state(actor, node_id, PeerState.ENABLED, "nodes.unblock", reason)


def unpin_peer(*, actor: object, node_id: str, reason: str = "") -> Peer:
    """Forgets a peer's keys, so that it may enrol with others: after it lost them or let them run out. Raises `PeerUnknown`."""
    with transaction.atomic():
        peer = _get(node_id)
        keys = [row.key_id for row in peer.keys.all()]
        peer.keys.all().delete()
        audit.record(actor=actor, action="nodes.unpin", subject=peer, detail={"keys": keys, "reason": reason})
    return peer


def _first_relayed(signed: SignedCard, caller: Peer) -> Peer:
    now = clock.now()
    card = verify_card(signed, now=now)
    # 二级节点 relay their 企业节点; nobody vouches for a peer of its own rank.
    if caller.role != "second" or card.role != "enterprise":
        raise CardOutOfScope(pointer="/card/role", what=f"角色 {card.role}")
    _check_prefixes(card.prefixes, caller.granted)
    return pin(signed, card, relation=Relation.OTHER, granted=[], now=now, via=caller)


def _check_prefixes(prefixes: Sequence[str], granted: Sequence[str]) -> None:
    for place, prefix in enumerate(prefixes):
        if not covers(granted, prefix):
            raise CardOutOfScope(pointer=f"/card/prefixes/{place}", what=f"前缀 {prefix}")


def _owed() -> Sequence[Peer]:
    """Peers below us whose card the parent has not seen: only a second-level node relays, and only enterprises."""
    if this_node().role != "second":
        return ()
    below = Q(relation=Relation.CHILD) | Q(via__isnull=False)
    owed = Peer.objects.filter(below, role="enterprise", state=PeerState.ENABLED, relayed_serial__lt=F("card_serial"))
    return list(owed.order_by("node_id"))


def _refreshed(above: Peer, *, timeout_s: float) -> Peer:
    """The parent after a look at its public card, which counts only if a pinned key signed it."""
    with httpx2.Client(timeout=timeout_s, trust_env=False) as client:
        try:
            response = client.get(above.web_url + CARD_PATH)
        except httpx2.TransportError as error:
            raise PeerUnreachable(url=above.web_url, reason=str(error) or type(error).__name__) from error
        _renew_parent(above, envelope_data(response).get("card"))
    return parent()


def _send(client: SignedClient, above: Peer, card: SignedCard) -> None:
    data = envelope_data(client.post(CARD_PATH, json={"card": card.as_object()}))
    _renew_parent(above, data.get("card"))


def _renew_parent(above: Peer, plain: Any) -> None:
    """The parent answers with its own card, so that its new keys and addresses reach us too."""
    if not isinstance(plain, dict):
        return
    try:
        signed = read_card(plain)
        with transaction.atomic():
            one_at_a_time()
            held = Peer.objects.select_for_update().get(node_id=above.node_id)
            now = clock.now()
            card = verify_card(signed, now=now, trusted=held.trusted_keys(now))
            if card.node_id == held.node_id and card.environment == held.environment and card.serial > held.card_serial:
                store_card(held, signed, card, now=now)
    except NodeError as error:
        log.warning("the parent's own card was not taken over: %s", error)


def _get(node_id: str) -> Peer:
    peer = Peer.objects.select_for_update().filter(node_id=node_id).first()
    if peer is None:
        raise PeerUnknown(node_id=node_id)
    return peer


def _set_state(actor: object, node_id: str, state: PeerState, action: str, reason: str) -> Peer:
    with transaction.atomic():
        peer = _get(node_id)
        peer.state = state
        peer.save(update_fields=["state"])
        audit.record(actor=actor, action=action, subject=peer, detail={"reason": reason})
    return peer
