"""Real authoritative nodes for tests: an index each, served over UDP, TCP and HTTP on ports of their own."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Iterable
from pathlib import Path

from biaojie.codes.ranges import Coverage
from biaojie.handle.sites import Interface, Server, Site, encode_site
from biaojie.handle.values import HandleValue, ascii_upper, encode_values
from biaojie.net.http import Health, HttpApp
from biaojie.net.http_server import HttpServer
from biaojie.net.mmsg import bind_udp
from biaojie.net.responder import Responder
from biaojie.net.tcp import TcpServer, bind_tcp
from biaojie.net.udp import UdpServer
from biaojie.resolution.cache import Endpoint
from biaojie.resolution.entries import Entry, RouteContent, handle_entry, route_entry, site_entry, zone_entry
from biaojie.resolution.index import Index

HOST = "127.0.0.1"


def value(index: int, type_: str, data: str | bytes, ttl: int = 300) -> HandleValue:
    return HandleValue(index, type_, data.encode() if isinstance(data, str) else data, 0, ttl, 1_700_000_000)


def handle(name: str, *values: HandleValue, owner: str = "88.100", system: int = 1) -> Entry:
    key = bytes([system]) + ascii_upper(name).encode()
    return handle_entry(key, 1, owner=owner, values=encode_values(values))


class RealNode:
    """Sockets are bound at once (so that others can name them), served from `start` to `stop`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._udp_socket = bind_udp(HOST, 0, timeout_s=0.1)
        self._tcp_socket = bind_tcp(HOST, 0)
        self._http_socket = bind_tcp(HOST, 0)
        self.udp, self.tcp, self.http = (
            Endpoint(protocol, HOST, sock.getsockname()[1])
            for protocol, sock in (("udp", self._udp_socket), ("tcp", self._tcp_socket), ("http", self._http_socket))
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._index: Index | None = None
        self.public_key = b""

    @property
    def site(self) -> Site:
        interfaces = (Interface(2, 0, self.udp.port), Interface(3, 1, self.tcp.port), Interface(3, 2, self.http.port))
        return Site(servers=(Server(1, ipaddress.ip_address(HOST), self.public_key, interfaces),))

    def site_value(self, type_: str = "HS_SITE", index: int = 1) -> HandleValue:
        return value(index, type_, encode_site(self.site), ttl=60)

    def route(self, coverage: Coverage, *, final: bool) -> RouteContent:
        low, high = coverage.interval()
        return RouteContent(
            system=coverage.system.value, coverage=coverage.canonical, low=low, high=high,
            addresses=[("IPv4", HOST, "HTTP", self.http.port)], owner="88.100", final=final,
        )  # fmt: skip

    def start(self, entries: Iterable[Entry]) -> RealNode:
        index = self._index = Index.open(self.folder)
        index.apply([*entries, site_entry(encode_site(self.site), 1)], session="s", serial=1)
        self._responders = [Responder(index, None, transport=name) for name in ("udp", "tcp", "http")]
        self._udp_server = UdpServer(self._udp_socket, self._responders[0])
        self._udp_server.start()
        self._thread.start()
        self._call(self._open())
        return self

    async def _open(self) -> None:
        self._tcp_server = TcpServer(self._responders[1])
        await self._tcp_server.start([self._tcp_socket])
        app = HttpApp(self._responders[2], health=lambda: Health(True, {}), metrics=lambda: b"")
        self._http_server = HttpServer(app)
        await self._http_server.start([self._http_socket])

    def put(self, *entries: Entry, serial: int) -> None:
        assert self._index is not None
        self._index.apply(entries, session="s", serial=serial)

    def stop(self) -> None:
        if self._loop.is_closed():
            return
        if self._index is None:
            for sock in (self._udp_socket, self._tcp_socket, self._http_socket):
                sock.close()
            self._loop.close()
            return
        self._udp_server.stop()
        self._udp_server.join()
        self._call(self._http_server.stop())
        self._call(self._tcp_server.stop(0.1))
        self._call(asyncio.sleep(0.05))  # aborted connections are taken down one turn later
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        for responder in self._responders:
            responder.close()
        self._index.close()
        self._index = None
        self._udp_socket.close()

    def _call(self, work: object) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)  # type: ignore[arg-type]


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


def zone(key: str) -> Entry:
    return zone_entry(ascii_upper(key).encode(), 1, owner="88.100")


def routed(coverage: Coverage, node: RealNode, *, final: bool) -> Entry:
    """An entry that routes a coverage to a node."""
    return route_entry(bytes([coverage.system.number]) + coverage.canonical.encode(), 1, node.route(coverage, final=final))
