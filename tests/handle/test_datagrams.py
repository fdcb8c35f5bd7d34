from __future__ import annotations

import random

import pytest
import vectors
from hypothesis import given
from hypothesis import strategies as st
from vectors import request_of, response_of

from biaojie.handle.datagrams import PIECE_SIZE, Reassembler, split
from biaojie.handle.errors import EncodeError, InconsistentPackets, LimitExceeded, Truncated

PEER = ("192.0.2.7", 40_000)


def test_answer_of_1635_octets_goes_in_the_observed_pieces() -> None:
    packets = split(response_of(0x663))

    assert [len(packet) for packet in packets] == [512, 512, 512, 179]
    assert [packet[:20].hex() for packet in packets] == [
        f"020b020b00000000010203040000000{number}00000663" for number in range(4)
    ]


def test_pieces_of_a_request_are_marked_truncated() -> None:
    assert [packet[2] for packet in split(request_of(600))] == [0x22, 0x22]


def test_mark_can_be_chosen() -> None:
    assert [packet[2] for packet in split(response_of(600), mark=True)] == [0x22, 0x22]


@pytest.mark.parametrize(("length", "count"), [(200, 1), (491, 1), (492, 1), (493, 2), (984, 2), (985, 3)])
def test_number_of_pieces_follows_the_length(length: int, count: int) -> None:
    packets = split(response_of(length))

    assert len(packets) == count
    assert max(map(len, packets)) <= 512


def test_message_over_the_limit_is_not_split() -> None:
    message = vectors.RESOLVE_REQUEST[:20] + bytes(262_145)

    with pytest.raises(EncodeError):
        split(message)


@given(length=st.integers(100, 3000), seed=st.integers(0, 1000), request=st.booleans())
def test_pieces_in_any_order_with_repeats_join_to_the_message(length: int, seed: int, request: bool) -> None:
    message = request_of(length) if request else response_of(length)
    packets = split(message)
    rng = random.Random(seed)
    order = packets + rng.choices(packets, k=2)
    rng.shuffle(order)
    joiner = Reassembler()

    joined = [whole for packet in order if (whole := joiner.add(PEER, packet, 1.0)) is not None]

    assert joined[0] == message
    assert joiner.held_bytes < 2 * len(message)


def test_missing_piece_gives_nothing_and_is_forgotten_after_five_seconds() -> None:
    packets = split(response_of(1400))
    joiner = Reassembler()

    assert [joiner.add(PEER, packet, 10.0) for packet in packets[:-1]] == [None, None]
    assert joiner.expire(14.9) == 0
    assert joiner.expire(15.0) == 1
    assert (len(joiner), joiner.held_bytes) == (0, 0)
    assert joiner.add(PEER, packets[-1], 15.1) is None


def test_pieces_of_two_peers_do_not_mix() -> None:
    packets = split(response_of(600))
    joiner = Reassembler()

    assert joiner.add(PEER, packets[0], 0.0) is None
    assert joiner.add(("192.0.2.8", 1), packets[1], 0.0) is None
    assert joiner.add(PEER, packets[1], 0.0) == response_of(600)


def test_another_length_under_the_same_id_starts_afresh() -> None:
    joiner = Reassembler()
    joiner.add(PEER, split(response_of(600))[0], 0.0)
    packets = split(response_of(700))

    assert joiner.add(PEER, packets[1], 0.0) is None
    assert joiner.add(PEER, packets[0], 0.0) == response_of(700)


def test_piece_beyond_the_end_is_refused() -> None:
    packet = bytearray(split(response_of(600))[1])
    packet[12:16] = (2).to_bytes(4, "big")

    with pytest.raises(InconsistentPackets) as caught:
        Reassembler().add(PEER, bytes(packet), 0.0)

    assert caught.value.code == "HDL-109"


def test_piece_shorter_than_its_place_is_refused() -> None:
    with pytest.raises(Truncated):
        Reassembler().add(PEER, split(response_of(600))[0][:-1], 0.0)


def test_promised_length_over_the_limit_is_refused() -> None:
    packet = split(response_of(600))[0]

    with pytest.raises(LimitExceeded):
        Reassembler().add(PEER, packet[:16] + (1 << 30).to_bytes(4, "big") + packet[20:], 0.0)


def test_octets_beyond_the_piece_are_ignored() -> None:
    packets = split(response_of(600))
    joiner = Reassembler()
    joiner.add(PEER, packets[0] + b"junk", 0.0)

    assert joiner.add(PEER, packets[1] + b"junk", 0.0) == response_of(600)


def test_memory_stays_bounded_under_a_flood_of_first_pieces() -> None:
    packet = split(response_of(600))[0]
    joiner = Reassembler(max_bytes=10 * PIECE_SIZE)

    for number in range(1000):
        joiner.add(number, packet[:8] + number.to_bytes(4, "big") + packet[12:], 0.0)

    assert joiner.held_bytes <= 10 * PIECE_SIZE
    assert len(joiner) <= 10


def test_memory_stays_bounded_under_a_flood_of_last_pieces_of_one_octet() -> None:
    last = split(response_of(PIECE_SIZE + 1))[1]
    joiner = Reassembler(max_messages=10)

    for number in range(1000):
        joiner.add(number, last, 0.0)

    assert (len(last), len(joiner), joiner.held_bytes) == (21, 10, 10)


def test_one_peer_cannot_push_out_another() -> None:
    packets = split(response_of(600))
    joiner = Reassembler(per_peer=4)
    joiner.add(PEER, packets[0], 0.0)

    for number in range(100):
        joiner.add("flood", packets[0][:8] + number.to_bytes(4, "big") + packets[0][12:], 0.0)

    assert len(joiner) == 5
    assert joiner.add(PEER, packets[1], 0.0) == response_of(600)
