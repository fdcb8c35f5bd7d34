"""This node: first start, later starts, key rollover."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("django")

from biaojie.base import clock
from biaojie.foundation.audit.models import AuditRecord
from biaojie.foundation.nodes import operations
from biaojie.foundation.nodes.card import verify_card
from biaojie.foundation.nodes.errors import AlreadyEstablished, KeyFileMissing, NotEstablished
from biaojie.foundation.nodes.keys import load_key, node_id_of
from biaojie.foundation.nodes.models import ThisNode

pytestmark = [pytest.mark.web, pytest.mark.django_db]


def test_this_node_before_the_first_start_is_not_established() -> None:
    with pytest.raises(NotEstablished):
        operations.this_node()


def test_establish_at_first_start_makes_key_and_signed_card(make_this_node: Callable[..., Any], tmp_path: Path) -> None:
    node = make_this_node()

    card = verify_card(node.card, now=clock.now())
    key = load_key(tmp_path / "node.key")
    assert (tmp_path / "node.key").stat().st_mode & 0o777 == 0o600
    assert node.id == card.node_id == node_id_of(key.key_id)
    assert (card.name, card.role, card.environment, card.prefixes) == ("江南轴承二级节点", "second", "test", ("88.100",))
    assert (card.web_url, card.status_url) == ("https://node.example.com", "https://node.example.com/healthz")
    assert card.serial == 1
    assert operations.this_node().card == node.card
    assert operations.this_node().key.key_id == key.key_id == node.key.key_id


def test_establish_repeated_changes_nothing(make_this_node: Callable[..., Any]) -> None:
    first = make_this_node()

    second = make_this_node()

    assert second.card == first.card
    assert AuditRecord.objects.filter(action="nodes.establish").count() == 1


def test_establish_with_another_address_issues_the_next_card(make_this_node: Callable[..., Any], settings: Any) -> None:
    first = make_this_node()
    moved = dataclasses.replace(settings.NODE, web_url="https://new.example.com")

    node = operations.establish(settings=moved)

    card = verify_card(node.card, now=clock.now(), trusted={first.key.key_id: first.key.public})
    assert (node.id, card.serial, card.web_url, card.name) == (first.id, 2, "https://new.example.com", first.name)


@pytest.mark.parametrize("changed", [{"role": "top"}, {"environment": "production"}])
def test_establish_with_another_role_or_environment_refuses(
    make_this_node: Callable[..., Any], settings: Any, changed: dict[str, str]
) -> None:
    make_this_node()

    with pytest.raises(AlreadyEstablished):
        operations.establish(settings=dataclasses.replace(settings.NODE, **changed))


def test_establish_with_another_key_file_refuses_and_keeps_the_card(
    make_this_node: Callable[..., Any], settings: Any, tmp_path: Path
) -> None:
    make_this_node()
    (tmp_path / "node.key").rename(tmp_path / "elsewhere")

    with pytest.raises(AlreadyEstablished):
        operations.establish(settings=settings.NODE)

    assert ThisNode.objects.get().serial == 1


def test_roll_key_gives_a_card_that_the_old_key_vouches_for(make_this_node: Callable[..., Any]) -> None:
    old = make_this_node()

    new = operations.roll_key(actor="system:test")

    card = verify_card(new.card, now=clock.now(), trusted={old.key.key_id: old.key.public})
    assert new.id == old.id
    assert card.keys[0].key_id == old.key.key_id
    assert len(card.valid_keys(clock.now())) == 2


def test_roll_key_signs_calls_with_the_old_key_until_it_ends(make_this_node: Callable[..., Any]) -> None:
    old = make_this_node()
    operations.roll_key(actor="system:test", overlap=timedelta(days=30))
    announced = operations.this_node().card.card["keys"][-1]["key_id"]

    used = [operations.this_node().key.key_id]
    for days in (29, 30):
        clock.configure(offset_s=days * 24 * 3600)
        try:
            used.append(operations.this_node().key.key_id)
        finally:
            clock.configure()

    assert used == [old.key.key_id, old.key.key_id, announced]


def test_roll_key_after_a_theft_uses_the_new_key_at_once(make_this_node: Callable[..., Any]) -> None:
    old = make_this_node()

    new = operations.roll_key(actor="system:test", overlap=timedelta(0))

    assert new.key.key_id != old.key.key_id


def test_cards_after_the_overlap_are_signed_by_the_new_key_alone(make_this_node: Callable[..., Any]) -> None:
    make_this_node()
    operations.roll_key(actor="system:test", overlap=timedelta(days=30))
    clock.configure(offset_s=31 * 24 * 3600)
    try:
        node = operations.set_prefixes(actor="system:test", prefixes=["88.100", "88.101"])

        card = verify_card(node.card, now=clock.now(), trusted={node.key.key_id: node.key.public})
    finally:
        clock.configure()
    assert [row.key_id for row in node.card.signatures] == [node.key.key_id] == [card.keys[1].key_id]
    assert card.node_id == node.id


def test_this_node_without_the_key_file_it_names_says_which(make_this_node: Callable[..., Any], tmp_path: Path) -> None:
    make_this_node()
    new = operations.roll_key(actor="system:test", overlap=timedelta(0))
    (tmp_path / f"node-{new.key.key_id}.key").unlink()

    with pytest.raises(KeyFileMissing) as caught:
        operations.this_node()

    assert new.key.key_id in caught.value.message
