from __future__ import annotations

import pytest
import vectors
from hypothesis import given
from hypothesis import strategies as st

from biaojie.handle.envelope import ENVELOPE, Envelope, decode_envelope, is_at_least, negotiate_version
from biaojie.handle.errors import LimitExceeded
from biaojie.handle.layout import Reader


def test_envelope_of_the_observed_request_has_its_fields() -> None:
    envelope = decode_envelope(Reader(vectors.RESOLVE_REQUEST))

    assert envelope == Envelope(2, 11, False, False, False, 2, 11, 0, 0x01020304, 0, 61)


def test_flags_and_suggested_major_share_an_octet() -> None:
    octets = ENVELOPE.pack(Envelope(compressed=True, encrypted=False, truncated=True, suggested_major=3))

    assert octets[2] == 0x80 | 0x20 | 3


@given(
    numbers=st.tuples(vectors.u8, vectors.u8, st.booleans(), st.booleans(), st.booleans(), st.integers(0, 31), vectors.u8),
    ids=st.tuples(vectors.u32, vectors.u32, vectors.u32, st.integers(0, 262_144)),
)
def test_envelope_packed_and_decoded_is_equal(numbers, ids) -> None:
    envelope = Envelope(*numbers, *ids)

    assert decode_envelope(Reader(ENVELOPE.pack(envelope))) == envelope


def test_message_length_over_the_limit_is_refused() -> None:
    with pytest.raises(LimitExceeded) as caught:
        decode_envelope(Reader(ENVELOPE.pack(Envelope(message_length=262_145))))

    assert caught.value.pointer == "16"


@pytest.mark.parametrize(
    ("version", "suggested", "answer"),
    [
        ((2, 1), (0, 0), (2, 1)),
        ((2, 1), (2, 11), (2, 11)),
        ((3, 0), (3, 0), (2, 11)),
        ((5, 0), (0, 0), (5, 0)),
        ((2, 11), (2, 10), (2, 10)),
    ],
)
def test_answer_version_is_the_lower_of_suggested_and_own(version, suggested, answer) -> None:
    request = Envelope(major=version[0], minor=version[1], suggested_major=suggested[0], suggested_minor=suggested[1])

    assert negotiate_version(request) == answer


def test_version_five_is_older_than_everything() -> None:
    assert not is_at_least((5, 0), 2, 1)
    assert is_at_least((2, 11), 2, 7)
