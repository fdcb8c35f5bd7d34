"""`GET /api/handles/{handle}` on the web address: the resolver's HTTP face over the registry's tables.

The same application answers (`net.http`), so that parameters, rights and forms cannot differ from the resolver's. Questions
asked here are not counted as resolutions: 表3 and 表8 count what the resolution service received.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from typing import Any, cast

from django.http import HttpRequest, HttpResponse
from ninja import Router

from biaojie.net.http import HANDLES, Health, HttpApp
from biaojie.net.responder import Responder
from biaojie.registry.database_index import DatabaseIndex
from biaojie.resolution.index import Index

public_router = Router(tags=["解析"])

_PARAMETERS = [
    {"in": "query", "name": "index", "schema": {"type": "array", "items": {"type": "integer"}}, "description": "索引，可重复"},
    {"in": "query", "name": "type", "schema": {"type": "array", "items": {"type": "string"}}, "description": "类型，可重复"},
    {"in": "query", "name": "pretty", "schema": {"type": "boolean"}, "description": "分行显示"},
    {"in": "query", "name": "publicOnly", "schema": {"type": "boolean"}, "description": "只取公开的值"},
    {"in": "query", "name": "callback", "schema": {"type": "string"}, "description": "JSONP 函数名"},
]


@public_router.api_operation(
    ["GET", "HEAD", "POST"],
    "/handles/{path:handle}",
    auth=None,
    summary="解析标识",
    operation_id="handle_resolve",
    openapi_extra={"parameters": _PARAMETERS},
)
def resolve(request: HttpRequest, handle: str) -> HttpResponse:
    """The Handle.net JSON form: `responseCode`, `handle`, `values`; 404 with 100 for an unknown handle."""
    responder = Responder(cast(Index, DatabaseIndex()), None, transport="http", fast=False)
    app = HttpApp(responder, health=_health, metrics=bytes)
    exchange = _Exchange()
    _finish(app.__rsgi__(_Scope(request, handle), exchange))
    return exchange.response


class _Scope:
    """A Django request as the resolver's application reads it; a form's parameters join those of the address."""

    proto = "http"

    def __init__(self, request: HttpRequest, handle: str) -> None:
        form = request.body.decode("utf-8", "replace") if request.method == "POST" else ""
        self.method = "HEAD" if request.method == "HEAD" else "GET"
        self.path = HANDLES + handle
        self.query_string = "&".join(filter(None, (request.META.get("QUERY_STRING", ""), form)))
        address = request.META.get("REMOTE_ADDR", "")
        self.client = f"[{address}]:0" if ":" in address else f"{address}:0"
        self.headers: Any = {}


class _Exchange:
    """Takes the application's answer."""

    def __init__(self) -> None:
        self.response = HttpResponse(status=500)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b""

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Keep the answer."""
        self.response = HttpResponse(body, status=status, headers=dict(headers))


def _finish(answering: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that waits for nothing; without an event loop, where Django would refuse to read the database."""
    try:
        answering.send(None)
    except StopIteration:
        return
    answering.close()
    raise RuntimeError("a question about a handle waited for something")


def _health() -> Health:
    return Health(True, {})
