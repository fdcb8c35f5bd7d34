"""docs/flows/obtain-a-prefix.md: applied for at the second level's desk, decided by both levels above, then served."""

from __future__ import annotations

from typing import Any

import pytest
from running_chain import Api, Chain, texts
from stdnum.cn import uscc

PENDING, REJECTED, IN_REVIEW, ENABLED, HOSTED = 4, 3, 5, 1, 4


def unit(number: int) -> dict[str, str]:
    base = f"91310000MA0TC{number:04d}"
    return {"name": f"虚构单位 {number} 号有限公司", "credit_code": base + uscc.calc_check_digit(base)}


def apply(desk: Api, name: str, number: int, *, hosted: bool = True) -> dict[str, Any]:
    row: dict[str, Any] = desk.call("POST", "/api/v1/prefixes", json={"name": name, "registrant": unit(number), "hosted": hosted})
    return row


def review(reviewer: Api, name: str, **decision: str) -> dict[str, Any]:
    row: dict[str, Any] = reviewer.call("POST", f"/api/v1/prefixes/{name}/review", json=decision)
    return row


def test_hosted_prefix_goes_through_both_levels_and_is_served(chain: Chain) -> None:
    desk, second, top = chain.api("second", "operator"), chain.api("second", "reviewer"), chain.api("top", "reviewer")
    name, states = "88.100.31", []

    states.append(apply(desk, name, 31)["status"])
    states.append(review(second, name, decision="accept")["status"])
    early = desk.refused("POST", "/api/v1/identifiers", json={"identifier": f"{name}/too-early", "values": []})
    states.append(review(top, name, decision="accept")["status"])
    row = desk.call("POST", f"/api/v1/prefixes/{name}/sync")
    if row["hosting"] != HOSTED:
        row = second.call("POST", f"/api/v1/prefixes/{name}/hosting", json={"event": "accept"})
    desk.register(f"{name}/served", "https://hosted.example/1")
    chain.wait_found(f"{name}/served", node="second")
    status, answer = chain.resolve(f"{name}/served", trace=True)

    assert states == [PENDING, IN_REVIEW, ENABLED]
    assert (row["status"], row["hosting"]) == (ENABLED, HOSTED)
    assert early[0] >= 400
    assert [step["node"] for step in answer["trace"] if step["protocol"]][-1] == "二级节点 88.100"
    assert (status, texts(answer["values"])) == (0, [(1, "URL", "https://hosted.example/1")])


def test_routing_before_the_tops_verdict_is_refused(chain: Chain) -> None:
    desk, second = chain.api("second", "operator"), chain.api("second", "reviewer")
    name = "88.100.33"
    apply(desk, name, 33, hosted=False)
    review(second, name, decision="accept")

    endpoints = [{"ip_type": 4, "ip": "127.0.0.1", "protocol": "TCP", "port": 2641}]
    status, codes, _ = desk.refused("PUT", f"/api/v1/prefixes/{name}/routing", json={"endpoints": endpoints})

    assert (status, codes) == (409, ["REG-122"])


def test_rejection_needs_a_reason_and_shows_it_to_the_applicant(chain: Chain) -> None:
    desk, second = chain.api("second", "operator"), chain.api("second", "reviewer")
    name = "88.100.34"
    apply(desk, name, 34)

    without = second.refused("POST", f"/api/v1/prefixes/{name}/review", json={"decision": "reject"})
    review(second, name, decision="reject", reason_code="material", reason="缺少营业执照")
    row = desk.call("GET", f"/api/v1/prefixes/{name}")

    assert without[:2] == (422, ["REG-121"])
    assert (row["status"], row["reason_code"], row["reason"]) == (REJECTED, "material", "缺少营业执照")


def test_rejection_by_the_top_comes_down_with_its_reason(chain: Chain) -> None:
    desk, second, top = chain.api("second", "operator"), chain.api("second", "reviewer"), chain.api("top", "reviewer")
    name = "88.100.35"
    apply(desk, name, 35)
    review(second, name, decision="accept")

    review(top, name, decision="reject", reason_code="subject", reason="单位名称与登记机关不一致")
    row = desk.call("POST", f"/api/v1/prefixes/{name}/sync")

    assert row["status"] == REJECTED
    assert "单位名称与登记机关不一致" in row["reason"]


def test_operator_cannot_review_and_reviewer_cannot_apply(chain: Chain) -> None:
    desk, second = chain.api("second", "operator"), chain.api("second", "reviewer")

    reviewing = desk.refused("POST", "/api/v1/prefixes/88.100.1/review", json={"decision": "accept"})
    applying = second.refused("POST", "/api/v1/prefixes", json={"name": "88.100.36", "registrant": unit(36)})

    assert (reviewing[0], reviewing[2]["status"]) == (403, -3)
    assert (applying[0], applying[2]["status"]) == (403, -3)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("88.100.01", "REG-116"),  # looks like 88.100.1
        ("88.200.1", "REG-113"),  # not under this node's prefix
        ("88.100.x", "REG-112"),
        ("88.100.0", "REG-114"),
        ("88.100.1", "REG-115"),  # held by the enterprise
    ],
)
def test_prefix_that_must_not_be_given_is_refused_at_its_field(chain: Chain, name: str, code: str) -> None:
    body = {"name": name, "registrant": unit(40), "hosted": True}

    status, codes, answer = chain.api("second", "operator").refused("POST", "/api/v1/prefixes", json=body)

    assert (status, codes) == (422, [code]), answer
    assert answer["errors"][0]["pointer"].endswith("name")


def test_unit_with_a_false_credit_code_is_refused_at_its_field(chain: Chain) -> None:
    body = {"name": "88.100.41", "registrant": {"name": "虚构单位", "credit_code": "913100000000000000"}, "hosted": True}

    status, codes, answer = chain.api("second", "operator").refused("POST", "/api/v1/prefixes", json=body)

    assert (status, codes) == (422, ["REG-117"])
    assert answer["errors"][0]["pointer"].endswith("registrant/credit_code")
