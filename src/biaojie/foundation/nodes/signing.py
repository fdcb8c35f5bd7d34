"""Signed calls between nodes: RFC 9421 signatures over httpx2.

What a call covers: `@method`, `@target-uri`, `content-digest` (RFC 9530, SHA-256, for an empty body too), and in the
signature's parameters `created`, `expires`, `nonce`, `keyid`, `alg` and `tag="biaojie"`. A header that is not in this
list is not trusted. `@target-uri` is taken in one spelling (`target_uri`) on both sides; the receiver builds it from
its own configured web address, never from `Host` or `X-Forwarded-*`.

What an answer covers: `@status`, `content-digest`, and of the request it answers `@method`, `@target-uri` and the
signature itself (`;req`), so it can be neither altered nor attached to another call. A client that is given `peer_key`
accepts nothing unsigned, refusals included; without it the answer is as good as the transport.

Ages are counted on the product's clock, but a chain that lives fast (`clock_scale`) gets five minutes of the machine's
time: freshness measures the network, not the calendar.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, unquote, urlsplit

import httpx2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    InvalidSignature,
    VerifyResult,
)
from http_message_signatures.algorithms import ED25519
from http_message_signatures.exceptions import HTTPMessageSignaturesException

from biaojie.base import clock
from biaojie.foundation.nodes.errors import (
    AnswerNotSigned,
    DigestMismatch,
    KeyUnknown,
    NonceReplayed,
    PeerUnreachable,
    SignatureError,
    SignatureInvalid,
    SignatureMissing,
    SignatureStale,
)
from biaojie.foundation.nodes.keys import NodeKey, key_id_of
from biaojie.foundation.nodes.nonces import Nonces

TAG = "biaojie"
LABEL = "biaojie"
MAX_AGE = timedelta(minutes=5)
CLOCK_SKEW = timedelta(seconds=30)
NONCE_OCTETS = 18

REQUEST_COMPONENTS = ("@method", "@target-uri", "content-digest")
ANSWER_COMPONENTS = (
    '"@status"',
    '"content-digest"',
    '"@method";req',
    '"@target-uri";req',
    f'"signature";req;key="{LABEL}"',
)

# The path characters that keep their spelling; all others are percent-encoded, as WSGI servers hand paths on decoded.
_PATH_SAFE = "/:@&+$,-_.!~*'()"

FindKey = Callable[[str], Ed25519PublicKey | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedCall:
    """What a signature vouches for: nothing else of the request may be trusted."""

    key_id: str
    method: str
    target_uri: str
    body: bytes
    components: Mapping[str, str]
    created: datetime
    nonce: str
    signature: str


def target_uri(url: str) -> str:
    """The one spelling of a URL that both sides sign: lower-case origin, path re-encoded, query as it stands."""
    parts = urlsplit(url)
    path = quote(unquote(parts.path or "/"), safe=_PATH_SAFE)
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme.lower()}://{parts.netloc.lower()}{path}{query}"


def sign_request(key: NodeKey, method: str, url: str, body: bytes, *, now: datetime, nonce: str | None = None) -> dict[str, str]:
    """The headers (`Content-Digest`, `Signature-Input`, `Signature`) that make a request a signed call."""
    message = _Request(method=method.upper(), url=target_uri(url), headers={})
    HTTPMessageSigner(signature_algorithm=ED25519, key_resolver=_Signing(key)).sign(
        message,
        key_id=key.key_id,
        created=now,
        expires=now + _machine_time(MAX_AGE),
        nonce=nonce or secrets.token_urlsafe(NONCE_OCTETS),
        label=LABEL,
        tag=TAG,
        covered_component_ids=REQUEST_COMPONENTS,
        body=body,
    )
    return dict(message.headers)


def verify_request(
    method: str, url: str, headers: Mapping[str, str], body: bytes, find_key: FindKey, nonces: Nonces, now: datetime
) -> VerifiedCall:
    """What a received call proves, or an error.

    `url` is built from this node's own configured address; `find_key` gives the public key of a key id or None. In
    order: signature present, fresh, by a known key, covering all of `REQUEST_COMPONENTS`; body equal to its digest;
    nonce unused. Raises `SignatureMissing`, `SignatureStale`, `KeyUnknown`, `SignatureInvalid`, `DigestMismatch` or
    `NonceReplayed`.
    """
    names = {name.lower() for name in headers}
    if not {"signature", "signature-input"} <= names:
        raise SignatureMissing()
    message = _Request(method=method.upper(), url=target_uri(url), headers=dict(headers))
    result = _verify_one(message, body, find_key, now, required=REQUEST_COMPONENTS)
    created, nonce = result.parameters["created"], result.nonce
    if not nonce or not 16 <= len(nonce) <= 128 or "expires" not in result.parameters:
        raise SignatureInvalid(reason="缺少 nonce 或 expires")
    key_id = str(result.parameters["keyid"])
    made_at = datetime.fromtimestamp(int(created), tz=now.tzinfo)
    until = made_at + _machine_time(MAX_AGE + 2 * CLOCK_SKEW) + timedelta(seconds=1)
    if not nonces.is_fresh(key_id, nonce, until=until, now=now):
        raise NonceReplayed()
    covered = result.covered_components
    return VerifiedCall(
        key_id=key_id,
        method=covered['"@method"'],
        target_uri=covered['"@target-uri"'],
        body=body,
        components=dict(covered),
        created=made_at,
        nonce=nonce,
        signature=message.headers[next(name for name in message.headers if name.lower() == "signature")],
    )


def sign_answer(key: NodeKey, call: VerifiedCall, status: int, body: bytes, *, now: datetime) -> dict[str, str]:
    """The headers that make an answer to a verified call a signed answer."""
    request = _Request(method=call.method, url=call.target_uri, headers={"Signature": call.signature})
    answer = _Answer(status_code=status, headers={}, request=request)
    HTTPMessageSigner(signature_algorithm=ED25519, key_resolver=_Signing(key)).sign(
        answer,
        key_id=key.key_id,
        created=now,
        expires=now + _machine_time(MAX_AGE),
        label=LABEL,
        tag=TAG,
        covered_component_ids=ANSWER_COMPONENTS,
        body=body,
    )
    return dict(answer.headers)


def verify_answer(
    method: str,
    url: str,
    request_headers: Mapping[str, str],
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    find_key: FindKey,
    now: datetime,
) -> str:
    """The key id that signed an answer to exactly this request. Raises the errors of `verify_request` but the nonce's."""
    if not {"signature", "signature-input"} <= {name.lower() for name in headers}:
        raise SignatureMissing()
    request = _Request(method=method.upper(), url=target_uri(url), headers=dict(request_headers))
    answer = _Answer(status_code=status, headers=dict(headers), request=request)
    return str(_verify_one(answer, body, find_key, now, required=ANSWER_COMPONENTS).parameters["keyid"])


