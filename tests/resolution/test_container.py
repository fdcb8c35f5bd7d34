from __future__ import annotations

import hashlib
import io
import struct

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from biaojie.resolution.container import CheckedSource, ContainerHeader, ContainerReader, write_container
from biaojie.resolution.errors import ContainerDamaged, ContainerError, ContainerMismatch, NotAContainer, RecordTooLong
from biaojie.resolution.policy import RECORD_OCTETS_MAX

HEADER = ContainerHeader("delta", "second-88.100", "5e55", 7, 9, "2027-01-02T03:04:05+00:00", {"key": "值"})
records = st.lists(st.binary(min_size=1, max_size=200), max_size=20)


def written(rows: list[bytes]) -> bytes:
    stream = io.BytesIO()
    write_container(stream, HEADER, rows)
    return stream.getvalue()


def read(octets: bytes) -> list[bytes]:
    return list(ContainerReader(io.BytesIO(octets)))


@given(records)
def test_container_written_and_read_is_equal(rows: list[bytes]) -> None:
    octets = written(rows)

    reader = ContainerReader(io.BytesIO(octets))

    assert reader.header == HEADER
    assert list(reader) == rows


def test_write_container_says_size_digest_and_count_of_what_lies_there() -> None:
    stream = io.BytesIO()

    sealed = write_container(stream, HEADER, [b"a", b"bc"])

    assert (sealed.size, sealed.entries) == (len(stream.getvalue()), 2)
    assert sealed.sha256 == hashlib.sha256(stream.getvalue()).hexdigest()


def test_container_of_records_longer_than_a_chunk_is_read_back() -> None:
    rows = [bytes([n]) * size for n, size in enumerate((1, 262_143, 262_144, 262_145, 700_000, 3))]

    assert read(written(rows)) == rows


@pytest.mark.parametrize("record", [b"", bytes(RECORD_OCTETS_MAX.value + 1)], ids=["empty", "too long"])
def test_write_container_of_impossible_record_raises_record_too_long(record: bytes) -> None:
    with pytest.raises(RecordTooLong):
        write_container(io.BytesIO(), HEADER, [record])


@settings(max_examples=300)
@given(st.data())
def test_container_with_any_octet_changed_raises_or_reads_the_same(data: st.DataObject) -> None:
    rows = [b"one", b"two" * 50, b"three"]
    octets = bytearray(written(rows))
    place = data.draw(st.integers(0, len(octets) - 1))
    octets[place] ^= data.draw(st.integers(1, 255))

    try:
        reader = ContainerReader(io.BytesIO(bytes(octets)))
        found = (reader.header, list(reader))
    except ContainerError as error:
        assert error.code.startswith("RES-11")
    else:
        assert found == (HEADER, rows)  # zstd has a bit in its frame header that no decoder reads


@given(st.data())
def test_container_cut_anywhere_raises_container_error(data: st.DataObject) -> None:
    octets = written([b"one", b"two" * 50, b"three"])
    cut = data.draw(st.integers(0, len(octets) - 9))

    with pytest.raises(ContainerError):
        read(octets[:cut])


def test_container_followed_by_more_octets_raises_container_error() -> None:
    octets = written([b"one"])

    for tail in (b"garbage after the end", octets[octets.index(b"\x28\xb5\x2f\xfd") :]):
        with pytest.raises(ContainerDamaged):
            read(octets + tail)


@given(st.binary(max_size=100))
def test_container_reader_of_any_octets_raises_not_a_container(octets: bytes) -> None:
    with pytest.raises(NotAContainer):
        ContainerReader(io.BytesIO(octets))


def sealed_by_hand(stream: bytes) -> bytes:
    octets = written([])
    start = octets.index(b"\x28\xb5\x2f\xfd")
    return octets[:start] + zstandard.compress(stream)


def test_container_whose_count_is_wrong_raises_mismatch() -> None:
    octets = written([])
    head = octets[8 : octets.index(b"\x28\xb5\x2f\xfd")]
    rows = struct.pack(">I", 3) + b"one"

    with pytest.raises(ContainerMismatch):
        read(sealed_by_hand(rows + struct.pack(">IQ32s", 0, 2, hashlib.sha256(head + rows).digest())))


def test_container_whose_record_claims_gigabytes_raises_before_reading_them() -> None:
    with pytest.raises(ContainerDamaged):
        read(sealed_by_hand(struct.pack(">I", 0xFFFFFFF0) + bytes(1000)))


def test_container_that_unpacks_to_gigabytes_is_refused_in_bounded_memory() -> None:
    compressor = zstandard.ZstdCompressor(level=1).compressobj()
    bomb = b"".join(compressor.compress(bytes(1 << 20)) for _ in range(64)) + compressor.flush()
    octets = written([])

    with pytest.raises(ContainerError):
        read(octets[: octets.index(b"\x28\xb5\x2f\xfd")] + bomb)


def test_container_needing_a_huge_window_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    octets = written([])

    with pytest.raises(ContainerDamaged):
        read(octets[: octets.index(b"\x28\xb5\x2f\xfd")] + stream.compress(bytes(9 << 20)) + stream.flush())


def test_checked_source_says_size_and_digest_of_what_was_read() -> None:
    source = CheckedSource(io.BytesIO(b"abcdef"))

    source.read(2)
    source.read()

    assert (source.size, source.sha256) == (6, hashlib.sha256(b"abcdef").hexdigest())
