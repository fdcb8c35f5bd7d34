"""What may be registered: prefix names, units and addresses. Pure: no Django, no clock, no sockets.

Each function returns nothing or the canonical form, and raises a `Refused` with place and reason.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from stdnum.cn import uscc

from biaojie.codes.handle_names import parent_prefix
from biaojie.registry.errors import (
    AddressKind,
    PortMissing,
    PrefixForm,
    PrefixLookAlike,
    PrefixPlace,
    PrefixReserved,
    PrivateAddress,
    RegistrantForm,
    RoutingRefused,
)
from biaojie.resolution.questions import is_allowed

PREFIX_LONGEST: Final = 64
"""SNMS limit of a prefix, characters."""

NAME_LONGEST: Final = 255
"""SNMS limit of 单位名称, characters."""

RESERVED_ARCS: Final = frozenset({"0", "00", "000"})
"""Arcs no unit gets: 0.* belongs to the protocol."""

# CN-DID method specification: issuer 2DIGIT "." industry 3*5DIGIT "." enterprise 1*128DIGIT; compared as text.
_LEVELS: Final = (
    ("国家代码", re.compile(r"[0-9]{2}")),
    ("行业代码", re.compile(r"[0-9]{3,5}")),
    ("企业代码", re.compile(r"[0-9]{1,57}")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One address and port at which something is served."""

    ip_type: int
    ip: str
    protocol: str
    port: int

    def as_row(self) -> dict[str, Any]:
        """The form in which rows, journals and calls carry it."""
        return {"ip_type": self.ip_type, "ip": self.ip, "protocol": self.protocol, "port": self.port}


def check_prefix_name(name: str, *, parent: str | None = None) -> str:
    """The prefix as registered. Raises `PrefixForm`, `PrefixReserved` or `PrefixPlace` (not under `parent`)."""
    if not name or len(name) > PREFIX_LONGEST:
        raise PrefixForm(pointer="name", name=name, reason=f"长度应为 1 至 {PREFIX_LONGEST} 个字符")
    arcs = name.split(".")
    if len(arcs) not in (2, 3):
        raise PrefixForm(pointer="name", name=name, reason="应为 国家代码.行业代码 或 国家代码.行业代码.企业代码")
    for (title, pattern), arc in zip(_LEVELS, arcs, strict=False):
        if not pattern.fullmatch(arc) or not arc.isascii():
            raise PrefixForm(pointer="name", name=name, reason=f"{title}“{arc}”不正确")
    if arcs[0] in RESERVED_ARCS or (len(arcs) == 3 and set(arcs[2]) == {"0"}):
        raise PrefixReserved(pointer="name", name=name)
    if parent is not None and parent_prefix(name) != parent:
        raise PrefixPlace(pointer="name", name=name, parent=parent)
    return name


def check_look_alike(name: str, others: Iterable[tuple[str, str]]) -> None:
    """Refuse a name that differs from another's only by leading zeros; `others` are `(prefix, holder)` pairs."""
    plain = _without_leading_zeros(name)
    for other, holder in others:
        if other != name and _without_leading_zeros(other) == plain:
            raise PrefixLookAlike(pointer="name", name=name, other=other, holder=holder)


def check_registrant(name: str, credit_code: str) -> tuple[str, str]:
    """Unit name and 统一社会信用代码 in canonical form; raises `RegistrantForm` at the field."""
    name = name.strip()
    if not name or len(name) > NAME_LONGEST:
        raise RegistrantForm(pointer="registrant/name", reason=f"单位名称应为 1 至 {NAME_LONGEST} 个字符")
    code = uscc.compact(credit_code).upper()
    if not uscc.is_valid(code):
        raise RegistrantForm(pointer="registrant/credit_code", reason="统一社会信用代码校验位不正确")
    return name, code


def check_addresses(rows: Sequence[Mapping[str, Any]], *, allow_private: bool) -> list[Address]:
    """The addresses of a routing, in canonical form and order, without repeats (表2/表7 #3–5: at least one port)."""
    if not rows:
        raise PortMissing(pointer="endpoints")
    found: dict[tuple[str, str, int], Address] = {}
    for number, row in enumerate(rows):
        address = _check_address(row, f"endpoints/{number}", allow_private=allow_private)
        found[(address.ip, address.protocol, address.port)] = address
    return [found[key] for key in sorted(found)]


def _check_address(row: Mapping[str, Any], pointer: str, *, allow_private: bool) -> Address:
    ip_text, protocol, port, ip_type = row.get("ip"), row.get("protocol"), row.get("port"), row.get("ip_type")
    try:
        ip = ipaddress.ip_address(str(ip_text).strip())
    except ValueError:
        raise RoutingRefused(pointer=f"{pointer}/ip", reason=f"“{ip_text}”不是 IP 地址") from None
    if isinstance(ip, ipaddress.IPv6Address) and (ip.ipv4_mapped is not None or ip.scope_id is not None):
        raise RoutingRefused(pointer=f"{pointer}/ip", reason=f"“{ip_text}”不是可路由的 IPv6 地址")
    if str(ip_type) not in ("4", "6") or ip.version != int(str(ip_type)):
        raise AddressKind(pointer=f"{pointer}/ip_type", ip=str(ip), ip_type=ip_type)
    if protocol not in ("TCP", "UDP", "HTTP"):
        raise RoutingRefused(pointer=f"{pointer}/protocol", reason="协议类型只能是 TCP、UDP、HTTP")
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
        raise RoutingRefused(pointer=f"{pointer}/port", reason="端口应为 1 至 65535 的整数")
    # What recursive nodes will not ask (IPv4 inside IPv6 judged as itself) must not be published.
    if not is_allowed(str(ip), allow_private=allow_private):
        raise PrivateAddress(pointer=f"{pointer}/ip", ip=str(ip))
    return Address(ip_type=ip.version, ip=str(ip), protocol=protocol, port=port)


def _without_leading_zeros(name: str) -> str:
    return ".".join(arc.lstrip("0") or "0" for arc in name.split("."))
