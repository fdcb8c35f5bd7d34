"""The asyncio client for one server at a time: UDP, pooled TCP, HTTP; falls back from address to address.

    client = Client()
    response = await client.ask(Endpoint("udp", "192.0.2.1", 2641), ResolutionRequest("88.100.1/a"))

UDP repeats the whole request from a new socket after 500, 1000 and 1500 ms and joins packets; TCP keeps connections (KC),
shares them by request id and lives with a server that closes after each reply; HTTP prefers the binary tunnel and falls
back to JSON. A client belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Any, Self

import httpx2

from biaojie.base import clock
from biaojie.client import web
from biaojie.client.errors import AllFailed, BadReply, ClientError, ConnectionFailed, NoReply, NotVerified, UnsupportedProtocol
from biaojie.client.exchange import DEFAULT_TIMEOUT_MS, MAX_HTTP_OCTETS, RETRANSMIT_MS, Prepared, Response, prepare
from biaojie.handle.bodies import Body, ResolutionRequest
from biaojie.handle.datagrams import Reassembler, split
from biaojie.handle.errors import HandleError
from biaojie.handle.header import UNKNOWN_SERIAL
from biaojie.handle.messages import is_message_type
from biaojie.handle.streams import FrameReader
from biaojie.resolution.cache import Endpoint, TtlCache
from biaojie.resolution.questions import RouteReply, values_ttl

REMEMBER_S = 300.0
"""How long a server's habits (one request per connection, no tunnel) are taken for granted."""
IDLE_S = 60.0
"""A pooled connection unused for this long is closed."""


