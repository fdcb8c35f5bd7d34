"""docs/flows/change-addresses.md: proposed, asked, approved by a second person, published beside the old, rolled back."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from running_chain import Api, Chain, quoted, wait_until

from biaojie.registry.errors import PrivateAddress
from biaojie.registry.rules import check_addresses

PREFIX = "88.100"


def endpoint(protocol: str, port: int, ip: str = "127.0.0.1") -> dict[str, Any]:
    return {"ip_type": 4, "ip": ip, "protocol": protocol, "port": port}


def key(rows: list[dict[str, Any]]) -> list[tuple[str, str, int]]:
    return sorted((row["ip"], row["protocol"], row["port"]) for row in rows)


def published_ports(chain: Chain) -> set[int]:
    """The ports in the HS_SITE values of the prefix record, as the top node answers them in public."""
    row = chain.nodes["top"]
    answer = httpx2.get(
        f"{row['handle_http']}/api/handles/{quoted('0.NA/' + PREFIX)}?type=HS_SITE", timeout=30.0, trust_env=False
    )
    servers = [server for value in answer.json()["values"] for server in value["data"]["value"]["servers"]]
    return {interface["port"] for server in servers for interface in server["interfaces"]}


def propose(holder: Api, name: str, endpoints: list[dict[str, Any]]) -> httpx2.Response:
    """The answer to a proposal, once the change that the chain's own setting up made has lived its TTL: one at a time."""
    answers: list[httpx2.Response] = []

    def is_decided() -> bool:
        answers.append(holder.ask("PUT", f"/api/v1/prefixes/{name}/routing", json={"endpoints": endpoints}))
        return "未完成的路由变更" not in answers[-1].json()["message"]

    assert wait_until(is_decided, 200, pause_s=0.5) is not None
    return answers[-1]


@contextlib.contextmanager
def relay(target: int) -> Iterator[int]:
    """A second door to a node's UDP port: what a load balancer in front of it would be. Gives its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door, selectors.DefaultSelector() as ready:
        door.bind(("127.0.0.1", 0))
        ready.register(door, selectors.EVENT_READ, None)
        ending = threading.Event()

        def run() -> None:
            while not ending.is_set():
                for found, _ in ready.select(0.1):
                    sock = found.fileobj
                    assert isinstance(sock, socket.socket)
                    with contextlib.suppress(OSError):
                        data, address = sock.recvfrom(65536)
                        if sock is door:
                            behind = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                            behind.connect(("127.0.0.1", target))
                            behind.send(data)
                            ready.register(behind, selectors.EVENT_READ, address)
                        else:
                            door.sendto(data, found.data)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield door.getsockname()[1]
        finally:
            ending.set()
            thread.join()
            for found in list(ready.get_map().values()):
                if found.fileobj is not door:
                    ready.unregister(found.fileobj)
                    found.fileobj.close()  # type: ignore[union-attr]


def test_change_needs_a_second_person_stands_beside_the_old_and_is_rolled_back(chain: Chain) -> None:
    proposer, reviewer = chain.api("top", "operator"), chain.api("top", "reviewer")
    old = proposer.call("GET", f"/api/v1/prefixes/{PREFIX}")["endpoints"]
    old_ports = published_ports(chain)
    udp_port = next(row["port"] for row in old if row["protocol"] == "UDP")
    with relay(udp_port) as door:
        new = [endpoint("UDP", door), *(row for row in old if row["protocol"] != "UDP")]

        change = propose(proposer, PREFIX, new).json()["data"]
        by_oneself = proposer.refused("POST", f"/api/v1/routing-changes/{change['change_id']}/approve")
        before = published_ports(chain)
        approved = reviewer.call("POST", f"/api/v1/routing-changes/{change['change_id']}/approve")
        parallel = wait_until(lambda: published_ports(chain) == old_ports | {door}, 60)
        meanwhile = chain.resolve("88.100.1/QK-absent")[0]
        back = reviewer.call("POST", f"/api/v1/routing-changes/{change['change_id']}/roll-back", json={"reason": "演练"})
        alone = wait_until(lambda: published_ports(chain) == old_ports, 60)

    held = proposer.call("GET", f"/api/v1/prefixes/{PREFIX}")
    assert change["state"] == "checked"
    assert (by_oneself[0], by_oneself[2]["status"]) == (403, -3)
    assert before == old_ports
    assert approved["state"] == "published" and approved["approved_by"] != approved["proposed_by"]
    assert all(check["answered"] for check in approved["checks"]) and approved["checks"]
    assert parallel is not None, "old and new never stood side by side"
    assert meanwhile == 1
    assert back["state"] == "rolled_back"
    assert alone is not None, "the old addresses never stood alone again"
    assert key(held["endpoints"]) == key(old) and held["open_change"] is None


def test_address_that_does_not_answer_is_refused_by_name_and_nothing_changes(chain: Chain) -> None:
    holder, above = chain.api("enterprise", "operator"), chain.api("second", "operator")
    old = above.call("GET", "/api/v1/prefixes/88.100.1")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers there
        port = held.getsockname()[1]

        answer = propose(holder, "88.100.1", [*old["endpoints"], endpoint("TCP", port)])

    after = above.call("GET", "/api/v1/prefixes/88.100.1")
    assert (answer.status_code, [row["code"] for row in answer.json()["errors"]]) == (422, ["REG-125"]), answer.text
    assert str(port) in answer.json()["message"]
    assert key(after["endpoints"]) == key(old["endpoints"]) and after["open_change"] is None


def test_change_without_any_port_is_refused(chain: Chain) -> None:
    status, codes, _ = chain.api("enterprise", "operator").refused(
        "PUT", "/api/v1/prefixes/88.100.1/routing", json={"endpoints": []}
    )

    assert status == 422 and codes[0].startswith("REG-13")


@pytest.mark.parametrize("ip", ["10.1.2.3", "127.0.0.1", "192.168.0.9", "100.64.0.1"])
def test_private_address_is_refused_in_production(ip: str) -> None:
    with pytest.raises(PrivateAddress) as refused:
        check_addresses([endpoint("TCP", 2641, ip)], allow_private=False)

    assert refused.value.pointer == "endpoints/0/ip"
    assert check_addresses([endpoint("TCP", 2641, ip)], allow_private=True)[0].ip == ip
