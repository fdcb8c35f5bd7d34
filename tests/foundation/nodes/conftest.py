"""Nodes to test with: the one this database belongs to, and others that exist as key and card."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from biaojie.base import clock
from biaojie.foundation.nodes.card import HandleAddresses, NodeCard, SignedCard, card_key, sign_card
from biaojie.foundation.nodes.keys import NodeKey, make_key, node_id_of

YEAR = timedelta(days=365)


@dataclasses.dataclass
class Neighbour:
    """Another node, as far as others can see it: its keys and its current card."""

    role: str = "enterprise"
    environment: str = "test"
    prefixes: tuple[str, ...] = ("88.100.1",)
    name: str = "青禾机械企业节点"
    web_url: str = "http://127.0.0.1:9"
    serial: int = 1
    keys: list[NodeKey] = dataclasses.field(default_factory=lambda: [make_key()])
    ends: dict[str, datetime] = dataclasses.field(default_factory=dict)

    @property
    def key(self) -> NodeKey:
        return self.keys[-1]

    @property
    def node_id(self) -> str:
        return node_id_of(self.keys[0].key_id)

    def card(self, **changes: Any) -> NodeCard:
        now = clock.now().replace(microsecond=0)
        card = NodeCard(
            node_id=self.node_id,
            name=self.name,
            role=self.role,
            environment=self.environment,  # type: ignore[arg-type] # one of the two in every test
            prefixes=self.prefixes,
            web_url=self.web_url,
            handle=HandleAddresses(udp="127.0.0.1:2641"),
            status_url=f"{self.web_url}/healthz",
            keys=tuple(
                card_key(key, not_before=now - YEAR, not_after=self.ends.get(key.key_id, now + YEAR)) for key in self.keys
            ),
            serial=self.serial,
            issued_at=now,
        )
        return msgspec.structs.replace(card, **changes)

    def signed(self, *, signers: list[NodeKey] | None = None, **changes: Any) -> SignedCard:
        card = self.card(**changes)
        return sign_card(card, signers or [key for key in self.keys if key.key_id in card.valid_keys(card.issued_at)])


@pytest.fixture
def neighbour() -> Callable[..., Neighbour]:
    """Makes another node: `neighbour(role=..., prefixes=...)`."""
    return Neighbour


@pytest.fixture
def make_this_node(settings: Any, tmp_path: Path) -> Callable[..., Any]:
    """Makes this database's node: `make_this_node(role="second", prefixes=("88.100",))` gives its identity."""

    def make(*, role: str = "second", environment: str = "test", prefixes: tuple[str, ...] = ("88.100",)) -> Any:
        from biaojie.foundation.nodes import operations

        middleware = "biaojie.foundation.nodes.middleware.SignedAnswers"
        settings.MIDDLEWARE = [middleware, *(name for name in settings.MIDDLEWARE if name != middleware)]
        settings.NODE = dataclasses.replace(
            settings.NODE,
            role=role,
            environment=environment,
            node_dir=tmp_path,
            web_url="https://node.example.com",
        )
        return operations.establish(settings=settings.NODE, title="江南轴承二级节点", prefixes=prefixes)

    return make