class Client:
    """Asks servers. `cache` (optional) keeps found values for their TTL, by address and question."""

    def __init__(
        self, *, timeout_ms: int = DEFAULT_TIMEOUT_MS, cache: TtlCache[tuple[object, ...], Response] | None = None
    ) -> None:
        self.timeout_ms = timeout_ms
        self._cache = cache
        self._connections: dict[Endpoint, _Stream] = {}
        self._connecting: dict[Endpoint, asyncio.Task[_Stream]] = {}
        self._closed = False
        self._one_shot = _Marks()
        self._no_tunnel = _Marks()
        self._http: httpx2.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every pooled connection; the client is of no further use."""
        self._closed = True
        for task in list(self._connecting.values()):
            task.cancel()
        for stream in list(self._connections.values()):
            stream.close()
        self._connections.clear()
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    async def ask(
        self,
        endpoint: Endpoint,
        body: Body,
        *,
        flags: int | None = None,
        timeout_ms: int | None = None,
        public_key: bytes = b"",
        site_serial: int = UNKNOWN_SERIAL,
    ) -> Response:
        """The server's reply. Raises `NoReply`, `ConnectionFailed`, `BadReply` or, with a `public_key`, `NotVerified`."""
        key = (endpoint, body, flags, public_key)
        now_s = clock.time_s()
        if self._cache is not None and (held := self._cache.get(key, now_s)) is not None:
            return _with(held, cached=True, elapsed_ms=0.0)
        limit_ms = self.timeout_ms if timeout_ms is None else timeout_ms
        prepared = prepare(
            body, flags=flags, site_serial=site_serial, public_key=public_key, keep_connection=endpoint.protocol == "tcp"
        )
        started = time.perf_counter()
        try:
            async with asyncio.timeout(limit_ms / 1000):
                if endpoint.protocol == "udp":
                    response = await _ask_udp(endpoint, prepared, limit_ms)
                elif endpoint.protocol == "tcp":
                    response = await self._ask_tcp(endpoint, prepared)
                else:
                    response = await self._ask_http(endpoint, prepared)
        except TimeoutError:
            raise NoReply(address=str(endpoint), timeout_ms=limit_ms) from None
        response = _with(response, elapsed_ms=(time.perf_counter() - started) * 1000)
        if self._cache is not None and response.response_code == 1 and response.values:
            self._cache.put(key, response, ttl_s=values_ttl(response.values, now_s), now_s=now_s, weight=response.octets + 256)
        return response

    async def ask_any(self, endpoints: Iterable[Endpoint], body: Body, *, timeout_ms: int | None = None) -> Response:
        """The first reply of several addresses, asked one after the other; `AllFailed` when none replies."""
        failures: list[ClientError] = []
        for endpoint in endpoints:
            try:
                return await self.ask(endpoint, body, timeout_ms=timeout_ms)
            except ClientError as error:
                failures.append(error)
        raise AllFailed(tried=len(failures), failures=tuple(failures))

    async def content(
        self,
        endpoint: Endpoint,
        identifier: str,
        *,
        indexes: Iterable[int] = (),
        types: Iterable[str] = (),
        timeout_ms: int | None = None,
    ) -> Response:
        """`GET /api/handles/{identifier}`: values in the JSON form, for identifiers of any system."""
        started = time.perf_counter()
        status, data = await self._get(endpoint, web.content_path(identifier, indexes, types), timeout_ms)
        return _with(web.read_content(data, status, endpoint), elapsed_ms=(time.perf_counter() - started) * 1000)

    async def route(self, endpoint: Endpoint, identifier: str, *, timeout_ms: int | None = None) -> RouteReply:
        """`GET /api/v1/routes?identifier=`: where an identifier that is no handle is to be asked."""
        status, data = await self._get(endpoint, web.route_path(identifier), timeout_ms)
        return web.read_route(data, status, endpoint)

    async def path(self, endpoint: Endpoint, identifier: str, *, timeout_ms: int | None = None) -> dict[str, Any]:
        """`GET /resolve/{identifier}?trace=1` of a recursive node, as it came."""
        status, data = await self._get(endpoint, web.path_path(identifier), timeout_ms)
        return web.read_path(data, status, endpoint)

    # -- TCP -----------------------------------------------------------------------------------------------------

    async def _ask_tcp(self, endpoint: Endpoint, prepared: Prepared) -> Response:
        if endpoint not in self._one_shot:
            stream, reused = await self._shared(endpoint)
            try:
                return await stream.ask(prepared)
            except ConnectionFailed:
                if not reused and endpoint not in self._one_shot:
                    raise
                # It was closed under us (after another's reply, or while idle): the request is asked once more, alone.
        stream = await self._connect(endpoint)
        try:
            return await stream.ask(prepared)
        finally:
            stream.close()

    async def _shared(self, endpoint: Endpoint) -> tuple[_Stream, bool]:
        """The connection everybody uses, and whether it was there before; askers that come at once wait for one connecting."""
        stream = self._connections.get(endpoint)
        if stream is not None and stream.usable:
            return stream, True
        task = self._connecting.get(endpoint)
        if task is None:
            task = asyncio.create_task(self._connect(endpoint))
            self._connecting[endpoint] = task
            task.add_done_callback(lambda done: self._connected(endpoint, done))
        try:
            return await asyncio.shield(task), False
        except asyncio.CancelledError:
            if task.cancelled():
                raise ConnectionFailed(address=str(endpoint), reason="客户端已关闭") from None
            raise

    def _connected(self, endpoint: Endpoint, task: asyncio.Task[_Stream]) -> None:
        self._connecting.pop(endpoint, None)
        if task.cancelled() or task.exception() is not None:
            return
        if self._closed:
            task.result().close()
            return
        old = self._connections.get(endpoint)
        if old is not None:
            old.retire()
        self._connections[endpoint] = task.result()

    async def _connect(self, endpoint: Endpoint) -> _Stream:
        try:
            _, stream = await asyncio.get_running_loop().create_connection(
                lambda: _Stream(endpoint, self._one_shot, self._forget), endpoint.host, endpoint.port
            )
        except OSError as error:
            raise ConnectionFailed(address=str(endpoint), reason=_plain(error)) from error
        return stream

    def _forget(self, stream: _Stream) -> None:
        if self._connections.get(stream.endpoint) is stream:
            del self._connections[stream.endpoint]

    # -- HTTP ----------------------------------------------------------------------------------------------------

    def _http_client(self) -> httpx2.AsyncClient:
        if self._http is None:
            # Proxies and redirects of the environment have no say in where a node is asked, and no node is to leave cookies.
            nothing = CookieJar(policy=DefaultCookiePolicy(allowed_domains=()))
            self._http = httpx2.AsyncClient(trust_env=False, follow_redirects=False, timeout=None, cookies=nothing)
        return self._http

    async def _ask_http(self, endpoint: Endpoint, prepared: Prepared) -> Response:
        if endpoint not in self._no_tunnel:
            status, kind, data = await self._exchange("POST", endpoint, "/", web.TUNNEL_HEADERS, prepared.octets)
            if is_message_type(kind):
                response = prepared.accept(data, endpoint)
                if response is None:
                    raise BadReply(address=str(endpoint), reason="应答的请求号不符")
                return response
            if status in (502, 503, 504):
                raise BadReply(address=str(endpoint), reason=f"HTTP {status}")
            self._no_tunnel.add(endpoint)
        body = prepared.body
        if not isinstance(body, ResolutionRequest):
            raise UnsupportedProtocol(protocol=endpoint.protocol)
        if prepared.public_key:
            raise NotVerified(address=str(endpoint), reason="该地址只提供不带签名的 JSON 应答")
        path = web.content_path(body.handle, body.indexes, body.types)
        status, _, data = await self._exchange("GET", endpoint, path, web.JSON_HEADERS, None)
        return web.read_content(data, status, endpoint)

    async def _get(self, endpoint: Endpoint, path: str, timeout_ms: int | None) -> tuple[int, bytes]:
        limit_ms = self.timeout_ms if timeout_ms is None else timeout_ms
        if endpoint.protocol not in ("http", "https"):
            raise UnsupportedProtocol(protocol=endpoint.protocol)
        try:
            async with asyncio.timeout(limit_ms / 1000):
                status, _, data = await self._exchange("GET", endpoint, path, web.JSON_HEADERS, None)
        except TimeoutError:
            raise NoReply(address=str(endpoint), timeout_ms=limit_ms) from None
        return status, data

    async def _exchange(
        self, method: str, endpoint: Endpoint, path: str, headers: dict[str, str], content: bytes | None
    ) -> tuple[int, str, bytes]:
        """Status, media type and body (at most `MAX_HTTP_OCTETS`)."""
        url = f"{endpoint}{path}"
        data = bytearray()
        try:
            async with self._http_client().stream(method, url, headers=headers, content=content) as reply:
                async for piece in reply.aiter_bytes():
                    data += piece
                    if len(data) > MAX_HTTP_OCTETS:
                        raise BadReply(address=str(endpoint), reason=f"应答超过 {MAX_HTTP_OCTETS} 字节")
                return reply.status_code, reply.headers.get("content-type", ""), bytes(data)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise ConnectionFailed(address=str(endpoint), reason=_plain(error)) from error


