"""A resolver process that holds what the recorded reference server held, and the three ways to put octets to it."""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from node_under_test import Node

from biaojie.handle.datagrams import Reassembler
from biaojie.handle.sites import Interface, InterfaceKind, Protocol, Server, Site, encode_site
from biaojie.handle.system_values import AdminRecord, encode_admin
from biaojie.handle.values import HandleValue, encode_values
from biaojie.resolution.entries import Entry, handle_entry, site_entry, zone_entry
from biaojie.resolution.publication import PublicationWriter

WAYS = ("udp", "tcp", "http")
AT = 0x6553F100  # 2023-11-14T22:13:20Z, when the recorded values were written
HIDDEN = 0x0C
ADMIN = HandleValue(100, "HS_ADMIN", encode_admin(AdminRecord(0x0FFF, "0.NA/86.100.1", 300)), timestamp=AT)
ITEM = (
    HandleValue(1, "URL", b"https://id.example.org/item/42", timestamp=AT),
    HandleValue(2, "DESC", b"industrial part number 42 lot 42", timestamp=AT),
    ADMIN,
)
SITE = Site(
    serial=1,
    primary=True,
    attributes=(("desc", "一致性测试节点"),),
    servers=(
        Server(
            server_id=1,
            address=ipaddress.ip_address("127.0.0.1"),
            interfaces=(
                Interface(InterfaceKind.QUERY, Protocol.UDP, 2641),
                Interface(InterfaceKind.ADMIN_AND_QUERY, Protocol.TCP, 2641),
                Interface(InterfaceKind.ADMIN_AND_QUERY, Protocol.HTTP, 8000),
            ),
        ),
    ),
)
SERVED_BY = HandleValue(3, "HS_SITE.PREFIX", encode_site(SITE), timestamp=AT)
# As long as makes the recorded reply of 1,635 octets: header 24, handle 17, count 4, value 1,586, credential length 4.
LONG = HandleValue(1, "TEXT", b"0123456789" * 155 + b"012345", timestamp=AT)


def row(handle: str, *values: HandleValue) -> Entry:
    """A published handle."""
    return handle_entry(b"\x01" + handle.upper().encode(), 1, owner="86.100.1", values=encode_values(values))


def entries() -> list[Entry]:
    """The recorded server's handles as far as the exchanges touch them."""
    return [
        zone_entry(b"86.100.1", 1, owner="86.100.1"),
        zone_entry(b"0.NA/88", 1, owner="88"),
        zone_entry(b"0.NA/88.100", 1, owner="88.100"),
        site_entry(encode_site(SITE), 1),
        row("86.100.1/item-0000042", *ITEM),
        row("86.100.1/long", LONG),
        row("86.100.1/hidden", HandleValue(1, "COST", b"12.50", timestamp=AT, permissions=HIDDEN)),
        row("86.100.1/partly", ITEM[0], HandleValue(5, "COST", b"12.50", timestamp=AT, permissions=HIDDEN)),
        row("86.100.1/sealed", HandleValue(1, "HS_SECKEY", b"s3cret-key", timestamp=AT, permissions=0)),
        row("86.100.1/types", *(HandleValue(n, t, b"x", timestamp=AT) for n, t in ((1, "URL"), (2, "URL.X"), (3, "URLS")))),
        row("86.100.1/中文", ITEM[0]),
        row("0.NA/88.100", SERVED_BY, ADMIN),
    ]


def start_reference_node(folder: Path, **settings: str) -> Node:
    """The process, its log in `resolver.log` of its folder; settings as environment names without prefix, in lower case."""
    PublicationWriter(folder / "publication", node="second").start(entries(), 1)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BIAOJIE_")}
    environment |= {
        "BIAOJIE_NODE_DIR": str(folder),
        "BIAOJIE_ENVIRONMENT": "test",
        "BIAOJIE_HANDLE_UDP": "127.0.0.1:0",
        "BIAOJIE_HANDLE_TCP": "127.0.0.1:0",
        "BIAOJIE_HANDLE_HTTP": "127.0.0.1:0",
    } | {f"BIAOJIE_{name.upper()}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "biaojie.processes.resolver"]
    with (folder / "resolver.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    assert ready["ready"], ready
    node = Node(folder, process)
    node.udp, node.tcp = ([_pair(text) for text in ready[name]] for name in ("udp", "tcp"))
    node.http = [f"http://{text}" for text in ready["http"]]
    _wait_for_publication(node)
    return node


def exchange(node: Node, way: str, octets: bytes, *, timeout_s: float = 5.0) -> bytes:
    """The octets that come back for a question: the joined message over UDP, all until the close over TCP, b"" for silence."""
    if way == "udp":
        return _udp(node.udp[0], octets, timeout_s)
    if way == "tcp":
        with socket.create_connection(node.tcp[0], timeout=timeout_s) as sock:
            sock.sendall(octets)
            sock.shutdown(socket.SHUT_WR)
            parts = []
            while part := sock.recv(65_536):
                parts.append(part)
        return b"".join(parts)
    return tunnel(node, octets)[1]


def tunnel(node: Node, octets: bytes, path: str = "/") -> tuple[int, bytes]:
    """Status and message that come back through the HTTP tunnel; b"" when the answer is not a message."""
    connection = http.client.HTTPConnection(urlsplit(node.http[0]).netloc, timeout=5)
    headers = {"Content-Type": "application/x-hdl-message", "Accept": "application/x-hdl-message"}
    connection.request("POST", path, octets, headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body if answer.headers["content-type"] == "application/x-hdl-message" else b""


def packets(node: Node, octets: bytes, count: int) -> list[bytes]:
    """The datagrams that answer a question, as they came."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.sendto(octets, node.udp[0])
        return [sock.recv(65_536) for _ in range(count)]


def _udp(address: tuple[str, int], octets: bytes, timeout_s: float) -> bytes:
    joiner = Reassembler()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        sock.settimeout(timeout_s)
        sock.send(octets)
        try:
            while True:
                message = joiner.add("node", sock.recv(65_536), 0.0)
                if message is not None:
                    return message
        except TimeoutError:
            return b""


def _wait_for_publication(node: Node) -> None:
    for _ in range(200):
        connection = http.client.HTTPConnection(urlsplit(node.http[0]).netloc, timeout=5)
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
        connection.close()
        if status == 200:
            return
        try:
            node.process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        break
    raise AssertionError((node.folder / "resolver.log").read_text(encoding="utf-8"))


def _pair(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)
