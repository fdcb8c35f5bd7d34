"""The registry's tables seen as a resolver sees its index, so that the web address answers by the resolver's own rules.

Only what `resolution.authority` and `net.lookup` ask of a reader is here; every question reads the database anew, so that
what was registered a moment ago is found. One reader serves one request.
"""

from __future__ import annotations

from typing import NamedTuple

from biaojie.codes.systems import System
from biaojie.registry.handle_rows import wire_values
from biaojie.registry.models import Handle, OwnSite, Prefix, RouteClaim
from biaojie.registry.publication import route_content, zone_content_of, zone_keys
from biaojie.resolution.entries import OWN, RouteContent, ZoneContent, split_public
from biaojie.resolution.reader import HandleRecord

_PREFIX_RECORDS = "0.NA/"


class _Tables(NamedTuple):
    site: bytes | None


class DatabaseReader:
    """What a `resolution.reader.Reader` gives, from the tables."""

    def __init__(self) -> None:
        self.active = False
        self._owners: list[str] = []

    def renew(self) -> None:
        """Nothing is kept between questions."""
        self.active = True

    def release(self) -> None:
        """Nothing to let go of."""
        self.active = False

    def close(self) -> None:
        """Nothing to close."""

    def get_handle(self, key: bytes) -> HandleRecord | None:
        """The live row of a key (system number octet, canonical form), or None."""
        try:
            text = f"{key[0]}:{key[1:].decode('utf-8')}"
        except UnicodeDecodeError:
            return None  # nothing is registered under what is not UTF-8
        row = None if "\x00" in text else Handle.objects.filter(key=text, deleted_at=None).first()
        if row is None:
            return None
        values = wire_values(row.values, row.updated_at)
        flags, public = split_public(values)
        self._owners.append(row.owner)
        own = OWN if row.purpose == Handle.Purpose.PROBE else 0
        return HandleRecord(len(self._owners) - 1, flags | own, row.version, public, values)

    def owner(self, owner_id: int) -> str:
        """The prefix an identifier is counted for."""
        return self._owners[owner_id]

    def zone_of(self, key: bytes) -> ZoneContent | None:
        """The zone under exactly this key, or None."""
        try:
            text = key.decode("utf-8")
        except UnicodeDecodeError:
            return None
        name = text.removeprefix(_PREFIX_RECORDS) or "0.NA"
        if "\x00" in name:
            return None
        for prefix in Prefix.objects.filter(name__in={name, name.lower()}, status=Prefix.Status.ENABLED):
            if text in zone_keys(prefix):
                return ZoneContent(**zone_content_of(prefix))
        return None

    def best_route(self, system_number: int, routing_bytes: bytes) -> RouteContent | None:
        """The narrowest active claim that covers a routing key, or None."""
        system = System.from_number(system_number).value
        active = RouteClaim.objects.filter(system=system, state=RouteClaim.State.ACTIVE)
        rows = active.filter(low__lte=routing_bytes, high__gt=routing_bytes)
        claim = rows.order_by("-low", "high").first()
        return None if claim is None else route_content(claim)

    @property
    def site(self) -> bytes | None:
        """The node's own HS_SITE octets."""
        row = OwnSite.objects.first()
        return None if row is None else bytes(row.site)

    @property
    def tables(self) -> _Tables:
        """The one table looked at directly."""
        return _Tables(self.site)


class DatabaseIndex:
    """Gives readers as an index does."""

    def reader(self) -> DatabaseReader:
        """A reader for one request."""
        return DatabaseReader()
