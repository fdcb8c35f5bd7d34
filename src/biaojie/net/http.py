"""The HTTP face of a node that answers from its index, as an RSGI application.

    GET|HEAD|POST /api/handles/{identifier}     the Handle.net JSON form; ?index= and ?type= repeatable, publicOnly, auth,
                                                pretty, callback; POST takes the same parameters as a form
    POST (any path) application/x-hdl-message   the binary protocol in a tunnel
    GET  /api/site                              the node's own site record
    GET  /api/v1/routes?identifier=             where an identifier is routed
    GET  /healthz, /metrics

Everything else is refused in JSON. The server has decoded percent signs in the path once; nothing here does it again.
What an answer says is decided by `responder`; here it becomes a status and text.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import parse_qsl

import msgspec
import structlog

from biaojie.base import clock
from biaojie.codes.errors import CodeError
from biaojie.handle.codes import ResponseCode, http_status
from biaojie.handle.json_form import response_json
from biaojie.handle.messages import MEDIA_TYPE, is_message_type
from biaojie.net import policy
from biaojie.net.lookup import Lookup
from biaojie.net.responder import Responder
from biaojie.net.tcp import packed_peer

log = structlog.get_logger(__name__)

HANDLES: Final = "/api/handles/"
_JSON: Final = "application/json; charset=utf-8"
_SCRIPT: Final = "application/javascript; charset=utf-8"
_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
_CALLBACK: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*(\.[A-Za-z_$][A-Za-z0-9_$]*){0,7}")
_CALLBACK_MAX: Final = 64
_YES: Final = frozenset({"", "true", "1", "yes"})
_INT32: Final = 0x7FFFFFFF
_INT32_DIGITS: Final = len(str(_INT32))
NOT_UTF8: Final = "地址中有不是 UTF-8 的字节，或替换字符 U+FFFD"
_WRITING: Final = frozenset({"PUT", "DELETE", "PATCH"})


def is_damaged(path: str) -> bool:
    """Did a path, as the server decoded it, have octets that are no UTF-8?

    The server puts U+FFFD in their place and keeps no original, so that a U+FFFD which was meant is refused with them: asked
    for as it stands, `%FF` would be answered as another identifier.
    """
    return "\N{REPLACEMENT CHARACTER}" in path


class Headers(Protocol):
    """What we use of the server's header map."""

    def get(self, key: str, default: Any = None) -> Any: ...


