"""The sealed file: magic, header, one zstd stream of length-prefixed records, a trailer that proves them complete.

    magic "BJC1" | u32 header length | header JSON | zstd( (u32 length, record)… , u32 0, u64 count, 32 octets digest )

The digest is SHA-256 over the header's octets and the uncompressed records with their lengths, so that a changed header
is noticed too. Records are octets of the caller; none is empty. Writing and reading are streams: memory stays at a few
chunks whatever the file's size. Every damage is a `ContainerError`, at the latest after the last record: a reader must
run to the end before it trusts what it read. Publication and deposit share this form.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, Protocol, cast

import msgspec
import zstandard

from biaojie.resolution.errors import ContainerDamaged, ContainerMismatch, NotAContainer, RecordTooLong
from biaojie.resolution.policy import CHUNK_OCTETS, HEADER_OCTETS_MAX, RECORD_OCTETS_MAX, ZSTD_LEVEL, ZSTD_WINDOW_MAX

MAGIC: Final = b"BJC1"
_U32: Final = struct.Struct(">I")
_TRAILER: Final = struct.Struct(">IQ32s")


class ContainerHeader(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a file is: its form (`snapshot`, `delta`, …), whose, of which session, from which serial to which."""

    form: str
    node: str
    session: str
    from_serial: int
    to_serial: int
    created: str
    more: dict[str, str] = {}


class Sealed(msgspec.Struct, frozen=True):
    """What was written: size and SHA-256 (hex) of the file's octets, and the number of records."""

    size: int
    sha256: str
    entries: int


_header_decoder: Final = msgspec.json.Decoder(ContainerHeader)


def write_container(target: BinaryIO, header: ContainerHeader, records: Iterable[bytes]) -> Sealed:
    """Write a whole container to an open binary stream and say what lies there; the caller syncs and names it."""
    sink = _HashingSink(target)
    head = msgspec.json.encode(header)
    sink.write(MAGIC + _U32.pack(len(head)) + head)
    digest = hashlib.sha256(head)
    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL.value, write_checksum=True).compressobj()
    pending = bytearray()
    count, chunk, limit, pack = 0, CHUNK_OCTETS.value, RECORD_OCTETS_MAX.value, _U32.pack
    for record in records:
        length = len(record)
        if not 0 < length <= limit:
            raise RecordTooLong(octets=length, limit=limit)
        pending += pack(length)
        pending += record
        count += 1
        if len(pending) >= chunk:
            digest.update(pending)
            sink.write(compressor.compress(pending))
            pending.clear()
    digest.update(pending)
    pending += _TRAILER.pack(0, count, digest.digest())
    sink.write(compressor.compress(pending))
    sink.write(compressor.flush())
    return Sealed(size=sink.size, sha256=sink.digest.hexdigest(), entries=count)


class Readable(Protocol):
    """What a container is read from."""

    def read(self, count: int = -1, /) -> bytes:
        """At most `count` octets, fewer only at the end."""


class ContainerReader:
    """The records of one container on a binary stream, in order, checked on the way and at the end.

    `header` is known at once. Iterate once, to the end: `ContainerError` is raised where the damage shows.
    """

    def __init__(self, source: Readable) -> None:
        self._source = source
        start = _exactly(source, 8)
        if start[:4] != MAGIC:
            raise NotAContainer(reason="文件头标记不符")
        (length,) = _U32.unpack_from(start, 4)
        if length > HEADER_OCTETS_MAX.value:
            raise NotAContainer(reason="文件头过长")
        self._head = _exactly(source, length)
        try:
            self.header = _header_decoder.decode(self._head)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise NotAContainer(reason=str(error)) from None

    def __iter__(self) -> Iterator[bytes]:
        digest = hashlib.sha256(self._head)
        # Reading across frames turns octets after the end into an error instead of ignoring them.
        stream = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_MAX.value).stream_reader(
            cast(BinaryIO, self._source),  # it only ever calls read
            read_size=CHUNK_OCTETS.value,
            read_across_frames=True,
        )
        chunk, limit, u32 = CHUNK_OCTETS.value, RECORD_OCTETS_MAX.value, _U32.unpack_from
        buffer, count = b"", 0
        while True:
            more = _decompress(stream, chunk)
            if not more:
                raise ContainerDamaged(reason="文件在结尾记录之前中断")
            buffer = buffer + more if buffer else more
            position, end = 0, len(buffer)
            while position + 4 <= end:
                (length,) = u32(buffer, position)
                if not length:
                    digest.update(memoryview(buffer)[:position])
                    self._close(stream, buffer[position:], count, digest.digest())
                    return
                if length > limit:
                    raise ContainerDamaged(reason=f"记录长 {length} 字节，超过上限")
                after = position + 4 + length
                if after > end:
                    break
                yield buffer[position + 4 : after]
                count += 1
                position = after
            digest.update(memoryview(buffer)[:position])
            buffer = buffer[position:]

    @staticmethod
    def _close(stream: zstandard.ZstdDecompressionReader, tail: bytes, count: int, digest: bytes) -> None:
        while len(tail) <= _TRAILER.size:
            more = _decompress(stream, _TRAILER.size + 1)
            if not more:
                break
            tail += more
        if len(tail) != _TRAILER.size:
            raise ContainerDamaged(reason="结尾记录不完整或其后还有内容")
        _, stated_count, stated_digest = _TRAILER.unpack(tail)
        if stated_count != count:
            raise ContainerMismatch(reason=f"应有 {stated_count} 条记录，实有 {count} 条")
        if stated_digest != digest:
            raise ContainerMismatch(reason="摘要不符")


class CheckedSource:
    """A binary stream that counts and hashes what is read from it, so that one pass also proves size and SHA-256."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._digest = hashlib.sha256()
        self.size = 0

    def read(self, count: int = -1) -> bytes:
        """Read like the stream below."""
        data = self._source.read(count)
        self._digest.update(data)
        self.size += len(data)
        return data

    @property
    def sha256(self) -> str:
        """Of all octets read so far, in hexadecimal."""
        return self._digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class _HashingSink:
    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        self._target.write(data)
        self.digest.update(data)
        self.size += len(data)


def _exactly(source: Readable, count: int) -> bytes:
    data = source.read(count)
    if len(data) != count:
        raise NotAContainer(reason="文件过短")
    return data


def _decompress(stream: zstandard.ZstdDecompressionReader, count: int) -> bytes:
    try:
        return stream.read(count)
    except (zstandard.ZstdError, MemoryError) as error:
        raise ContainerDamaged(reason=str(error)) from None
