"""Signed calls against the API: who is let in, and what comes back."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

pytest.importorskip("django")

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from biaojie.base import clock
from biaojie.foundation.accounts import operations as accounts
from biaojie.foundation.audit.models import AuditRecord
from biaojie.foundation.nodes import enrolment, operations
from biaojie.foundation.nodes.errors import SignatureError
from biaojie.foundation.nodes.models import Nonce, Peer
from biaojie.foundation.nodes.signing import sign_request, verify_answer

pytestmark = [pytest.mark.web, pytest.mark.django_db]
Make = Callable[..., Any]
PATH = "/api/v1/nodes/card"
URL = "https://node.example.com" + PATH


class Setting:
    """This node, one enrolled child, and a way to send its signed calls."""

    def __init__(self, node: Any, child: Any) -> None:
        self.node, self.child, self.client = node, child, Client()

    def body(self) -> bytes:
        self.child.serial += 1
        return json.dumps({"card": self.child.signed().as_object()}).encode()

    def sign(self, body: bytes, **changes: Any) -> dict[str, str]:
        return sign_request(**({"key": self.child.key, "method": "POST", "url": URL, "body": body, "now": clock.now()} | changes))

    def send(self, body: bytes, headers: dict[str, str], path: str = PATH) -> Any:
        return self.client.post(path, data=body, content_type="application/json", headers=headers)


@pytest.fixture
def setting(make_this_node: Make, neighbour: Make) -> Setting:
    node, child = make_this_node(), neighbour()
    code = operations.issue_code(actor="li.na", role="enterprise", prefixes=("88.100.1",)).code
    operations.accept_enrolment(child.signed(), code)
    return Setting(node, child)


def codes_of(answer: Any) -> list[str]:
    return [row["code"] for row in answer.json()["errors"]]


def test_signed_call_is_admitted_audited_and_answered_with_a_signature(setting: Setting) -> None:
    body = setting.body()
    headers = setting.sign(body)

    answer = setting.send(body, headers)

    assert (answer.status_code, answer.json()["status"]) == (200, 1)
    assert Peer.objects.get().card_serial == 2
    known = {setting.node.key.key_id: setting.node.key.public}
    signer = verify_answer("POST", URL, headers, 200, answer.headers, answer.content, known.get, clock.now())
    assert signer == setting.node.key.key_id
    row = AuditRecord.objects.get(action="nodes.call")
    assert (row.actor, row.subject, row.detail["key_id"]) == (f"node:{setting.child.node_id}", PATH, setting.child.key.key_id)


def test_call_without_signature_is_refused_unsigned(setting: Setting) -> None:
    answer = setting.send(setting.body(), {})

    assert answer.status_code == 401
    assert "Signature" not in answer.headers
    assert Peer.objects.get().card_serial == 1


def test_call_played_again_is_refused(setting: Setting) -> None:
    body = setting.body()
    headers = setting.sign(body)
    setting.send(body, headers)

    answer = setting.send(body, headers)

    assert (answer.status_code, codes_of(answer)) == (401, ["NODE-135"])


def test_call_with_another_body_is_refused(setting: Setting) -> None:
    body = setting.body()

    answer = setting.send(body + b" ", setting.sign(body))

    assert (answer.status_code, codes_of(answer)) == (401, ["NODE-134"])


def test_call_signed_too_long_ago_is_refused(setting: Setting) -> None:
    body = setting.body()

    answer = setting.send(body, setting.sign(body, now=clock.now() - timedelta(minutes=6)))

    assert (answer.status_code, codes_of(answer)) == (401, ["NODE-133"])


def test_call_signed_for_another_address_is_refused_whatever_the_headers_say(setting: Setting) -> None:
    body = setting.body()
    headers = setting.sign(body, url="https://other.example.com" + PATH)
    headers |= {"X-Forwarded-Host": "other.example.com", "X-Forwarded-Proto": "https", "Forwarded": "host=other.example.com"}

    answer = setting.send(body, headers)

    assert (answer.status_code, codes_of(answer)) == (401, ["NODE-132"])


def test_call_with_another_query_is_refused_and_with_the_signed_one_admitted(setting: Setting) -> None:
    body = setting.body()

    refused = setting.send(body, setting.sign(body, url=URL + "?a=1"), PATH + "?a=2")
    admitted = setting.send(body, setting.sign(body, url=URL + "?a=%E6%A0%87"), PATH + "?a=%E6%A0%87")

    assert (refused.status_code, admitted.status_code) == (401, 200)


def test_call_by_a_stranger_is_refused(setting: Setting, neighbour: Make) -> None:
    body = setting.body()

    answer = setting.send(body, setting.sign(body, key=neighbour().key))

    assert (answer.status_code, codes_of(answer)) == (401, ["NODE-136"])


def test_call_by_a_blocked_peer_is_refused_with_a_signed_answer_and_audited(setting: Setting) -> None:
    operations.block_peer(actor="wang", node_id=setting.child.node_id)
    body = setting.body()
    headers = setting.sign(body)

    answer = setting.send(body, headers)

    assert (answer.status_code, answer.json()["status"], codes_of(answer)) == (403, -3, ["NODE-137"])
    known = {setting.node.key.key_id: setting.node.key.public}
    assert verify_answer("POST", URL, headers, 403, answer.headers, answer.content, known.get, clock.now())
    assert AuditRecord.objects.filter(action="nodes.call.refused").count() == 1


def test_call_by_a_peer_of_another_relation_is_refused(setting: Setting) -> None:
    Peer.objects.update(relation="other")
    body = setting.body()

    answer = setting.send(body, setting.sign(body))

    assert (answer.status_code, codes_of(answer)) == (403, ["NODE-138"])


def test_answer_moved_to_another_request_does_not_verify(setting: Setting) -> None:
    body = setting.body()
    headers = setting.sign(body)
    answer = setting.send(body, headers)
    other = setting.sign(body)
    known = {setting.node.key.key_id: setting.node.key.public}

    with pytest.raises(SignatureError):
        verify_answer("POST", URL, other, 200, answer.headers, answer.content, known.get, clock.now())


def test_used_nonces_are_swept_when_they_have_expired(setting: Setting) -> None:
    for _ in range(3):
        body = setting.body()
        setting.send(body, setting.sign(body))
    assert Nonce.objects.count() == 3

    Nonce.objects.update(expires_at=clock.now() - timedelta(seconds=1))
    body = setting.body()
    setting.send(body, setting.sign(body))

    assert Nonce.objects.count() == 1


def test_enrol_over_http_counts_wrong_codes_and_then_makes_the_source_wait(setting: Setting, neighbour: Make) -> None:
    def enrol(code: str) -> Any:
        body = json.dumps({"card": neighbour().signed().as_object(), "code": code})
        return setting.client.post("/api/v1/nodes/enrol", data=body, content_type="application/json")

    wrong = [enrol("WRONG") for _ in range(enrolment.ATTEMPTS_PER_SOURCE)]
    right = operations.issue_code(actor="li.na", role="enterprise", prefixes=("88.100.1",)).code
    blocked = enrol(right)

    assert {(answer.status_code, tuple(codes_of(answer))) for answer in wrong} == {(403, ("NODE-151",))}
    assert (blocked.status_code, codes_of(blocked)) == (429, ["NODE-152"])


def test_enrol_with_a_card_that_is_no_card_is_refused_with_the_place(setting: Setting) -> None:
    for card in ({}, {"card": {}, "signatures": []}, {"card": [], "signatures": 1}):
        body = json.dumps({"card": card, "code": "X"})

        answer = setting.client.post("/api/v1/nodes/enrol", data=body, content_type="application/json")

        assert answer.status_code == 422


def test_own_card_is_public(setting: Setting) -> None:
    answer = setting.client.get(PATH)

    assert answer.json()["data"]["card"] == setting.node.card.as_object()
    assert answer.json()["data"]["fingerprint"] == setting.node.fingerprint


def bearer(client: Client, role: str) -> dict[str, str]:
    accounts.create_user(actor="test", username=f"{role}-user", password="long enough 7291", role=role)
    answer = client.post(
        "/api/v1/token",
        data=json.dumps({"username": f"{role}-user", "password": "long enough 7291"}),
        content_type="application/json",
    )
    return {"Authorization": f"Bearer {answer.json()['data']['token']}"}


def test_operator_lists_peers_with_fingerprints_and_issues_codes(setting: Setting) -> None:
    headers = bearer(setting.client, "system")

    listed = setting.client.get("/api/v1/nodes", headers=headers)
    issued = setting.client.post(
        "/api/v1/nodes/codes",
        data=json.dumps({"role": "enterprise", "prefixes": ["88.100.7"]}),
        content_type="application/json",
        headers=headers,
    )

    [row] = listed.json()["data"]
    assert [key["fingerprint"] for key in row["keys"]] == [setting.child.key.fingerprint]
    assert issued.json()["data"]["fingerprint"] == setting.node.fingerprint
    assert len(issued.json()["data"]["code"]) == 23


def test_list_of_peers_takes_the_same_number_of_queries_for_one_and_for_ten(
    setting: Setting, neighbour: Make, django_assert_num_queries: Any
) -> None:
    headers = bearer(setting.client, "system")
    setting.client.get("/api/v1/nodes", headers=headers)  # the token's first use is written down
    with CaptureQueriesContext(
        connection,
    ) as one:
        setting.client.get("/api/v1/nodes", headers=headers)
    for number in range(2, 12):
        prefix = f"88.100.{number}"
        code = operations.issue_code(actor="li.na", role="enterprise", prefixes=(prefix,)).code
        operations.accept_enrolment(neighbour(prefixes=(prefix,)).signed(), code)

    with django_assert_num_queries(len(one)):
        answer = setting.client.get("/api/v1/nodes", headers=headers)

    assert len(answer.json()["data"]) == 11


@pytest.mark.parametrize(
    ("method", "path"), [("get", "/api/v1/nodes"), ("post", "/api/v1/nodes/codes"), ("post", "/api/v1/nodes/parent")]
)
def test_operators_endpoints_refuse_strangers_and_people_without_the_permission(setting: Setting, method: str, path: str) -> None:
    body = json.dumps({"role": "enterprise", "url": "http://127.0.0.1:9", "code": "X"})
    options: dict[str, Any] = {"data": body, "content_type": "application/json"} if method == "post" else {}

    unsigned = getattr(setting.client, method)(path, **options)
    operator = getattr(setting.client, method)(path, headers=bearer(setting.client, "operator"), **options)

    assert (unsigned.status_code, operator.status_code) == (401, 403)


def test_blocking_over_http_is_the_security_administrators_and_nobody_elses(setting: Setting) -> None:
    path = f"/api/v1/nodes/{setting.child.node_id}/block"
    options = {"data": json.dumps({"reason": "密钥外泄"}), "content_type": "application/json"}

    system = setting.client.post(path, headers=bearer(setting.client, "system"), **options)
    security = setting.client.post(path, headers=bearer(setting.client, "security"), **options)

    assert (system.status_code, security.status_code) == (403, 200)
    assert Peer.objects.get().is_blocked
