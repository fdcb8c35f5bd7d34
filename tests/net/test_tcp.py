from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from node_under_test import HUGE, OWNER, Node, question, read

from biaojie.handle.bodies import ResolutionRequest
from biaojie.handle.codes import FLAG_KC, RESOLUTION_FLAGS
from biaojie.handle.datagrams import split
from biaojie.net.lookup import Lookup
from biaojie.net.ratelimit import RateLimiter
from biaojie.net.responder import Responder
from biaojie.net.tcp import TcpServer, bind_tcp
from biaojie.resolution.counters import Counters, read_spool
from biaojie.resolution.index import Index

KEEP = RESOLUTION_FLAGS | FLAG_KC


def connect(node: Node, which: int = 0) -> socket.socket:
    return socket.create_connection(node.tcp[which], timeout=5)


def read_reply(sock: socket.socket) -> bytes:
    """One whole message from a stream; b"" at its end."""
    octets, wanted = b"", 20
    while len(octets) < wanted:
        part = sock.recv(wanted - len(octets))
        if not part:
            return octets
        octets += part
        if len(octets) == 20:
            wanted += int.from_bytes(octets[16:20], "big")
    return octets


def rest(sock: socket.socket) -> bytes:
    """Everything until the peer closes."""
    octets = b""
    while part := sock.recv(65_536):
        octets += part
    return octets


@pytest.mark.parametrize("which", [0, 1])
def test_tcp_question_without_kc_is_answered_and_the_connection_closed(node: Node, which: int) -> None:
    with connect(node, which) as sock:
        sock.sendall(question("88.100.1/item-42", request_id=5) + question("88.100.1/none"))

        octets = rest(sock)

    reply = read(octets)
    assert (reply.request_id, reply.response_code, len(reply.body.values)) == (5, 1, 2)


def test_tcp_questions_with_kc_are_answered_on_one_connection_until_one_without(node: Node) -> None:
    with connect(node) as sock:
        replies = []
        for number, handle in enumerate(["88.100.1/item-42", "88.100.1/none", "88.100.1/long"]):
            sock.sendall(question(handle, request_id=number, flags=KEEP))
            replies.append(read(read_reply(sock)))
        sock.sendall(question("88.100.1/item-42", request_id=9))
        replies.append(read(rest(sock)))

    assert [(reply.request_id, reply.response_code) for reply in replies] == [(0, 1), (1, 100), (2, 1), (9, 1)]
    assert not replies[0].has_flag(FLAG_KC)


def test_tcp_many_questions_in_one_write_are_answered_in_order(node: Node) -> None:
    with connect(node) as sock:
        sock.sendall(b"".join(question("88.100.1/item-42", request_id=number, flags=KEEP) for number in range(2000)))

        numbers = [int.from_bytes(read_reply(sock)[8:12], "big") for _ in range(2000)]

    assert numbers == list(range(2000))


def test_tcp_question_octet_by_octet_is_answered(node: Node) -> None:
    with connect(node) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in question("88.100.1/item-42"):
            sock.sendall(bytes([octet]))

        reply = read(rest(sock))

    assert reply.response_code == 1


def test_tcp_message_in_marked_pieces_is_joined_between_other_messages(node: Node) -> None:
    types = tuple(f"TYPE-{number:04d}" for number in range(120))
    pieces = split(question("", body=ResolutionRequest("88.100.1/item-42", types=(*types, "DESC")), request_id=7, flags=KEEP))
    other = question("88.100.1/none", request_id=8, flags=KEEP)
    with connect(node) as sock:
        sock.sendall(pieces[0] + other + b"".join(pieces[1:]))

        replies = [read(read_reply(sock)) for _ in range(2)]

    assert [reply.request_id for reply in replies] == [8, 7]
    assert [value.type for value in replies[1].body.values] == ["DESC"]


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n", 2),
        (question("88.100.1/a")[:16] + b"\x7f\xff\xff\xff" + b"x" * 100, 2),
        (question("88.100.1/a")[:16] + (10).to_bytes(4, "big") + b"x" * 10, 4),
        (bytes(44), 4),
        (b"\x02\x0b\x22\x0b" + bytes(4) + b"abcd" + b"\0\0\xff\xff" + (1000).to_bytes(4, "big") + bytes(600), 4),
    ],
    ids=["http", "too-long", "short-message", "zeros", "piece-beyond-the-end"],
)
def test_tcp_garbage_gets_an_error_that_repeats_the_id_and_the_end(node: Node, octets: bytes, code: int) -> None:
    with connect(node) as sock:
        sock.sendall(octets)
        sock.shutdown(socket.SHUT_WR)

        answer = rest(sock)

    assert read(answer).response_code == code
    assert answer[8:12] == octets[8:12]


def test_tcp_long_reply_comes_whole(node: Node) -> None:
    with connect(node) as sock:
        sock.sendall(question("88.100.1/huge"))

        reply = read(rest(sock))

    assert reply.body.values == (HUGE,)


def test_tcp_half_closed_peer_still_gets_its_answers(node: Node) -> None:
    with connect(node) as sock:
        sock.sendall(b"".join(question("88.100.1/huge", request_id=number, flags=KEEP) for number in range(30)))
        sock.shutdown(socket.SHUT_WR)
        time.sleep(0.2)

        octets = rest(sock)

    assert len(octets) > 30 * len(HUGE.data)


@asynccontextmanager
async def serving(
    folder: Path, limiter: RateLimiter | None = None, **limits: float
) -> AsyncIterator[tuple[TcpServer, tuple[str, int]]]:
    """A TCP server in this process with limits of one's own."""
    with Index.open(folder / "index") as index:
        responder = Responder(index, None, transport="tcp", limiter=limiter)
        server = TcpServer(responder, **limits)
        sock = bind_tcp("127.0.0.1", 0)
        await server.start([sock])
        try:
            yield server, sock.getsockname()
        finally:
            await server.stop(grace_s=0.2)
            responder.close()


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(10):
            await test()

    asyncio.run(bounded())