class _Caller:
    """What the sync and the async client share: building a signed request, judging its answer."""

    def __init__(
        self, base_url: str, key: NodeKey, peer_key: Ed25519PublicKey | Sequence[Ed25519PublicKey] | None = None
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.key = key
        keys = (peer_key,) if isinstance(peer_key, Ed25519PublicKey) else tuple(peer_key or ())
        self.peer_keys = None if peer_key is None else {key_id_of(public): public for public in keys}

    def _build(self, client: httpx2.Client | httpx2.AsyncClient, method: str, path: str, options: Any) -> httpx2.Request:
        request = client.build_request(method, self.base_url + path, **options)
        # A stream would have to be read before it can be digested: signed bodies are whole.
        if not isinstance(request.stream, httpx2.ByteStream):
            raise TypeError("a signed call needs its whole body: pass content=bytes or json=")
        body = request.read()
        request.headers.update(sign_request(self.key, request.method, str(request.url), body, now=clock.now()))
        return request

    def _judge(self, response: httpx2.Response) -> httpx2.Response:
        if self.peer_keys is None:
            return response
        request = response.request
        try:
            verify_answer(
                request.method,
                str(request.url),
                request.headers,
                response.status_code,
                response.headers,
                response.content,
                self.peer_keys.get,
                clock.now(),
            )
        except SignatureError as error:
            raise AnswerNotSigned(url=str(request.url), status=response.status_code, reason=error.message) from error
        return response


class SignedClient(_Caller):
    """Calls one peer with signed requests, from ordinary code; use it as a context manager.

    With `peer_key` (one or several pinned keys) every answer must be signed by one of them, else `AnswerNotSigned`.
    Connection errors and timeouts come as `PeerUnreachable`. Redirects are not followed and proxies of the environment
    are not used: a signed call goes to the address on the card.
    """

    def __init__(
        self,
        base_url: str,
        key: NodeKey,
        peer_key: Ed25519PublicKey | Sequence[Ed25519PublicKey] | None = None,
        *,
        timeout_s: float = 10.0,
    ) -> None:
        super().__init__(base_url, key, peer_key)
        self._client = httpx2.Client(timeout=timeout_s, trust_env=False, headers=_HEADERS)

    def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """The answer, read in full; `options` are `httpx2`'s (`json`, `content`, `params`, `headers`)."""
        request = self._build(self._client, method, path, options)
        try:
            response = self._client.send(request)
        except httpx2.TransportError as error:
            raise PeerUnreachable(url=str(request.url), reason=str(error) or type(error).__name__) from error
        return self._judge(response)

    def get(self, path: str, **options: Any) -> httpx2.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx2.Response:
        return self.request("POST", path, **options)

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class AsyncSignedClient(_Caller):
    """`SignedClient` for asyncio; use it as an async context manager."""

    def __init__(
        self,
        base_url: str,
        key: NodeKey,
        peer_key: Ed25519PublicKey | Sequence[Ed25519PublicKey] | None = None,
        *,
        timeout_s: float = 10.0,
    ) -> None:
        super().__init__(base_url, key, peer_key)
        self._client = httpx2.AsyncClient(timeout=timeout_s, trust_env=False, headers=_HEADERS)

    async def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        request = self._build(self._client, method, path, options)
        try:
            response = await self._client.send(request)
        except httpx2.TransportError as error:
            raise PeerUnreachable(url=str(request.url), reason=str(error) or type(error).__name__) from error
        return self._judge(response)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()


# The digest is over the octets on the wire; asking for no compression keeps them the octets both sides see.
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "biaojie"}


