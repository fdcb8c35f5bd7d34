"""What a recursive node serves over HTTP: JSON, the page, the binary tunnel, health and metrics (an RSGI application).

| request | answer |
|---|---|
| `GET /api/handles/{identifier}` `?index= &type= &noalias` | the Handle.net JSON form, for any of the six systems |
| `GET /resolve/{identifier}` `?trace=1 &fresh=1 &format=json` | page for browsers; JSON when asked for by `Accept` or `format` |
| `GET /`, `GET /resolve?identifier=` | the page; the form's target, sent on to the address above |
| `GET /recognise?identifier=` | what the text looks like |
| `POST` with `application/x-hdl-message` | a binary message, as over TCP |
| `GET /healthz`, `GET /metrics`, `GET /static/…` | |
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol
from urllib.parse import parse_qs, quote

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from biaojie.base.errors import BiaojieError
from biaojie.client.errors import NoNode
from biaojie.codes.parsing import recognise
from biaojie.handle.codes import ResponseCode, http_status
from biaojie.handle.json_form import response_json, value_to_json
from biaojie.handle.messages import MEDIA_TYPE, is_message_type
from biaojie.handle.values import HandleValue, type_matches
from biaojie.net import policy as limits
from biaojie.net.http import NOT_UTF8, is_damaged
from biaojie.net.ratelimit import RateLimiter
from biaojie.net.tcp import packed_peer
from biaojie.processes.recursor_page import rendering
from biaojie.resolution.errors import NoAnswer, NoRoute, WalkTimeout
from biaojie.resolution.questions import Outcome, Step

JSON_TYPE = "application/json; charset=utf-8"
HTML_TYPE = "text/html; charset=utf-8"
OPEN_TO_ALL = ("access-control-allow-origin", "*")
_JSON = msgspec.json.Encoder()


class Service(Protocol):
    """What this application needs of the node (`processes.recursor.Recursor`)."""

    name: str
    environment: str
    registry: CollectorRegistry
    limiter: RateLimiter | None

    @property
    def examples(self) -> tuple[str, ...]:
        """Identifiers that the page offers to try."""

    async def resolve(self, text: str, *, fresh: bool = False, follow_aliases: bool = True, via: str = "http") -> Outcome:
        """The outcome for a text of any system; `CodeError` when it is none."""

    async def reply_to(self, data: bytes, *, via: str) -> bytes | None:
        """A whole binary message in, the reply out."""

    def is_ready(self) -> bool:
        """Is there a root site to start from?"""


Headers = list[tuple[str, str]]
Reply = tuple[int, Headers, bytes]


class Application:
    """`await application(scope, protocol)` as granian calls it."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._fixed: Mapping[str, Callable[[Any], Awaitable[Reply]]] = {
            "/": self._home,
            "/resolve": self._form,
            "/recognise": self._recognise,
            "/healthz": self._health,
            "/metrics": self._metrics,
        }

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Nothing to prepare."""

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Nothing to clear away."""

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        if scope.proto != "http":
            protocol.close(403)
            return
        status, headers, body = await self._serve(scope, protocol)
        if scope.method == "HEAD":
            protocol.response_empty(status, headers)
        else:
            protocol.response_bytes(status, headers, body)

    async def _serve(self, scope: Any, protocol: Any) -> Reply:
        path = scope.path
        limiter = self.service.limiter
        if (
            limiter is not None
            and path not in ("/healthz", "/metrics")
            and not limiter.allows(packed_peer(scope.client), time.monotonic())
        ):
            return self._problem(scope, 429, ResponseCode.SERVER_TOO_BUSY, "查询过于频繁，请稍后再试。", [("retry-after", "2")])
        if scope.method == "POST":
            return await self._tunnel(scope, protocol)
        if scope.method not in ("GET", "HEAD"):
            return self._problem(
                scope, 405, ResponseCode.OPERATION_NOT_SUPPORTED, "此处只能查询。", [("allow", "GET, HEAD, POST")]
            )
        try:
            fixed = self._fixed.get(path)
            if fixed is not None:
                return await fixed(scope)
            if path.startswith(("/api/handles/", "/resolve/")) and is_damaged(path):
                return self._problem(scope, 400, ResponseCode.INVALID_HANDLE, NOT_UTF8)
            if path.startswith("/api/handles/"):
                return await self._handles(scope, path.removeprefix("/api/handles/"))
            if path.startswith("/resolve/"):
                return await self._resolve(scope, path.removeprefix("/resolve/"))
            if path.startswith("/static/") and path.removeprefix("/static/") in rendering.STATIC_TYPES:
                return self._static(path.removeprefix("/static/"))
        except NoNode as error:
            return self._problem(scope, 503, ResponseCode.ERROR, error.message)
        except UnicodeDecodeError:
            return self._problem(scope, 400, ResponseCode.PROTOCOL_ERROR, NOT_UTF8)
        except _TooManyParameters:
            return self._problem(scope, 400, ResponseCode.PROTOCOL_ERROR, "查询参数过多。")
        return self._problem(scope, 404, ResponseCode.ERROR, "没有这个地址。")

    # -- resolution ----------------------------------------------------------------------------------------------

    async def _handles(self, scope: Any, text: str) -> Reply:
        query = _query(scope)
        try:
            indexes, types = _filters(query)
        except ValueError:
            return _json(400, response_json(ResponseCode.PROTOCOL_ERROR, text, message="index 应为整数"))
        follow = "noalias" not in query and not any(type_matches("HS_ALIAS", type_) for type_ in types)
        try:
            outcome = await self.service.resolve(text, follow_aliases=follow)
        except NoNode:
            raise
        except BiaojieError as error:
            return _json(400, response_json(ResponseCode.INVALID_HANDLE, text, message=str(error)))
        code, values = filtered(outcome, indexes, types)
        found = code in (ResponseCode.SUCCESS, ResponseCode.VALUES_NOT_FOUND)
        message = None if code == ResponseCode.SUCCESS else rendering.explain(text, outcome)
        form = response_json(code, text, values if found else None, message=message)
        headers = [("cache-control", f"public, max-age={outcome.ttl_s}" if outcome.ttl_s > 0 else "no-store")]
        return _json(status_of(outcome, code), form, headers)

    async def _resolve(self, scope: Any, text: str) -> Reply:
        query = _query(scope)
        wants_json = query.get("format", [""])[-1] == "json" or _prefers_json(scope.headers.get("accept", ""))
        try:
            outcome = await self.service.resolve(text, fresh="fresh" in query)
        except NoNode:
            raise
        except BiaojieError as error:
            if wants_json:
                return _json(400, {"responseCode": int(ResponseCode.INVALID_HANDLE), "identifier": text, "message": str(error)})
            return self._page(400, identifier=text, fault=error.message)
        if wants_json:
            return _json(status_of(outcome, outcome.response_code), outcome_json(text, outcome, trace="trace" in query))
        return self._page(status_of(outcome, outcome.response_code), identifier=text, outcome=outcome)

    async def _tunnel(self, scope: Any, protocol: Any) -> Reply:
        if not is_message_type(scope.headers.get("content-type", "")):
            return self._problem(scope, 415, ResponseCode.PROTOCOL_ERROR, f"只接受 {MEDIA_TYPE}。")
        length = scope.headers.get("content-length", "")
        if not (length.isascii() and length.isdigit() and len(length) <= 8) or int(length) > limits.HTTP_BODY_MAX.value + 1:
            return self._problem(scope, 413, ResponseCode.PROTOCOL_ERROR, "须注明长度，且不超过报文上限。")
        try:
            async with asyncio.timeout(limits.HTTP_BODY_S.value):
                data: bytes = await protocol()
        except TimeoutError:
            return self._problem(scope, 408, ResponseCode.PROTOCOL_ERROR, "接收请求超时。")
        if data[:1] in (b"\r", b"\n"):
            data = data[1:]
        reply = await self.service.reply_to(data, via="http")
        if reply is None:
            return self._problem(scope, 400, ResponseCode.PROTOCOL_ERROR, "不是请求报文。")
        return 200, [("content-type", MEDIA_TYPE), ("cache-control", "no-store")], reply

    # -- the page and the rest -----------------------------------------------------------------------------------

    async def _home(self, scope: Any) -> Reply:
        return self._page(200)

    async def _form(self, scope: Any) -> Reply:
        text = _query(scope).get("identifier", [""])[-1].strip()
        location = f"/resolve/{quote(text, safe='')}?trace=1" if text else "/"
        return 303, [("location", location), ("content-length", "0"), *rendering.SECURITY_HEADERS], b""

    async def _recognise(self, scope: Any) -> Reply:
        text = _query(scope).get("identifier", [""])[-1][:4096]
        system = recognise(text)
        return _json(200, {"system": system.value if system else None, "text": rendering.recognised(text)})

    async def _health(self, scope: Any) -> Reply:
        ready = self.service.is_ready()
        return _json(200 if ready else 503, {"status": "ok" if ready else "no root site"}, [("cache-control", "no-store")])

    async def _metrics(self, scope: Any) -> Reply:
        return 200, [("content-type", CONTENT_TYPE_LATEST), ("cache-control", "no-store")], generate_latest(self.service.registry)

    def _static(self, name: str) -> Reply:
        headers = [("content-type", rendering.STATIC_TYPES[name]), ("cache-control", "public, max-age=3600")]
        return 200, [*headers, *rendering.SECURITY_HEADERS], rendering.static(name)

    def _page(self, status: int, *, identifier: str = "", outcome: Outcome | None = None, fault: str = "") -> Reply:
        service = self.service
        text = rendering.render(
            node=service.name, environment=service.environment, examples=service.examples,
            identifier=identifier, outcome=outcome, fault=fault,
        )  # fmt: skip
        headers = [("content-type", HTML_TYPE), ("cache-control", "no-store"), *rendering.SECURITY_HEADERS]
        return status, headers, text.encode("utf-8", "backslashreplace")

    def _problem(self, scope: Any, status: int, code: int, message: str, headers: Headers | None = None) -> Reply:
        if _prefers_html(scope.headers.get("accept", "")):
            page_status, page_headers, body = self._page(status, fault=message)
            return page_status, [*page_headers, *(headers or [])], body
        return _json(status, {"responseCode": int(code), "message": message}, headers)