async def closed_after(reader: asyncio.StreamReader) -> float:
    """Seconds until the peer ends the connection."""
    began_s = time.monotonic()
    with suppress(ConnectionError):
        await reader.read()
    return time.monotonic() - began_s


def test_tcp_idle_peer_is_cut_off_and_an_active_one_is_not(published: Path) -> None:
    async def test() -> None:
        async with serving(published, idle_s=0.4, message_s=0.2) as (server, address):
            reader, writer = await asyncio.open_connection(*address)
            for number in range(4):
                await asyncio.sleep(0.25)
                writer.write(question("88.100.1/item-42", request_id=number, flags=KEEP))
                head = await reader.readexactly(20)
                await reader.readexactly(int.from_bytes(head[16:20], "big"))

            waited_s = await closed_after(reader)

            assert 0.3 < waited_s < 1.5
            assert server.cut_off == 1
            writer.close()

    run(test)


def test_tcp_unfinished_message_is_cut_off_however_slowly_it_drips(published: Path) -> None:
    async def test() -> None:
        async with serving(published, idle_s=60, message_s=0.4) as (server, address):
            reader, writer = await asyncio.open_connection(*address)
            ended = asyncio.create_task(closed_after(reader))
            for octet in question("88.100.1/item-42"):
                if ended.done():
                    break
                writer.write(bytes([octet]))
                await asyncio.sleep(0.05)

            waited_s = await ended

            assert 0.3 < waited_s < 1.5
            assert server.cut_off == 1
            writer.close()

    run(test)


def test_tcp_peer_that_does_not_read_is_not_read_either_and_cut_off(published: Path) -> None:
    async def test() -> None:
        async with serving(published, idle_s=60, message_s=0.5) as (server, address):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, address)
            questions = b"".join(question("88.100.1/huge", request_id=number, flags=KEEP) for number in range(2000))
            sender = asyncio.create_task(loop.sock_sendall(sock, questions * 50))
            most = 0
            while not server.cut_off:
                for connection in server.connections:
                    most = max(most, connection._transport.get_write_buffer_size() + len(connection._buffer))
                await asyncio.sleep(0.02)
            with suppress(ConnectionError):
                await sender

            assert 1 << 20 < most < 4 << 20
            assert server.cut_off == 1
            sock.close()

    run(test)


def test_tcp_connections_beyond_the_limit_are_refused(published: Path) -> None:
    async def test() -> None:
        async with serving(published, connections_max=3) as (server, address):
            peers = [await asyncio.open_connection(*address) for _ in range(5)]
            await asyncio.sleep(0.1)

            counts = len(server.connections), server.shares.refused, server.shares.over_share

            assert counts == (3, 2, 0)
            for _, writer in peers:
                writer.close()

    run(test)


def test_tcp_source_beyond_its_share_is_closed_and_another_source_still_answered(published: Path) -> None:
    async def test() -> None:
        async with serving(published, connections_max=80) as (server, address):
            held = [await asyncio.open_connection(*address) for _ in range(70)]
            await asyncio.sleep(0.1)
            reader, writer = await asyncio.open_connection(*address, local_addr=("127.0.0.2", 0))
            writer.write(question("88.100.1/item-42", request_id=7))

            reply = read(await reader.read())

            assert (reply.request_id, reply.response_code) == (7, 1)
            assert (server.shares.refused, server.shares.over_share) == (6, 6)
            for _, open_writer in (*held, (reader, writer)):
                open_writer.close()
            await asyncio.sleep(0.1)
            assert (server.shares.total, len(server.shares)) == (0, 0)

    run(test)


def test_tcp_source_beyond_its_rate_is_told_so(published: Path) -> None:
    async def test() -> None:
        async with serving(published, RateLimiter(1)) as (_, address):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"".join(question("88.100.1/item-42", request_id=number, flags=KEEP) for number in range(4)))
            codes = []
            for _ in range(4):
                head = await reader.readexactly(20)
                codes.append((await reader.readexactly(struct.unpack("!I", head[16:])[0]))[7])

            assert codes == [1, 1, 3, 3]
            writer.close()

    run(test)


def test_tcp_stop_ends_open_connections(published: Path) -> None:
    async def test() -> None:
        async with serving(published) as (_, address):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(question("88.100.1/item-42", flags=KEEP))
            await reader.readexactly(20)

        assert await closed_after(reader) < 1
        writer.close()

    run(test)


def test_tcp_and_http_questions_are_counted_by_owner_and_source(published: Path, tmp_path: Path) -> None:
    with Index.open(published / "index") as index:
        counters = Counters(process="test")
        responder = Responder(index, counters, transport="tcp")
        host = bytes([192, 0, 2, 9])
        for handle in ("88.100.1/item-42", "88.100.1/ITEM-42", "88.100.1/none", "88.100.1/probe", "99.1/x"):
            responder.renew(time.time())
            responder.serve(question(handle), host)
            responder.release()
        Lookup(responder).identifier("88.100.1/item-42", indexes=[1], types=[], public_only=True, host=host)
        responder.close()

    spool = read_spool(counters.flush(tmp_path, time.time()))

    ours = spool.owners[OWNER]
    assert (ours.requests, ours.answered, ours.sources, ours.latency.count) == (4, 3, {"192.0.2.9": 4}, 4)
    assert spool.own[OWNER].requests == 1
    assert spool.owners[""].requests == 1
