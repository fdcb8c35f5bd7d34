"""Handle values: what a handle carries, and how a value lies on the wire.

The field order and the four-octet timestamp are those in use, not those of RFC 3651 §3.1. A type is text; octets in it that
are not UTF-8 are kept as surrogate escapes and so survive a round trip. Data is always octets; `text` shows it as text.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from biaojie.handle.errors import TrailingBytes
from biaojie.handle.kinds import BYTES, HANDLE, I32, STRING, U32, Flags, ListOf, Named, readable
from biaojie.handle.layout import MAX_VALUES, Field, Layout, Reader

ADMIN_READ = 0x08
ADMIN_WRITE = 0x04
PUBLIC_READ = 0x02
PUBLIC_WRITE = 0x01
DEFAULT_PERMISSIONS = ADMIN_READ | ADMIN_WRITE | PUBLIC_READ
SECRET_PERMISSIONS = ADMIN_READ | ADMIN_WRITE
"""What a value of type HS_SECKEY gets."""
DEFAULT_TTL = 86_400
TTL_RELATIVE = 0
TTL_ABSOLUTE = 1

PERMISSION_NAMES = {ADMIN_READ: "管理可读", ADMIN_WRITE: "管理可写", PUBLIC_READ: "公开可读", PUBLIC_WRITE: "公开可写"}


class Reference(msgspec.Struct, frozen=True):
    """A handle and an index in it; index 0 means any key value of that handle."""

    handle: str
    index: int


class HandleValue(msgspec.Struct, frozen=True):
    """One value. `ttl` is seconds when `ttl_type` is 0, a moment (seconds since 1970) when it is 1."""

    index: int
    type: str
    data: bytes
    ttl_type: int = TTL_RELATIVE
    ttl: int = DEFAULT_TTL
    timestamp: int = 0
    permissions: int = DEFAULT_PERMISSIONS
    references: tuple[Reference, ...] = ()

    @property
    def admin_read(self) -> bool:
        return bool(self.permissions & ADMIN_READ)

    @property
    def admin_write(self) -> bool:
        return bool(self.permissions & ADMIN_WRITE)

    @property
    def public_read(self) -> bool:
        return bool(self.permissions & PUBLIC_READ)

    @property
    def public_write(self) -> bool:
        return bool(self.permissions & PUBLIC_WRITE)

    @property
    def text(self) -> str:
        r"""The data as text; octets that are not UTF-8 are shown as `\xNN`."""
        return self.data.decode("utf-8", "backslashreplace")

    @property
    def readable_type(self) -> str:
        """The type as it can be printed."""
        return readable(self.type)


REFERENCE = Layout("Reference", Reference, Field("handle", HANDLE, "标识"), Field("index", I32, "索引"), title="值引用")


def _build(
    index: int,
    timestamp: int,
    ttl_type: int,
    ttl: int,
    permissions: int,
    type_: str,
    data: bytes,
    references: tuple[Reference, ...],
) -> HandleValue:
    return HandleValue(index, type_, data, ttl_type, ttl, timestamp, permissions, references)


VALUE = Layout(
    "HandleValue",
    _build,
    Field("index", I32, "索引"),
    Field("timestamp", U32, "修改时间"),
    Field("ttl_type", Named("int1", "B", {TTL_RELATIVE: "相对秒数", TTL_ABSOLUTE: "绝对时间"}), "TTL 类型"),
    Field("ttl", U32, "TTL"),
    Field("permissions", Flags("int1", "B", PERMISSION_NAMES), "权限"),
    Field("type", STRING, "类型"),
    Field("data", BYTES, "数据"),
    Field("references", ListOf(REFERENCE), "引用"),
    title="标识值",
    source="RFC 3651 §3.1, in the order in use",
)
VALUES = ListOf(VALUE, MAX_VALUES)


def encode_value(value: HandleValue) -> bytes:
    """One value as octets."""
    return VALUE.pack(value)


def decode_value(data: bytes) -> HandleValue:
    """The value that fills `data` exactly."""
    reader = Reader(data)
    value = VALUE.unpack(reader)
    _refuse_rest(reader, "HandleValue")
    return value


def encode_values(values: Iterable[HandleValue]) -> bytes:
    """A four-octet count and the values, in the order given."""
    out = bytearray()
    VALUES.write(list(values), out, "values")
    return bytes(out)


def decode_values(data: bytes) -> list[HandleValue]:
    """The values of a counted list that fills `data` exactly, in wire order."""
    reader = Reader(data)
    values = VALUES.read(reader, "values")
    _refuse_rest(reader, "values")
    return list(values)


def type_matches(value_type: str, requested: str) -> bool:
    """Whether a value of this type is asked for; ASCII case does not count.

    A request that ends in "." means every type that begins with it, and the type without the dot as well
    ("URL." asks for URL and URL.X).
    """
    have, want = ascii_upper(value_type), ascii_upper(requested)
    if want.endswith("."):
        return have.startswith(want) or have == want[:-1]
    return have == want


def ascii_upper(text: str) -> str:
    """The text with a-z as A-Z and every other character untouched (non-ASCII letters are never folded)."""
    return text.upper() if text.isascii() else text.translate(_ASCII_UPPER)


_ASCII_UPPER = {lower: lower - 32 for lower in range(ord("a"), ord("z") + 1)}


def _refuse_rest(reader: Reader, field: str) -> None:
    if reader.remaining:
        raise TrailingBytes(pointer=str(reader.pos), field=field, count=reader.remaining)
