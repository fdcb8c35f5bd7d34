"""What a walk asks and is told, and what records and names say about where to ask next.

Values and pure look-ups only; the order in which things are asked is `recursion`'s.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from biaojie.codes.handle_names import HandleValue as HandleName
from biaojie.codes.identifier import Identifier
from biaojie.codes.systems import System
from biaojie.codes.vaa import VaaValue
from biaojie.handle.codes import ResponseCode
from biaojie.handle.errors import HandleError
from biaojie.handle.hashing import choose_server
from biaojie.handle.sites import Server, Site, decode_site
from biaojie.handle.values import TTL_ABSOLUTE, HandleValue, ascii_upper, type_matches
from biaojie.resolution.cache import Endpoint
from biaojie.resolution.errors import WalkError

PROTOCOL_NAMES = {0: "udp", 1: "tcp", 2: "http", 3: "https"}
"""`handle.sites.Protocol` numbers as they are spelt in an `Endpoint`."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
REFERRALS = frozenset({ResponseCode.SERVICE_REFERRAL, ResponseCode.PREFIX_REFERRAL})


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The limits of a walk; one field is one row."""

    protocols: tuple[str, ...] = ("udp", "tcp", "http")
    attempt_ms: int = 2000
    total_ms: int = 5000
    max_questions: int = 40
    max_depth: int = 20
    max_aliases: int = 10
    max_addresses: int = 64
    answer_ttl_max_s: int = 2 * 86_400
    delegation_ttl_max_s: int = 300
    route_ttl_s: int = 60
    negative_ttl_s: int = 30
    allow_private: bool = False
    certify: bool = False
    follow_aliases: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class HandleRequest:
    """The public values of a handle; no types = all of them."""

    handle: str
    types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRequest:
    """`GET /api/v1/routes?identifier=`."""

    identifier: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentRequest:
    """`GET /api/handles/{identifier}` for an identifier that is no handle."""

    identifier: str


Request = HandleRequest | RouteRequest | ContentRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An address to ask, the key that signs its certified replies and the serial of the site record naming it."""

    endpoint: Endpoint
    public_key: bytes = b""
    serial: int = 0xFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to ask now: the first of `targets`; the others are what is left should it fail."""

    targets: tuple[Target, ...]
    request: Request
    reason: str
    timeout_ms: int
    certify: bool = False

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        return tuple(target.endpoint for target in self.targets)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a server said to a `HandleRequest` or `ContentRequest`; `referral` is the handle named by a 302 or 303."""

    response_code: int
    values: tuple[HandleValue, ...] = ()
    referral: str = ""
    message: str = ""
    authoritative: bool = False
    verified: bool = False
    octets: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteReply:
    """What a server said to a `RouteRequest`."""

    system: str
    matched: str
    next: tuple[Endpoint, ...]
    final: bool
    octets: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of the path; `error` non-empty = a try that failed."""

    node: str
    reason: str
    cached: bool = False
    protocol: str = ""
    address: str = ""
    response_code: int | None = None
    octets: int = 0
    elapsed_ms: float = 0.0
    note: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the walk ended. `values` are all public values; `error` explains everything but 1, 100 and 200 of the owner."""

    identifier: str
    response_code: int
    values: tuple[HandleValue, ...] = ()
    ttl_s: int = 0
    trace: tuple[Step, ...] = ()
    node: str = ""
    aliases: tuple[str, ...] = ()
    cached: bool = False
    verified: bool = False
    message: str = ""
    error: WalkError | None = None


def is_root_handle(handle: str) -> bool:
    """Is it asked at the root itself: prefix records (`0.NA/…`), other `0…` names, and names without a slash?"""
    prefix, slash, _ = handle.partition("/")
    return not slash or prefix == "0" or prefix.startswith("0.")


def prefix_of(handle: str) -> str:
    """What stands before the first slash."""
    return handle.partition("/")[0]


def parent_prefix(handle: str) -> str:
    """The prefix a referral for this handle speaks of: for `0.NA/88.100.1` it is `88.100`."""
    prefix, _, suffix = handle.partition("/")
    name = suffix if is_root_handle(handle) and suffix else prefix
    return name.rpartition(".")[0] or name


