"""The HTTP forms a node speaks: `/api/handles/{identifier}`, `/api/v1/routes`, and the tunnel for binary messages.

Paths out, replies in; no sockets. A route answer is `{system, matched, next: [{ip_type, ip, protocol, port}], final}`,
bare or in the `data` of the envelope web nodes use.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import msgspec

from biaojie.client.errors import BadReply
from biaojie.client.exchange import Response
from biaojie.handle.errors import HandleError
from biaojie.handle.json_form import value_from_json
from biaojie.handle.messages import MEDIA_TYPE
from biaojie.handle.values import HandleValue
from biaojie.resolution.cache import Endpoint
from biaojie.resolution.questions import RouteReply

TUNNEL_HEADERS = {"Content-Type": MEDIA_TYPE, "Accept": MEDIA_TYPE}
JSON_HEADERS = {"Accept": "application/json"}
_WEB_PROTOCOLS = {"http": "http", "https": "https", "2": "http", "3": "https"}


def content_path(identifier: str, indexes: Iterable[int] = (), types: Iterable[str] = ()) -> str:
    """The path and query that ask for an identifier's values."""
    query = urlencode([("index", index) for index in indexes] + [("type", type_) for type_ in types])
    octets = identifier.encode("utf-8", "surrogateescape")
    return f"/api/handles/{quote(octets, safe='')}" + (f"?{query}" if query else "")


def route_path(identifier: str) -> str:
    """The path and query that ask where an identifier is routed."""
    return "/api/v1/routes?" + urlencode({"identifier": identifier})


def path_path(identifier: str) -> str:
    """The path and query that ask a recursive node for an answer and the way to it."""
    octets = identifier.encode("utf-8", "surrogateescape")
    return f"/resolve/{quote(octets, safe='')}?trace=1&format=json"


class _Content(msgspec.Struct, rename="camel"):
    response_code: Annotated[int, msgspec.Meta(ge=1, le=0xFFFFFFFF)]
    handle: str = ""
    message: str = ""
    values: list[Any] = []


class _Hop(msgspec.Struct):
    ip: str
    protocol: str | int
    port: int


class _Route(msgspec.Struct):
    system: str = ""
    matched: str | None = None
    next: list[_Hop] = []
    final: bool = False


def read_content(data: bytes, status: int, endpoint: Endpoint) -> Response:
    """The reply in a JSON body; anything that is not one raises `BadReply` (with the HTTP status for its reason)."""
    try:
        form = msgspec.json.decode(data, type=_Content)
        values: tuple[HandleValue, ...] = tuple(value_from_json(value) for value in form.values)
    except (msgspec.DecodeError, HandleError, UnicodeError, RecursionError) as error:
        raise BadReply(address=str(endpoint), reason=f"HTTP {status}，不是标识应答") from error
    return Response(
        endpoint=endpoint,
        response_code=form.response_code,
        handle=form.handle,
        values=values,
        text=form.message,
        octets=len(data),
    )


def read_route(data: bytes, status: int, endpoint: Endpoint) -> RouteReply:
    """The route in a JSON body; hops without an HTTP address cannot be followed and are left out."""
    try:
        raw = msgspec.json.decode(data)
        if isinstance(raw, dict) and isinstance(raw.get("data"), dict):
            raw = raw["data"]
        form = msgspec.convert(raw, _Route)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeError, RecursionError) as error:
        raise BadReply(address=str(endpoint), reason=f"HTTP {status}，不是路由应答") from error
    if status not in (200, 404):
        raise BadReply(address=str(endpoint), reason=f"HTTP {status}")
    hops = []
    for hop in form.next:
        protocol = _WEB_PROTOCOLS.get(str(hop.protocol).lower())
        if protocol is not None and 0 < hop.port < 65536:
            hops.append(Endpoint(protocol, hop.ip, hop.port))
    return RouteReply(system=form.system, matched=form.matched or "", next=tuple(hops), final=form.final, octets=len(data))


def read_path(data: bytes, status: int, endpoint: Endpoint) -> dict[str, Any]:
    """The object in a reply to `path_path`; `BadReply` for anything that is not a recursive node's."""
    try:
        form = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadReply(address=str(endpoint), reason=f"HTTP {status}，不是递归节点的应答") from error
    if not isinstance(form, dict) or "responseCode" not in form or "identifier" not in form:
        said = form.get("message") if isinstance(form, dict) else None
        raise BadReply(address=str(endpoint), reason=f"HTTP {status}，{said or '不是递归节点的应答'}")
    return form


def plain_reason(error: BaseException) -> str:
    """Why a socket failed, in words: the common causes by name, else the system's own."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _REASONS:
            return _REASONS[cause.errno]
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__


_REASONS = {
    errno.ECONNREFUSED: "对方拒绝连接",
    errno.ECONNRESET: "对方中断了连接",
    errno.EHOSTUNREACH: "主机不可达",
    errno.ENETUNREACH: "网络不可达",
    errno.EADDRNOTAVAIL: "本机没有可用的地址",
    errno.ETIMEDOUT: "连接超时",
    errno.EMFILE: "本机打开的连接过多",
}
