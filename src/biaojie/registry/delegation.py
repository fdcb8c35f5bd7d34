"""What a parent publishes about a prefix: its record `0.NA/<prefix>` as values, and a node's own site.

Every IP address becomes a site of its own with one server: servers of one site share the handles out among them by the
hash rule (RFC 3651 §3.2.2), whereas all addresses of a routing answer for everything. Pure: no Django, no clock.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from biaojie.handle.json_form import value_to_json
from biaojie.handle.sites import Interface, InterfaceKind, Protocol, Server, Site, encode_site
from biaojie.handle.system_values import (
    ALL_RIGHTS,
    HS_ADMIN,
    HS_PUBKEY,
    HS_SITE,
    HS_SITE_6,
    HS_SITE_PREFIX,
    AdminRecord,
    encode_admin,
)
from biaojie.handle.values import HandleValue
from biaojie.registry.rules import Address

# Where each kind of value begins; the gaps hold the old and the new addresses of a change side by side.
SITE_INDEX: Final = 1
SITE6_INDEX: Final = 21
DERIVED_INDEX: Final = 41
ADMIN_INDEX: Final = 100
KEY_INDEX: Final = 300

_PROTOCOLS: Final = {"UDP": Protocol.UDP, "TCP": Protocol.TCP, "HTTP": Protocol.HTTP}


def record_values(
    prefix: str, addresses: Iterable[Address], *, serial: int, public_key: bytes, ttl_s: int, delegates: bool, desc: str
) -> list[dict[str, Any]]:
    """The values of `0.NA/<prefix>` in the Handle JSON form, sorted by index.

    HS_SITE and HS_SITE.6 say who serves `<prefix>/…`; with `delegates`, HS_SITE.PREFIX says who answers
    `0.NA/<prefix>.*`. `public_key` is the serving node's, in key form; empty leaves HS_PUBKEY out.
    """
    all_sites = list(sites(addresses, serial=serial, public_key=public_key, desc=desc))
    values = [*_numbered(HS_SITE, SITE_INDEX, [site for site in all_sites if _version(site) == 4], ttl_s)]
    values += _numbered(HS_SITE_6, SITE6_INDEX, [site for site in all_sites if _version(site) == 6], ttl_s)
    if delegates:
        values += _numbered(HS_SITE_PREFIX, DERIVED_INDEX, all_sites, ttl_s)
    admin = encode_admin(AdminRecord(ALL_RIGHTS, f"0.NA/{prefix}", KEY_INDEX))
    values.append(HandleValue(ADMIN_INDEX, HS_ADMIN, admin, ttl=ttl_s))
    if public_key:
        values.append(HandleValue(KEY_INDEX, HS_PUBKEY, public_key, ttl=ttl_s))
    return [value_to_json(value) for value in values]


def sites(addresses: Iterable[Address], *, serial: int, public_key: bytes, desc: str) -> Iterator[Site]:
    """One site per IP address; the first is the primary one."""
    by_ip: dict[str, list[Address]] = {}
    for address in addresses:
        by_ip.setdefault(address.ip, []).append(address)
    for number, (ip, held) in enumerate(sorted(by_ip.items())):
        interfaces = tuple(
            Interface(InterfaceKind.ADMIN_AND_QUERY if row.protocol == "TCP" else InterfaceKind.QUERY, protocol, row.port)
            for row in held
            if (protocol := _PROTOCOLS.get(row.protocol)) is not None
        )
        server = Server(1, ipaddress.ip_address(ip), public_key, interfaces)
        yield Site(serial=serial % 65536, primary=number == 0, attributes=(("desc", desc),), servers=(server,))


def own_site(addresses: Sequence[Address], *, serial: int, public_key: bytes, desc: str) -> bytes:
    """The node's own site as octets (GET_SITE_INFO, `bootstrap.bin`): its first IPv4 address, else its first."""
    found = list(sites(addresses, serial=serial, public_key=public_key, desc=desc))
    first = next((site for site in found if _version(site) == 4), found[0])
    return encode_site(first)


def _numbered(type_: str, start: int, found: Sequence[Site], ttl_s: int) -> Iterator[HandleValue]:
    for number, site in enumerate(found):
        yield HandleValue(start + number, type_, encode_site(site), ttl=ttl_s)


def _version(site: Site) -> int:
    return site.servers[0].address.version
