from __future__ import annotations

import pytest
import vectors
from hypothesis import given
from hypothesis import strategies as st

from biaojie.handle.datagrams import split
from biaojie.handle.errors import InconsistentPackets, LimitExceeded
from biaojie.handle.streams import FrameReader


@given(step=st.integers(1, 200))
def test_messages_fed_in_any_steps_come_out_whole_and_in_order(step: int) -> None:
    messages = [vectors.RESOLVE_REQUEST, vectors.RESOLVE_RESPONSE, vectors.response_of(1500)]
    stream = b"".join(messages)
    reader = FrameReader()

    found = [whole for start in range(0, len(stream), step) for whole in reader.feed(stream[start : start + step])]

    assert found == messages
    assert reader.buffered == 0


def test_message_cut_into_marked_pieces_comes_out_joined() -> None:
    message = vectors.request_of(1500)

    found = FrameReader().feed(b"".join(split(message)) + vectors.RESOLVE_REQUEST)

    assert found == [message, vectors.RESOLVE_REQUEST]


def test_length_over_the_limit_is_refused_at_once() -> None:
    with pytest.raises(LimitExceeded):
        FrameReader().feed(vectors.RESOLVE_REQUEST[:16] + b"\x7f\xff\xff\xff")


def test_piece_beyond_the_end_is_refused() -> None:
    head = bytearray(split(vectors.request_of(600))[0][:20])
    head[12:16] = (9).to_bytes(4, "big")

    with pytest.raises(InconsistentPackets):
        FrameReader().feed(bytes(head))
