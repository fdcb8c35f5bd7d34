"""Handle messages over TCP: an asyncio Protocol that answers every complete message of a read with one write.

A connection stays open as long as its requests carry KC and is closed after the first reply to one that does not (the
software in use reads until close). Messages cut into 492-octet pieces marked TC are joined. A message has ten seconds from
its first octet to its last; a peer that does not read its replies is no longer read, then cut off; so is an idle one.
What one source opens beyond its share of the connections (`shares`) is closed at once. Octets that cannot be framed get the
protocol's early error, and the connection ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

from biaojie.base import clock
from biaojie.handle.codes import ResponseCode
from biaojie.handle.datagrams import PIECE_SIZE, Reassembler
from biaojie.handle.envelope import ENVELOPE_SIZE
from biaojie.handle.errors import DecodeError
from biaojie.handle.layout import MAX_MESSAGE
from biaojie.handle.messages import early_error
from biaojie.net import policy
from biaojie.net.responder import Responder
from biaojie.net.shares import ConnectionShares
from biaojie.resolution.policy import EXPIRATION_S

_TC_BIT = 0x20
_FLAGS_AT = ENVELOPE_SIZE + 8
_KC_BIT = 0x02  # of the first octet of opFlags


def bind_tcp(host: str, port: int) -> socket.socket:
    """A bound, not yet listening, non-blocking TCP socket: IPv4 or IPv6, never both."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def packed_host(name: object) -> bytes:
    """The address of a socket name such as `("127.0.0.1", 2641)` as 4 or 16 octets; empty when there is none."""
    if not isinstance(name, tuple) or not name:
        return b""
    host = str(name[0]).partition("%")[0]
    return socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)


def packed_peer(client: str) -> bytes:
    """The address in `127.0.0.1:40000` or `[::1]:40000`, as an HTTP server names its peers; empty when there is none."""
    host = client.rpartition(":")[0].strip("[]")
    return packed_host((host,)) if host else b""