@dataclass
class _Request:
    method: str
    url: str
    headers: MutableMapping[str, str]


@dataclass
class _Answer:
    status_code: int
    headers: MutableMapping[str, str]
    request: _Request


class _Signing(HTTPSignatureKeyResolver):
    """Gives the library the one private key of this node."""

    def __init__(self, key: NodeKey) -> None:
        self._key = key

    def resolve_private_key(self, key_id: str) -> Ed25519PrivateKey:
        return self._key.private


class _Checking(HTTPSignatureKeyResolver):
    """Looks public keys up, and remembers which one was not known or not to be had."""

    def __init__(self, find_key: FindKey) -> None:
        self._find_key = find_key
        self.unknown: str | None = None
        self.failure: Exception | None = None

    def resolve_public_key(self, key_id: str) -> Ed25519PublicKey | None:
        try:
            public = self._find_key(key_id)
        except Exception as error:
            self.failure = error  # the library would report it as a bad signature
            raise
        if public is None:
            self.unknown = key_id
        return public


class _Verifier(HTTPMessageVerifier):
    """The library's verifier, told the time by the caller instead of the machine."""

    max_clock_skew = CLOCK_SKEW

    def __init__(self, resolver: _Checking, now: datetime) -> None:
        super().__init__(signature_algorithm=ED25519, key_resolver=resolver)
        self._now = now

    def validate_created_and_expires(self, sig_input: Any, max_age: timedelta | None = None) -> None:
        created, expires = sig_input.params.get("created"), sig_input.params.get("expires")
        if type(created) is not int or (expires is not None and type(expires) is not int):
            raise SignatureInvalid(reason="缺少 created")
        now, skew = self._now.timestamp(), _machine_time(CLOCK_SKEW).total_seconds()
        age = (max_age or _machine_time(MAX_AGE)).total_seconds()
        if created > now + skew:
            raise SignatureStale(reason="签名时间在将来")
        if created + age < now - skew or (expires is not None and expires < now - skew):
            raise SignatureStale(reason="签名已过期")


def _verify_one(
    message: _Request | _Answer, body: bytes, find_key: FindKey, now: datetime, *, required: Sequence[str]
) -> VerifyResult:
    resolver = _Checking(find_key)
    verifier = _Verifier(resolver, now)
    try:
        results = verifier.verify(
            message, max_age=_machine_time(MAX_AGE), expect_tag=TAG, expect_label=LABEL, require_components=required
        )
    except HTTPMessageSignaturesException as error:
        if resolver.failure is not None:
            raise resolver.failure from None
        if resolver.unknown is not None:
            raise KeyUnknown(key_id=resolver.unknown) from error
        raise SignatureInvalid(reason=_reason(error)) from error
    try:
        return verifier.verify_body(message, results, body)[0]
    except InvalidSignature as error:
        raise DigestMismatch() from error


def _reason(error: HTTPMessageSignaturesException) -> str:
    text = str(error)
    if text.startswith("Required component"):
        return f"签名没有覆盖 {text.split()[2]}"
    return f"签名与内容不符，或格式有误（{text}）" if text else "签名与内容不符，或格式有误"


def _machine_time(span: timedelta) -> timedelta:
    """A span of the machine's time in the product's: never shorter than it says, longer where the clock runs fast."""
    return max(span, span / clock.real_seconds(1.0))
