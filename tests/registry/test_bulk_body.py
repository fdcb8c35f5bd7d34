"""The octets of a bulk request: whole, torn, wrong; and reading ahead of the work."""

from __future__ import annotations

import base64
import hashlib
import io
import threading
from collections.abc import Iterator

import pytest

from biaojie.registry.bulk_body import BLOCK_OCTETS, Body, ahead
from biaojie.registry.errors import BulkDigestWrong, BulkLengthMissing, BulkRefused

DATA = bytes(range(256)) * (BLOCK_OCTETS // 100)
DIGEST = f"sha-256=:{base64.b64encode(hashlib.sha256(DATA).digest()).decode()}:"


@pytest.mark.parametrize("length", [None, len(DATA)])
@pytest.mark.parametrize("digest", ["", DIGEST, f"sha-512=:AA==:, {DIGEST}"])
def test_blocks_whole_body_given_unchanged(length: int | None, digest: str) -> None:
    body = Body(io.BytesIO(DATA).read, length=length, digest=digest)

    assert b"".join(body.blocks()) == DATA
    assert body.octets == len(DATA)


def test_blocks_known_length_reads_no_octet_beyond() -> None:
    stream = io.BytesIO(DATA + b"next request")

    assert b"".join(Body(stream.read, length=len(DATA)).blocks()) == DATA
    assert stream.read() == b"next request"


@pytest.mark.parametrize("cut", [0, 1, BLOCK_OCTETS, len(DATA) - 1])
def test_blocks_body_cut_short_refused_before_its_last_block(cut: int) -> None:
    got = []
    with pytest.raises(BulkLengthMissing) as refused:
        for block in Body(io.BytesIO(DATA[:cut]).read, length=len(DATA)).blocks():
            got.append(block)

    assert refused.value.data == {"expected": f"{len(DATA)} 字节", "received": f"{cut} 字节"}
    assert sum(map(len, got)) <= max(0, cut - 1) // BLOCK_OCTETS * BLOCK_OCTETS


def test_blocks_connection_lost_while_reading_refused() -> None:
    def read(size: int) -> bytes:
        raise OSError("connection lost")

    with pytest.raises(BulkLengthMissing):
        list(Body(read).blocks())


def test_blocks_wrong_digest_refused() -> None:
    with pytest.raises(BulkDigestWrong):
        list(Body(io.BytesIO(DATA + b"x").read, digest=DIGEST).blocks())


@pytest.mark.parametrize("digest", ["sha-256=abc", "md5=:AA==:", "sha-256=:A:"])
def test_body_digest_of_another_form_refused(digest: str) -> None:
    with pytest.raises(BulkRefused):
        Body(io.BytesIO(DATA).read, digest=digest)


def test_ahead_gives_items_in_order_and_their_exception() -> None:
    def items() -> Iterator[int]:
        yield from range(10)
        raise ZeroDivisionError

    got = []
    with pytest.raises(ZeroDivisionError), ahead(items()) as ready:
        for item in ready:
            got.append(item)

    assert got == list(range(10))


def test_ahead_stopped_half_way_makes_no_more_than_its_depth() -> None:
    made = []

    def items() -> Iterator[int]:
        for number in range(1000):
            made.append(number)
            yield number

    with ahead(items(), depth=2) as ready:
        assert next(ready) == 0

    assert len(made) <= 5
    assert not any(thread.name == "bulk-read-ahead" for thread in threading.enumerate())