class TcpServer:
    """All connections of a node's TCP addresses; lives on one event loop."""

    def __init__(
        self,
        responder: Responder,
        *,
        idle_s: float = policy.TCP_IDLE_S.value,
        message_s: float = policy.TCP_MESSAGE_S.value,
        connections_max: int = policy.TCP_CONNECTIONS_MAX.value,
        test_environment: bool = False,
    ) -> None:
        self.responder = responder
        self.idle_s = idle_s
        self.message_s = message_s
        self.shares = ConnectionShares(connections_max, test_environment=test_environment)
        self.connections: set[Connection] = set()
        self.accepted = self.cut_off = 0
        self._servers: list[asyncio.Server] = []
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self, sockets: list[socket.socket]) -> None:
        """Listen on sockets from `bind_tcp`."""
        loop = asyncio.get_running_loop()
        for sock in sockets:
            backlog = policy.TCP_BACKLOG.value
            self._servers.append(await loop.create_server(lambda: Connection(self), sock=sock, backlog=backlog))
        self._sweeper = loop.create_task(self._sweep())

    async def stop(self, grace_s: float = 1.0) -> None:
        """Take no more connections, let written replies leave, then end what remains."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper
        for server in self._servers:
            server.close()
        for connection in list(self.connections):
            connection.finish()
        until = time.monotonic() + grace_s
        while self.connections and time.monotonic() < until:
            await asyncio.sleep(0.01)
        for connection in list(self.connections):
            connection.abort()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(policy.TCP_SWEEP_S.value, self.message_s / 2))
            now_s = time.monotonic()
            for connection in [c for c in self.connections if c.deadline_s <= now_s]:
                self.cut_off += 1
                connection.abort()


class Connection(asyncio.Protocol):
    """One peer."""

    def __init__(self, server: TcpServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._host = b""
        self._buffer = bytearray()
        self._need = ENVELOPE_SIZE
        self._joiner: Reassembler | None = None
        self._blocked = self._ending = False
        self.deadline_s = float("inf")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        server = self._server
        self._host = packed_host(transport.get_extra_info("peername"))
        if not server.shares.enter(self._host):
            transport.abort()
            return
        server.accepted += 1
        server.connections.add(self)
        transport.set_write_buffer_limits(high=policy.TCP_WRITE_OCTETS.value)
        self.deadline_s = time.monotonic() + server.idle_s

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._server.connections:
            self._server.connections.remove(self)
            self._server.shares.leave(self._host)
        self._buffer.clear()

    def data_received(self, data: bytes) -> None:
        if self._ending:
            return
        if not self._buffer:
            self.deadline_s = time.monotonic() + self._server.message_s
        self._buffer += data
        if len(self._buffer) >= self._need and not self._blocked:
            self._work()

    def eof_received(self) -> bool:
        # What was asked before the peer closed its side is answered; an incomplete rest never will be.
        self._ending = True
        return self._blocked

    def pause_writing(self) -> None:
        self._blocked = True
        self.deadline_s = time.monotonic() + self._server.message_s
        if self._transport is not None and not self._ending:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._blocked = False
        if self._transport is None or self._transport.is_closing():
            return
        if not self._ending:
            self._transport.resume_reading()
        self._work()
        if self._ending and not self._blocked:
            self._transport.close()

    def finish(self) -> None:
        """Close once what was written has left."""
        self._ending = True
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End now."""
        self._ending = True
        if self._transport is not None:
            self._transport.abort()

    def _work(self) -> None:
        """Answer complete messages until none is left, the peer is to be closed, or it does not read."""
        transport = self._transport
        assert transport is not None
        more = True
        while more and not self._blocked:
            self._server.responder.renew(clock.time_s())
            try:
                replies, more, ends = self._answer_some()
            finally:
                self._server.responder.release()
            if replies:
                transport.write(replies[0] if len(replies) == 1 else b"".join(replies))
            if ends:
                self._buffer.clear()
                self.finish()
                return
        if not self._blocked:
            joining = self._joiner is not None and len(self._joiner) > 0
            if not self._buffer and not joining:
                self.deadline_s = time.monotonic() + self._server.idle_s
            elif replies:
                self.deadline_s = time.monotonic() + self._server.message_s

    def _answer_some(self) -> tuple[list[bytes], bool, bool]:
        """(replies, whether whole messages may be left, whether the connection ends): at most about 1 MiB of replies."""
        data = bytes(self._buffer)
        replies: list[bytes] = []
        written = position = 0
        end_of_data = len(data)
        self._need = ENVELOPE_SIZE
        more = ends = False
        while end_of_data - position >= ENVELOPE_SIZE:
            if written >= policy.TCP_WRITE_OCTETS.value:
                more = True
                break
            length = int.from_bytes(data[position + 16 : position + 20], "big")
            is_piece = data[position + 2] & _TC_BIT and length > PIECE_SIZE
            if length > MAX_MESSAGE:
                replies.append(_refuse(data[position:], ResponseCode.ERROR))
                ends = True
                break
            size = length
            if is_piece:
                size = min(PIECE_SIZE, max(0, length - int.from_bytes(data[position + 12 : position + 16], "big") * PIECE_SIZE))
            stop = position + ENVELOPE_SIZE + size
            if stop > end_of_data:
                self._need = stop - position
                break
            message: bytes | None = data[position:stop]
            position = stop
            if is_piece:
                try:
                    message = self._join(data[position - ENVELOPE_SIZE - size : position])
                except DecodeError:
                    replies.append(_refuse(data[position - ENVELOPE_SIZE - size :], ResponseCode.PROTOCOL_ERROR))
                    ends = True
                    break
            if message is None:
                continue
            reply = self._server.responder.serve(message, self._host)
            if reply is not None:
                replies.append(reply)
                written += len(reply)
            if len(message) <= _FLAGS_AT or not message[_FLAGS_AT] & _KC_BIT:
                ends = True
                break
        del self._buffer[:position]
        return replies, more, ends

    def _join(self, piece: bytes) -> bytes | None:
        if self._joiner is None:
            self._joiner = Reassembler(max_bytes=4 * MAX_MESSAGE, lifetime_s=self._server.message_s)
        return self._joiner.add(None, piece, time.monotonic())


def _refuse(data: bytes, code: ResponseCode) -> bytes:
    """The early error for octets that cannot be framed; it repeats the request id that stands in them."""
    return early_error(data[:ENVELOPE_SIZE], expiration=int(clock.time_s()) + EXPIRATION_S.value, code=code)