def filtered(outcome: Outcome, indexes: tuple[int, ...], types: tuple[str, ...]) -> tuple[int, tuple[HandleValue, ...]]:
    """Response code and values after the asker's own choice: an index listed or a type listed; none of both = all."""
    if outcome.response_code != ResponseCode.SUCCESS:
        return outcome.response_code, ()
    values = outcome.values
    if indexes or types:
        values = tuple(v for v in values if v.index in indexes or any(type_matches(v.type, type_) for type_ in types))
    return (ResponseCode.SUCCESS if values else ResponseCode.VALUES_NOT_FOUND), values


def status_of(outcome: Outcome, code: int) -> int:
    """The HTTP status: that of the response code, 504 and 502 where the fault lies with the nodes behind this one."""
    if isinstance(outcome.error, (NoAnswer, WalkTimeout)):
        return 504
    if outcome.error is not None and code in (ResponseCode.ERROR, ResponseCode.RECURSION_COUNT_TOO_HIGH):
        return 502
    return http_status(code, resolution=True)


def outcome_json(text: str, outcome: Outcome, *, trace: bool) -> dict[str, Any]:
    """An outcome in JSON; `trace` adds the path."""
    system = recognise(text)
    form: dict[str, Any] = {
        "identifier": text,
        "system": system.value if system else "Handle",
        "responseCode": int(outcome.response_code),
        "values": [value_to_json(value) for value in outcome.values],
        "ttl": outcome.ttl_s,
        "node": outcome.node,
        "cached": outcome.cached,
        "verified": outcome.verified,
        "aliases": list(outcome.aliases),
    }
    message = rendering.explain(text, outcome)
    if message:
        form["message"] = message
    if outcome.error is not None:
        form["error"] = {"code": outcome.error.code, "message": outcome.error.message}
        if isinstance(outcome.error, NoRoute):
            form["noRoute"] = True
    if trace:
        form["trace"] = [_step_json(step) for step in outcome.trace]
    return form


