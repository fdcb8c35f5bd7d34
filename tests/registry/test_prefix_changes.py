"""After any history of verbs the published index says exactly what the registry holds."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from nodes_around import MAKER, OTHER, Child, hold_prefix, user

from biaojie.base.errors import BiaojieError
from biaojie.codes.ranges import parse_coverage
from biaojie.codes.systems import System
from biaojie.handle.sites import decode_site
from biaojie.registry import operations, operations_routes, operations_routing
from biaojie.registry.comparison import compare
from biaojie.registry.models import OwnSite, Prefix, RouteClaim, RoutingChange
from biaojie.registry.prefix_changes import changing, configured_addresses, from_rows, locked, set_addresses
from biaojie.registry.publisher import Publisher
from biaojie.resolution.follower import Follower
from biaojie.resolution.index import Index

HTTP = [{"ip_type": 4, "ip": "127.0.0.1", "protocol": "HTTP", "port": 8080}]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_index_after_a_random_history_equals_the_registry(
    second: None, child: Callable[..., Child], listener: list[dict[str, Any]], tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    node = child("enterprise", ["88.100.5"])
    hold_prefix("88.100.5", unit=MAKER, peer=node.peer)
    reviewer = user("reviewer")
    publisher = Publisher(tmp_path / "publication", node="second")
    done = {"moved": 0, "refused": 0}

    def apply() -> None:
        name = f"88.100.{chance.randint(6, 9)}"
        operations.apply_prefix(actor="li", name=name, registrant=OTHER, hosted=chance.random() < 0.7)

    def decide() -> None:
        name = f"88.100.{chance.randint(6, 9)}"
        with transaction.atomic():
            event = chance.choice(["confirm", "confirm", "reject_above"])
            operations._settle_verdict(locked(name), event, actor=operations.PARENT)

    def state() -> None:
        name = f"88.100.{chance.randint(5, 9)}"
        event = chance.choice(["disable", "enable", "mark_for_deletion", "keep"])
        operations.change_state(actor=reviewer, name=name, event=event)

    def host() -> None:
        event = chance.choice(["apply", "accept", "end"])
        who = user("operator") if event == "apply" else reviewer
        operations.change_hosting(actor=who, name=f"88.100.{chance.randint(6, 9)}", event=event)

    def route() -> None:
        endpoints = chance.sample(listener, chance.randint(1, 3))
        operations_routing.propose_routing(actor="li", name="88.100.5", endpoints=endpoints)

    def take_back() -> None:
        change = RoutingChange.objects.filter(state="published").first()
        if change is not None:
            operations_routing.roll_back(actor=reviewer, change_id=change.id)

    def claim() -> None:
        operations_routes._store(
            actor="li",
            coverage=parse_coverage(System.GS1, f"690{chance.randint(0, 3)}"),
            owner="88.100",
            holder="清源",
            peer=None,
            addresses=from_rows(HTTP),
            final=chance.random() < 0.5,
        )

    def judge() -> None:
        waiting = RouteClaim.objects.filter(state="proposed").first()
        if waiting is not None and chance.random() < 0.8:
            operations_routes._activate(waiting, "approve", actor=reviewer)
        elif waiting is not None:
            operations_routes.refuse_claim(actor=reviewer, claim_id=waiting.id, reason="持有情况不明")

    def drop() -> None:
        held = RouteClaim.objects.filter(removed_at=None).first()
        if held is not None:
            operations_routes._remove(actor="li", claim=held)

    def move_own() -> None:
        own = locked("88.100")
        with changing(own, actor="li"):
            set_addresses(own, from_rows(chance.sample(listener, chance.randint(1, 3))))

    with Index.open(tmp_path / "index") as index:
        follower = Follower(tmp_path / "publication", index)
        for step in range(60):
            verb = chance.choice(
                [apply, apply, decide, decide, state, state, host, route, take_back, claim, judge, drop, move_own]
            )
            try:
                with transaction.atomic():
                    verb()
                done["moved"] += 1
            except BiaojieError:
                done["refused"] += 1
            if step % 7 == 6:
                publisher.publish_once()
                assert follower.poll().problem is None
                result = compare(index)
                assert result.equal, result.differences
        follower.close()

    assert done["moved"] > 15 and done["refused"] > 3, done
    assert Prefix.objects.filter(name__startswith="88.100.").count() > 1


@pytest.mark.django_db
def test_site_of_a_node_says_its_settings_until_it_is_routed(second: None, listener: list[dict[str, Any]]) -> None:
    before = decode_site(bytes(OwnSite.objects.get().site))
    own = locked("88.100")
    with changing(own, actor="li"):
        set_addresses(own, from_rows(listener))
    after = decode_site(bytes(OwnSite.objects.get().site))

    assert [row.port for row in before.servers[0].interfaces] == [row.port for row in configured_addresses()]
    assert sorted(row.port for row in after.servers[0].interfaces) == sorted(row["port"] for row in listener)
    assert after.serial == before.serial + 1


@pytest.mark.django_db
def test_unspecified_address_is_announced_as_the_host_of_the_web_address(as_node: Callable[..., Any]) -> None:
    as_node("top", handle_udp=("0.0.0.0:2641",), handle_tcp=("[::]:2641",), handle_http=(), web_url="http://192.0.2.8:8000")

    assert [(row.ip, row.protocol) for row in configured_addresses()] == [("192.0.2.8", "TCP"), ("192.0.2.8", "UDP")]
