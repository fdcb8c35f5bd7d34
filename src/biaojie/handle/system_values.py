"""What the data of the system's own value types means (RFC 3651 §3.2, in the form in use).

`decode_data` reads the data of a known type into an object, `encode_data` turns it back; other types pass as octets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from biaojie.handle.errors import EncodeError, InvalidJson, TrailingBytes
from biaojie.handle.kinds import HANDLE, I32, Flags, ListOf
from biaojie.handle.layout import Field, Layout, Reader
from biaojie.handle.sites import SITE, decode_site, encode_site
from biaojie.handle.values import REFERENCE, HandleValue, Reference, ascii_upper

HS_ADMIN = "HS_ADMIN"
HS_VLIST = "HS_VLIST"
HS_SECKEY = "HS_SECKEY"
HS_PUBKEY = "HS_PUBKEY"
HS_SERV = "HS_SERV"
HS_ALIAS = "HS_ALIAS"
HS_SITE = "HS_SITE"
HS_SITE_6 = "HS_SITE.6"
HS_SITE_PREFIX = "HS_SITE.PREFIX"
HS_SERV_PREFIX = "HS_SERV.PREFIX"
HS_NA_DELEGATE = "HS_NA_DELEGATE"
HS_NAMESPACE = "HS_NAMESPACE"
HS_SIGNATURE = "HS_SIGNATURE"
HS_CERT = "HS_CERT"


class RightRow(NamedTuple):
    """One administrator's right: bit, name, Chinese title."""

    bit: int
    name: str
    title: str


RIGHTS: tuple[RightRow, ...] = (
    RightRow(0x0001, "add_handle", "创建标识"),
    RightRow(0x0002, "delete_handle", "删除标识"),
    RightRow(0x0004, "add_prefix", "创建前缀"),
    RightRow(0x0008, "delete_prefix", "删除前缀"),
    RightRow(0x0010, "modify_value", "修改标识值"),
    RightRow(0x0020, "remove_value", "移除标识值"),
    RightRow(0x0040, "add_value", "添加标识值"),
    RightRow(0x0080, "modify_admin", "修改管理员"),
    RightRow(0x0100, "remove_admin", "移除管理员"),
    RightRow(0x0200, "add_admin", "添加管理员"),
    RightRow(0x0400, "authorized_read", "读取非公开值"),
    RightRow(0x0800, "list_handles", "列出标识"),
    RightRow(0x1000, "list_prefixes", "列出前缀"),
)
RIGHT_BITS: dict[str, int] = {row.name: row.bit for row in RIGHTS}
ALL_RIGHTS = 0x0FFF
"""The twelve rights in use; the thirteenth is known to the RFC alone."""


class AdminRecord(msgspec.Struct, frozen=True):
    """Who may do what: rights as a bit mask, and the key value (index 0: any key of that handle)."""

    permissions: int
    handle: str
    index: int

    def allows(self, right: int) -> bool:
        """Whether every bit of `right` is given."""
        return self.permissions & right == right


class _ValueList(msgspec.Struct, frozen=True):
    references: tuple[Reference, ...]


ADMIN = Layout(
    "AdminRecord",
    AdminRecord,
    Field("permissions", Flags("int2", "H", {row.bit: row.title for row in RIGHTS}), "权限"),
    Field("handle", HANDLE, "管理员标识"),
    Field("index", I32, "管理员索引"),
    title="管理员 HS_ADMIN",
    source="RFC 3651 §3.2.1, in the order in use",
)
VALUE_LIST = Layout(
    "ValueList", _ValueList, Field("references", ListOf(REFERENCE), "成员"), title="管理组 HS_VLIST", source="RFC 3651 §3.2.7"
)


def encode_admin(record: AdminRecord) -> bytes:
    """The data of an HS_ADMIN value."""
    return ADMIN.pack(record)


def decode_admin(data: bytes) -> AdminRecord:
    """The record; two zero octets behind it, which old software wrote, are accepted."""
    reader = Reader(data)
    record = ADMIN.unpack(reader)
    if reader.remaining and data[reader.pos :] != bytes(2):
        raise TrailingBytes(pointer=str(reader.pos), field=HS_ADMIN, count=reader.remaining)
    return record