class Scope(Protocol):
    """What we use of an RSGI HTTP scope."""

    @property
    def proto(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def query_string(self) -> str: ...
    @property
    def client(self) -> str: ...
    @property
    def headers(self) -> Headers: ...


class Exchange(Protocol):
    """What we use of an RSGI HTTP protocol object."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...
    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None: ...


class Health(NamedTuple):
    """Whether the node can answer, and why (not)."""

    ready: bool
    facts: Mapping[str, object]


class _Refusal(Exception):
    """Ends a request with a status and a Handle response code."""

    def __init__(self, status: int, code: ResponseCode, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class HttpApp:
    """The application; one per process, on the event loop its responder belongs to."""

    def __init__(self, responder: Responder, *, health: Callable[[], Health], metrics: Callable[[], bytes]) -> None:
        self._responder = responder
        self._lookup = Lookup(responder)
        self._health = health
        self._metrics = metrics
        self.requests = self.failures = 0

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Nothing to prepare."""

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Nothing to release: the responder belongs to who made it."""

    async def __rsgi__(self, scope: Scope, exchange: Exchange) -> None:
        """One request."""
        if scope.proto != "http":
            return
        self.requests += 1
        try:
            status, content_type, body = await self._route(scope, exchange)
        except _Refusal as refusal:
            status, content_type = refusal.status, _JSON
            body = msgspec.json.encode({"responseCode": int(refusal.code), "message": refusal.message})
        except Exception:
            self.failures += 1
            log.exception("http.request_failed", method=scope.method, path=scope.path[:200])
            status, content_type = 500, _JSON
            body = msgspec.json.encode({"responseCode": int(ResponseCode.ERROR), "message": "内部错误"})
        headers = [("content-type", content_type), ("access-control-allow-origin", "*"), ("x-content-type-options", "nosniff")]
        if status == 503:
            headers.append(("retry-after", "1"))
        exchange.response_bytes(status, headers, body)

    async def _route(self, scope: Scope, exchange: Exchange) -> tuple[int, str, bytes]:
        method, path = scope.method, scope.path
        if method == "POST":
            if is_message_type(scope.headers.get("content-type", "")):
                return await self._tunnel(scope, exchange)
            if path.startswith(HANDLES):
                form = (await _body(exchange)).decode("utf-8", "replace")
                return self._handle(scope, "&".join(part for part in (scope.query_string, form) if part))
        if method in ("GET", "HEAD"):
            if path.startswith(HANDLES):
                return self._handle(scope, scope.query_string)
            page = {
                "/api/site": self._site,
                "/api/v1/routes": self._routes,
                "/healthz": self._healthz,
                "/metrics": self._plain_metrics,
            }.get(path)
            if page is not None:
                return page(scope)
        if path.startswith("/api/handles") and (method in _WRITING or path.rstrip("/") == "/api/handles"):
            raise _Refusal(501, ResponseCode.OPERATION_NOT_SUPPORTED, "本地址只提供公开解析，登记与列举请使用管理接口")
        if path.startswith(HANDLES) or path in ("/api/site", "/api/v1/routes", "/healthz", "/metrics"):
            raise _Refusal(405, ResponseCode.OPERATION_NOT_SUPPORTED, f"不支持 {method[:16]} 方法")
        raise _Refusal(404, ResponseCode.PROTOCOL_ERROR, "没有这个地址")

    def _handle(self, scope: Scope, query: str) -> tuple[int, str, bytes]:
        text = scope.path[len(HANDLES) :]
        if not text:
            raise _Refusal(400, ResponseCode.INVALID_HANDLE, "缺少标识")
        if is_damaged(text):
            raise _Refusal(400, ResponseCode.INVALID_HANDLE, NOT_UTF8)
        if len(text.encode("utf-8", "surrogatepass")) > policy.HTTP_HANDLE_MAX.value:
            raise _Refusal(400, ResponseCode.INVALID_HANDLE, f"标识超过 {policy.HTTP_HANDLE_MAX.value} 字节")
        wanted = _parameters(query)
        callback = _callback(wanted)
        only_public = not ("auth" in wanted and _yes(wanted, "auth")) and _yes(wanted, "publicOnly", missing=True)
        answer = self._lookup.identifier(
            text, indexes=_indexes(wanted), types=wanted.get("type", []), public_only=only_public, host=packed_peer(scope.client)
        )
        form = response_json(answer.response_code, answer.handle, answer.values, message=answer.message)
        status = http_status(answer.response_code, resolution=True)
        if answer.response_code == ResponseCode.AUTHENTICATION_NEEDED:
            # Credentials are not taken here, so that asking for them (401) would mislead; the software in use says 403 too.
            status = 403
        return _json(status, form, pretty="pretty" in wanted and _yes(wanted, "pretty"), callback=callback)

    async def _tunnel(self, scope: Scope, exchange: Exchange) -> tuple[int, str, bytes]:
        message = await _body(exchange)
        if message[:1] in (b"\r", b"\n"):
            message = message[1:]
        self._responder.renew(clock.time_s())
        try:
            reply = self._responder.serve(message, packed_peer(scope.client))
        finally:
            self._responder.release()
        if reply is None:
            raise _Refusal(400, ResponseCode.PROTOCOL_ERROR, "报文无法解析")
        return 200, MEDIA_TYPE, reply

    def _site(self, scope: Scope) -> tuple[int, str, bytes]:
        site = self._lookup.site()
        if site is None:
            raise _Refusal(503, ResponseCode.SERVER_TOO_BUSY, "本节点的站点信息尚未发布")
        wanted = _parameters(scope.query_string)
        return _json(200, site, pretty="pretty" in wanted and _yes(wanted, "pretty"), callback=_callback(wanted))

    def _routes(self, scope: Scope) -> tuple[int, str, bytes]:
        identifiers = _parameters(scope.query_string).get("identifier", [])
        if len(identifiers) != 1 or not identifiers[0]:
            raise _Refusal(400, ResponseCode.PROTOCOL_ERROR, "须给出一个 identifier 参数")
        try:
            found, route = self._lookup.route(identifiers[0])
        except CodeError as error:
            raise _Refusal(400, ResponseCode.INVALID_HANDLE, error.message) from None
        return _json(200 if found else 404, route)

    def _healthz(self, scope: Scope) -> tuple[int, str, bytes]:
        health = self._health()
        return _json(200 if health.ready else 503, {"ready": health.ready, **health.facts})

    def _plain_metrics(self, scope: Scope) -> tuple[int, str, bytes]:
        return 200, _TEXT, self._metrics()


async def _body(exchange: Exchange) -> bytes:
    """The request's body, refused as soon as it is longer or slower than the protocol's longest message may be."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(policy.HTTP_BODY_S.value):
            async for part in exchange:
                size += len(part)
                if size > policy.HTTP_BODY_MAX.value:
                    raise _Refusal(413, ResponseCode.PROTOCOL_ERROR, f"请求体超过 {policy.HTTP_BODY_MAX.value} 字节")
                parts.append(part)
    except TimeoutError:
        raise _Refusal(408, ResponseCode.PROTOCOL_ERROR, "请求体未在时限内到齐") from None
    return b"".join(parts)


def _json(status: int, form: object, *, pretty: bool = False, callback: str = "") -> tuple[int, str, bytes]:
    body = msgspec.json.encode(form)
    if pretty:
        body = msgspec.json.format(body, indent=2)
    if callback:
        # The leading comment keeps the answer from being read as anything but a script.
        return status, _SCRIPT, b"/**/" + callback.encode("ascii") + b"(" + body.replace(b"</", b"<\\/") + b");"
    return status, _JSON, body


def _parameters(query: str) -> dict[str, list[str]]:
    """Names and their values in order; a name without `=` has an empty value."""
    wanted: dict[str, list[str]] = {}
    try:
        for name, value in parse_qsl(query, keep_blank_values=True, max_num_fields=2048, errors="strict"):
            wanted.setdefault(name, []).append(value)
    except UnicodeDecodeError:
        raise _Refusal(400, ResponseCode.PROTOCOL_ERROR, NOT_UTF8) from None
    except ValueError:
        raise _Refusal(400, ResponseCode.PROTOCOL_ERROR, "查询参数过多") from None
    return wanted


def _indexes(wanted: dict[str, list[str]]) -> list[int]:
    indexes = []
    for text in wanted.get("index", []):
        # The length first: `int` refuses some thousands of digits with an error of its own.
        if not (text.isascii() and text.isdigit() and len(text) <= _INT32_DIGITS and int(text) <= _INT32):
            raise _Refusal(400, ResponseCode.PROTOCOL_ERROR, f"index 应为非负整数：{text[:32]}")
        indexes.append(int(text))
    return indexes


def _yes(wanted: dict[str, list[str]], name: str, *, missing: bool = False) -> bool:
    values = wanted.get(name)
    return missing if values is None else values[-1].lower() in _YES


def _callback(wanted: dict[str, list[str]]) -> str:
    names = wanted.get("callback", [])
    if not names or not names[-1]:
        return ""
    if len(names[-1]) > _CALLBACK_MAX or not _CALLBACK.fullmatch(names[-1]):
        raise _Refusal(400, ResponseCode.PROTOCOL_ERROR, "callback 只能是点号相连的标识符")
    return names[-1]
