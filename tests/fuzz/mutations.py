"""Wrong octets made of right ones: the same row of them for the same seed, in every run and on every machine.

Kinds: flipped bits, octets set to numbers that matter, cuts, octets put in, repeated or moved, two messages spliced, and
lengths attacked: every place where four octets could be a length or a count is found beforehand and set to numbers that
overflow, underflow, or point just beyond the end.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

OCTETS = (0, 1, 2, 4, 0x20, 0x22, 0x2F, 0x40, 0x5B, 0x7B, 0x7F, 0x80, 0xC0, 0xE0, 0xFF)
LENGTHS = (0, 1, 3, 0x7F, 0xFF, 0x100, 0x7FF, 0x801, 0xFFFF, 0x3FFFF, 0x40000, 0x40001, 0x100000, 0x100001, 0x7FFFFFFF)
NEGATIVE = (0x80000000, 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFEC)
LONGEST = 8192


def mutants(start: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """`count` mutants of the octets in `start`, each of one to four changes."""
    rng = random.Random(seed)
    right = [bytes(octets) for octets in start]
    places = [_length_places(octets) for octets in right]
    for _ in range(count):
        number = rng.randrange(len(right))
        octets = bytearray(right[number])
        for _ in range(rng.choice((1, 1, 2, 4))):
            _KINDS[rng.randrange(len(_KINDS))](octets, places[number], right, rng)
        yield bytes(octets[:LONGEST])


def _length_places(octets: bytes) -> list[int]:
    """Where four octets say no more than there are octets: lengths, counts and small numbers."""
    size = len(octets)
    return [place for place in range(size - 3) if int.from_bytes(octets[place : place + 4], "big") <= size] or [0]


def _flip(octets: bytearray, _: list[int], __: list[bytes], rng: random.Random) -> None:
    if octets:
        octets[rng.randrange(len(octets))] ^= 1 << rng.randrange(8)


def _set(octets: bytearray, _: list[int], __: list[bytes], rng: random.Random) -> None:
    if octets:
        octets[rng.randrange(len(octets))] = rng.choice(OCTETS)


def _cut(octets: bytearray, _: list[int], __: list[bytes], rng: random.Random) -> None:
    del octets[rng.randrange(len(octets) + 1) :]


def _put_in(octets: bytearray, _: list[int], __: list[bytes], rng: random.Random) -> None:
    place = rng.randrange(len(octets) + 1)
    octets[place:place] = rng.randbytes(rng.randint(1, 16))


def _take_out(octets: bytearray, _: list[int], __: list[bytes], rng: random.Random) -> None:
    place = rng.randrange(len(octets) + 1)
    del octets[place : place + rng.randint(1, 16)]


def _repeat(octets: bytearray, _: list[int], __: list[bytes], rng: random.Random) -> None:
    place = rng.randrange(len(octets) + 1)
    octets[place:place] = octets[place : place + rng.randint(1, 64)] * rng.randint(1, 8)


def _splice(octets: bytearray, _: list[int], right: list[bytes], rng: random.Random) -> None:
    other = rng.choice(right)
    octets[rng.randrange(len(octets) + 1) :] = other[rng.randrange(len(other) + 1) :]


def _attack_length(octets: bytearray, places: list[int], _: list[bytes], rng: random.Random) -> None:
    place = rng.choice(places)
    if place + 4 <= len(octets):
        rest = len(octets) - place
        number = rng.choice((rng.choice(LENGTHS), rng.choice(NEGATIVE), rest + rng.randint(-8, 8), rng.randrange(1 << 32)))
        octets[place : place + 4] = (number & 0xFFFFFFFF).to_bytes(4, "big")


_KINDS: tuple[Callable[[bytearray, list[int], list[bytes], random.Random], None], ...] = (
    _flip,
    _set,
    _cut,
    _put_in,
    _take_out,
    _repeat,
    _splice,
    _attack_length,
    _attack_length,
)
