"""docs/flows/register-and-resolve.md: from the enterprise's registration to anybody's answer, in all six code systems."""

from __future__ import annotations

import json
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from pyhandle.handleclient import PyHandleClient
from running_chain import Api, Chain, texts, url_value, wait_until

from biaojie.base.settings import split_address
from biaojie.client.blocking import BlockingClient
from biaojie.handle.bodies import ResolutionRequest
from biaojie.handle.codes import ResponseCode
from biaojie.resolution.cache import Endpoint

FOUND, NOT_FOUND, USAGE, NO_ANSWER = 0, 1, 2, 3
PROTOCOLS = ("udp", "tcp", "http")


@pytest.fixture(scope="module")
def enterprise(chain: Chain) -> Api:
    return chain.api("enterprise", "operator")


@pytest.fixture(scope="module")
def client() -> Iterator[BlockingClient]:
    with BlockingClient() as made:
        yield made


@pytest.fixture(scope="module")
def product(chain: Chain, enterprise: Api) -> str:
    """An identifier with two values that can be resolved already."""
    identifier = "88.100.1/scenario-产品-1"
    values = [
        url_value("https://p.example/产品"),
        {"index": 2000, "type": "productName", "data": {"format": "string", "value": "滚珠丝杠"}},
    ]
    enterprise.call("POST", "/api/v1/identifiers", json={"identifier": identifier, "values": values})
    chain.wait_found(identifier, node="enterprise")
    return identifier


PRODUCT = [(1, "URL", "https://p.example/产品"), (2000, "productName", "滚珠丝杠")]


def endpoint(chain: Chain, node: str, protocol: str = "udp") -> Endpoint:
    address = chain.nodes[node][f"handle_{protocol}"].removeprefix("http://")
    return Endpoint(protocol, *split_address(address))


def code_at(client: BlockingClient, chain: Chain, node: str, identifier: str) -> int:
    return int(client.ask(endpoint(chain, node), ResolutionRequest(identifier, (), ())).response_code)


def value_at(client: BlockingClient, chain: Chain, node: str, identifier: str) -> str:
    values = client.ask(endpoint(chain, node), ResolutionRequest(identifier, (), ())).values
    return values[0].data.decode() if values else ""


# ---- the way down


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_resolve_command_finds_the_values_through_the_recursive_node(chain: Chain, product: str, protocol: str) -> None:
    done = chain.command("resolve", product, "--protocol", protocol, "--json")

    answer = json.loads(done.stdout)
    assert (done.returncode, answer["responseCode"]) == (FOUND, ResponseCode.SUCCESS)
    assert texts(answer["values"]) == PRODUCT
    assert answer["server"].startswith(f"{protocol}://")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_resolve_at_the_owner_finds_the_same_values(chain: Chain, product: str, protocol: str) -> None:
    status, answer = chain.resolve(product, node="enterprise", protocol=protocol)

    assert (status, texts(answer["values"])) == (FOUND, PRODUCT)


def test_trace_of_a_recursive_node_that_knows_nothing_shows_all_three_levels(chain: Chain, product: str) -> None:
    assert chain.command("stop", "recursive").returncode == 0  # its cache lives in the process
    assert chain.command("start", "recursive").returncode == 0
    health = f"{chain.nodes['recursive']['handle_http']}/healthz"
    assert wait_until(lambda: _answers(health), 60)

    status, answer = chain.resolve(product, trace=True)
    shown = chain.command("resolve", product, "--trace").stdout

    asked = [step for step in answer["trace"] if step["protocol"]]
    ports = {node: split_address(chain.nodes[node]["handle_udp"])[1] for node in ("top", "second", "enterprise")}
    assert status == FOUND
    assert [step["node"] for step in asked] == ["国家顶级节点", "二级节点 88.100", "企业节点 88.100.1"]
    assert [split_address(step["address"])[1] for step in asked] == [ports["top"], ports["second"], ports["enterprise"]]
    assert [step["responseCode"] for step in asked] == [ResponseCode.PREFIX_REFERRAL, ResponseCode.SUCCESS, ResponseCode.SUCCESS]
    assert all(step["elapsedMs"] > 0 and not step["error"] for step in asked)
    assert answer["trace"][0]["node"] == "递归节点"
    assert "解析路径" in shown and "企业节点 88.100.1" in shown


def test_every_system_of_the_demonstration_is_answered_by_the_recursive_node(chain: Chain) -> None:
    examples = chain.nodes["recursive"]["examples"]

    outcomes = {example: chain.resolve(example)[0] for example in examples}

    assert outcomes == dict.fromkeys(examples, FOUND)


