"""What a change of a prefix changes in public: zones, the record `0.NA/<prefix>`, the node's own site.

`changing` is the one way in which a prefix row is written: it counts its version up and journals whatever the publication
must now say, in the caller's transaction. What the content looks like is `delegation` (values) and `publication` (zones).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection

from biaojie.base import clock
from biaojie.base.settings import split_address
from biaojie.foundation.nodes.models import Peer
from biaojie.foundation.nodes.operations import this_node
from biaojie.foundation.records import journal
from biaojie.foundation.records.journal import ChangeSetWriter
from biaojie.handle.keys import encode_public_key
from biaojie.registry import delegation
from biaojie.registry.errors import NotFound
from biaojie.registry.handle_rows import PUBLICATION, prefix_record_key, put_handle, remove_handle
from biaojie.registry.models import Endpoint, Handle, OwnSite, Prefix
from biaojie.registry.publication import site_content_of, zone_content_of, zone_keys
from biaojie.registry.rules import Address

ROOT = "0.NA"

HOSTED_PER_SET = 1000


def locked(name: str) -> Prefix:
    """The row of a prefix, locked until the transaction ends. Raises `NotFound`."""
    prefix = Prefix.objects.select_for_update().filter(name=name).first()
    if prefix is None:
        raise NotFound(pointer="name", what="前缀", name=name)
    return prefix


@contextmanager
def changing(prefix: Prefix, *, actor: object) -> Iterator[ChangeSetWriter]:
    """Saves the (new or locked) row when the block ends, and journals what it now says in public."""
    before = set(_zones(prefix)) if prefix.pk else set()
    with journal.change_set(actor=actor, channels=(PUBLICATION,)) as changes:
        yield changes
        prefix.version = prefix.version + 1 if prefix.pk else 1
        prefix.updated_at = clock.now()
        prefix.save()
        after = _zones(prefix)
        for key in after:
            changes.put(kind="zone", key=key, version=prefix.version, content=zone_content_of(prefix))
        for key in sorted(before - set(after)):
            changes.remove(kind="zone", key=key, version=prefix.version)
        write_record(changes, prefix)
        if prefix.is_own:
            write_site(changes)
    if prefix.is_own:
        _write_hosted(prefix, actor=actor)


def write_record(changes: ChangeSetWriter, prefix: Prefix) -> None:
    """Makes `0.NA/<prefix>` say where the prefix is served, or takes it out; nothing where it says so already."""
    key = prefix_record_key(prefix.name)
    held = Handle.objects.filter(key=key, deleted_at=None).first()
    addresses = _record_addresses(prefix)
    if not addresses:
        if held is not None:
            remove_handle(changes, key=key)
        return
    peer = Peer.objects.filter(node_id=prefix.peer_id).first() if prefix.peer_id else None
    is_served_here = prefix.is_own or prefix.hosting == Prefix.Hosting.HOSTED
    values = delegation.record_values(
        prefix.name,
        addresses,
        serial=prefix.site_serial,
        public_key=own_key() if is_served_here else _peer_key(peer),
        ttl_s=settings.NODE.delegation_ttl_s,
        # Only second-level nodes answer for prefixes derived from theirs; the root answers for its own without referral.
        delegates=this_node().role == "top" and not is_served_here,
        desc=this_node().name if is_served_here else peer.name if peer else prefix.name,
    )
    if held is None or held.values != values:
        put_handle(
            changes,
            key=key,
            spelled=f"{ROOT}/{prefix.name}",
            values=values,
            owner=prefix.parent or prefix.name,
            purpose=Handle.Purpose.PREFIX,
        )


def write_site(changes: ChangeSetWriter) -> bytes:
    """Makes the node's own site say where it is served; gives its octets, none where it is served nowhere."""
    prefix = Prefix.objects.filter(is_own=True).order_by("id").first()
    addresses = own_addresses(prefix)
    if not addresses:
        return b""
    site = delegation.own_site(addresses, serial=prefix.site_serial if prefix else 1, public_key=own_key(), desc=this_node().name)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('registry_ownsite'))")
    row = OwnSite.objects.first()
    if row is None or bytes(row.site) != site:
        version = row.version + 1 if row else 1
        OwnSite.objects.update_or_create(id=1, defaults={"site": site, "version": version})
        changes.put(kind="site", key="self", version=version, content=site_content_of(site))
    return site


