"""HS_SITE: which servers make up a site, in binary and in JSON.

The binary form is the one in use (format version 1), not that of RFC 3651 §3.2.2: interface types are a bit mask with
admin 1 and query 2, protocols are numbers. An address is 16 octets: 12 zero octets and four for IPv4 (`::ffff:a.b.c.d` is
read as IPv4 too), otherwise IPv6. The loopback `::1` is told from 0.0.0.1 because the latter is no host address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from enum import IntEnum
from typing import Any

import msgspec

from biaojie.handle.envelope import OWN_VERSION
from biaojie.handle.errors import EncodeError, InvalidJson, TrailingBytes
from biaojie.handle.kinds import BYTES, I32, STRING, U8, U16, U32, Bits, ListOf, Named, Raw, readable
from biaojie.handle.layout import Field, Layout, Reader

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class HashOption(IntEnum):
    """Which part of a handle decides the server."""

    BY_PREFIX = 0
    BY_SUFFIX = 1
    BY_ALL = 2


class InterfaceKind(IntEnum):
    """What an interface is for, as a bit mask."""

    OUT_OF_SERVICE = 0
    ADMIN = 1
    QUERY = 2
    ADMIN_AND_QUERY = 3


class Protocol(IntEnum):
    """What an interface speaks."""

    UDP = 0
    TCP = 1
    HTTP = 2
    HTTPS = 3


_KIND_NAMES = {0: "停用", 1: "管理", 2: "查询", 3: "管理与查询"}
_PROTOCOL_NAMES = {int(protocol): protocol.name for protocol in Protocol}
_HASH_NAMES = {0: "按前缀", 1: "按后缀", 2: "按整个标识"}


class Interface(msgspec.Struct, frozen=True):
    """One port of a server. `kind` and `protocol` are numbers of `InterfaceKind` and `Protocol`; others are kept."""

    kind: int
    protocol: int
    port: int

    @property
    def admin(self) -> bool:
        return bool(self.kind & InterfaceKind.ADMIN)

    @property
    def query(self) -> bool:
        return bool(self.kind & InterfaceKind.QUERY)


class Server(msgspec.Struct, frozen=True):
    """One server of a site; `public_key` is in key form (`keys`), empty when there is none."""

    server_id: int
    address: IPAddress
    public_key: bytes = b""
    interfaces: tuple[Interface, ...] = ()

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "address", canonical_address(self.address))

    @property
    def packed_address(self) -> bytes:
        return self.address.packed.rjust(16, b"\0")

    def interface(self, protocol: Protocol, *, admin: bool = False) -> Interface | None:
        """The first interface that speaks `protocol` and takes queries (or administration)."""
        for interface in self.interfaces:
            if interface.protocol == protocol and (interface.admin if admin else interface.query):
                return interface
        return None


class Site(msgspec.Struct, frozen=True):
    """A site record: `attributes` are name and value pairs in wire order."""

    version: int = 1
    major: int = OWN_VERSION[0]
    minor: int = OWN_VERSION[1]
    serial: int = 1
    primary: bool = True
    multi_primary: bool = False
    hash_option: int = HashOption.BY_ALL
    hash_filter: bytes = b""
    attributes: tuple[tuple[str, str], ...] = ()
    servers: tuple[Server, ...] = ()

    @property
    def description(self) -> str:
        return next((value for name, value in self.attributes if name == "desc"), "")


def canonical_address(address: IPAddress) -> IPAddress:
    """The address as it comes back from the wire: mapped and compatible IPv6 forms as IPv4, no zone."""
    return _address(address.packed.rjust(16, b"\0"))


def _address(octets: bytes) -> IPAddress:
    if octets[:12] == bytes(10) + b"\xff\xff" or (octets[:12] == bytes(12) and octets[12:] != b"\0\0\0\1"):
        return ipaddress.IPv4Address(octets[12:])
    return ipaddress.IPv6Address(octets)


class _AddressKind(Raw):
    def text(self, value: Any) -> str:
        return str(_address(value))


def _server(server_id: int, octets: bytes, public_key: bytes, interfaces: tuple[Interface, ...]) -> Server:
    return Server(server_id, _address(octets), public_key, interfaces)


def _pair(name: str, value: str) -> tuple[str, str]:
    return name, value


class _PairLayout(Layout[tuple[str, str]]):
    """An attribute is a plain pair, which has no attribute names to read."""

    def write(self, value: Any, out: bytearray, field: str) -> None:
        name, text = value
        STRING.write(name, out, field)
        STRING.write(text, out, field)


ATTRIBUTE = _PairLayout("Attribute", _pair, Field("name", STRING, "名称"), Field("value", STRING, "取值"), title="站点属性")
INTERFACE = Layout(
    "Interface",
    Interface,
    Field("kind", Named("int1", "B", _KIND_NAMES), "用途"),
    Field("protocol", Named("int1", "B", _PROTOCOL_NAMES), "协议"),
    Field("port", U32, "端口"),
    title="接口",
)
SERVER = Layout(
    "Server",
    _server,
    Field("server_id", I32, "服务器号"),
    Field("packed_address", _AddressKind(16), "地址"),
    Field("public_key", BYTES, "公钥"),
    Field("interfaces", ListOf(INTERFACE), "接口"),
    title="服务器",
)
SITE = Layout(
    "Site",
    Site,
    Field("version", U16, "格式版本"),
    Field("major", U8, "协议主版本"),
    Field("minor", U8, "协议次版本"),
    Field("serial", U16, "序列号"),
    Field("mask", Bits("bits", "B", ("primary", 1), ("multi_primary", 1), ("", 6)), "主站标志"),
    Field("hash_option", Named("int1", "B", _HASH_NAMES), "散列方式"),
    Field("hash_filter", BYTES, "散列过滤"),
    Field("attributes", ListOf(ATTRIBUTE), "属性"),
    Field("servers", ListOf(SERVER), "服务器"),
    title="站点",
    source="RFC 3651 §3.2.2, in the form in use",
)


def encode_site(site: Site) -> bytes:
    """The record as the data of an HS_SITE value."""
    return SITE.pack(site)


def decode_site(data: bytes) -> Site:
    """The record that fills `data` exactly; no octets may follow it."""
    reader = Reader(data)
    site = SITE.unpack(reader)
    if reader.remaining:
        raise TrailingBytes(pointer=str(reader.pos), field="Site", count=reader.remaining)
    return site


def site_to_json(site: Site) -> dict[str, Any]:
    """The record as `siteinfo.json` has it; a key that has no JWK form is given as base64.

    `hashOption` is left out when the whole handle decides. Text that is not UTF-8 is shown, not kept.
    """
    from biaojie.handle.jwk import key_to_json  # keys are needed only here, and load OpenSSL

    servers = []
    for server in site.servers:
        row: dict[str, Any] = {"serverId": server.server_id, "address": str(server.address)}
        if server.public_key:
            row["publicKey"] = key_to_json(server.public_key)
        row["interfaces"] = [
            {
                "query": interface.query,
                "admin": interface.admin,
                "protocol": _PROTOCOL_NAMES.get(interface.protocol, interface.protocol),
                "port": interface.port,
            }
            for interface in server.interfaces
        ]
        servers.append(row)
    form: dict[str, Any] = {
        "version": site.version,
        "protocolVersion": f"{site.major}.{site.minor}",
        "serialNumber": site.serial,
        "primarySite": site.primary,
        "multiPrimary": site.multi_primary,
    }
    if site.hash_option != HashOption.BY_ALL:
        form["hashOption"] = int(site.hash_option)
    if site.hash_filter:
        form["hashFilter"] = site.hash_filter.decode("utf-8", "backslashreplace")
    form["attributes"] = [{"name": readable(name), "value": readable(value)} for name, value in site.attributes]
    form["servers"] = servers
    return form


class _InterfaceForm(msgspec.Struct):
    port: int
    protocol: str | int
    query: bool = False
    admin: bool = False


class _ServerForm(msgspec.Struct, rename="camel"):
    server_id: int
    address: str
    public_key: dict[str, Any] | None = None
    interfaces: tuple[_InterfaceForm, ...] = ()


class _AttributeForm(msgspec.Struct):
    name: str
    value: str


class _SiteForm(msgspec.Struct, rename="camel"):
    servers: tuple[_ServerForm, ...]
    version: int = 1
    protocol_version: str = "2.11"
    serial_number: int = 1
    primary_site: bool = True
    multi_primary: bool = False
    hash_option: int = HashOption.BY_ALL
    hash_filter: str = ""
    attributes: tuple[_AttributeForm, ...] | dict[str, str | tuple[str, ...]] = ()


def site_from_json(form: object) -> Site:
    """The record of a `siteinfo.json`; `InvalidJson` names what does not fit."""
    from biaojie.handle.jwk import key_from_json  # see site_to_json

    try:
        raw = msgspec.convert(form, _SiteForm)
        major, minor = (int(part) for part in raw.protocol_version.split("."))
        protocols = {name: number for number, name in _PROTOCOL_NAMES.items()}
        site = Site(
            version=raw.version,
            major=major,
            minor=minor,
            serial=raw.serial_number,
            primary=raw.primary_site,
            multi_primary=raw.multi_primary,
            hash_option=raw.hash_option,
            hash_filter=raw.hash_filter.encode("utf-8"),
            attributes=tuple(_attributes(raw.attributes)),
            servers=tuple(
                Server(
                    server_id=row.server_id,
                    address=ipaddress.ip_address(row.address),
                    public_key=key_from_json(row.public_key) if row.public_key else b"",
                    interfaces=tuple(
                        Interface(
                            kind=InterfaceKind.ADMIN * item.admin | InterfaceKind.QUERY * item.query,
                            protocol=protocols[str(item.protocol)] if item.protocol in protocols else int(item.protocol),
                            port=item.port,
                        )
                        for item in row.interfaces
                    ),
                )
                for row in raw.servers
            ),
        )
        encode_site(site)
    except (msgspec.ValidationError, ValueError, EncodeError) as error:
        raise InvalidJson(reason=str(error)) from error
    return site


def _attributes(form: tuple[_AttributeForm, ...] | dict[str, str | tuple[str, ...]]) -> Iterator[tuple[str, str]]:
    """Name and value pairs of either spelling: a list of objects, or one object whose values may be lists."""
    if isinstance(form, tuple):
        yield from ((row.name, row.value) for row in form)
        return
    for name, value in form.items():
        yield from ((name, item) for item in ((value,) if isinstance(value, str) else value))
