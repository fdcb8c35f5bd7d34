"""The sockets of a recursive node around a service that answers when told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from biaojie.base.settings import Settings, load
from biaojie.handle.bodies import ErrorResponse, ResolutionRequest
from biaojie.handle.codes import FLAG_KC, RESOLUTION_FLAGS
from biaojie.handle.datagrams import PIECE_SIZE
from biaojie.handle.messages import decode_request, decode_response, early_error, encode_message, make_request, make_response
from biaojie.net.shares import ConnectionShares
from biaojie.processes import recursor_faces
from biaojie.processes.recursor_faces import TCP_IN_HAND_MAX, Faces, TcpFace

HOST = "127.0.0.1"


class Service:
    """Answers 100 with `text` once the gate is open."""

    name = environment = "test"
    limiter = None
    registry: Any = None
    examples = ()

    def __init__(self, text: str = "") -> None:
        self.gate = asyncio.Event()
        self.text = text
        self.in_hand = self.most = 0

    def is_ready(self) -> bool:
        return True

    async def resolve(self, text: str, *, fresh: bool = False, follow_aliases: bool = True, via: str = "http") -> Any:
        raise NotImplementedError

    async def reply_to(self, data: bytes, *, via: str) -> bytes | None:
        self.in_hand += 1
        self.most = max(self.most, self.in_hand)
        await self.gate.wait()
        self.in_hand -= 1
        if len(data) < 44:
            return early_error(data, expiration=2_000_000_000)
        request = decode_request(data)
        return encode_message(make_response(request, ErrorResponse(100, self.text), expiration=2_000_000_000, response_code=100))


def request(number: int = 1, *, keep: bool = True) -> bytes:
    flags = RESOLUTION_FLAGS | (FLAG_KC if keep else 0)
    return encode_message(make_request(ResolutionRequest("88.1/a"), request_id=number, op_flags=flags))


async def read_reply(reader: asyncio.StreamReader) -> int:
    head = await reader.readexactly(20)
    rest = await reader.readexactly(int.from_bytes(head[16:20], "big"))
    return decode_response(head + rest).request_id


@asynccontextmanager
async def tcp_face(
    service: Service, *, idle_s: float = 30
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, set[TcpFace]]]:
    connections: set[TcpFace] = set()
    server = await asyncio.get_running_loop().create_server(
        lambda: TcpFace(service, connections, ConnectionShares(100), idle_s=idle_s), HOST, 0
    )
    reader, writer = await asyncio.open_connection(HOST, server.sockets[0].getsockname()[1])
    try:
        yield reader, writer, connections
    finally:
        writer.close()
        server.close()
        for connection in list(connections):
            connection.abort()
        await asyncio.sleep(0.01)


def test_envelope_without_a_message_is_answered_and_the_connection_ends() -> None:
    async def run() -> None:
        service = Service()
        service.gate.set()
        async with tcp_face(service) as (reader, writer, _):
            writer.write(request()[:16] + bytes(4))

            octets = await asyncio.wait_for(reader.read(), 5)

        assert decode_response(octets).response_code == 4

    asyncio.run(run())


def test_peer_that_closed_its_side_still_gets_its_replies() -> None:
    async def run() -> None:
        service = Service()
        async with tcp_face(service) as (reader, writer, _):
            writer.write(request(1) + request(2))
            writer.write_eof()
            await asyncio.sleep(0.05)
            service.gate.set()

            replies = {await read_reply(reader), await read_reply(reader)}
            rest = await asyncio.wait_for(reader.read(), 5)

        assert (replies, rest) == ({1, 2}, b"")

    asyncio.run(run())


def test_many_requests_at_once_are_taken_up_a_few_at_a_time_and_all_answered() -> None:
    async def run() -> None:
        service = Service()
        async with tcp_face(service) as (reader, writer, _):
            writer.write(b"".join(request(number) for number in range(1, 201)))
            await asyncio.sleep(0.05)
            waiting = service.in_hand
            service.gate.set()

            replies = {await asyncio.wait_for(read_reply(reader), 5) for _ in range(200)}

        assert (waiting, service.most, replies) == (TCP_IN_HAND_MAX, TCP_IN_HAND_MAX, set(range(1, 201)))

    asyncio.run(run())


def test_peer_that_does_not_read_is_no_longer_read_then_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recursor_faces.limits, "TCP_MESSAGE_S", recursor_faces.limits.TCP_MESSAGE_S._replace(value=0.2))

    async def run() -> None:
        service = Service("x" * 100_000)
        service.gate.set()
        async with tcp_face(service) as (_, writer, connections):
            flood = b"".join(request(number) for number in range(1, 2_001))
            writer.write(flood)
            await asyncio.sleep(0.1)
            (face,) = connections
            held = face._transport.get_write_buffer_size()  # type: ignore[union-attr]
            await asyncio.sleep(0.5)

            assert held < 3_000_000
            assert connections == set()

    asyncio.run(run())


def test_walk_longer_than_the_idle_limit_is_waited_for() -> None:
    async def run() -> None:
        service = Service()
        async with tcp_face(service, idle_s=0.05) as (reader, writer, _):
            writer.write(request(7))
            await asyncio.sleep(0.2)
            service.gate.set()

            assert await asyncio.wait_for(read_reply(reader), 5) == 7

    asyncio.run(run())


@pytest.fixture
def settings() -> Settings:
    udp, tcp = f"{HOST}:0", f"{HOST}:0"
    return replace(load({"BIAOJIE_ROLE": "recursive"}), handle_udp=(udp,), handle_tcp=(tcp,), handle_http=())


def test_close_lets_the_replies_in_hand_leave(settings: Settings) -> None:
    async def run() -> None:
        service = Service()
        faces = Faces(service, settings)
        await faces.open()
        reader, writer = await asyncio.open_connection(HOST, faces._tcp[0].sockets[0].getsockname()[1])
        writer.write(request(5))
        await asyncio.sleep(0.05)
        closing = asyncio.create_task(faces.close())
        await asyncio.sleep(0.05)
        service.gate.set()

        reply = await asyncio.wait_for(read_reply(reader), 5)
        await closing
        writer.close()

        assert reply == 5

    asyncio.run(run())


def test_source_beyond_its_share_is_closed_and_another_source_still_answered(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recursor_faces, "TCP_CONNECTIONS_MAX", 80)

    async def run() -> None:
        service = Service()
        service.gate.set()
        faces = Faces(service, replace(settings, environment="production"))
        await faces.open()
        port = faces._tcp[0].sockets[0].getsockname()[1]
        held = [await asyncio.open_connection(HOST, port) for _ in range(70)]
        await asyncio.sleep(0.1)
        reader, writer = await asyncio.open_connection(HOST, port, local_addr=("127.0.0.2", 0))
        writer.write(request(7))

        number = await asyncio.wait_for(read_reply(reader), 5)

        assert number == 7
        assert (faces.shares.refused, faces.shares.over_share) == (6, 6)
        for _, open_writer in (*held, (reader, writer)):
            open_writer.close()
        await asyncio.sleep(0.1)
        assert (faces.shares.total, len(faces.shares)) == (0, 0)
        await faces.close()

    asyncio.run(run())


def test_reply_too_long_for_datagrams_is_silence_over_udp_and_whole_over_tcp(settings: Settings) -> None:
    async def run() -> None:
        service = Service("x" * 24 * PIECE_SIZE)
        service.gate.set()
        faces = Faces(service, settings)
        await faces.open()
        got: list[bytes] = []
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Collector(got),
            remote_addr=faces._udp[0]._transport.get_extra_info("sockname"),  # type: ignore[union-attr]
        )
        transport.sendto(request(1))
        reader, writer = await asyncio.open_connection(HOST, faces._tcp[0].sockets[0].getsockname()[1])
        writer.write(request(2))

        number = await asyncio.wait_for(read_reply(reader), 5)
        await asyncio.sleep(0.1)

        assert (number, got, faces.too_long) == (2, [], 1)
        writer.close()
        transport.close()
        await faces.close()

    asyncio.run(run())


class Collector(asyncio.DatagramProtocol):
    """Keeps the datagrams that come."""

    def __init__(self, got: list[bytes]) -> None:
        self.got = got

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.got.append(data)
