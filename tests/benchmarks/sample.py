"""A real index to measure on: written as a publication, followed into LMDB, as a node does it."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterator
from pathlib import Path

from biaojie.handle.sites import Interface, InterfaceKind, Protocol, Server, Site, encode_site
from biaojie.handle.values import HandleValue, encode_values
from biaojie.resolution.entries import Entry, handle_entry, site_entry, zone_entry
from biaojie.resolution.follower import Follower
from biaojie.resolution.index import Index
from biaojie.resolution.publication import PublicationWriter

PREFIX = "88.100.1/bench-product-"
OWNER = "88.100.1"
REPLY_OCTETS = 350
FLAGS = 0x19000000


def handle(number: int) -> str:
    """The handle of this number, 30 octets."""
    return f"{PREFIX}{number:07d}"


def values_of(number: int) -> bytes:
    """Three values whose reply, envelope included, has `REPLY_OCTETS` octets."""
    room = REPLY_OCTETS - 20 - 24 - 4 - len(handle(number)) - 4
    values = [
        HandleValue(index=1, type="URL", data=f"https://id.example.org/p/{number:07d}".encode(), timestamp=1_700_000_000),
        HandleValue(index=2, type="NAME", data=f"深沟球轴承 {number:07d}".encode(), timestamp=1_700_000_000),
        HandleValue(index=3, type="SPEC", data=b"", timestamp=1_700_000_000),
    ]
    missing = room - len(encode_values(values))
    values[2] = HandleValue(index=3, type="SPEC", data=b"x" * missing, timestamp=1_700_000_000)
    return encode_values(values)


def entries(count: int) -> Iterator[Entry]:
    """Zone, site and `count` handles."""
    yield zone_entry(OWNER.encode(), 1, owner=OWNER)
    interface = Interface(kind=InterfaceKind.QUERY, protocol=Protocol.UDP, port=2641)
    server = Server(server_id=1, address=ipaddress.ip_address("127.0.0.1"), interfaces=(interface,))
    site = Site(servers=(server,))
    yield site_entry(encode_site(site), 1)
    for number in range(count):
        yield handle_entry(b"\x01" + handle(number).upper().encode(), 1, owner=OWNER, values=values_of(number))


def build(folder: Path, count: int) -> float:
    """Publish `count` handles and follow them into `folder/index`; seconds taken."""
    began_s = time.perf_counter()
    PublicationWriter(folder / "publication", node="bench").start(entries(count), 1)
    index = Index.open(folder / "index")
    follower = Follower(folder / "publication", index)
    report = follower.poll()
    assert report.serial == 1 and report.problem is None, report
    follower.close()
    index.close()
    return time.perf_counter() - began_s