def _step_json(step: Step) -> dict[str, Any]:
    return {
        "node": step.node,
        "reason": step.reason,
        "cached": step.cached,
        "protocol": step.protocol,
        "address": step.address,
        "responseCode": step.response_code,
        "octets": step.octets,
        "elapsedMs": round(step.elapsed_ms, 3),
        "note": step.note,
        "error": step.error,
    }


def _json(status: int, form: Mapping[str, Any], headers: Headers | None = None) -> Reply:
    return (
        status,
        [("content-type", JSON_TYPE), OPEN_TO_ALL, ("x-content-type-options", "nosniff"), *(headers or [])],
        _encoded(form),
    )


def _encoded(form: Mapping[str, Any]) -> bytes:
    try:
        return _JSON.encode(form)
    except UnicodeEncodeError:
        # An alias, a message or a handle from elsewhere that is not UTF-8: shown as far as JSON can.
        return _JSON.encode(_shown(form))


def _shown(item: Any) -> Any:
    """A JSON value whose texts have what is no Unicode in them written out."""
    if isinstance(item, str):
        return item.encode("utf-8", "backslashreplace").decode()
    if isinstance(item, Mapping):
        return {_shown(key): _shown(value) for key, value in item.items()}
    return [_shown(value) for value in item] if isinstance(item, list) else item


class _TooManyParameters(Exception):
    """Ends a request whose query has more fields than anybody needs."""


def _query(scope: Any) -> dict[str, list[str]]:
    try:
        return parse_qs(scope.query_string, keep_blank_values=True, max_num_fields=200, errors="strict")
    except UnicodeDecodeError:
        raise
    except ValueError:
        raise _TooManyParameters from None


def _filters(query: Mapping[str, list[str]]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    return tuple(int(text) for text in query.get("index", [])), tuple(query.get("type", []))


def _prefers_json(accept: str) -> bool:
    return "application/json" in accept and "text/html" not in accept


def _prefers_html(accept: str) -> bool:
    return "text/html" in accept