class _Marks:
    """Addresses known for a habit; a mark is forgotten after `REMEMBER_S`, for servers are replaced."""

    def __init__(self) -> None:
        self._until_s: dict[Endpoint, float] = {}

    def add(self, endpoint: Endpoint) -> None:
        now_s = time.monotonic()
        self._until_s = {known: until for known, until in self._until_s.items() if until > now_s}
        self._until_s[endpoint] = now_s + REMEMBER_S

    def __contains__(self, endpoint: Endpoint) -> bool:
        return self._until_s.get(endpoint, 0.0) > time.monotonic()


# -- UDP ---------------------------------------------------------------------------------------------------------


async def _ask_udp(endpoint: Endpoint, prepared: Prepared, limit_ms: int) -> Response:
    loop = asyncio.get_running_loop()
    reply: asyncio.Future[Response] = loop.create_future()
    transports: list[asyncio.DatagramTransport] = []
    packets = split(prepared.octets)
    waits = [wait / 1000 for wait in RETRANSMIT_MS]
    try:
        for wait in waits:
            try:
                transport, _ = await loop.create_datagram_endpoint(
                    lambda: _Datagrams(endpoint, prepared, reply), remote_addr=(endpoint.host, endpoint.port)
                )
            except OSError as error:
                raise ConnectionFailed(address=str(endpoint), reason=_plain(error)) from error
            transports.append(transport)
            for packet in packets:
                transport.sendto(packet)
            done, _ = await asyncio.wait([reply], timeout=wait)
            if done:
                return reply.result()
        raise NoReply(address=str(endpoint), timeout_ms=min(limit_ms, DEFAULT_TIMEOUT_MS))
    finally:
        for transport in transports:
            transport.close()
        if reply.done() and not reply.cancelled():
            reply.exception()  # retrieved: a late failure beside an earlier result is nobody's business
        reply.cancel()


