"""What a publication says, one entry at a time: kinds, contents, their octets and a digest of the whole.

An entry puts or removes one key of one kind; `version` grows for a key for ever. Contents are msgpack maps. A handle's
`values` are a counted list in wire form, sorted by index; `split_public` checks that form and takes out what the public
may read. Nothing here knows files or LMDB.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

from biaojie.handle.values import PUBLIC_READ
from biaojie.resolution.errors import EntryInvalid
from biaojie.resolution.policy import KEY_OCTETS_KEPT, KEY_OCTETS_MAX

HANDLE: Final = "handle"
ZONE: Final = "zone"
ROUTE: Final = "route"
SITE: Final = "site"
KINDS: Final = (HANDLE, ZONE, ROUTE, SITE)
SITE_KEY: Final = b"self"
EMPTY_VALUES: Final = b"\0\0\0\0"

PRIVATE: Final = 0x01
"""Flag of a handle record: some values are not for the public."""
OWN: Final = 0x02
"""Flag of a handle record: a probe identifier of our own, counted apart."""
NOTHING_PUBLIC: Final = 0x04
"""Flag of a handle record: no value is for the public."""

OVERLONG: Final = 0x08
"""Flag of a handle record: the public list comes near the size of a whole message, or beyond."""

_VALUE_HEAD: Final = struct.Struct(">13xBI")
_INDEX_HEAD: Final = struct.Struct(">i9xBI")
_U32: Final = struct.Struct(">I")


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One key put (`content` given) or removed (None); `version` never shrinks for a key, over removal and return."""

    kind: str
    key: bytes
    version: int
    content: bytes | None


class HandleContent(msgspec.Struct, frozen=True, gc=False):
    """A handle's owner (the prefix it is counted for) and its values in wire form; `own` marks probe identifiers."""

    owner: str
    values: bytes
    own: bool = False


class ZoneContent(msgspec.Struct, frozen=True, gc=False):
    """A part of the name space this node answers for; a non-empty `refer` names the service handle to ask instead."""

    owner: str
    refer: str = ""


class RouteContent(msgspec.Struct, frozen=True):
    """Where a prefix or range of any code system is resolved: `low <= routing octets < high`, as `codes.ranges` has them.

    `addresses` are rows of (ip_type, ip, protocol, port); `final` says that the identifier itself is answered there.
    """

    system: str
    coverage: str
    low: bytes
    high: bytes
    addresses: list[tuple[str, str, str, int]]
    owner: str
    final: bool = False


Content = HandleContent | ZoneContent | RouteContent

_encoder: Final = msgspec.msgpack.Encoder()
_entry: Final = msgspec.msgpack.Decoder(Entry)
_handle: Final = msgspec.msgpack.Decoder(HandleContent)
_zone: Final = msgspec.msgpack.Decoder(ZoneContent)
_route: Final = msgspec.msgpack.Decoder(RouteContent)

encode_entry = _encoder.encode
"""An entry as the octets of one container record."""


def decode_entry(record: bytes) -> Entry:
    """The entry in a container record; raises `EntryInvalid`."""
    try:
        return _entry.decode(record)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise EntryInvalid(kind="?", key="?", reason=str(error)) from None


def handle_entry(key: bytes, version: int, *, owner: str, values: bytes, own: bool = False) -> Entry:
    """Publish an identifier; `key` is the system number octet and the canonical identifier."""
    return Entry(HANDLE, key, version, _encoder.encode(HandleContent(owner, values, own)))


def zone_entry(key: bytes, version: int, *, owner: str, refer: str = "") -> Entry:
    """Publish that the node answers for `key`: a prefix, `0.NA/<ancestor>` or `0.NA/`, upper-cased."""
    return Entry(ZONE, key, version, _encoder.encode(ZoneContent(owner, refer)))


def route_entry(key: bytes, version: int, content: RouteContent) -> Entry:
    """Publish where a prefix or range of a code system is resolved."""
    return Entry(ROUTE, key, version, _encoder.encode(content))


def site_entry(site: bytes, version: int) -> Entry:
    """Publish the node's own HS_SITE octets, the answer of GET_SITE_INFO."""
    return Entry(SITE, SITE_KEY, version, site)


def removal(kind: str, key: bytes, version: int) -> Entry:
    """Take a key out of the publication."""
    return Entry(kind, key, version, None)