def test_strangers_client_reads_records_of_every_node(chain: Chain) -> None:
    read = {}
    for name, row in chain.nodes.items():
        handle = next(example for example in row["examples"] if "/" in example and ":" not in example)
        client = PyHandleClient("rest").instantiate_for_read_access(handle_server_url=row["handle_http"])

        read[name] = client.retrieve_handle_record_json(handle)

    assert {name: (record["responseCode"], bool(record["values"])) for name, record in read.items()} == dict.fromkeys(
        chain.nodes, (1, True)
    )


# ---- time


def test_registered_identifiers_are_resolvable_soon(
    chain: Chain, enterprise: Api, client: BlockingClient, tell: Callable[[str], None]
) -> None:
    delays = []
    for number in range(12):
        identifier = f"88.100.1/delay-{number}"
        enterprise.register(identifier)
        acknowledged = time.monotonic()
        assert wait_until(lambda: code_at(client, chain, "enterprise", identifier) == 1, 60, pause_s=0.005) is not None  # noqa: B023
        delays.append((time.monotonic() - acknowledged) * 1000)

    tell(f"registered → resolvable: median {statistics.median(delays):.0f} ms, longest {max(delays):.0f} ms of {len(delays)}")
    assert len(delays) == 12


def test_update_and_delete_show_at_the_owner_and_after_the_ttl_at_the_recursive_node(
    chain: Chain, enterprise: Api, client: BlockingClient
) -> None:
    identifier, one = "88.100.1/changing", "/api/v1/identifiers/one"
    first = enterprise.register(identifier, "https://p.example/old", ttl=1)
    chain.wait_found(identifier, node="enterprise")
    assert wait_until(lambda: value_at(client, chain, "recursive", identifier) == "https://p.example/old", 60) is not None

    body = {"values": [url_value("https://p.example/new", ttl=1)], "version": first["version"]}
    second = enterprise.call("PUT", one, params={"identifier": identifier}, json=body)
    stale = enterprise.refused("PUT", one, params={"identifier": identifier}, json=body)
    new_at_owner = wait_until(lambda: value_at(client, chain, "enterprise", identifier) == "https://p.example/new", 60)
    new_everywhere = wait_until(lambda: value_at(client, chain, "recursive", identifier) == "https://p.example/new", 60)
    enterprise.call("DELETE", one, params={"identifier": identifier})
    gone_at_owner = wait_until(lambda: code_at(client, chain, "enterprise", identifier) == 100, 60)
    gone_everywhere = wait_until(lambda: code_at(client, chain, "recursive", identifier) == 100, 60)

    assert second["version"] == first["version"] + 1
    assert stale[:2] == (409, ["REG-102"])
    assert None not in (new_at_owner, new_everywhere, gone_at_owner, gone_everywhere)
    assert chain.resolve(identifier)[0] == NOT_FOUND
    assert enterprise.ask("GET", one, params={"identifier": identifier}).status_code == 404


def test_identifier_registered_again_after_its_deletion_resolves_to_the_new_values(
    chain: Chain, enterprise: Api, client: BlockingClient
) -> None:
    identifier = "88.100.1/twice"
    enterprise.register(identifier, "https://p.example/first")
    enterprise.call("DELETE", "/api/v1/identifiers/one", params={"identifier": identifier})

    again = enterprise.register(identifier, "https://p.example/second")

    assert again["version"] == 3
    assert wait_until(lambda: value_at(client, chain, "enterprise", identifier) == "https://p.example/second", 60) is not None


# ---- what is not there, and what is wrong


@pytest.mark.parametrize(
    ("identifier", "why"),
    [
        ("88.100.1/absent", ""),
        ("88.100.77/anything", "88.100.77"),
        ("88.777/anything", "88.777"),
        ("99.1/anything", "99.1"),
        ("1.2.156.9999.1", "路由"),
    ],
)
def test_resolve_of_what_does_not_exist_says_so(chain: Chain, identifier: str, why: str) -> None:
    status, answer = chain.resolve(identifier)

    assert (status, answer["responseCode"], answer["values"]) == (NOT_FOUND, ResponseCode.HANDLE_NOT_FOUND, [])
    assert why in answer.get("message", "")


def test_resolve_command_of_what_does_not_exist_ends_with_one_and_says_why(chain: Chain) -> None:
    done = chain.command("resolve", "88.100.77/anything")

    assert done.returncode == NOT_FOUND
    assert "100" in done.stdout and "88.100.77" in done.stdout and "Traceback" not in done.stderr


