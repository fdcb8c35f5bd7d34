"""A catalogue nobody here made up: the package list of the operating system as a manufacturer's products.

Name, version, maintainer and description of more than 50,000 packages, with whatever UTF-8 they hold, registered in
bulk; then every one resolves to equal values over UDP, TCP and HTTP.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from urllib.parse import quote

import pytest
from running_chain import Chain

from biaojie.base.settings import split_address
from biaojie.client.aio import Client
from biaojie.handle.bodies import ResolutionRequest
from biaojie.resolution.cache import Endpoint

pytestmark = [pytest.mark.long, pytest.mark.needs("apt-cache"), pytest.mark.timeout(1500)]

PREFIX = "88.100.1"
AT_LEAST = 50_000
FIELDS = {
    "Package": (2000, "productName"),
    "Version": (2001, "version"),
    "Maintainer": (2002, "manufacturer"),
    "Description": (2003, "description"),
}
IN_FLIGHT = 64
HTTP_CONNECTIONS = 4

Catalogue = dict[str, dict[int, tuple[str, str]]]


def packages() -> Iterator[dict[str, str]]:
    """Each package's fields as the list gives them; continued lines joined."""
    listed = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, check=True).stdout.decode("utf-8")
    for paragraph in listed.split("\n\n"):
        fields: dict[str, str] = {}
        last = ""
        for line in paragraph.split("\n"):
            if line.startswith(" ") and last:
                fields[last] += "\n" + line[1:]
            elif ": " in line:
                last, _, text = line.partition(": ")
                fields[last] = text
        if {"Package", "Version"} <= fields.keys():
            yield fields


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """Handle → index → (type, text); one package in several versions is several products."""
    found: Catalogue = {}
    for fields in packages():
        handle = f"{PREFIX}/DEB-{fields['Package']}_{fields['Version']}".upper()
        if len(handle) <= 255:
            found[handle] = {index: (type_, fields[name]) for name, (index, type_) in FIELDS.items() if fields.get(name)}
    if len(found) < AT_LEAST:
        pytest.skip(f"the package list of this machine holds only {len(found)} packages (run apt-get update)")
    return found


@pytest.fixture(scope="module")
def registered(chain: Chain, catalogue: Catalogue) -> float:
    """Registers the catalogue in one call; gives the seconds it took."""
    rows = (
        json.dumps(
            {
                "handle": handle,
                "values": [
                    {"index": index, "type": type_, "data": {"format": "string", "value": text}, "ttl": 300}
                    for index, (type_, text) in values.items()
                ],
            },
            ensure_ascii=False,
        ).encode()
        + b"\n"
        for handle, values in catalogue.items()
    )
    begun = time.monotonic()
    load = chain.api("enterprise", "operator").call(
        "POST", "/api/v1/identifiers/bulk", params={"prefix": PREFIX, "format": "ndjson"}, content=rows
    )
    took_s = time.monotonic() - begun
    assert (load["accepted"], load["rejected"]) == (len(catalogue), 0)
    return took_s


@pytest.mark.parametrize("protocol", ["udp", "tcp", "http"])
def test_every_package_resolves_to_equal_values(
    chain: Chain, catalogue: Catalogue, registered: float, protocol: str, tell: Callable[[str], None]
) -> None:
    address = chain.nodes["enterprise"][f"handle_{protocol}"].removeprefix("http://")
    endpoint = Endpoint(protocol, *split_address(address))
    chain.wait_found(next(reversed(catalogue)), node="enterprise", protocol=protocol)

    begun = time.monotonic()
    wrong = over_http(endpoint, catalogue) if protocol == "http" else asyncio.run(over_handle(endpoint, catalogue))
    took_s = time.monotonic() - begun

    tell(f"{len(catalogue):,} packages registered in {registered:.1f} s; all resolved over {protocol} in {took_s:.1f} s")
    assert wrong == []


async def over_handle(endpoint: Endpoint, catalogue: Catalogue) -> list[str]:
    """The handles whose values differ, asked over UDP or TCP."""
    wrong: list[str] = []
    waiting = iter(catalogue.items())

    async def take(client: Client) -> None:
        for handle, values in waiting:
            reply = await client.ask(endpoint, ResolutionRequest(handle, (), ()))
            if {value.index: (value.readable_type, value.data.decode()) for value in reply.values} != values:
                wrong.append(handle)

    client = Client(timeout_ms=30_000)
    try:
        await asyncio.gather(*(take(client) for _ in range(IN_FLIGHT)))
    finally:
        await client.close()
    return wrong


def over_http(endpoint: Endpoint, catalogue: Catalogue) -> list[str]:
    """The handles whose values differ, asked over HTTP connections that are kept open."""

    def take(items: Sequence[tuple[str, dict[int, tuple[str, str]]]]) -> list[str]:
        connection = HTTPConnection(endpoint.host, endpoint.port, timeout=30)
        wrong = []
        for handle, values in items:
            connection.request("GET", f"/api/handles/{quote(handle, safe='')}")
            record = json.loads(connection.getresponse().read())
            if {value["index"]: (value["type"], value["data"]["value"]) for value in record.get("values", ())} != values:
                wrong.append(handle)
        connection.close()
        return wrong

    items = list(catalogue.items())
    with ThreadPoolExecutor(HTTP_CONNECTIONS) as pool:
        parts = pool.map(take, (items[number::HTTP_CONNECTIONS] for number in range(HTTP_CONNECTIONS)))
        return [handle for part in parts for handle in part]
