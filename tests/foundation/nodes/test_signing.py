"""Signed calls: what is covered, what is refused, and over a real connection."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from http_message_signatures import HTTPMessageSigner
from http_message_signatures.algorithms import ED25519

from biaojie.base import clock
from biaojie.foundation.nodes import signing
from biaojie.foundation.nodes.errors import (
    AnswerNotSigned,
    BiaojieError,
    DigestMismatch,
    KeyUnknown,
    NonceReplayed,
    PeerUnreachable,
    SignatureError,
    SignatureInvalid,
    SignatureMissing,
    SignatureStale,
)
from biaojie.foundation.nodes.keys import NodeKey, make_key
from biaojie.foundation.nodes.nonces import MemoryNonces
from biaojie.foundation.nodes.signing import AsyncSignedClient, SignedClient, VerifiedCall, sign_request, verify_request

NOW = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
URL = "https://top.example.com/api/v1/nodes/card?round=1"
BODY = b'{"serial": 7}'
KEY = make_key()


def check(
    headers: dict[str, str],
    *,
    method: str = "POST",
    url: str = URL,
    body: bytes = BODY,
    now: datetime = NOW,
    nonces: MemoryNonces | None = None,
) -> VerifiedCall:
    known = {KEY.key_id: KEY.public}
    return verify_request(method, url, headers, body, known.get, MemoryNonces() if nonces is None else nonces, now)


def sign(**changes: object) -> dict[str, str]:
    return sign_request(KEY, "POST", URL, BODY, now=NOW, **changes)  # type: ignore[arg-type] # only `nonce` is ever passed


def test_call_signed_and_verified_gives_what_was_covered() -> None:
    headers = sign()

    call = check(headers)

    assert (call.key_id, call.method, call.target_uri, call.body) == (KEY.key_id, "POST", URL, BODY)
    assert call.created == NOW
    digest = b64encode(hashlib.sha256(BODY).digest()).decode()
    assert headers["Content-Digest"] == f"sha-256=:{digest}:"
    assert call.components['"content-digest"'] == headers["Content-Digest"]


def test_call_with_an_empty_body_is_covered_too() -> None:
    headers = sign_request(KEY, "GET", URL, b"", now=NOW)

    assert check(headers, method="GET", body=b"").body == b""
    with pytest.raises(DigestMismatch):
        check(headers, method="GET", body=b"smuggled")


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"method": "PUT"}, SignatureInvalid),
        ({"url": URL.replace("https:", "http:")}, SignatureInvalid),
        ({"url": URL.replace("top.", "other.")}, SignatureInvalid),
        ({"url": URL.replace("card", "enrol")}, SignatureInvalid),
        ({"url": URL.replace("round=1", "round=2")}, SignatureInvalid),
        ({"body": BODY.replace(b"7", b"8")}, DigestMismatch),
        ({"body": b""}, DigestMismatch),
    ],
)
def test_call_altered_on_the_way_is_refused(changed: dict[str, object], expected: type[Exception]) -> None:
    headers = sign()

    with pytest.raises(expected):
        check(headers, **changed)  # type: ignore[arg-type] # one keyword at a time


def test_call_with_body_and_digest_exchanged_together_is_refused() -> None:
    headers = sign()
    headers["Content-Digest"] = sign_request(KEY, "POST", URL, b"other", now=NOW)["Content-Digest"]

    with pytest.raises(SignatureInvalid):
        check(headers, body=b"other")


def test_call_without_signature_is_refused_as_such() -> None:
    for headers in ({}, {"Signature": "biaojie=:AAAA:"}, {"Signature-Input": 'biaojie=("@method")'}):
        with pytest.raises(SignatureMissing):
            check(headers)


def test_call_played_twice_is_refused_the_second_time() -> None:
    headers, nonces = sign(), MemoryNonces()
    check(headers, nonces=nonces)

    with pytest.raises(NonceReplayed):
        check(headers, nonces=nonces, now=NOW + timedelta(minutes=4))


def test_call_refused_for_its_body_does_not_use_up_the_nonce() -> None:
    headers, nonces = sign(), MemoryNonces()
    with pytest.raises(DigestMismatch):
        check(headers, body=b"other", nonces=nonces)

    assert check(headers, nonces=nonces).nonce


def test_call_is_accepted_for_five_minutes_and_the_allowed_skew() -> None:
    headers = sign()

    check(headers, now=NOW + timedelta(minutes=5, seconds=29))
    check(headers, now=NOW - timedelta(seconds=29))
    for moment in (NOW + timedelta(minutes=5, seconds=31), NOW - timedelta(seconds=31), NOW + timedelta(days=1)):
        with pytest.raises(SignatureStale):
            check(headers, now=moment)


def test_call_in_a_chain_that_lives_fast_has_five_minutes_of_the_machine() -> None:
    clock.configure(scale=100.0)
    try:
        headers = sign()
        check(headers, now=NOW + timedelta(minutes=499))
        with pytest.raises(SignatureStale):
            check(headers, now=NOW + timedelta(minutes=551))
    finally:
        clock.configure()


def test_call_by_an_unknown_key_is_refused_naming_it() -> None:
    stranger = make_key()

    with pytest.raises(KeyUnknown) as caught:
        check(sign_request(stranger, "POST", URL, BODY, now=NOW))

    assert stranger.key_id in caught.value.message


def test_call_by_a_stranger_under_a_known_key_id_is_refused() -> None:
    liar = NodeKey(private=make_key().private, key_id=KEY.key_id)

    with pytest.raises(SignatureInvalid):
        check(sign_request(liar, "POST", URL, BODY, now=NOW))


class _OneKey(dict):  # type: ignore[type-arg] # the library asks for two methods, no more
    def resolve_private_key(self, key_id: str) -> object:
        return KEY.private


def library_headers(**changes: object) -> dict[str, str]:
    """A signature made with the library directly, so that single properties can be left out."""
    message = signing._Request(method="POST", url=URL, headers={})
    options: dict[str, object] = {
        "key_id": KEY.key_id,
        "created": NOW,
        "expires": NOW + timedelta(minutes=5),
        "nonce": "0123456789abcdef",
        "label": "biaojie",
        "tag": "biaojie",
        "covered_component_ids": ("@method", "@target-uri", "content-digest"),
        "body": BODY,
    }
    options.update(changes)
    HTTPMessageSigner(signature_algorithm=ED25519, key_resolver=_OneKey()).sign(message, **options)  # type: ignore[arg-type]
    return dict(message.headers)


def test_call_signed_with_the_library_alone_is_accepted() -> None:
    assert check(library_headers()).nonce == "0123456789abcdef"


@pytest.mark.parametrize(
    "changes",
    [
        {"covered_component_ids": ("@method", "content-digest")},
        {"covered_component_ids": ("@target-uri", "content-digest")},
        {"covered_component_ids": ("@method", "@target-uri"), "body": None},
        {"covered_component_ids": ("@method", "@path", "content-digest")},
        {"nonce": None},
        {"nonce": "short"},
        {"expires": None},
        {"tag": "other"},
        {"tag": None},
        {"label": "other"},
    ],
)
def test_call_lacking_a_component_or_parameter_is_refused(changes: dict[str, object]) -> None:
    headers = library_headers(**changes)

    with pytest.raises(SignatureInvalid):
        check(headers)


def test_missing_component_is_named_in_the_error() -> None:
    with pytest.raises(SignatureInvalid) as caught:
        check(library_headers(covered_component_ids=("@method", "content-digest")))

    assert "@target-uri" in caught.value.message


def test_header_outside_the_signature_is_not_reported_as_verified() -> None:
    headers = sign() | {"X-Biaojie-Node": "top"}

    call = check(headers)

    assert set(call.components) == {'"@method"', '"@target-uri"', '"content-digest"', '"@signature-params"'}


def test_failure_of_the_key_store_is_not_called_a_bad_signature() -> None:
    def broken(key_id: str) -> None:
        raise ConnectionError("database gone")

    with pytest.raises(ConnectionError):
        verify_request("POST", URL, sign(), BODY, broken, MemoryNonces(), NOW)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("http://A.example.com/api/标识", "http://a.example.com/api/%E6%A0%87%E8%AF%86"),
        ("http://a.example.com/x%2fy", "http://a.example.com/x/y"),
        ("http://a.example.com", "http://a.example.com/"),
    ],
)
def test_target_uri_of_two_spellings_is_one(left: str, right: str) -> None:
    assert signing.target_uri(left) == signing.target_uri(right)
    assert signing.target_uri(signing.target_uri(left)) == signing.target_uri(left)


def test_memory_nonces_forget_what_has_expired() -> None:
    nonces = MemoryNonces()
    for number in range(100):
        assert nonces.is_fresh("k", str(number), until=NOW + timedelta(seconds=number), now=NOW)

    assert nonces.is_fresh("k", "late", until=NOW + timedelta(hours=1), now=NOW + timedelta(minutes=10))
    assert nonces.count == 1


def test_memory_nonces_asked_at_once_give_one_true() -> None:
    nonces, answers, barrier = MemoryNonces(), list[bool](), threading.Barrier(8)

    def ask() -> None:
        barrier.wait()
        answers.append(nonces.is_fresh("k", "n", until=NOW, now=NOW))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers) == [False] * 7 + [True]


PEER = make_key()


class _Node(BaseHTTPRequestHandler):
    """A peer that verifies every call and signs its answers, unless the path tells it to misbehave."""

    protocol_version = "HTTP/1.1"
    base_url = ""
    nonces = MemoryNonces()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        status, answer, call = 200, b"", None
        try:
            known = {KEY.key_id: KEY.public}
            url = self.base_url + self.path
            call = verify_request(self.command, url, dict(self.headers.items()), body, known.get, self.nonces, clock.now())
            answer = b"echo " + call.body
        except SignatureError as error:
            status, answer = 401, error.code.encode()
        headers = {}
        if call is not None and "unsigned" not in self.path:
            signer = make_key() if "stranger" in self.path else PEER
            headers = signing.sign_answer(signer, call, status, answer, now=clock.now())
        if "tampered" in self.path:
            answer = answer.replace(b"echo", b"evil")
        if "status" in self.path:
            status = 202
        if "replayed" in self.path:
            headers, answer = self.server.last  # type: ignore[attr-defined] # set by the call before
        self.server.last = headers, answer  # type: ignore[attr-defined]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def peer() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Node)
    _Node.base_url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield _Node.base_url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_client_against_a_real_server_exchanges_signed_calls_and_answers() -> None:
    with peer() as url, SignedClient(url, KEY, peer_key=PEER.public) as client:
        posted = client.post("/api/v1/标识/a b", json={"name": "轴承"}, params={"q": "一 二"})
        got = client.get("/")

    assert (posted.status_code, posted.content) == (200, 'echo {"name":"轴承"}'.encode())
    assert (got.status_code, got.content) == (200, b"echo ")


@pytest.mark.parametrize("path", ["/unsigned", "/tampered", "/status", "/stranger", "/replayed"])
def test_client_with_a_peer_key_refuses_an_answer_that_is_not_the_peers(path: str) -> None:
    with peer() as url, SignedClient(url, KEY, peer_key=[PEER.public]) as client:
        client.post("/first", content=b"1")

        with pytest.raises(AnswerNotSigned):
            client.post(path, content=b"2")


def test_client_unknown_to_the_peer_gets_no_signed_answer() -> None:
    with peer() as url, SignedClient(url, make_key()) as trusting, SignedClient(url, make_key(), PEER.public) as strict:
        assert trusting.post("/", content=b"x").status_code == 401

        with pytest.raises(AnswerNotSigned) as caught:
            strict.post("/", content=b"x")

    assert caught.value.data["status"] == 401


def test_async_client_against_a_real_server_exchanges_signed_calls() -> None:
    async def run(url: str) -> bytes:
        async with AsyncSignedClient(url, KEY, peer_key=PEER.public) as client:
            return (await client.request("POST", "/x", content=b"async")).content

    with peer() as url:
        assert asyncio.run(run(url)) == b"echo async"


def test_client_without_a_listening_peer_says_unreachable() -> None:
    with peer() as url:
        pass

    with SignedClient(url, KEY, timeout_s=2.0) as client, pytest.raises(PeerUnreachable) as caught:
        client.get("/")

    assert isinstance(caught.value, BiaojieError)
    assert url in caught.value.message


def test_card_and_signing_modules_are_imported_without_django() -> None:
    script = "import sys; import biaojie.foundation.nodes.card, biaojie.foundation.nodes.signing; print('django' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stdout.strip()) == (0, "False")