class _Datagrams(asyncio.DatagramProtocol):
    """One socket of one request: joins packets, drops what is not for it."""

    def __init__(self, endpoint: Endpoint, prepared: Prepared, reply: asyncio.Future[Response]) -> None:
        self._endpoint = endpoint
        self._prepared = prepared
        self._reply = reply
        self._joiner = Reassembler(per_peer=1, max_bytes=512 * 1024)

    def datagram_received(self, data: bytes, addr: object) -> None:
        if self._reply.done() or int.from_bytes(data[8:12], "big") != self._prepared.request_id:
            return
        try:
            whole = self._joiner.add(None, data, time.monotonic())
            response = None if whole is None else self._prepared.accept(whole, self._endpoint)
        except HandleError:
            return  # a damaged packet: the request is repeated
        except ClientError as error:
            self._reply.set_exception(error)
            return
        if response is not None:
            self._reply.set_result(response)

    def error_received(self, exc: Exception) -> None:
        if not self._reply.done():
            self._reply.set_exception(ConnectionFailed(address=str(self._endpoint), reason=_plain(exc)))


# -- TCP ---------------------------------------------------------------------------------------------------------


class _Stream(asyncio.Protocol):
    """One connection shared by several requests, told apart by their ids."""

    def __init__(self, endpoint: Endpoint, one_shot: _Marks, forget: Callable[[_Stream], None]) -> None:
        """`forget` is told when the connection has ended."""
        self.endpoint = endpoint
        self._one_shot = one_shot
        self._forget = forget
        self._idle: asyncio.TimerHandle | None = None
        self._frames = FrameReader()
        self._waiting: dict[int, tuple[Prepared, asyncio.Future[Response]]] = {}
        self._transport: asyncio.Transport | None = None
        self._used_s = time.monotonic()
        self._replies = 0
        self._retired = False

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing() and time.monotonic() - self._used_s < IDLE_S

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def retire(self) -> None:
        """Close once the requests under way have their replies."""
        self._retired = True
        if not self._waiting:
            self.close()

    async def ask(self, prepared: Prepared) -> Response:
        if self._transport is None:
            raise ConnectionFailed(address=str(self.endpoint), reason="连接未建立")
        reply: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._waiting[prepared.request_id] = (prepared, reply)
        self._used_s = time.monotonic()
        self._transport.write(prepared.octets)
        try:
            return await reply
        finally:
            self._waiting.pop(prepared.request_id, None)
            if self._retired and not self._waiting:
                self.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._rest()

    def _rest(self) -> None:
        """Close once nothing has been asked for `IDLE_S`; who walks to many nodes would keep them all open otherwise."""
        left_s = self._used_s + IDLE_S - time.monotonic()
        if left_s <= 0 and not self._waiting:
            self.close()
            return
        self._idle = asyncio.get_running_loop().call_later(max(left_s, 1.0), self._rest)

    def data_received(self, data: bytes) -> None:
        try:
            messages = self._frames.feed(data)
        except HandleError as error:
            self._fail(BadReply(address=str(self.endpoint), reason=error.message))
            self.close()
            return
        for message in messages:
            self._replies += 1
            waiting = self._waiting.get(int.from_bytes(message[8:12], "big"))
            if waiting is None or waiting[1].done():
                continue
            prepared, reply = waiting
            try:
                response = prepared.accept(message, self.endpoint)
            except ClientError as error:
                reply.set_exception(error)
                continue
            if response is not None:
                reply.set_result(response)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._forget(self)
        if self._waiting and self._replies:
            # It replied to one and closed on the others: such a server serves one request per connection.
            self._one_shot.add(self.endpoint)
        self._fail(ConnectionFailed(address=str(self.endpoint), reason="对方关闭了连接" if exc is None else _plain(exc)))

    def _fail(self, error: ClientError) -> None:
        for _, reply in self._waiting.values():
            if not reply.done():
                reply.set_exception(error)


def _with(response: Response, *, elapsed_ms: float, cached: bool = False) -> Response:
    return replace(response, elapsed_ms=elapsed_ms, cached=cached)


def _plain(error: BaseException) -> str:
    """A reason people can read, for the common failures of sockets."""
    return web.plain_reason(error)