def handle_content(entry: Entry) -> HandleContent:
    """What a handle entry says; raises `EntryInvalid`."""
    try:
        return _handle.decode(entry.content or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _invalid(entry, str(error)) from None


def zone_content(entry: Entry) -> ZoneContent:
    """What a zone entry says; raises `EntryInvalid`."""
    try:
        return _zone.decode(entry.content or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _invalid(entry, str(error)) from None


def route_content(entry: Entry) -> RouteContent:
    """What a route entry says; raises `EntryInvalid`."""
    try:
        content = _route.decode(entry.content or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _invalid(entry, str(error)) from None
    if content.low >= content.high:
        raise _invalid(entry, "区间为空")
    return content


def check_entry(entry: Entry) -> None:
    """Raise `EntryInvalid` unless an index can take this entry: known kind, key, version, well-formed content."""
    if entry.kind not in KINDS:
        raise _invalid(entry, "未知的条目类别")
    if not entry.key or not 0 <= entry.version < 1 << 63:
        raise _invalid(entry, "键为空或版本号越界")
    if entry.content is None:
        return
    if entry.kind == HANDLE:
        try:
            split_public(handle_content(entry).values)
        except ValueError as error:
            raise _invalid(entry, str(error)) from None
    elif entry.kind == ZONE:
        zone_content(entry)
    elif entry.kind == ROUTE:
        route_content(entry)


def split_public(values: bytes) -> tuple[int, bytes]:
    """`(flags, public)`: what the public may read of a counted list of values; raises ValueError on a malformed list.

    Without private values `public` is `values` itself. Flags: `PRIVATE`, `NOTHING_PUBLIC`.
    """
    common, end = _walk(values)
    if end != len(values):
        raise ValueError("标识值列表长度不符")
    if common & PUBLIC_READ:
        return (0 if values != EMPTY_VALUES else NOTHING_PUBLIC), values
    public = pick(values, (span for span in spans(values) if span.permissions & PUBLIC_READ))
    return (PRIVATE | NOTHING_PUBLIC if public == EMPTY_VALUES else PRIVATE), public


def _walk(values: bytes) -> tuple[int, int]:
    """The permission bits that all values share, and where the list ends; bulk loading spends its time here."""
    head, u32 = _VALUE_HEAD.unpack_from, _U32.unpack_from
    common, position = 0xFF, 4
    try:
        for _ in range(u32(values, 0)[0]):
            permissions, length = head(values, position)
            common &= permissions
            position += 18 + length
            position += 4 + u32(values, position)[0]
            references = u32(values, position)[0]
            position += 4
            while references:
                position += 8 + u32(values, position)[0]
                references -= 1
    except struct.error:
        raise ValueError("标识值列表不完整") from None
    return common, position


class Span(NamedTuple):
    """Where one value lies in its list, and what filters and rights look at; `number` is its index."""

    number: int
    permissions: int
    type: str
    start: int
    end: int


def spans(values: bytes) -> Iterator[Span]:
    """Each value of a counted list that `split_public` has accepted."""
    position = 4
    for _ in range(_U32.unpack_from(values, 0)[0]):
        start = position
        number, permissions, length = _INDEX_HEAD.unpack_from(values, position)
        position += 18 + length
        type_ = values[position - length : position].decode("utf-8", "surrogateescape")
        position += 4 + _U32.unpack_from(values, position)[0]
        references = _U32.unpack_from(values, position)[0]
        position += 4
        for _ in range(references):
            position += 8 + _U32.unpack_from(values, position)[0]
        yield Span(number, permissions, type_, start, position)


def pick(values: bytes, chosen: Iterable[Span]) -> bytes:
    """The counted list of the chosen values only, in their order."""
    parts = [values[span.start : span.end] for span in chosen]
    return _U32.pack(len(parts)) + b"".join(parts)


def index_key(key: bytes) -> bytes:
    """The key an index stores: itself, or the first 448 octets and SHA-256 of the whole when it is longer than 480."""
    if len(key) <= KEY_OCTETS_MAX.value:
        return key
    return key[: KEY_OCTETS_KEPT.value] + hashlib.sha256(key).digest()


def digest_of(entries: Iterable[Entry]) -> str:
    """A digest over a set of live entries that does not depend on their order: `<count>-<64 hexadecimal digits>`.

    The sum modulo 2^256 of SHA-256 over each entry in its index form; two sides that hold the same entries agree.
    """
    total, count = 0, 0
    for entry in entries:
        line = encode_entry(Entry(entry.kind, index_key(entry.key), entry.version, entry.content))
        total += int.from_bytes(hashlib.sha256(line).digest(), "big")
        count += 1
    return f"{count}-{total % (1 << 256):064x}"


def _invalid(entry: Entry, reason: str) -> EntryInvalid:
    shown = entry.key.decode("utf-8", "backslashreplace")
    return EntryInvalid(kind=entry.kind, key=shown[:80].lstrip("\x01"), reason=reason)
