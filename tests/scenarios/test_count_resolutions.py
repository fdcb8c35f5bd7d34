"""docs/flows/count-resolutions.md: what strangers asked of a prefix, exactly, as figures of the day (表3, 表8, 附件2)."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

import httpx2
import pytest
from running_chain import Api, Chain, quoted, wait_until
from stdnum.cn import uscc

from biaojie.base.settings import split_address
from biaojie.client.blocking import BlockingClient
from biaojie.handle.bodies import GetSiteInfoRequest, ResolutionRequest
from biaojie.resolution.cache import Endpoint

SHANGHAI = timezone(timedelta(hours=8))
PREFIX, UNIT = "88.100.51", "91310000MA0TC0051"
FOUND = {"udp": 7, "tcp": 3, "http": 2}
ABSENT = 4


@dataclass(frozen=True, slots=True)
class Asked:
    """What was sent to the second-level node's resolver for a prefix that nobody else asks for."""

    requests: int
    answered: int
    since: datetime


@pytest.fixture(scope="session")
def asked(chain: Chain) -> Iterator[Asked]:
    """Asks, then ends the resolver gently: what it counted is spooled at once, and the supervisor starts it again."""
    desk = chain.api("second", "operator")
    held = host(chain, desk)
    since = datetime.now(UTC) - timedelta(seconds=1)
    row = chain.nodes["second"]
    with BlockingClient() as client, httpx2.Client(timeout=30.0, trust_env=False) as web:
        for protocol, times in FOUND.items():
            endpoint = Endpoint(protocol, *split_address(row[f"handle_{protocol}"].removeprefix("http://")))
            for _ in range(times):
                if protocol == "http":
                    assert web.get(f"{row['handle_http']}/api/handles/{quoted(held)}").status_code == 200
                else:
                    assert client.ask(endpoint, ResolutionRequest(held, (), ())).response_code == 1
        udp = Endpoint("udp", *split_address(row["handle_udp"]))
        for number in range(ABSENT):
            assert client.ask(udp, ResolutionRequest(f"{PREFIX}/absent-{number}", (), ())).response_code == 100
        for _ in range(20):  # looking whether a node is well asks for no identifier
            assert web.get(f"{row['handle_http']}/healthz").status_code == 200
            client.ask(udp, GetSiteInfoRequest())
    assert chain.resolve(held)[0] == 0  # through the recursive node: one more
    before = chain.status()["second/resolver"]
    assert before is not None
    os.kill(before, signal.SIGTERM)
    assert wait_until(lambda: chain.status()["second/resolver"] not in (None, before), 60, pause_s=0.2) is not None
    chain.wait_found(chain.nodes["second"]["examples"][0], node="second")
    yield Asked(requests=sum(FOUND.values()) + ABSENT + 1, answered=sum(FOUND.values()) + 1, since=since)


def host(chain: Chain, desk: Api) -> str:
    """A hosted prefix with one identifier, which it gives."""
    unit = {"name": "虚构计数单位有限公司", "credit_code": UNIT + uscc.calc_check_digit(UNIT)}
    desk.call("POST", "/api/v1/prefixes", json={"name": PREFIX, "registrant": unit, "hosted": True})
    for node in ("second", "top"):
        chain.api(node, "reviewer").call("POST", f"/api/v1/prefixes/{PREFIX}/review", json={"decision": "accept"})
    if desk.call("POST", f"/api/v1/prefixes/{PREFIX}/sync")["hosting"] != 4:
        chain.api("second", "reviewer").call("POST", f"/api/v1/prefixes/{PREFIX}/hosting", json={"event": "accept"})
    identifier = f"{PREFIX}/counted"
    desk.register(identifier)
    # Asking for it while waiting would be counted: the node's own comparison says when it has reached the index.
    assert wait_until(lambda: chain.command("doctor", "second").returncode == 0, 120) is not None
    return identifier


def test_asked_counts_are_spooled_when_the_resolver_ends(chain: Chain, asked: Asked) -> None:
    """Asked early, so that the figures are there when the last tests of this run look at them."""
    figures = chain.api("second", "operator").call("GET", f"/api/v1/usage/{PREFIX}")
    spooled = list((chain.directory / "second" / "spool").glob("*.json"))

    assert figures["requests"] == asked.requests or spooled


def test_figures_of_a_hosted_prefix_are_exactly_what_was_asked(chain: Chain, asked: Asked) -> None:
    desk = chain.api("second", "operator")

    loaded = wait_until(lambda: desk.call("GET", f"/api/v1/usage/{PREFIX}")["requests"] >= asked.requests, 200, pause_s=0.5)
    figures = desk.call("GET", f"/api/v1/usage/{PREFIX}")

    assert loaded is not None, chain.logs()
    assert (figures["requests"], figures["answered"]) == (asked.requests, asked.answered)
    assert figures["sources"] == [{"ip": "127.0.0.1", "requests": asked.requests}]
    assert figures["day"] == datetime.now(SHANGHAI).date().isoformat()
    assert 0 < figures["latency_min_ms"] <= figures["latency_avg_ms"] <= figures["latency_max_ms"]
    assert 1 <= figures["peak_qps"] <= asked.requests
    for moment in ("latency_min_at", "latency_max_at", "peak_at"):
        assert asked.since <= datetime.fromisoformat(figures[moment]) <= datetime.now(UTC), moment


def test_figures_of_the_node_contain_those_of_its_hosted_prefix(chain: Chain, asked: Asked) -> None:
    desk = chain.api("second", "operator")

    loaded = wait_until(lambda: desk.call("GET", f"/api/v1/usage/{PREFIX}")["requests"] >= asked.requests, 200, pause_s=0.5)
    node = desk.call("GET", "/api/v1/usage/88.100")

    assert loaded is not None
    assert node["requests"] >= asked.requests and node["answered"] >= asked.answered
    assert node["requests"] >= node["answered"]