def values_ttl(values: Iterable[HandleValue], now_s: float) -> float:
    """Seconds until the first of these values runs out; 0 for none."""
    left = [v.ttl - now_s if v.ttl_type == TTL_ABSOLUTE else float(v.ttl) for v in values]
    return max(0.0, min(left, default=0.0))


def text_of(values: Iterable[HandleValue], type_: str) -> str | None:
    """The data of the first value of a type as text."""
    return next((v.data.decode("utf-8", "surrogateescape") for v in values if type_matches(v.type, type_)), None)


def sites_in(values: Iterable[HandleValue], types: tuple[str, ...]) -> tuple[Site, ...]:
    """The site records among values; one that cannot be read is left out."""
    sites = []
    for value in values:
        if any(type_matches(value.type, type_) for type_ in types):
            try:
                sites.append(decode_site(value.data))
            except HandleError:
                continue
    return tuple(sites)


def is_allowed(host: str, *, allow_private: bool) -> bool:
    """May an address that came out of a record be asked? Names never, private ranges only where the setting says so.

    An IPv4 address inside an IPv6 one (mapped, 6to4, NAT64) is judged as itself. An address with a zone (`%eth0`) means this
    machine's own links, and the zone's text would stand in a URL unread: never.
    """
    if "%" in host:
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(address.packed[12:])
        if inner is not None:
            return is_allowed(str(inner), allow_private=allow_private)
    if address.is_reserved and not address.is_loopback:  # ::1 lies in a reserved block
        return False
    if address.is_multicast or address.is_unspecified or address.is_link_local:
        return False
    # `is_global` does not know the site-local block (fec0::/10), which networks still use behind their border.
    is_site_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    return allow_private or (address.is_global and not is_site_local)


def handle_of(identifier: Identifier) -> str:
    """The handle under which an identifier is resolved: as spelt; the Handle form of a VAA; `0.NA/…` for a bare prefix."""
    value = identifier.value
    if isinstance(value, VaaValue):
        return value.handle
    if isinstance(value, HandleName):
        return f"0.NA/{value.prefix}" if value.suffix is None else f"{value.prefix}/{value.suffix}"
    return identifier.text


def wire_identifier(handle: str) -> Identifier:
    """A handle as it came over the wire, taken as it is (an empty suffix, say, is for its node to judge)."""
    return Identifier(
        system=System.HANDLE, text=handle, canonical=ascii_upper(handle), routing_key=ascii_upper(prefix_of(handle))
    )


def targets_of(site: Site, handle: str | None) -> Iterator[Target]:
    """The query interfaces of the server that answers for a handle (of every server when None), in wire order."""
    if not site.servers:
        return
    for server in site.servers if handle is None else (choose_server(site, handle),):
        for endpoint in endpoints_of(server):
            yield Target(endpoint=endpoint, public_key=server.public_key, serial=site.serial)


def endpoints_of(server: Server) -> Iterator[Endpoint]:
    """The addresses at which a server takes queries; interfaces nobody could ask are left out."""
    for interface in server.interfaces:
        protocol = PROTOCOL_NAMES.get(interface.protocol)
        if interface.query and protocol is not None and 0 < interface.port < 65536:
            yield Endpoint(protocol, str(server.address), interface.port)


def addresses_of(site: Site) -> Iterator[Endpoint]:
    """Every address of a site at which queries are taken."""
    for server in site.servers:
        yield from endpoints_of(server)


def reason_of(request: Request) -> str:
    """What is asked, as the path says it."""
    if isinstance(request, RouteRequest):
        return f"查询 {request.identifier} 的路由"
    if isinstance(request, ContentRequest):
        return f"查询 {request.identifier}"
    return f"查询 {request.handle}"


def note_of(reply: Reply | RouteReply) -> str:
    """What is remarkable about a reply, as the path says it."""
    if isinstance(reply, RouteReply):
        if not reply.next:
            return "没有路由"
        return f"匹配路由 {reply.matched}" + ("（末级）" if reply.final else "")
    if reply.response_code in REFERRALS:
        return f"转介{f' {reply.referral}' if reply.referral else ''}"
    notes = ["权威应答"] if reply.authoritative else []
    notes += ["已验签"] if reply.verified else []
    return "，".join(notes)
