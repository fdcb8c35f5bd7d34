from __future__ import annotations

import re
import socket
import time
import urllib.request
from functools import reduce
from operator import or_
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from node_under_test import HUGE, LONG, OWNER, Node, all_entries, ask_udp, handle_row, question, read

from biaojie.handle.bodies import GetSiteInfoRequest, ResolutionRequest, ResolutionResponse
from biaojie.handle.codes import FLAG_AT, FLAG_CA, FLAG_DNRF, FLAG_KC, FLAG_PO, FLAG_RD, FLAG_REC, RESOLUTION_FLAGS
from biaojie.handle.datagrams import PACKET_SIZE, Reassembler, split
from biaojie.net.mmsg import available, bind_udp
from biaojie.net.policy import UDP_REPLY_PIECES_MAX
from biaojie.net.ratelimit import RateLimiter
from biaojie.net.responder import Responder
from biaojie.net.udp import UdpServer
from biaojie.resolution.counters import Counters, read_spool
from biaojie.resolution.entries import HANDLE, removal
from biaojie.resolution.index import Index
from biaojie.resolution.publication import PublicationWriter

SPELLINGS = [
    "88.100.1/item-42",
    "88.100.1/ITEM-42",
    "88.100.1/partly",
    "88.100.1/hidden",
    "88.100.1/long",
    "88.100.1/probe",
    "88.100.1/中文 a%2Fb",
    "88.100.1/none",
    "88.100.9/elsewhere",
    "99.1/strange",
    "88.100.1",
    "0.NA/88.100.1.5",
]
ANY_FLAGS = [FLAG_PO, FLAG_REC, FLAG_CA, FLAG_KC, FLAG_AT, FLAG_DNRF, FLAG_RD, 0x2000_0000, 0x4000_0000, 4]


def masked(reply: bytes) -> bytes:
    """A reply without what differs between two askings: request id and expiration."""
    return reply[:8] + reply[12:36] + reply[40:]


@pytest.mark.parametrize("which", [0, 1])
def test_udp_known_handle_over_both_families_answers_with_all_public_values(node: Node, which: int) -> None:
    reply = read(ask_udp(node.udp[which], question("88.100.1/item-42", request_id=0xABCD)))

    assert reply.request_id == 0xABCD
    assert isinstance(reply.body, ResolutionResponse)
    assert reply.body.handle == "88.100.1/item-42"
    assert [(value.index, value.type) for value in reply.body.values] == [(1, "URL"), (2, "DESC")]
    assert reply.header.site_serial == 7


@pytest.mark.parametrize(
    ("handle", "code"),
    [("88.100.1/none", 100), ("88.100.1/hidden", 200), ("99.1/x", 301), ("88.100.9/x", 302), ("88.100.1/partly", 1)],
)
def test_udp_other_questions_get_their_code(node: Node, handle: str, code: int) -> None:
    reply = read(ask_udp(node.udp[0], question(handle)))

    assert reply.response_code == code


def test_udp_site_request_gives_the_published_record(node: Node) -> None:
    reply = read(ask_udp(node.udp[0], question("", body=GetSiteInfoRequest("/"))))

    assert reply.body.site.description == "样例节点"


def test_udp_long_reply_comes_in_pieces_of_512_with_the_total_length(node: Node) -> None:
    host, port = node.udp[0]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(3)
        sock.sendto(question("88.100.1/long", request_id=0x01020304), (host, port))
        pieces = [sock.recv(2048)]
        total = int.from_bytes(pieces[0][16:20], "big")
        while sum(len(piece) - 20 for piece in pieces) < total:
            pieces.append(sock.recv(2048))

    joiner = Reassembler()
    whole = [message for piece in pieces if (message := joiner.add("peer", piece, 0.0)) is not None]

    assert [len(piece) for piece in pieces[:-1]] == [PACKET_SIZE] * (len(pieces) - 1)
    assert [int.from_bytes(piece[12:16], "big") for piece in pieces] == list(range(len(pieces)))
    assert {piece[:12].hex() for piece in pieces} == {"020b020b0000000001020304"}
    assert {int.from_bytes(piece[16:20], "big") for piece in pieces} == {total}
    assert read(whole[0]).body.values == (LONG,)


def test_udp_reply_beyond_the_packet_limit_is_silence(node: Node) -> None:
    with pytest.raises(TimeoutError):
        ask_udp(node.udp[0], question("88.100.1/huge"), timeout_s=0.5)


