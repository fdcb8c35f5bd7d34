from __future__ import annotations

import socket

import pytest

from biaojie.net.mmsg import SLOT, SLOTS, available, bind_udp, open_batch, packed

FORMS = [pytest.param(True, marks=pytest.mark.skipif(not available(), reason="no recvmmsg here")), False]
HOSTS = ["127.0.0.1", "::1"]


def peer_of(sock: socket.socket) -> socket.socket:
    """A client socket connected to a bound one."""
    client = socket.socket(sock.family, socket.SOCK_DGRAM)
    client.settimeout(2)
    client.connect(sock.getsockname())
    return client


@pytest.mark.parametrize("batched", FORMS)
@pytest.mark.parametrize("host", HOSTS)
def test_batch_echo_of_many_datagrams_returns_each_to_its_peer(host: str, batched: bool) -> None:
    with bind_udp(host, 0, timeout_s=2) as sock, peer_of(sock) as first, peer_of(sock) as second:
        batch = open_batch(sock, batched=batched)
        for number in range(100):
            (first, second)[number % 2].send(b"request %d" % number)
        seen = 0
        while seen < 100:
            count = batch.receive()
            for slot, size in enumerate(batch.sizes(count)):
                reply = b"re " + batch.inbox[slot * SLOT : slot * SLOT + size]
                batch.outbox[slot * SLOT : slot * SLOT + len(reply)] = reply
                batch.out_sizes[2 * slot + 1] = len(reply)
            assert [packed(token) for token in batch.hosts(count)] == [socket.inet_pton(sock.family, host)] * count
            assert batch.send(0, count) == count
            seen += count

        got = [sorted(client.recv(100) for _ in range(50)) for client in (first, second)]

    assert got == [sorted(b"re request %d" % number for number in range(start, 100, 2)) for start in (0, 1)]


@pytest.mark.parametrize("batched", FORMS)
def test_receive_nothing_until_the_timeout_gives_zero(batched: bool) -> None:
    with bind_udp("127.0.0.1", 0, timeout_s=0.05) as sock:
        count = open_batch(sock, batched=batched).receive()

    assert count == 0


@pytest.mark.skipif(not available(), reason="no recvmmsg here")
def test_send_unreachable_peer_costs_only_its_own_reply() -> None:
    with bind_udp("127.0.0.1", 0, timeout_s=2) as sock, peer_of(sock) as client:
        batch = open_batch(sock, batched=True)
        for _ in range(3):
            client.send(b"x")
        count = 0
        while count < 3:
            count = batch.receive() if count == 0 else count
        for slot in range(count):
            batch.out_sizes[2 * slot + 1] = 5
        batch.out_sizes[3] = 100_000  # longer than a datagram can be: the kernel refuses it

        sent = batch.send(0, count)

    assert sent == count - 1


@pytest.mark.parametrize("batched", FORMS)
@pytest.mark.parametrize("host", HOSTS)
def test_send_piece_outside_the_arrays_reaches_the_peer(host: str, batched: bool) -> None:
    with bind_udp(host, 0, timeout_s=2) as sock, peer_of(sock) as client:
        batch = open_batch(sock, batched=batched)
        client.send(b"x")
        batch.receive()

        ok = batch.send_piece(0, b"piece")

        assert ok
        assert client.recv(100) == b"piece"


def test_bind_udp_taken_port_without_sharing_is_refused() -> None:
    with bind_udp("127.0.0.1", 0, timeout_s=1, reuse_port=False) as sock, pytest.raises(OSError, match="in use"):
        bind_udp("127.0.0.1", sock.getsockname()[1], timeout_s=1, reuse_port=False)


def test_slots_hold_more_than_a_protocol_packet() -> None:
    assert SLOTS == 64
    assert SLOT >= 2048
