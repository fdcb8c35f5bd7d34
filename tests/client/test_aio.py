"""The asyncio client against real nodes, and against servers that misbehave in known ways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from real_nodes import HOST, RealNode, free_port, handle, value, zone

from biaojie.client.aio import Client
from biaojie.client.errors import AllFailed, BadReply, ConnectionFailed, NoReply, NotVerified, UnsupportedProtocol
from biaojie.handle.bodies import GetSiteInfoRequest, ResolutionRequest, ResolutionResponse
from biaojie.handle.credentials import sign_message
from biaojie.handle.datagrams import split
from biaojie.handle.keys import encode_public_key
from biaojie.handle.messages import decode_request, encode_message, make_response
from biaojie.resolution.cache import Endpoint, TtlCache

URL = value(1, "URL", "https://example.cn/318")
LONG = value(2, "DESC", "数控车床" * 300)
NAME = "88.100.1/QK-360-0001"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RealNode]:
    real = RealNode(tmp_path).start([zone("88.100.1"), handle(NAME, URL, LONG), handle("88.100.1/b", URL)])
    yield real
    real.stop()


@pytest.mark.parametrize("protocol", ["udp", "tcp", "http"])
def test_ask_over_each_protocol_gives_all_values(node: RealNode, protocol: str) -> None:
    async def run() -> None:
        async with Client() as client:
            response = await client.ask(getattr(node, protocol), ResolutionRequest(NAME))

            assert (response.response_code, response.values) == (1, (URL, LONG))
            assert response.authoritative
            assert response.elapsed_ms > 0

    asyncio.run(run())


@pytest.mark.parametrize("protocol", ["udp", "tcp", "http"])
def test_ask_filters_by_type_and_reports_absence(node: RealNode, protocol: str) -> None:
    async def run() -> None:
        endpoint = getattr(node, protocol)
        async with Client() as client:
            chosen = await client.ask(endpoint, ResolutionRequest(NAME, (), ("desc",)))
            none = await client.ask(endpoint, ResolutionRequest(NAME, (99,), ()))
            absent = await client.ask(endpoint, ResolutionRequest("88.100.1/none"))
            foreign = await client.ask(endpoint, ResolutionRequest("88.999/x"))

        assert chosen.values == (LONG,)
        assert [r.response_code for r in (none, absent, foreign)] == [200, 100, 301]

    asyncio.run(run())


@pytest.mark.parametrize("protocol", ["udp", "tcp", "http"])
def test_site_info_over_each_protocol_gives_the_site(node: RealNode, protocol: str) -> None:
    async def run() -> None:
        async with Client() as client:
            response = await client.ask(getattr(node, protocol), GetSiteInfoRequest())

        assert response.site == node.site

    asyncio.run(run())


def test_tcp_asked_at_once_and_again_uses_one_connection(node: RealNode) -> None:
    async def run() -> None:
        async with Client() as client:
            await client.ask(node.tcp, ResolutionRequest(NAME))
            replies = await asyncio.gather(*(client.ask(node.tcp, ResolutionRequest(NAME)) for _ in range(40)))

            assert [reply.response_code for reply in replies] == [1] * 40
            assert node._tcp_server.accepted == 1

    asyncio.run(run())


def test_content_asks_in_json(node: RealNode) -> None:
    async def run() -> None:
        async with Client() as client:
            response = await client.content(node.http, NAME, types=("URL",))

        assert (response.response_code, response.values) == (1, (URL,))

    asyncio.run(run())


def test_cache_answers_the_second_question_until_its_ttl(node: RealNode) -> None:
    async def run() -> None:
        async with Client(cache=TtlCache(10)) as client:
            first = await client.ask(node.udp, ResolutionRequest(NAME))
            second = await client.ask(node.udp, ResolutionRequest(NAME))

        assert (first.cached, second.cached, second.values) == (False, True, first.values)

    asyncio.run(run())


@pytest.mark.parametrize("protocol", ["udp", "tcp", "http"])
def test_closed_port_fails_at_once_by_name(protocol: str) -> None:
    async def run() -> None:
        async with Client() as client:
            with pytest.raises(ConnectionFailed) as failure:
                await client.ask(Endpoint(protocol, HOST, free_port()), ResolutionRequest(NAME))

        assert "对方拒绝连接" in failure.value.message

    asyncio.run(run())


def test_ask_any_goes_on_to_the_address_that_answers(node: RealNode) -> None:
    async def run() -> None:
        dead = Endpoint("udp", HOST, free_port())
        async with Client() as client:
            response = await client.ask_any([dead, node.tcp], ResolutionRequest(NAME))
            with pytest.raises(AllFailed) as failure:
                await client.ask_any([dead], ResolutionRequest(NAME))

        assert response.endpoint == node.tcp
        assert [error.code for error in failure.value.data["failures"]] == ["CLI-102"]

    asyncio.run(run())


def test_content_over_udp_is_refused() -> None:
    async def run() -> None:
        async with Client() as client:
            with pytest.raises(UnsupportedProtocol):
                await client.content(Endpoint("udp", HOST, 9), NAME)

    asyncio.run(run())


# -- servers with habits of their own ------------------------------------------------------------------------------


def answer(data: bytes, **changes: object) -> bytes:
    request = decode_request(data)
    return encode_message(make_response(request, ResolutionResponse(NAME, (URL, LONG)), expiration=2_000_000_000))


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self, react: Callable[[int, bytes], list[bytes]]) -> None:
        self.react = react
        self.sources: list[tuple[str, int]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.sources.append(addr)
        for packet in self.react(len(self.sources), data):
            self.transport.sendto(packet, addr)  # type: ignore[attr-defined]


@asynccontextmanager
async def udp_server(react: Callable[[int, bytes], list[bytes]]) -> AsyncIterator[tuple[Endpoint, Datagrams]]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(lambda: Datagrams(react), local_addr=(HOST, 0))
    try:
        yield Endpoint("udp", HOST, transport.get_extra_info("sockname")[1]), server
    finally:
        transport.close()


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def tcp_server(serve: Serve) -> AsyncIterator[tuple[Endpoint, list[int]]]:
    accepted: list[int] = []

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(1)
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(one, HOST, 0)
    async with server:
        yield Endpoint("tcp", HOST, server.sockets[0].getsockname()[1]), accepted


async def read_message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(20)
    return head + await reader.readexactly(int.from_bytes(head[16:20], "big"))


def test_udp_lost_request_is_repeated_from_a_new_socket() -> None:
    async def run() -> None:
        async with (
            udp_server(lambda number, data: [] if number == 1 else split(answer(data))) as (endpoint, server),
            Client() as client,
        ):
            response = await client.ask(endpoint, ResolutionRequest(NAME))

        assert response.values == (URL, LONG)
        assert len(set(server.sources)) == 2
        assert 450 <= response.elapsed_ms <= 950

    asyncio.run(run())


def test_udp_pieces_out_of_order_repeated_and_foreign_are_joined() -> None:
    def react(number: int, data: bytes) -> list[bytes]:
        pieces = split(answer(data))
        foreign = data[:8] + b"\xff\xff\xff\xff" + data[12:]
        assert len(pieces) > 3
        return [split(answer(foreign))[0], pieces[2], b"short", pieces[0], pieces[0], *pieces[3:], pieces[1]]

    async def run() -> None:
        async with udp_server(react) as (endpoint, _), Client() as client:
            response = await client.ask(endpoint, ResolutionRequest(NAME))

        assert response.values == (URL, LONG)

    asyncio.run(run())


def test_udp_silence_ends_with_no_reply_after_the_deadline() -> None:
    async def run() -> None:
        async with udp_server(lambda number, data: []) as (endpoint, _), Client() as client:
            with pytest.raises(NoReply):
                await client.ask(endpoint, ResolutionRequest(NAME), timeout_ms=300)

    asyncio.run(run())


def test_udp_reply_that_is_a_request_is_a_bad_reply() -> None:
    async def run() -> None:
        async with udp_server(lambda number, data: [data]) as (endpoint, _), Client() as client:
            with pytest.raises(BadReply):
                await client.ask(endpoint, ResolutionRequest(NAME))

    asyncio.run(run())


def test_tcp_server_that_closes_after_each_reply_is_lived_with() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(await read_message(reader)))
        await writer.drain()

    async def run() -> None:
        async with tcp_server(serve) as (endpoint, accepted), Client() as client:
            replies = [await client.ask(endpoint, ResolutionRequest(NAME)) for _ in range(3)]
            replies += await asyncio.gather(*(client.ask(endpoint, ResolutionRequest(NAME)) for _ in range(5)))

            assert [reply.values for reply in replies] == [(URL, LONG)] * 8
            assert len(accepted) >= 8

    asyncio.run(run())


def test_tcp_replies_in_any_order_reach_their_askers() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held = [await read_message(reader) for _ in range(3)]
        for message in reversed(held):
            body = decode_request(message).body
            assert isinstance(body, ResolutionRequest)
            reply = make_response(decode_request(message), ResolutionResponse(body.handle, (URL,)), expiration=2_000_000_000)
            writer.write(encode_message(reply))
        await writer.drain()
        await reader.read()

    async def run() -> None:
        async with tcp_server(serve) as (endpoint, accepted), Client() as client:
            warm = asyncio.create_task(client.ask(endpoint, ResolutionRequest("a/0")))
            await asyncio.sleep(0.05)
            rest = await asyncio.gather(*(client.ask(endpoint, ResolutionRequest(f"a/{n}")) for n in (1, 2)))

            assert [(await warm).handle, *(reply.handle for reply in rest)] == ["a/0", "a/1", "a/2"]
            assert len(accepted) == 1

    asyncio.run(run())


def test_tcp_message_cut_into_marked_pieces_is_joined() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in split(answer(await read_message(reader)), mark=True):
            writer.write(piece)
            await writer.drain()
        await reader.read()

    async def run() -> None:
        async with tcp_server(serve) as (endpoint, _), Client() as client:
            response = await client.ask(endpoint, ResolutionRequest(NAME))

        assert response.values == (URL, LONG)

    asyncio.run(run())


def test_tcp_garbage_is_a_bad_reply() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(b"\xff" * 64)
        await writer.drain()

    async def run() -> None:
        async with tcp_server(serve) as (endpoint, _), Client() as client:
            with pytest.raises(BadReply):
                await client.ask(endpoint, ResolutionRequest(NAME))

    asyncio.run(run())


def test_tcp_close_without_reply_is_connection_failed() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)

    async def run() -> None:
        async with tcp_server(serve) as (endpoint, _), Client() as client:
            with pytest.raises(ConnectionFailed):
                await client.ask(endpoint, ResolutionRequest(NAME))

    asyncio.run(run())


@pytest.mark.parametrize("honest", [True, False])
def test_certified_reply_is_accepted_only_from_the_sites_key(honest: bool) -> None:
    key, other = ed25519.Ed25519PrivateKey.generate(), ed25519.Ed25519PrivateKey.generate()

    def react(number: int, data: bytes) -> list[bytes]:
        return split(sign_message(answer(data), key if honest else other))

    async def run() -> None:
        public = encode_public_key(key.public_key())
        async with udp_server(react) as (endpoint, _), Client() as client:
            if honest:
                assert (await client.ask(endpoint, ResolutionRequest(NAME), public_key=public)).verified
            else:
                with pytest.raises(NotVerified):
                    await client.ask(endpoint, ResolutionRequest(NAME), public_key=public)

    asyncio.run(run())


def test_unsigned_reply_is_not_verified() -> None:
    async def run() -> None:
        public = encode_public_key(ed25519.Ed25519PrivateKey.generate().public_key())
        async with udp_server(lambda number, data: split(answer(data))) as (endpoint, _), Client() as client:
            with pytest.raises(NotVerified):
                await client.ask(endpoint, ResolutionRequest(NAME), public_key=public)

    asyncio.run(run())


def test_tcp_connection_nobody_uses_is_closed_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biaojie.client.aio.IDLE_S", 0.05)
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(await read_message(reader)))
        await reader.read()
        ended.set()

    async def run() -> None:
        async with tcp_server(serve) as (endpoint, _), Client() as client:
            await client.ask(endpoint, ResolutionRequest(NAME))
            await asyncio.wait_for(ended.wait(), 5)
            await asyncio.sleep(0)

            assert client._connections == {}

    asyncio.run(run())


def test_close_gives_up_a_connection_being_made(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        client = Client()
        never = asyncio.Event()
        monkeypatch.setattr(client, "_connect", lambda endpoint: never.wait())
        asking = asyncio.create_task(client.ask(Endpoint("tcp", HOST, 9), ResolutionRequest(NAME)))
        await asyncio.sleep(0.01)
        await client.close()

        with pytest.raises(ConnectionFailed):
            await asking

    asyncio.run(run())


def test_http_node_leaves_no_cookies() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b'{"responseCode":100}'
        writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()

    async def run() -> None:
        async with tcp_server(serve) as (endpoint, _), Client() as client:
            await client.content(Endpoint("http", HOST, endpoint.port), NAME)

            assert list(client._http_client().cookies.jar) == []

    asyncio.run(run())