def test_udp_reply_beyond_the_packet_limit_is_counted_and_served_over_tcp(node: Node) -> None:
    before = too_long(node)
    with pytest.raises(TimeoutError):
        ask_udp(node.udp[0], question("88.100.1/huge"), timeout_s=0.3)
    with socket.create_connection(node.tcp[0], timeout=5) as sock:
        sock.sendall(question("88.100.1/huge"))
        octets = b""
        while part := sock.recv(65_536):
            octets += part

    reply = read(octets)

    assert (reply.response_code, reply.body.values) == (1, (HUGE,))
    assert len(split(octets)) > UDP_REPLY_PIECES_MAX.value
    assert too_long(node) == before + 1


def too_long(node: Node) -> int:
    """The counter as `/metrics` shows it."""
    text = urllib.request.urlopen(f"{node.http[0]}/metrics", timeout=5).read().decode()
    found = re.search(r'^biaojie_udp_total\{[^}]*what="too_long"[^}]*\} (\d+)$', text, re.M)
    assert found is not None
    return int(found[1])


def test_udp_long_reply_asked_for_again_comes_in_the_same_pieces(node: Node) -> None:
    host, port = node.udp[0]
    asked = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(3)
        for _ in range(3):
            sock.sendto(question("88.100.1/long"), (host, port))
            joiner, sizes = Reassembler(), []
            while True:
                piece = sock.recv(65_536)
                sizes.append(len(piece))
                if joiner.add("peer", piece, 0.0) is not None:
                    break
            asked.append(sizes)

    assert max(asked[0]) == PACKET_SIZE
    assert asked[0] == asked[1] == asked[2]


@pytest.mark.parametrize("order", [1, -1])
def test_udp_request_in_pieces_in_any_order_is_joined(node: Node, order: int) -> None:
    body = ResolutionRequest("88.100.1/item-42", types=(*tuple(f"TYPE-{number:04d}" for number in range(120)), "URL"))
    pieces = split(question("", body=body))

    reply = read(ask_udp(node.udp[0], *pieces[::order]))

    assert len(pieces) > 2
    assert [value.type for value in reply.body.values] == ["URL"]


def test_udp_garbage_gets_protocol_errors_or_silence_and_the_next_question_an_answer(node: Node) -> None:
    good = question("88.100.1/item-42", request_id=99)
    garbage = [
        b"",
        b"\0",
        b"\xff" * 19,
        b"\xff" * 20,
        b"\0" * 600,
        good[:30],
        good[:-1],
        good[:16] + b"\xff" * 4 + good[20:],
        b"x" * 3000,
    ]
    host, port = node.udp[0]

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(3)
        for packet in garbage:
            sock.sendto(packet, (host, port))
        sock.sendto(good, (host, port))
        codes = []
        while True:
            reply = read(sock.recv(2048))
            if reply.response_code == 1:
                break
            codes.append(reply.response_code)

    assert reply.request_id == 99
    assert set(codes) <= {2, 4}
    assert len(codes) >= 4


def test_udp_answer_sent_as_a_question_is_silence(node: Node) -> None:
    reply = ask_udp(node.udp[0], question("88.100.1/none"))

    with pytest.raises(TimeoutError):
        ask_udp(node.udp[0], reply, timeout_s=0.4)


@given(
    handle=st.sampled_from(SPELLINGS),
    flags=st.one_of(
        st.sampled_from([RESOLUTION_FLAGS, FLAG_PO, FLAG_PO | FLAG_KC]),
        st.lists(st.sampled_from(ANY_FLAGS), max_size=5).map(lambda flags: reduce(or_, flags, 0)),
    ),
    version=st.sampled_from([(2, 11), (2, 10), (2, 1), (3, 0)]),
    serial=st.sampled_from([0xFFFF, 7, 0]),
    indexes=st.sampled_from([(), (), (), (1,), (9,)]),
    types=st.sampled_from([(), (), (), ("URL",), ("url.",)]),
)
@settings(max_examples=150, deadline=None)
def test_udp_three_ways_to_answer_agree_octet_for_octet(
    ways: tuple[tuple[str, int], tuple[str, int]],
    handle: str,
    flags: int,
    version: tuple[int, int],
    serial: int,
    indexes: tuple[int, ...],
    types: tuple[str, ...],
) -> None:
    quick, full = ways
    request = question(
        "", body=ResolutionRequest(handle, indexes, types), flags=flags, version=version, site_serial=serial, expiration=5
    )
    again = request[:8] + b"\xfe\xdc\xba\x98" + request[12:]

    first, kept, slow = ask_udp(quick, request), ask_udp(quick, again), ask_udp(full, request)

    assert masked(first) == masked(slow)
    assert masked(kept) == masked(slow)


