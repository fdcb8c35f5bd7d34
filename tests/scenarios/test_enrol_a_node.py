"""docs/flows/enrol-a-node.md: who knows whom after enrolment, and who is not let in."""

from __future__ import annotations

import httpx2
from running_chain import Chain


def peers(chain: Chain, node: str) -> dict[str, dict[str, object]]:
    return {row["name"]: row for row in chain.api(node, "admin").call("GET", "/api/v1/nodes")}


def card(chain: Chain, node: str) -> dict[str, object]:
    answer = httpx2.get(f"{chain.nodes[node]['http']}/api/v1/nodes/card", timeout=30.0, trust_env=False)
    data: dict[str, object] = answer.json()["data"]
    return data


def fingerprints(row: dict[str, object]) -> list[str]:
    keys = row["keys"]
    assert isinstance(keys, list)
    return [key["fingerprint"] for key in keys]


def test_enrolled_nodes_have_pinned_each_others_key(chain: Chain) -> None:
    own = {node: card(chain, node)["fingerprint"] for node in ("top", "second", "enterprise")}

    at_top, at_second, at_enterprise = (peers(chain, node) for node in ("top", "second", "enterprise"))

    titles = {node: card(chain, node)["card"]["card"]["name"] for node in own}  # type: ignore[index]
    assert fingerprints(at_top[titles["second"]]) == [own["second"]]
    assert fingerprints(at_second[titles["top"]]) == [own["top"]]
    assert fingerprints(at_second[titles["enterprise"]]) == [own["enterprise"]]
    assert fingerprints(at_enterprise[titles["second"]]) == [own["second"]]
    assert at_second[titles["top"]]["relation"] == "parent"
    assert at_second[titles["enterprise"]]["relation"] == "child"


def test_card_of_an_enterprise_is_relayed_to_the_top(chain: Chain) -> None:
    at_top = peers(chain, "top")
    name = card(chain, "enterprise")["card"]["card"]["name"]  # type: ignore[index]

    relayed = at_top[name]

    assert relayed["via"], relayed
    assert relayed["prefixes"] == ["88.100.1"]


def test_enrolment_with_a_wrong_code_is_refused(chain: Chain) -> None:
    body = {"card": card(chain, "enterprise")["card"], "code": "AAAA-BBBB-CCCC-DDDD"}

    answer = httpx2.post(f"{chain.nodes['second']['http']}/api/v1/nodes/enrol", json=body, timeout=30.0, trust_env=False)

    assert answer.status_code in (401, 403, 422), answer.text
    assert answer.json()["status"] < 0 and answer.json()["errors"][0]["code"].startswith("NODE-")


def test_node_call_without_a_signature_is_refused(chain: Chain) -> None:
    base = chain.nodes["top"]["http"]

    unsigned = httpx2.get(f"{base}/api/v1/peer/prefixes/88.100", timeout=30.0, trust_env=False)
    by_a_person = chain.api("top", "admin").ask("GET", "/api/v1/peer/prefixes/88.100")

    assert (unsigned.status_code, unsigned.json()["status"]) == (401, -1)
    assert by_a_person.status_code == 401


def test_codes_are_for_administrators_only(chain: Chain) -> None:
    body = {"role": "enterprise", "prefixes": ["88.100.9"]}

    status, _, answer = chain.api("second", "operator").refused("POST", "/api/v1/nodes/codes", json=body)

    assert (status, answer["status"]) == (403, -3)


def test_code_for_a_prefix_that_is_not_ours_to_give_is_refused(chain: Chain) -> None:
    body = {"role": "enterprise", "prefixes": ["88.200.9"]}

    status, codes, _ = chain.api("second", "admin").refused("POST", "/api/v1/nodes/codes", json=body)

    assert status in (403, 409, 422)
    assert codes[0].startswith(("NODE-", "REG-"))
