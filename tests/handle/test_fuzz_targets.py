from __future__ import annotations

import random

import fuzz_targets
import pytest
import vectors
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize("target", fuzz_targets.TARGETS, ids=lambda target: target.__name__)
@given(data=st.binary(max_size=300))
def test_decoder_fed_any_octets_raises_nothing_but_decode_errors(target, data: bytes) -> None:
    target(data)


@pytest.mark.parametrize("target", fuzz_targets.TARGETS, ids=lambda target: target.__name__)
def test_decoder_fed_mutated_messages_raises_nothing_but_decode_errors(target) -> None:
    rng = random.Random(42)

    for seed in vectors.MESSAGES.values():
        for skip in (0, 20, 44):
            for _ in range(8):
                data = bytearray(seed[skip:])
                for _ in range(rng.randint(1, 6)):
                    data[rng.randrange(len(data))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
                target(bytes(data))
