"""The common request, recognised by its octets and answered with as few steps as Python allows.

    020b020b 00000000 id 00000000 length | 1, 0, flags with PO, serial, count, expiration, length | handle | 12 zero octets

Recognised: operation 1, all values, public only, no request digest, certification, encryption or credential, no session,
one piece, exact lengths; the handle is in a zone we answer for, lies in the index, and has public values only.
Everything else is None and goes to `Authority`, which gives the same octets for what is recognised here (a differential
test holds them together).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from biaojie.handle.codes import FLAG_AT, FLAG_CA, FLAG_DNRF, FLAG_KC, FLAG_PO, FLAG_REC, OpCode, ResponseCode, response_flags
from biaojie.handle.envelope import OWN_VERSION, Envelope, negotiate_version
from biaojie.resolution import policy
from biaojie.resolution.authority import Authority, site_marks
from biaojie.resolution.reader import Reader

Answering = Callable[[bytes], tuple[bytes, str] | None]
"""Request → reply and the owner it is counted for, or None."""

_NOTHING_MORE: Final = bytes(12)
"""No indexes, no types, no credential."""
_NO_CREDENTIAL: Final = bytes(4)
_EMPTY_REQUEST: Final = 60
"""Octets of a request for a handle of no octets."""
_OPTIONAL_FLAGS: Final = (FLAG_AT, FLAG_REC, FLAG_CA, FLAG_KC, FLAG_DNRF)
_MIDDLE: Final = struct.Struct(">I12s8sI")
"""Message length; operation, response code, flags; serial, count, reserved, expiration; body length."""


class FastPath:
    """Answers for the thread of an `Authority`, from the same view of the index.

    After each `authority.renew()` call `bind(now_s)`; then `answer(request)` for each request until `authority.release()`.
    """

    def __init__(self, authority: Authority) -> None:
        self._reader = authority.reader
        self._by_primary = {primary: _heads(primary) for primary in (True, False)}
        self.answer: Answering
        self.answer, self._bind = self._build()

    def bind(self, now_s: float) -> Answering:
        """Answer from the authority's present view, in the name of this moment; gives `answer`, for loops to hold."""
        self._bind(int(now_s) + policy.EXPIRATION_S.value)
        return self.answer

    def try_answer(self, request: bytes) -> bytes | None:
        """The reply alone."""
        found = self.answer(request)
        return None if found is None else found[0]

    def _build(self) -> tuple[Answering, Callable[[int], None]]:
        # Everything `answer` needs is a cell or a constant of its own: an attribute look-up per step would cost a tenth.
        starts, lengths, nothing_more, no_credential = _STARTS, _LENGTHS, _NOTHING_MORE, _NO_CREDENTIAL
        reader, pack, join = self._reader, _MIDDLE.pack, b"".join
        get: Callable[[bytes], bytes | memoryview | None] = _nothing
        owners, answered, heads, tail = _OwnerNames(reader), frozenset[bytes](), self._by_primary[True], b""
        tables: object = None
        environment: object = None
        serial = b""

        def answer(request: bytes) -> tuple[bytes, str] | None:
            size = len(request)
            try:
                start = starts[request[:8]]
                head = heads[request[20:32]]
                length, body = lengths[size]
            except KeyError:
                return None
            if request[12:20] != length or request[40:48] != body or not request.endswith(nothing_more):
                return None
            handle = request[48:-12].upper()
            if handle[: handle.find(b"/")] not in answered:
                return None
            record = get(b"\x01" + handle)
            if record is None or record[4]:
                return None
            size += len(record)
            return (
                join(
                    (
                        start,
                        request[8:16],
                        pack(size - 48, head, tail, size - 76),
                        request[44:-12],
                        record[20:],
                        no_credential,
                    )
                ),
                owners[record[:4]],
            )

        def bind(expiration: int) -> None:
            nonlocal get, owners, answered, heads, tail, tables, environment, serial
            get = reader.txn.get
            if reader.environment is not environment:
                # Owner numbers belong to a generation.
                environment, owners = reader.environment, _OwnerNames(reader)
            if reader.tables is not tables:
                tables, answered = reader.tables, reader.tables.answered
                number, primary = site_marks(reader.tables.site)
                heads, serial = self._by_primary[primary], number.to_bytes(2, "big") + b"\0\0"
            tail = serial + expiration.to_bytes(4, "big")

        return answer, bind


class _OwnerNames(dict[bytes | memoryview, str]):
    """Owner names by the first four octets of a record."""

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self._reader = reader

    def __missing__(self, octets: bytes | memoryview) -> str:
        key = bytes(octets)
        name = self[key] = self._reader.owner(int.from_bytes(key, "big"))
        return name


def _nothing(_: bytes) -> None:
    return None


def _heads(primary: bool) -> dict[bytes, bytes]:
    """First 12 header octets of recognised requests, and those of their replies."""
    pack = struct.Struct(">III").pack
    heads = {}
    for choice in range(1 << len(_OPTIONAL_FLAGS)):
        flags = FLAG_PO
        for number, flag in enumerate(_OPTIONAL_FLAGS):
            flags |= flag if choice >> number & 1 else 0
        reply = pack(OpCode.RESOLUTION, ResponseCode.SUCCESS, response_flags(flags, primary=primary))
        heads[pack(OpCode.RESOLUTION, 0, flags)] = reply
    return heads


def _starts() -> dict[bytes, bytes]:
    """First 8 octets (versions, no flags, session 0) of recognised requests, and those of their replies."""
    starts = {}
    minors = range(OWN_VERSION[1] + 5)
    for minor in minors:
        for suggested in [(0, 0), *((OWN_VERSION[0], number) for number in minors)]:
            request = Envelope(major=OWN_VERSION[0], minor=minor, suggested_major=suggested[0], suggested_minor=suggested[1])
            starts[bytes((request.major, minor, *suggested, 0, 0, 0, 0))] = bytes(
                (*negotiate_version(request), *OWN_VERSION, 0, 0, 0, 0)
            )
    return starts


def _lengths() -> dict[int, tuple[bytes, bytes]]:
    """For each size of request: sequence number 0 and message length; body length and handle length."""
    pack = struct.Struct(">II").pack
    return {
        _EMPTY_REQUEST + handle: (pack(0, 40 + handle), pack(12 + handle, handle))
        for handle in range(1, policy.KEY_OCTETS_MAX.value - 1)
    }


_STARTS: Final = _starts()
_LENGTHS: Final = _lengths()