@pytest.fixture(scope="module")
def ways(published: Path) -> object:
    """Two loops over one index: one with every shortcut, one that takes the full path only."""
    with Index.open(published / "index") as index:
        servers = []
        for fast in (True, False):
            sock = bind_udp("127.0.0.1", 0, timeout_s=0.1)
            responder = Responder(index, None, transport="udp", fast=fast)
            server = UdpServer(sock, responder, answers_max=1000 if fast else 0)
            server.start()
            servers.append((server, sock.getsockname()))
        yield servers[0][1], servers[1][1]
        assert servers[0][0].tallies.kept > 0
        assert servers[1][0].tallies.kept == 0
        for server, _ in servers:
            server.stop()
            assert server.join()


@pytest.fixture
def index(tmp_path: Path) -> object:
    with Index.open(tmp_path / "index") as opened:
        opened.rebuild(all_entries(), session="s", serial=1)
        yield opened


@pytest.mark.parametrize("batched", [pytest.param(True, marks=pytest.mark.skipif(not available(), reason="no recvmmsg")), False])
def test_udp_changed_and_removed_handle_is_not_answered_from_what_was_kept(index: Index, batched: bool) -> None:
    sock = bind_udp("127.0.0.1", 0, timeout_s=0.1)
    server = UdpServer(sock, Responder(index, None, transport="udp"), batched=batched)
    server.start()
    address = sock.getsockname()
    request = question("88.100.1/item-42")

    before = [read(ask_udp(address, request)).body.values for _ in range(3)]
    index.apply([handle_row("88.100.1/item-42", LONG, version=2)], session="s", serial=2)
    index.apply([handle_row("88.100.1/new", LONG, version=2)], session="s", serial=3)
    changed = ask_udp(address, request)
    index.apply([removal(HANDLE, b"\x0188.100.1/ITEM-42", 3)], session="s", serial=4)
    removed = read(ask_udp(address, request))
    server.stop()
    server.join()

    assert len({repr(values) for values in before}) == 1
    assert int.from_bytes(changed[16:20], "big") > 4000
    assert removed.response_code == 100


def test_udp_every_answered_request_is_counted_once(index: Index, tmp_path: Path) -> None:
    counters = Counters(process="test")
    sock = bind_udp("127.0.0.1", 0, timeout_s=0.1)
    server = UdpServer(sock, Responder(index, counters, transport="udp"))
    server.start()
    address = sock.getsockname()
    for _ in range(40):
        ask_udp(address, question("88.100.1/item-42"))
    for handle in ("88.100.1/none", "88.100.1/none", "88.100.1/probe", "88.100.1/probe", "88.100.1/partly", "99.1/x"):
        ask_udp(address, question(handle))
    ask_udp(address, question("", body=GetSiteInfoRequest("/")))
    ask_udp(address, b"\0" * 24)
    server.stop()
    server.join()

    spool = read_spool(counters.flush(tmp_path / "spool", time.time()))

    ours = spool.owners[OWNER]
    assert (ours.requests, ours.answered, ours.sources) == (43, 41, {"127.0.0.1": 43})
    assert sum(ours.seconds.values()) == 43
    assert ours.latency.count == 43
    assert 0 < ours.latency.min_us <= ours.latency.average_us <= ours.latency.max_us
    assert (spool.own[OWNER].requests, spool.own[OWNER].answered) == (2, 2)
    assert spool.owners[""].requests == 1


def test_udp_source_beyond_its_rate_gets_silence(index: Index) -> None:
    sock = bind_udp("127.0.0.1", 0, timeout_s=0.1)
    server = UdpServer(sock, Responder(index, None, transport="udp"), limiter=RateLimiter(1))
    server.start()
    address = sock.getsockname()

    for _ in range(2):
        ask_udp(address, question("88.100.1/item-42"))
    with pytest.raises(TimeoutError):
        ask_udp(address, question("88.100.1/item-42"), timeout_s=0.3)
    server.stop()
    server.join()

    assert server.tallies.dropped == 1


def test_udp_flood_of_pieces_is_held_in_bounded_memory(node: Node) -> None:
    body = ResolutionRequest("88.100.1/item-42", types=tuple(f"TYPE-{number:04d}" for number in range(120)))
    first = split(question("", body=body))[0]
    host, port = node.udp[0]

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for number in range(3000):
            sock.sendto(first[:8] + number.to_bytes(4, "big") + first[12:], (host, port))
    reply = read(ask_udp(node.udp[0], question("88.100.1/item-42")))

    assert reply.response_code == 1


def test_publication_of_the_node_is_what_the_entries_say(published: Path) -> None:
    manifest = PublicationWriter(published / "publication", node="second").manifest()

    assert manifest is not None
    assert manifest.snapshot.entries == len(all_entries())