def encode_value_list(references: tuple[Reference, ...] | list[Reference]) -> bytes:
    """The data of an HS_VLIST value."""
    return VALUE_LIST.pack(_ValueList(tuple(references)))


def decode_value_list(data: bytes) -> tuple[Reference, ...]:
    """The members of a group of administrators. Groups may name each other: whoever follows them guards against loops."""
    reader = Reader(data)
    members = VALUE_LIST.unpack(reader).references
    if reader.remaining:
        raise TrailingBytes(pointer=str(reader.pos), field=HS_VLIST, count=reader.remaining)
    return members


def encode_handle(handle: str) -> bytes:
    """The data of an HS_SERV or HS_ALIAS value: the handle itself, without a length."""
    return handle.encode("utf-8", "surrogateescape")


def decode_handle(data: bytes) -> str:
    """The handle an HS_SERV or HS_ALIAS value names."""
    return data.decode("utf-8", "surrogateescape")


def rights_to_text(permissions: int) -> str:
    """The JSON form: twelve digits, most significant first; thirteen only when the thirteenth bit is set."""
    return f"{permissions:012b}"


def rights_from_text(text: str) -> int:
    """The bit mask of a string of 1 to 16 binary digits."""
    if not 1 <= len(text) <= 16 or set(text) - {"0", "1"}:
        raise InvalidJson(reason=f"permissions {text!r}")
    return int(text, 2)


class SystemTypeRow(NamedTuple):
    """One type whose data has a structure: how it is read and written, and its Chinese title."""

    type: str
    title: str
    decode: Callable[[bytes], Any]
    encode: Callable[[Any], bytes]
    layout: Layout[Any] | None = None


def _pass(data: bytes) -> bytes:
    return data


def _site_row(type_: str, title: str) -> SystemTypeRow:
    return SystemTypeRow(type_, title, decode_site, encode_site, SITE)


SYSTEM_TYPES: tuple[SystemTypeRow, ...] = (
    SystemTypeRow(HS_ADMIN, "管理员", decode_admin, encode_admin, ADMIN),
    SystemTypeRow(HS_VLIST, "管理组", decode_value_list, encode_value_list, VALUE_LIST),
    _site_row(HS_SITE, "服务站点"),
    _site_row(HS_SITE_6, "服务站点（IPv6）"),
    _site_row(HS_SITE_PREFIX, "派生前缀的服务站点"),
    _site_row(HS_NA_DELEGATE, "派生前缀的服务站点（旧名）"),
    SystemTypeRow(HS_SERV, "服务标识", decode_handle, encode_handle),
    SystemTypeRow(HS_SERV_PREFIX, "派生前缀的服务标识", decode_handle, encode_handle),
    SystemTypeRow(HS_ALIAS, "别名", decode_handle, encode_handle),
    SystemTypeRow(HS_SECKEY, "对称密钥", _pass, _pass),
    SystemTypeRow(HS_PUBKEY, "公钥", _pass, _pass),
    SystemTypeRow(HS_NAMESPACE, "命名空间", _pass, _pass),
    SystemTypeRow(HS_SIGNATURE, "标识值签名", _pass, _pass),
    SystemTypeRow(HS_CERT, "证书", _pass, _pass),
)
_BY_TYPE = {row.type: row for row in SYSTEM_TYPES}


def system_type(type_: str) -> SystemTypeRow | None:
    """The row of a type, ASCII case aside; None for a type of the registrants' own."""
    return _BY_TYPE.get(ascii_upper(type_))


def decode_data(value: HandleValue) -> Any:
    """What a value's data means: a record, a site, references, a handle; its octets for any other type."""
    row = system_type(value.type)
    return row.decode(value.data) if row else value.data


def encode_data(type_: str, meaning: Any) -> bytes:
    """The inverse of `decode_data`."""
    row = system_type(type_)
    if row is not None:
        return row.encode(meaning)
    if not isinstance(meaning, bytes):
        raise EncodeError(field=type_, reason=type(meaning).__name__)
    return meaning
