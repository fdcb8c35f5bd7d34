"""What the tests of the sockets share: one of each kind of published entry, a resolver process, questions and replies."""

from __future__ import annotations

import ipaddress
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from biaojie.codes.parsing import parse
from biaojie.handle.bodies import Body, ResolutionRequest
from biaojie.handle.codes import RESOLUTION_FLAGS
from biaojie.handle.messages import Message, decode_response, encode_message, make_request
from biaojie.handle.sites import Interface, InterfaceKind, Protocol, Server, Site, encode_site
from biaojie.handle.values import HandleValue, encode_values
from biaojie.resolution.entries import Entry, RouteContent, handle_entry, route_entry, site_entry, zone_entry
from biaojie.resolution.publication import PublicationWriter

_IDS = itertools.count(0x10000)

OWNER = "88.100.1"
URL = HandleValue(index=1, type="URL", data=b"https://id.example.org/item-42", timestamp=1_700_000_000)
TITLE = HandleValue(index=2, type="DESC", data="深沟球轴承 6204".encode(), timestamp=1_700_000_000)
SECRET = HandleValue(index=3, type="COST", data=b"12.50", timestamp=1_700_000_000, permissions=0x0C)
LONG = HandleValue(index=1, type="TEXT", data=b"0123456789" * 500, timestamp=1_700_000_000)
HUGE = HandleValue(index=1, type="TEXT", data=b"0123456789" * 12_000, timestamp=1_700_000_000)


def handle_row(handle: str, *values: HandleValue, version: int = 1, own: bool = False) -> Entry:
    """A published handle."""
    key = b"\x01" + handle.upper().encode()
    return handle_entry(key, version, owner=OWNER, values=encode_values(values), own=own)


def all_entries() -> list[Entry]:
    """One of each kind."""
    site = Site(
        serial=7,
        attributes=(("desc", "样例节点"),),
        servers=(
            Server(
                server_id=1,
                address=ipaddress.ip_address("127.0.0.1"),
                interfaces=(Interface(kind=InterfaceKind.QUERY, protocol=Protocol.UDP, port=2641),),
            ),
        ),
    )
    gtin = parse("06901234567892")
    low, high = gtin.routing_bytes(), gtin.routing_bytes() + b"\xff"
    route = RouteContent(
        system="GS1",
        coverage="690123456789",
        low=low,
        high=high,
        addresses=[("IPv4", "192.0.2.7", "HTTP", 8080)],
        owner=OWNER,
        final=True,
    )
    oid = parse("1.2.156.3001.7")
    return [
        zone_entry(OWNER.encode(), 1, owner=OWNER),
        zone_entry(b"88.100.9", 1, owner="88.100.9", refer="88.100/service"),
        site_entry(encode_site(site), 1),
        route_entry(bytes([6]) + b"690123456789", 1, route),
        handle_entry(oid.key(), 1, owner=OWNER, values=encode_values([URL])),
        handle_row("88.100.1/item-42", URL, TITLE),
        handle_row("88.100.1/partly", URL, SECRET),
        handle_row("88.100.1/hidden", SECRET),
        handle_row("88.100.1/long", LONG),
        handle_row("88.100.1/huge", HUGE),
        handle_row("88.100.1/中文 a%2Fb", URL),
        handle_row("88.100.1/probe", URL, own=True),
    ]


@dataclass
class Node:
    """A running resolver: its folder and addresses."""

    folder: Path
    process: subprocess.Popen[str]
    udp: list[tuple[str, int]] = field(default_factory=list)
    tcp: list[tuple[str, int]] = field(default_factory=list)
    http: list[str] = field(default_factory=list)

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.end()

    def end(self) -> int:
        """The exit status, once it has ended."""
        status = self.process.wait(15)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status

    @property
    def writer(self) -> PublicationWriter:
        return PublicationWriter(self.folder / "publication", node="second")


def start_node(folder: Path, **settings: str) -> Node:
    """Start `biaojie.processes.resolver` for a node folder."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("BIAOJIE_")}
    environment |= {
        "BIAOJIE_NODE_DIR": str(folder),
        "BIAOJIE_ENVIRONMENT": "test",
        "BIAOJIE_HANDLE_UDP": "127.0.0.1:0,[::1]:0",
        "BIAOJIE_HANDLE_TCP": "127.0.0.1:0,[::1]:0",
        "BIAOJIE_HANDLE_HTTP": "127.0.0.1:0,[::1]:0",
    } | {f"BIAOJIE_{name.upper()}": value for name, value in settings.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "biaojie.processes.resolver"], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    node = Node(folder, process)
    if ready["ready"]:
        node.udp, node.tcp = ([_pair(text) for text in ready[name]] for name in ("udp", "tcp"))
        node.http = [f"http://{text}" for text in ready["http"]]
    return node


def _pair(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def question(
    handle: str, *, request_id: int | None = None, flags: int = RESOLUTION_FLAGS, body: Body | None = None, **options: object
) -> bytes:
    """A request's octets, with an id of its own."""
    number = next(_IDS) if request_id is None else request_id
    return encode_message(make_request(body or ResolutionRequest(handle), request_id=number, op_flags=flags, **options))


def ask_udp(address: tuple[str, int], *packets: bytes, timeout_s: float = 3.0) -> bytes:
    """Send packets, give the first datagram that comes back with their id.

    The port may have been another question's a moment ago, whose last pieces still come in.
    """
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout_s)
        for packet in packets:
            sock.sendto(packet, address)
        while True:
            reply = sock.recv(65_536)
            if reply[8:12] == packets[0][8:12] or len(packets[0]) < 20:
                return reply


def read(octets: bytes) -> Message:
    """A reply's octets as a message."""
    return decode_response(octets)
