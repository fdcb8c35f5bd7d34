"""A million mutants of right octets, against each decoder and against a running resolver.

The row of mutants is the same in every run (`SEED`); a failure names its number and octets. With `--bounded` each decoder
gets as many of them as it reads in half a second.
"""

from __future__ import annotations

import gc
import socket
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pytest
import seeds
import vectors
from decoders import DECODERS, Decoder
from mutations import mutants
from node_under_test import Node, question
from reference_node import exchange, start_reference_node, tunnel

from biaojie.handle.datagrams import PACKET_SIZE

pytestmark = [pytest.mark.long, pytest.mark.timeout(7200)]

SEED = 20_261_122
COUNT = 1_000_000
BOUNDED_CPU_S = 0.5
WARM_UP = 1_000
MEDIAN_S = 0.050
LONGEST_S = 1.0
GROWTH_OCTETS = 32 << 20
BURST = 32
SERVER_GROWTH_OCTETS = 64 << 20


@dataclass(frozen=True, slots=True)
class Share:
    """How many mutants the running resolver gets over each transport."""

    udp: int
    tcp: int
    http: int


WHOLE_SHARE = Share(udp=300_000, tcp=30_000, http=30_000)
BOUNDED_SHARE = Share(udp=6_000, tcp=600, http=600)

Tell = Callable[[str], None]


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Tell:
    """Prints a line that shows when the test passes too."""

    def say(text: str) -> None:
        with capsys.disabled():
            print(f"\n    {text}", flush=True)

    return say


@pytest.mark.parametrize("decoder", DECODERS.values(), ids=lambda decoder: decoder.name)
def test_mutated_octets_end_in_a_value_or_a_declared_error(decoder: Decoder, bounded: bool, tell: Tell) -> None:
    count = slow = grown = 0
    longest_s, resident = 0.0, 0
    began_s = time.thread_time()

    for octets in mutants(decoder.seeds(), COUNT, SEED):
        took_s = run(decoder, octets, count)
        count += 1
        slow += took_s > MEDIAN_S
        longest_s = max(longest_s, took_s)
        if count == WARM_UP:
            resident = resident_octets("self")
        if bounded and not count % 128 and time.thread_time() - began_s > BOUNDED_CPU_S and count > WARM_UP:
            break
    grown = resident_octets("self") - resident

    tell(
        f"{decoder.name}: {count} inputs (seed {SEED}), {time.thread_time() - began_s:.1f} CPU s, "
        f"longest {longest_s * 1000:.1f} ms, memory {grown / (1 << 20):+.1f} MiB"
    )
    assert count == COUNT or bounded
    assert slow * 2 < count  # the median
    assert longest_s < LONGEST_S
    assert grown < GROWTH_OCTETS


def run(decoder: Decoder, octets: bytes, number: int) -> float:
    """CPU seconds of one input; what fails says which it was. A long one is given a second chance: the collector may have run."""
    for _ in range(2):
        began_s = time.thread_time()
        try:
            decoder.run(octets)
        except Exception as error:
            raise AssertionError(f"{decoder.name}, input {number}, seed {SEED}: {octets.hex()}") from error
        took_s = time.thread_time() - began_s
        if took_s < MEDIAN_S:
            break
        gc.collect()
    return took_s


def resident_octets(process: int | str) -> int:
    """What a process holds in memory."""
    if process == "self":
        gc.collect()
    return int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1]) * 4096


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    running = start_reference_node(tmp_path_factory.mktemp("mutations"))
    yield running
    running.stop()


def test_running_resolver_survives_mutated_messages_over_every_transport(node: Node, bounded: bool, tell: Tell) -> None:
    share = BOUNDED_SHARE if bounded else WHOLE_SHARE
    packets = seeds.packets()
    began_s = time.monotonic()

    udp_warm = send_datagrams(node, islice(mutants(packets, COUNT, SEED + 1), 1_000))
    resident = resident_octets(node.process.pid)
    udp = udp_warm + send_datagrams(node, mutants(packets, share.udp, SEED))
    tcp = send_streams(node, mutants(packets, share.tcp, SEED))
    http = send_tunnels(node, mutants(packets, share.http, SEED))
    grown = resident_octets(node.process.pid) - resident

    tell(
        f"resolver: {share.udp + 1_000} inputs over UDP, {share.tcp} over TCP, {share.http} over HTTP (seed {SEED}), "
        f"{time.monotonic() - began_s:.1f} s, memory {grown / (1 << 20):+.1f} MiB; "
        f"response codes {dict(sorted((udp + tcp + http).items()))}"
    )
    assert node.process.poll() is None
    assert grown < SERVER_GROWTH_OCTETS
    for way in ("udp", "tcp", "http"):
        reply = bytearray(exchange(node, way, vectors.RESOLVE_REQUEST))
        reply[36:40] = vectors.RESOLVE_RESPONSE[36:40]
        assert reply.hex() == vectors.RESOLVE_RESPONSE.hex()
    assert {code for code in udp + tcp + http if code >= 0} <= {0, 1, 2, 4, 5, 100, 200, 301, 302, 303, 401, 501}
    log = (node.folder / "resolver.log").read_text(encoding="utf-8")
    assert "Traceback" not in log
    assert '"level": "error"' not in log
    metrics = urllib.request.urlopen(node.http[0] + "/metrics", timeout=5).read().decode()
    assert 'what="failed"} 0' in metrics
    assert 'what="failures"} 0' in metrics


def send_datagrams(node: Node, octets: Iterator[bytes]) -> Counter[int]:
    """Send in bursts, each followed by a good question that must be answered; the response codes that came back."""
    codes: Counter[int] = Counter()
    good = question("86.100.1/item-0000042", request_id=0x7E57AB1E)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.connect(node.udp[0])
        sock.settimeout(5.0)
        while burst := list(islice(octets, BURST)):
            for packet in burst:
                # Two good questions at once would be told apart by nothing.
                sock.send(packet[: 4 * PACKET_SIZE] if packet[8:12] != good[8:12] else b"")
            sock.send(good)
            while True:
                reply = sock.recv(65_536)  # TimeoutError: the loop hangs
                if reply[8:12] == good[8:12]:
                    break
                codes[code_of(reply)] += 1
            assert code_of(reply) == 1
    return codes


def send_streams(node: Node, octets: Iterator[bytes]) -> Counter[int]:
    """One connection for each; all that comes back until its end, which must come."""
    codes: Counter[int] = Counter()
    for message in octets:
        try:
            codes[code_of(exchange(node, "tcp", message, timeout_s=5.0))] += 1
        except (ConnectionError, BrokenPipeError):
            codes[-1] += 1  # it closed before it had read all: what it sent before is lost, which TCP allows
    return codes


def send_tunnels(node: Node, octets: Iterator[bytes]) -> Counter[int]:
    """One POST for each."""
    codes: Counter[int] = Counter()
    for message in octets:
        status, reply = tunnel(node, message)
        assert status in (200, 400)
        codes[code_of(reply)] += 1
    return codes


def code_of(reply: bytes) -> int:
    """The response code of an answer, -1 for silence or a later piece."""
    return int.from_bytes(reply[24:28], "big") if len(reply) >= 44 and reply[12:16] == bytes(4) else -1
