"""What the registry says in public: the same entries from the tables (snapshot) as from the journal (delta).

Handles come from `Handle` rows, zones from the prefixes this node serves, routes from active claims, the site from the
node's own record. A change of a prefix or a claim is journalled by the verb that makes it, with the content that
`zone_changes` and `route_content_of` give, so that both sides are computed in one place.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import structlog
from django.db import connection, transaction

from biaojie.base.errors import BiaojieError
from biaojie.codes.systems import System
from biaojie.foundation.records.models import Change
from biaojie.registry.handle_rows import KIND as HANDLE_KIND
from biaojie.registry.handle_rows import key_octets, wire_values
from biaojie.registry.models import Handle, OwnSite, Prefix, RouteClaim
from biaojie.resolution.entries import (
    HANDLE,
    ROUTE,
    SITE,
    SITE_KEY,
    ZONE,
    Entry,
    RouteContent,
    handle_entry,
    removal,
    route_entry,
    site_entry,
    zone_entry,
)

_BATCH = 2000

log = structlog.get_logger(__name__)

_LIVE_HANDLES = """
SELECT key, owner, purpose, values::text, version, floor(extract(epoch FROM updated_at))::bigint
FROM registry_handle WHERE deleted_at IS NULL ORDER BY key
"""


def current_entries() -> Iterator[Entry]:
    """Every live entry, streamed; call inside one REPEATABLE READ transaction to get one moment (see `publisher`)."""
    yield from _site()
    for key, version, content in zones():
        yield zone_entry(key.encode(), version, owner=content["owner"], refer=content.get("refer", ""))
    for claim in RouteClaim.objects.filter(state=RouteClaim.State.ACTIVE).order_by("id"):
        yield route_entry(route_octets(route_key(claim)), claim.version, route_content(claim))
    with transaction.atomic(), connection.connection.cursor(name="biaojie_publication") as cursor:
        cursor.itersize = _BATCH
        cursor.execute(_LIVE_HANDLES)
        for key, owner, purpose, values, version, at in cursor:
            entry = _handle(key, version, owner, purpose, msgspec.json.decode(values), int(at))
            if entry.content is not None:
                yield entry


def entries_of(change: Change) -> list[Entry]:
    """The entries of one journal row; empty for kinds that are not public."""
    if change.kind not in (HANDLE_KIND, ZONE, ROUTE, SITE):
        return []
    octets = _octets(change)
    if change.operation == Change.Operation.REMOVE:
        return [removal(change.kind, octets, change.version)]
    content: Mapping[str, Any] = change.content or {}
    if change.kind == HANDLE:
        return [_handle(change.key, change.version, content["owner"], content["purpose"], content["values"], int(content["at"]))]
    if change.kind == ZONE:
        return [zone_entry(octets, change.version, owner=content["owner"], refer=content.get("refer", ""))]
    if change.kind == ROUTE:
        return [route_entry(octets, change.version, _route(content))]
    return [site_entry(base64.b64decode(content["site"]), change.version)]


def zones() -> Iterator[tuple[str, int, dict[str, Any]]]:
    """`(key, version, content)` of every zone this node answers for now."""
    for prefix in Prefix.objects.filter(status=Prefix.Status.ENABLED).order_by("id"):
        for key in zone_keys(prefix):
            yield key, prefix.version, zone_content_of(prefix)


def zone_keys(prefix: Prefix) -> list[str]:
    """The zones a prefix stands for at this node, served or not: itself, and the prefixes derived from an own one.

    The root's `0.NA` stands for all prefix records (`0.NA/`).
    """
    if prefix.name == "0.NA":
        return ["0.NA/"]
    if prefix.is_own:
        return [prefix.name.upper(), f"0.NA/{prefix.name.upper()}"]
    if prefix.hosting == Prefix.Hosting.HOSTED:
        return [prefix.name.upper()]
    return []


def zone_content_of(prefix: Prefix) -> dict[str, Any]:
    """What the journal says of a prefix's zone."""
    return {"owner": prefix.name}


def route_key(claim: RouteClaim) -> str:
    """The journal's key of a claim: system number and coverage."""
    return f"{System.from_wire(claim.system).number}:{claim.coverage}"


def route_octets(key: str) -> bytes:
    """The octets under which an index holds a claim."""
    number, _, coverage = key.partition(":")
    return bytes([int(number)]) + coverage.encode()


def route_content_of(claim: RouteClaim) -> dict[str, Any]:
    """What the journal says of a claim."""
    return {
        "system": claim.system,
        "coverage": claim.coverage,
        "low": bytes(claim.low).hex(),
        "high": bytes(claim.high).hex(),
        "addresses": claim.addresses,
        "owner": claim.owner,
        "final": claim.final,
    }


def route_content(claim: RouteClaim) -> RouteContent:
    """What the publication says of a claim."""
    return _route(route_content_of(claim))


def site_content_of(site: bytes) -> dict[str, Any]:
    """What the journal says of the node's own site."""
    return {"site": base64.b64encode(site).decode("ascii")}


def _handle(key: str, version: int, owner: str, purpose: str, values: Sequence[Mapping[str, Any]], at: int) -> Entry:
    """The entry of a live row; one whose values cannot be put on the wire is left out, loudly, so that it stops no other."""
    octets = key_octets(key)
    try:
        return handle_entry(octets, version, owner=owner, values=wire_values(values, at), own=purpose == Handle.Purpose.PROBE)
    except BiaojieError as error:
        log.error("publication.record_unusable", key=key, version=version, error=str(error))
        return removal(HANDLE, octets, version)


def _octets(change: Change) -> bytes:
    if change.kind == HANDLE:
        return key_octets(change.key)
    if change.kind == ROUTE:
        return route_octets(change.key)
    if change.kind == SITE:
        return SITE_KEY
    return change.key.encode()


def _route(content: Mapping[str, Any]) -> RouteContent:
    addresses = [(f"IPv{row['ip_type']}", str(row["ip"]), str(row["protocol"]), int(row["port"])) for row in content["addresses"]]
    return RouteContent(
        system=content["system"],
        coverage=content["coverage"],
        low=bytes.fromhex(content["low"]),
        high=bytes.fromhex(content["high"]),
        addresses=addresses,
        owner=content["owner"],
        final=content["final"],
    )


def _site() -> Iterable[Entry]:
    row = OwnSite.objects.first()
    if row is not None:
        yield site_entry(bytes(row.site), row.version)
