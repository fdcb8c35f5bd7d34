"""Codes: bound, expiring, used once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

pytest.importorskip("django")

from django.db import connection

from biaojie.base import clock
from biaojie.foundation.audit.models import AuditRecord
from biaojie.foundation.nodes import enrolment, operations
from biaojie.foundation.nodes.errors import (
    CardKeyNotPinned,
    CardKeyTaken,
    CardOutOfScope,
    CodeBindingInvalid,
    CodeRefused,
    EnvironmentDiffers,
    NodeError,
    PeerBlocked,
)
from biaojie.foundation.nodes.models import EnrolmentCode, Peer, PeerKey, Relation

pytestmark = [pytest.mark.web, pytest.mark.django_db]
Make = Callable[..., Any]


def issue(**changes: Any) -> str:
    options = {"actor": "li.na", "role": "enterprise", "prefixes": ("88.100.1",)} | changes
    return operations.issue_code(**options).code


def test_accept_enrolment_with_a_right_code_pins_the_child(make_this_node: Make, neighbour: Make) -> None:
    make_this_node()
    child = neighbour()
    code = issue()

    peer = operations.accept_enrolment(child.signed(), code)

    assert (peer.node_id, peer.relation, peer.state, peer.granted) == (child.node_id, "child", "enabled", ["88.100.1"])
    assert set(peer.trusted_keys(clock.now())) == {child.key.key_id}
    assert peer.node_card() == child.card(issued_at=peer.node_card().issued_at, keys=peer.node_card().keys)
    assert EnrolmentCode.objects.get().used_by == child.node_id
    assert AuditRecord.objects.filter(action="nodes.enrol.accept", subject=str(peer)).count() == 1


def test_issue_code_keeps_only_a_digest(make_this_node: Make) -> None:
    make_this_node()

    code = issue()

    row = EnrolmentCode.objects.get()
    assert code not in str(vars(row))
    assert code.replace("-", "") not in str(vars(row))
    assert len(code.replace("-", "")) == 20
    assert code not in str(list(AuditRecord.objects.values()))


@pytest.mark.parametrize("spell", [str.lower, lambda code: code.replace("-", " "), lambda code: code.replace("0", "O")])
def test_code_typed_in_another_way_is_accepted(make_this_node: Make, neighbour: Make, spell: Callable[[str], str]) -> None:
    make_this_node()
    code = issue()

    assert operations.accept_enrolment(neighbour().signed(), spell(code)).relation == Relation.CHILD


def test_wrong_used_and_expired_codes_get_the_same_answer(make_this_node: Make, neighbour: Make) -> None:
    make_this_node()
    used, expired = issue(), issue(valid_for=timedelta(minutes=5))
    operations.accept_enrolment(neighbour().signed(), used)
    EnrolmentCode.objects.filter(used_at=None).update(expires_at=clock.now())
    answers = []

    for code in ("AAAAA-AAAAA-AAAAA-AAAAA", "", "标解", used, expired):
        with pytest.raises(CodeRefused) as caught:
            operations.accept_enrolment(neighbour().signed(), code)
        answers.append(str(caught.value))

    assert len(set(answers)) == 1
    assert Peer.objects.count() == 1


def test_same_node_repeating_its_accepted_call_gets_the_same_result(make_this_node: Make, neighbour: Make) -> None:
    make_this_node()
    child, code = neighbour(), issue()
    first = operations.accept_enrolment(child.signed(), code)

    again = operations.accept_enrolment(child.signed(), code)

    assert again == first
    assert AuditRecord.objects.filter(action="nodes.enrol.accept").count() == 1


def test_card_of_another_environment_is_refused_and_the_code_stays(make_this_node: Make, neighbour: Make) -> None:
    make_this_node()
    child, code = neighbour(environment="production"), issue()

    with pytest.raises(EnvironmentDiffers):
        operations.accept_enrolment(child.signed(), code)

    assert EnrolmentCode.objects.get().used_at is None


@pytest.mark.parametrize("changes", [{"role": "recursive"}, {"prefixes": ("88.100.2",)}, {"prefixes": ("88.100.1", "88.100.10")}])
def test_card_beyond_what_the_code_grants_is_refused_and_the_code_stays(
    make_this_node: Make, neighbour: Make, changes: dict[str, Any]
) -> None:
    make_this_node()
    child, code = neighbour(**changes), issue()

    with pytest.raises(CardOutOfScope):
        operations.accept_enrolment(child.signed(), code)

    assert EnrolmentCode.objects.get().used_at is None
    assert not PeerKey.objects.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"role": "top"},
        {"role": "second"},
        {"role": "stranger"},
        {"prefixes": ("88.101.1",)},
        {"prefixes": ("88.1001",)},
        {"valid_for": timedelta(0)},
        {"valid_for": timedelta(days=31)},
    ],
)
def test_issue_code_beyond_what_this_node_may_grant_is_refused(make_this_node: Make, changes: dict[str, Any]) -> None:
    make_this_node()

    with pytest.raises(CodeBindingInvalid):
        issue(**changes)


def test_stranger_with_a_known_node_id_cannot_take_it_over(make_this_node: Make, neighbour: Make) -> None:
    make_this_node()
    child = neighbour()
    operations.accept_enrolment(child.signed(), issue())
    thief = neighbour()
    ends = clock.now() - timedelta(days=1)
    forged = neighbour(keys=[child.keys[0], thief.key], ends={child.keys[0].key_id: ends}, serial=9)

    with pytest.raises(CardKeyNotPinned):
        operations.accept_enrolment(forged.signed(signers=[thief.key]), issue())

    assert set(Peer.objects.get().trusted_keys(clock.now())) == {child.key.key_id}


def test_key_of_this_node_in_a_childs_card_is_refused(make_this_node: Make, neighbour: Make) -> None:
    own = make_this_node()

    with pytest.raises(CardKeyTaken):
        operations.accept_enrolment(neighbour(keys=[own.key]).signed(), issue())


def test_blocked_node_cannot_come_back_with_a_new_code(make_this_node: Make, neighbour: Make) -> None:
    make_this_node()
    child = neighbour()
    operations.accept_enrolment(child.signed(), issue())
    operations.block_peer(actor="sec", node_id=child.node_id)

    with pytest.raises(PeerBlocked):
        operations.accept_enrolment(child.signed(), issue())


@pytest.mark.django_db(transaction=True)
def test_one_code_brought_by_eight_nodes_at_once_admits_one(make_this_node: Make, neighbour: Make) -> None:
    make_this_node()
    code, barrier, outcomes = issue(), threading.Barrier(8), list[str]()

    def enrol(card: Any) -> None:
        barrier.wait()
        try:
            operations.accept_enrolment(card, code)
            outcomes.append("admitted")
        except NodeError as error:
            outcomes.append(error.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=enrol, args=(neighbour().signed(),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["NODE-151"] * 7 + ["admitted"]
    assert Peer.objects.count() == 1


def test_attempts_are_counted_per_source_and_forgotten_after_the_window(make_this_node: Make) -> None:
    for _ in range(enrolment.ATTEMPTS_PER_SOURCE):
        enrolment.check_attempts("192.0.2.1")
        enrolment.note_attempt("192.0.2.1")

    with pytest.raises(enrolment.TooManyAttempts):
        enrolment.check_attempts("192.0.2.1")
    enrolment.check_attempts("192.0.2.2")
    clock.configure(offset_s=enrolment.ATTEMPT_WINDOW.total_seconds() + 1)
    try:
        enrolment.check_attempts("192.0.2.1")
    finally:
        clock.configure()