def test_resolve_command_of_an_index_that_is_not_there_says_so(chain: Chain, product: str) -> None:
    done = chain.command("resolve", product, "--index", "77", "--json")

    assert (done.returncode, json.loads(done.stdout)["responseCode"]) == (NOT_FOUND, ResponseCode.VALUES_NOT_FOUND)


@pytest.mark.parametrize(("option", "value", "wanted"), [("--index", "2000", PRODUCT[1:]), ("--type", "URL", PRODUCT[:1])])
def test_resolve_command_with_a_filter_gives_these_values_only(
    chain: Chain, product: str, option: str, value: str, wanted: list[tuple[int, str, str]]
) -> None:
    done = chain.command("resolve", product, option, value, "--json")

    assert (done.returncode, texts(json.loads(done.stdout)["values"])) == (FOUND, wanted)


def test_resolve_at_a_node_that_does_not_serve_the_prefix_is_told_so(chain: Chain, product: str) -> None:
    status, answer = chain.resolve(product, node="second")

    assert (status, answer["responseCode"]) == (NO_ANSWER, ResponseCode.SERVER_NOT_RESPONSIBLE)


def test_resolve_where_nobody_answers_ends_with_three(chain: Chain) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        done = chain.command("resolve", "88.100.1/a", "--protocol", "tcp", "--server", f"127.0.0.1:{held.getsockname()[1]}")

    assert done.returncode == NO_ANSWER
    assert done.stderr.startswith("[CLI-")


@pytest.mark.parametrize(
    "arguments",
    [("88.100.1/a", "--protocol", "carrier-pigeon"), ("88.100.1/a", "--index", "many"), ()],
    ids=["protocol", "index", "nothing"],
)
def test_resolve_used_wrongly_ends_with_two(chain: Chain, arguments: tuple[str, ...]) -> None:
    done = chain.command("resolve", *arguments)

    assert done.returncode == USAGE
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("identifier", "values", "http", "codes"),
    [
        ("88.100.2/a", [url_value("https://p.example")], 422, ["REG-154"]),  # not this node's prefix
        ("88.100.1/", [url_value("https://p.example")], 422, None),
        ("88.100.1/no-values", [], 422, ["REG-155"]),
        ("88.100.1/reserved", [{"index": 1, "type": "HS_SITE", "data": {"format": "string", "value": "x"}}], 422, ["REG-159"]),
    ],
)
def test_registration_that_is_wrong_is_refused_with_its_code(
    enterprise: Api, identifier: str, values: list[dict[str, Any]], http: int, codes: list[str] | None
) -> None:
    status, found, answer = enterprise.refused("POST", "/api/v1/identifiers", json={"identifier": identifier, "values": values})

    assert status == http, answer
    assert codes is None or found == codes


def test_registration_with_several_faults_reports_all_of_them(enterprise: Api) -> None:
    values = [url_value("https://a.example"), url_value("https://b.example"), {"index": 0, "type": "", "data": {}}]

    status, codes, answer = enterprise.refused(
        "POST", "/api/v1/identifiers", json={"identifier": "88.100.1/faulty", "values": values}
    )

    assert status == 422
    assert len(codes) >= 2 and "REG-157" in codes, answer
    assert enterprise.ask("GET", "/api/v1/identifiers/one", params={"identifier": "88.100.1/faulty"}).status_code == 404


def test_registration_of_what_exists_is_refused_whatever_its_case(enterprise: Api, product: str) -> None:
    status, codes, _ = enterprise.refused(
        "POST", "/api/v1/identifiers", json={"identifier": product.upper(), "values": [url_value("https://q.example")]}
    )

    assert (status, codes) == (409, ["REG-151"])


def test_registration_without_signing_in_or_without_permission_is_refused(chain: Chain) -> None:
    body = {"identifier": "88.100.1/anonymous", "values": [url_value("https://p.example")]}

    unsigned = httpx2.post(f"{chain.nodes['enterprise']['http']}/api/v1/identifiers", json=body, timeout=30.0, trust_env=False)
    by_admin = chain.api("enterprise", "admin").refused("POST", "/api/v1/identifiers", json=body)

    assert (unsigned.status_code, unsigned.json()["status"]) == (401, -1)
    assert (by_admin[0], by_admin[2]["status"]) == (403, -3)


# ---- the other code systems

OTHERS = [
    pytest.param("OID", "1.2.156.3001.777", "1.2.156.3001.777.1.5", id="OID"),
    pytest.param("DID:BID", "qh01", "did:bid:qh01:efKkhNdUcArDQPgD5J4fFVwqJFPtZ", id="DID"),
    pytest.param("Ecode", "10077", "E=10077690123456789", id="Ecode"),
    pytest.param("GS1", "6977123", "https://id.example/01/06977123000016/21/SN-9", id="GS1"),
]