def addresses_of(prefix: Prefix) -> list[Address]:
    """Where a prefix is served now, in canonical order."""
    rows = Endpoint.objects.filter(prefix=prefix)
    found = [Address(ip_type=row.ip_type, ip=str(row.ip), protocol=row.protocol, port=row.port) for row in rows]
    return sorted(found, key=lambda row: (row.ip, row.protocol, row.port))


def set_addresses(prefix: Prefix, addresses: Iterable[Address]) -> None:
    """Replaces the live routing set of a prefix; the caller is inside `changing`."""
    wanted = list(addresses)
    if wanted == addresses_of(prefix):
        return
    Endpoint.objects.filter(prefix=prefix).delete()
    Endpoint.objects.bulk_create(Endpoint(prefix=prefix, **row.as_row()) for row in wanted)
    prefix.site_serial += 1


def own_addresses(prefix: Prefix | None = None) -> list[Address]:
    """Where this node answers: as routed for its own prefix, else as its settings say."""
    held = addresses_of(prefix) if prefix is not None and prefix.name != ROOT else []
    return held or configured_addresses()


def configured_addresses() -> list[Address]:
    """The addresses of the settings; an unspecified one (0.0.0.0) is announced as the host of `web_url` if that is an IP."""
    node = settings.NODE
    found: dict[tuple[str, str, int], Address] = {}
    for protocol, rows in (("UDP", node.handle_udp), ("TCP", node.handle_tcp), ("HTTP", node.handle_http)):
        for row in rows:
            host, port = split_address(row)
            address = _announced(host)
            if address is not None:
                found[(address, protocol, port)] = Address(
                    ip_type=ip_address(address).version, ip=address, protocol=protocol, port=port
                )
    return [found[key] for key in sorted(found)]


def own_key() -> bytes:
    """This node's public key as HS_PUBKEY has it."""
    return encode_public_key(this_node().key.public)


def rows_of(addresses: Sequence[Address]) -> list[dict[str, Any]]:
    """Addresses as journals, calls and JSON columns carry them."""
    return [row.as_row() for row in addresses]


def from_rows(rows: Iterable[dict[str, Any]]) -> list[Address]:
    """The addresses of stored rows, which were checked when they were stored."""
    return [Address(ip_type=row["ip_type"], ip=row["ip"], protocol=row["protocol"], port=row["port"]) for row in rows]


def _write_hosted(own: Prefix, *, actor: object) -> None:
    """The records of the prefixes hosted here follow this node's addresses; in several sets, as one has its limit."""
    hosted = Prefix.objects.filter(parent=own.name, hosting=Prefix.Hosting.HOSTED).order_by("id")
    waiting = hosted.iterator(chunk_size=HOSTED_PER_SET)
    while rows := list(islice(waiting, HOSTED_PER_SET)):
        with journal.change_set(actor=actor, channels=(PUBLICATION,)) as changes:
            for row in rows:
                write_record(changes, row)


def _zones(prefix: Prefix) -> list[str]:
    return zone_keys(prefix) if prefix.status == Prefix.Status.ENABLED else []


def _record_addresses(prefix: Prefix) -> list[Address]:
    if prefix.status != Prefix.Status.ENABLED:
        return []
    if prefix.hosting == Prefix.Hosting.HOSTED:
        return own_addresses(Prefix.objects.filter(name=prefix.parent, is_own=True).first())
    if prefix.is_own:
        # Only the root keeps records of its own prefixes; everybody else's are kept by the parent.
        return configured_addresses() if this_node().role == "top" else []
    return addresses_of(prefix)


def _peer_key(peer: Peer | None) -> bytes:
    """The newest key of a peer's card that is valid now; a unit without an enrolled node has none."""
    now = clock.now()
    held = [row for row in peer.keys.order_by("not_before") if row.is_valid_at(now)] if peer else []
    return encode_public_key(held[-1].public_key()) if held else b""


def _announced(host: str) -> str | None:
    try:
        address = ip_address(host)
        if address.is_unspecified:
            address = ip_address(urlsplit(settings.NODE.web_url).hostname or "")
    except ValueError:
        return None
    return str(address)
