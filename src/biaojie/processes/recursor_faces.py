"""The sockets of a recursive node: datagrams and connections around a `Service`; HTTP is `recursor_page`'s.

A reply takes as long as a walk does, so that every request is a task and every face bounds how many it has in hand: UDP by
silence, TCP by not reading on. A peer that does not read its replies is no longer read either, then cut off.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any, cast

from biaojie.base import clock
from biaojie.base.settings import Settings, split_address
from biaojie.handle.codes import FLAG_KC, ResponseCode
from biaojie.handle.datagrams import PACKET_SIZE, Reassembler, split
from biaojie.handle.envelope import ENVELOPE_SIZE
from biaojie.handle.errors import HandleError
from biaojie.handle.messages import early_error
from biaojie.handle.streams import FrameReader
from biaojie.net import policy as limits
from biaojie.net.http_server import HttpServer
from biaojie.net.shares import ConnectionShares
from biaojie.net.tcp import bind_tcp, packed_host
from biaojie.processes.recursor_page.application import Application, Service
from biaojie.resolution.policy import EXPIRATION_S

UDP_IN_HAND_MAX = 2_000
"""Datagram requests being answered at one time; what comes beyond gets silence, and is asked again."""
TCP_CONNECTIONS_MAX = 2_000
TCP_IN_HAND_MAX = 16
"""Requests of one connection being answered at one time; it is read again as they are answered."""
CLOSE_WITHIN_S = 3.0
"""How long the replies in hand are waited for at the end."""
_FLAGS_AT = ENVELOPE_SIZE + 8
_TC_OR_HIGHER = b"\x1f"


class UdpFace(asyncio.DatagramProtocol):
    """Datagrams: pieces joined, each request a task, the reply cut into packets again."""

    def __init__(self, service: Service) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self._service = service
        self._joiner = Reassembler()
        self._transport: asyncio.DatagramTransport | None = None
        self._ending = False
        self.too_long = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # the loop's own class does not say it is one

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if self._ending:
            return
        now_s = time.monotonic()
        limiter = self._service.limiter
        if limiter is not None and not limiter.allows(packed_host(addr), now_s):
            return  # a forged source is easily made: silence
        try:
            is_piece = len(data) >= PACKET_SIZE or data[2:3] > _TC_OR_HIGHER
            whole = self._joiner.add(addr, data, now_s) if is_piece else data
        except HandleError:
            whole = data
        if whole is None or len(self.tasks) >= UDP_IN_HAND_MAX:
            return
        task = asyncio.get_running_loop().create_task(self._reply(whole, addr))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _reply(self, data: bytes, addr: tuple[Any, ...]) -> None:
        reply = await self._service.reply_to(data, via="udp")
        if reply is None or self._transport is None:
            return
        packets = split(reply)
        if len(packets) > limits.UDP_REPLY_PIECES_MAX.value:
            self.too_long += 1
            return
        for packet in packets:
            self._transport.sendto(packet, addr)

    def finish(self) -> None:
        """Take no more requests."""
        self._ending = True

    def close(self) -> None:
        """Close the socket."""
        if self._transport is not None:
            self._transport.close()


class TcpFace(asyncio.Protocol):
    """One connection: some requests run beside each other, the connection stays while they carry KC."""

    def __init__(self, service: Service, connections: set[TcpFace], shares: ConnectionShares, *, idle_s: float) -> None:
        self._service = service
        self._connections = connections
        self._shares = shares
        self._idle_s = idle_s
        self._frames = FrameReader()
        self._waiting: deque[bytes] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ending = self._blocked = False
        self._host = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._host = packed_host(transport.get_extra_info("peername"))
        if not self._shares.enter(self._host):
            transport.abort()
            return
        self._connections.add(self)
        self._wait(self._idle_s)

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._connections:
            self._connections.remove(self)
            self._shares.leave(self._host)
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        if self._ending:
            return
        had_part = self._frames.buffered > 0
        try:
            messages = self._frames.feed(data)
        except HandleError as error:
            self._end(early_error(data, expiration=_expiration(), message=error.message))
            return
        if not self._frames.buffered:
            self._wait(self._idle_s)
        elif messages or not had_part:
            # From a message's first octet, not from its latest: a peer may not drip.
            self._wait(limits.TCP_MESSAGE_S.value)
        self._waiting += messages
        self._work()

    def eof_received(self) -> bool:
        # What was asked before the peer closed its side is answered.
        self.finish()
        return bool(self._tasks)

    def pause_writing(self) -> None:
        self._blocked = True
        self._wait(limits.TCP_MESSAGE_S.value)
        self._work()

    def resume_writing(self) -> None:
        self._blocked = False
        self._wait(self._idle_s)
        self._work()

    def finish(self) -> None:
        """Answer what has been asked, then close."""
        self._work()
        self._ending = True
        if not self._tasks:
            self._end(b"")

    def abort(self) -> None:
        """Cut the peer off."""
        if self._transport is not None:
            self._transport.abort()

    def _work(self) -> None:
        """Take up what waits as far as hands are free; read on only when nothing waits."""
        while self._waiting and not (self._ending or self._blocked) and len(self._tasks) < TCP_IN_HAND_MAX:
            self._begin(self._waiting.popleft())
        if self._transport is None or self._ending:
            return
        if self._waiting or self._blocked:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _begin(self, message: bytes) -> None:
        limiter = self._service.limiter
        if limiter is not None and not limiter.allows(self._host, time.monotonic()):
            code = ResponseCode.SERVER_TOO_BUSY
            self._end(early_error(message, expiration=_expiration(), code=code, message="查询过于频繁。"))
            return
        # A message may end before its flags: it is answered with an error, and the connection ends.
        self._ending = len(message) <= _FLAGS_AT or not message[_FLAGS_AT] & (FLAG_KC >> 24)
        task = asyncio.get_running_loop().create_task(self._reply(message))
        self._tasks.add(task)
        task.add_done_callback(self._replied)

    async def _reply(self, message: bytes) -> None:
        reply = await self._service.reply_to(message, via="tcp")
        if reply is not None and self._transport is not None and not self._transport.is_closing():
            self._transport.write(reply)

    def _replied(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._ending and not self._tasks:
            self._end(b"")
        else:
            self._work()

    def _wait(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._expired)

    def _expired(self) -> None:
        if self._tasks and not self._blocked and not self._frames.buffered:
            self._wait(self._idle_s)  # it waits for us
        else:
            self.abort()

    def _end(self, last: bytes) -> None:
        self._ending = True
        self._waiting.clear()
        if self._transport is not None and not self._transport.is_closing():
            if last:
                self._transport.write(last)
            self._transport.close()


class Faces:
    """Every socket of the node."""

    def __init__(self, service: Service, settings: Settings) -> None:
        self._service = service
        self._settings = settings
        self._udp: list[UdpFace] = []
        self._tcp: list[asyncio.Server] = []
        self._connections: set[TcpFace] = set()
        self.shares = ConnectionShares(TCP_CONNECTIONS_MAX, test_environment=settings.environment == "test")
        self._http = HttpServer(Application(service))

    @property
    def too_long(self) -> int:
        """Replies met with silence because they take too many datagrams."""
        return sum(face.too_long for face in self._udp)

    async def open(self) -> None:
        """Listen on every address of the settings; raises OSError when one is taken."""
        loop = asyncio.get_running_loop()
        for text in self._settings.handle_udp:
            _, face = await loop.create_datagram_endpoint(lambda: UdpFace(self._service), local_addr=split_address(text))
            self._udp.append(face)
        for text in self._settings.handle_tcp:
            sock = bind_tcp(*split_address(text))
            server = await loop.create_server(
                lambda: TcpFace(self._service, self._connections, self.shares, idle_s=self._settings.tcp_idle_s),
                sock=sock, backlog=limits.TCP_BACKLOG.value,
            )  # fmt: skip
            self._tcp.append(server)
        await self._http.start([bind_tcp(*split_address(text)) for text in self._settings.handle_http])

    async def close(self) -> None:
        """Take no more requests and let the replies in hand leave, as far as they come in time."""
        for server in self._tcp:
            server.close()
        for face in self._udp:
            face.finish()
        for connection in list(self._connections):
            connection.finish()
        until_s = time.monotonic() + CLOSE_WITHIN_S
        await self._http.stop(CLOSE_WITHIN_S)
        while (self._connections or any(face.tasks for face in self._udp)) and time.monotonic() < until_s:
            await asyncio.sleep(0.01)
        for face in self._udp:
            face.close()
        for connection in list(self._connections):
            connection.abort()


def _expiration() -> int:
    return int(clock.time_s()) + EXPIRATION_S.value