def second_claim(chain: Chain, claim: dict[str, Any]) -> int:
    """The number that the second-level node has given the enterprise's claim."""
    held = chain.api("second", "operator").call("GET", "/api/v1/routes/claims")["items"]
    return next(int(row["id"]) for row in held if (row["system"], row["coverage"]) == (claim["system"], claim["coverage"]))


@pytest.mark.parametrize(("system", "coverage", "identifier"), OTHERS)
def test_identifier_of_another_system_is_routed_from_the_top_to_the_enterprise(
    chain: Chain, enterprise: Api, system: str, coverage: str, identifier: str
) -> None:
    claim = enterprise.call("POST", "/api/v1/routes", json={"system": system, "coverage": coverage})
    waiting = enterprise.refused(
        "POST", "/api/v1/identifiers", json={"identifier": identifier, "values": [url_value("https://w.example")]}
    )
    for node in ("second", "top"):
        reviewer = chain.api(node, "reviewer")
        proposed = reviewer.call("GET", "/api/v1/routes/claims", params={"state": "proposed"})["items"]
        found = next(row for row in proposed if (row["system"], row["coverage"]) == (claim["system"], claim["coverage"]))
        reviewer.call("POST", f"/api/v1/routes/claims/{found['id']}/approve")
    chain.api("second", "operator").call("POST", f"/api/v1/routes/claims/{second_claim(chain, claim)}/sync")
    active = enterprise.call("POST", f"/api/v1/routes/claims/{claim['id']}/sync")
    enterprise.call(
        "POST", "/api/v1/identifiers", json={"identifier": identifier, "values": [url_value("https://o.example/" + system)]}
    )
    chain.wait_found(identifier, node="enterprise", protocol="http")
    assert wait_until(lambda: all(route(chain, node, identifier)["next"] for node in LEVELS), 120) is not None

    status, answer = chain.resolve(identifier, trace=True)

    assert claim["final"] is True and claim["owner"] == "88.100.1"
    assert (claim["state"], waiting[1], active["state"]) == ("forwarded", ["REG-154"], "active")
    assert [route(chain, node, identifier)["final"] for node in LEVELS] == [False, False, True]
    assert (status, texts(answer["values"])) == (FOUND, [(1, "URL", "https://o.example/" + system)])
    asked = [step for step in answer["trace"] if step["protocol"]]
    assert len(asked) == len(LEVELS) + 1 and all(step["protocol"] == "http" for step in asked), asked


def test_route_that_meets_anothers_is_refused_naming_the_holder(chain: Chain, enterprise: Api) -> None:
    held = chain.api("second", "operator").call("GET", "/api/v1/routes/claims")["items"]
    oid = next(row for row in held if row["system"] == "OID" and row["owner"] == "88.100")

    status, codes, answer = enterprise.refused("POST", "/api/v1/routes", json={"system": "OID", "coverage": oid["coverage"]})

    assert status in (409, 422), answer
    assert set(codes) & {"REG-125", "REG-141"}
    assert oid["holder"] in answer["errors"][0]["message"]


def test_vaa_is_resolved_by_its_handle(chain: Chain) -> None:
    handle = next(example for example in chain.nodes["second"]["examples"] if example.startswith("88.100.2"))
    enterprise_arc, serial = handle.split("/", 1)[0].split(".")[2], handle.split("/", 1)[1]

    status, answer = chain.resolve(f"VAA088100{enterprise_arc}/{serial}")

    assert (status, answer["responseCode"]) == (FOUND, 1)
    assert texts(answer["values"]) == texts(chain.resolve(handle)[1]["values"])


def test_route_question_leads_one_step_on(chain: Chain) -> None:
    example = next(example for example in chain.nodes["recursive"]["examples"] if example.startswith("1.2.156"))

    at_top, at_second = route(chain, "top", example), route(chain, "second", example)

    assert (at_top["system"], at_top["final"], at_second["final"]) == ("OID", False, True)
    assert [hop["port"] for hop in at_top["next"]] == [endpoint(chain, "second", "http").port]


LEVELS = ("top", "second", "enterprise")


def route(chain: Chain, node: str, identifier: str) -> dict[str, Any]:
    """Where a node says an identifier of another system is to be asked for."""
    url = f"{chain.nodes[node]['handle_http']}/api/v1/routes"
    answer: dict[str, Any] = httpx2.get(url, params={"identifier": identifier}, timeout=30.0, trust_env=False).json()
    return answer


def _answers(url: str) -> bool:
    try:
        return bool(httpx2.get(url, timeout=5.0, trust_env=False).status_code == 200)
    except httpx2.HTTPError:
        return False
