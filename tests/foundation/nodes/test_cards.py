"""Cards on their way up: newer, signed by a pinned key, within what was granted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

pytest.importorskip("django")

from django.db import connection

from biaojie.base import clock
from biaojie.foundation.nodes import operations
from biaojie.foundation.nodes.errors import (
    CardKeyNotPinned,
    CardKeyTaken,
    CardNotNewer,
    CardOutOfScope,
    CardSignatureInvalid,
    EnvironmentDiffers,
    NoParent,
    PeerBlocked,
    PeerUnknown,
)
from biaojie.foundation.nodes.keys import make_key
from biaojie.foundation.nodes.models import Peer

pytestmark = [pytest.mark.web, pytest.mark.django_db]
Make = Callable[..., Any]


@pytest.fixture
def enrolled(make_this_node: Make, neighbour: Make) -> Any:
    """A child of this node with its peer row."""
    make_this_node()
    child = neighbour()
    code = operations.issue_code(actor="li.na", role="enterprise", prefixes=("88.100.1",)).code
    return child, operations.accept_enrolment(child.signed(), code)


def test_receive_card_newer_replaces_the_one_held(enrolled: Any) -> None:
    child, peer = enrolled
    child.serial, child.web_url = 2, "https://moved.example.com"

    operations.receive_card(child.signed(), caller=peer)

    held = Peer.objects.get()
    assert (held.card_serial, held.web_url, held.node_card().web_url) == (2, child.web_url, child.web_url)


def test_receive_card_repeated_changes_nothing_and_another_of_the_same_serial_is_refused(enrolled: Any) -> None:
    child, peer = enrolled
    held = peer.signed_card

    operations.receive_card(held, caller=peer)
    child.name = "别名"
    with pytest.raises(CardNotNewer):
        operations.receive_card(child.signed(), caller=peer)

    assert Peer.objects.get().signed_card == held


def test_receive_card_older_is_refused(enrolled: Any) -> None:
    child, peer = enrolled
    older = child.signed()
    child.serial = 5
    peer = operations.receive_card(child.signed(), caller=peer)

    with pytest.raises(CardNotNewer):
        operations.receive_card(older, caller=peer)


def test_receive_card_not_signed_by_a_pinned_key_is_refused(enrolled: Any) -> None:
    child, peer = enrolled
    thief = make_key()
    child.ends = {child.keys[0].key_id: clock.now() - timedelta(days=1)}
    child.keys, child.serial = [child.keys[0], thief], 2

    with pytest.raises(CardKeyNotPinned):
        operations.receive_card(child.signed(signers=[thief]), caller=peer)


def test_receive_card_altered_is_refused(enrolled: Any) -> None:
    child, peer = enrolled
    child.serial = 2
    signed = child.signed()
    signed.card["web_url"] = "https://evil.example.com"

    with pytest.raises(CardSignatureInvalid):
        operations.receive_card(signed, caller=peer)


def test_receive_card_of_a_rollover_pins_the_new_key_and_ends_the_old(enrolled: Any) -> None:
    child, peer = enrolled
    old, new = child.key, make_key()
    child.keys, child.serial = [old, new], 2
    child.ends = {old.key_id: clock.now() + timedelta(days=30)}

    peer = operations.receive_card(child.signed(), caller=peer)

    now = clock.now()
    assert set(peer.trusted_keys(now)) == {old.key_id, new.key_id}
    assert set(peer.trusted_keys(now + timedelta(days=31))) == {new.key_id}


def test_receive_card_claiming_another_peers_key_is_refused(enrolled: Any, neighbour: Make) -> None:
    child, peer = enrolled
    other = neighbour(prefixes=("88.100.2",))
    code = operations.issue_code(actor="li.na", role="enterprise", prefixes=("88.100.2",)).code
    operations.accept_enrolment(other.signed(), code)
    child.keys, child.serial = [child.key, other.key], 2

    with pytest.raises(CardKeyTaken):
        operations.receive_card(child.signed(), caller=peer)

    assert Peer.objects.get(node_id=child.node_id).card_serial == 1


def test_receive_card_with_other_prefixes_role_or_environment_is_refused(enrolled: Any) -> None:
    child, peer = enrolled

    with pytest.raises(CardOutOfScope):
        operations.receive_card(child.signed(serial=2, prefixes=("88.100.2",)), caller=peer)
    with pytest.raises(CardOutOfScope):
        operations.receive_card(child.signed(serial=2, role="second"), caller=peer)
    with pytest.raises(EnvironmentDiffers):
        operations.receive_card(child.signed(serial=2, environment="production"), caller=peer)


def test_receive_card_with_a_prefix_granted_later_is_accepted(enrolled: Any) -> None:
    child, peer = enrolled
    operations.grant_prefixes(actor="registry", node_id=child.node_id, prefixes=["88.100.1", "88.100.2"])
    child.serial, child.prefixes = 2, ("88.100.1", "88.100.2")

    found = operations.receive_card(child.signed(), caller=peer)

    assert found.as_row()["prefixes"] == ["88.100.1", "88.100.2"]


def test_receive_card_of_a_blocked_peer_is_refused_until_it_is_unblocked(enrolled: Any) -> None:
    child, peer = enrolled
    child.serial = 2
    operations.block_peer(actor="wang", node_id=child.node_id, reason="密钥外泄")

    with pytest.raises(PeerBlocked):
        operations.receive_card(child.signed(), caller=peer)

    operations.unblock_peer(actor="wang", node_id=child.node_id)
    assert operations.receive_card(child.signed(), caller=peer).card_serial == 2


def test_block_peer_unknown_says_so(make_this_node: Make) -> None:
    make_this_node()

    with pytest.raises(PeerUnknown):
        operations.block_peer(actor="wang", node_id="node-x")


def test_unpinned_peer_may_enrol_with_other_keys_and_sign_nothing_before(enrolled: Any) -> None:
    child, peer = enrolled
    lost, found = child.key, make_key()
    operations.unpin_peer(actor="wang", node_id=child.node_id, reason="密钥丢失")
    child.keys, child.serial = [lost, found], 2
    child.ends = {lost.key_id: clock.now() - timedelta(days=1)}
    card = child.signed(signers=[found])

    with pytest.raises(CardKeyNotPinned):
        operations.receive_card(card, caller=peer)
    code = operations.issue_code(actor="li.na", role="enterprise", prefixes=("88.100.1",)).code
    peer = operations.accept_enrolment(card, code)

    assert set(peer.trusted_keys(clock.now())) == {found.key_id}


@pytest.fixture
def at_the_top(make_this_node: Make, neighbour: Make) -> Any:
    """At the top node: an enrolled second-level node and its peer row."""
    make_this_node(role="top", prefixes=("86", "88"))
    second = neighbour(role="second", prefixes=("88.100",), name="江南轴承二级节点")
    code = operations.issue_code(actor="li.na", role="second", prefixes=("88.100",)).code
    return second, operations.accept_enrolment(second.signed(), code)


def test_relayed_card_of_an_enterprise_is_pinned_as_vouched_for(at_the_top: Any, neighbour: Make) -> None:
    _, caller = at_the_top
    enterprise = neighbour()

    peer = operations.receive_card(enterprise.signed(), caller=caller)

    assert (peer.relation, peer.via, peer.role) == ("other", caller, "enterprise")
    enterprise.serial = 2
    assert operations.receive_card(enterprise.signed(), caller=caller).card_serial == 2


def test_relayed_card_beyond_the_relaying_node_is_refused(at_the_top: Any, neighbour: Make) -> None:
    _, caller = at_the_top

    for changes in ({"prefixes": ("88.101.1",)}, {"role": "second", "prefixes": ("88.100.5",)}, {"role": "top"}):
        with pytest.raises(CardOutOfScope):
            operations.receive_card(neighbour(**changes).signed(), caller=caller)

    assert Peer.objects.count() == 1


def test_relayed_card_by_another_second_level_node_is_refused(at_the_top: Any, neighbour: Make) -> None:
    _, caller = at_the_top
    other = neighbour(role="second", prefixes=("88.101",))
    code = operations.issue_code(actor="li.na", role="second", prefixes=("88.101",)).code
    rival = operations.accept_enrolment(other.signed(), code)
    enterprise = neighbour()
    operations.receive_card(enterprise.signed(), caller=caller)
    enterprise.serial = 2

    with pytest.raises(CardOutOfScope):
        operations.receive_card(enterprise.signed(), caller=rival)


def test_push_card_without_a_parent_says_so_and_the_patient_form_is_silent(make_this_node: Make) -> None:
    make_this_node()

    with pytest.raises(NoParent):
        operations.push_card()
    operations.push_card_or_owe()


@pytest.mark.django_db(transaction=True)
def test_relayed_card_brought_six_times_at_once_is_pinned_once(at_the_top: Any, neighbour: Make) -> None:
    _, caller = at_the_top
    signed, barrier, outcomes = neighbour().signed(), threading.Barrier(6), list[str]()

    def relay() -> None:
        barrier.wait()
        try:
            outcomes.append(operations.receive_card(signed, caller=caller).relation)
        finally:
            connection.close()

    threads = [threading.Thread(target=relay) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert outcomes == ["other"] * 6
    assert Peer.objects.filter(via=caller).count() == 1
