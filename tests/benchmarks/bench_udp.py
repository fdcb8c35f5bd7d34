"""UDP resolution on one core against the limit: a C server that sends a fixed reply of the same size.

Server on core 0, generator on core 1, all servers kept running and measured in turn, so that a bad minute hurts all alike.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import NamedTuple

from sample import FLAGS, OWNER, PREFIX, REPLY_OCTETS, build
from section import HERE, Section, can_compile, compiled, machine, median, pinned, work_folder

from biaojie.base import clock
from biaojie.handle.bodies import ResolutionRequest
from biaojie.handle.messages import encode_message, make_request
from biaojie.resolution.authority import Authority
from biaojie.resolution.index import Index
from processes import free_port, load, saying_ready

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "1.2"))
KEYS = int(os.environ.get("BENCH_KEYS", "100000"))
WINDOW = 256
SLICES = 6
"""A round's time is cut into turns this short, so that whatever else the machine does in between hits every server."""


class Variant(NamedTuple):
    """One server to measure."""

    name: str
    arguments: tuple[str, ...]


LIMIT = "C recvmmsg/sendmmsg, fixed reply"
FAST = "biaojie, counters on"
FAST_BARE = "biaojie, counters off"
INDEX = "biaojie, no replies kept (each from the index), counters on"
FULL = "biaojie, full path, counters on"
FULL_BARE = "biaojie, full path, counters off"
VARIANTS = (
    Variant(FAST, ()),
    Variant(FAST_BARE, ("--no-counters",)),
    Variant(INDEX, ("--keep", "0")),
    Variant(FULL, ("--full", "--keep", "0")),
    Variant(FULL_BARE, ("--full", "--keep", "0", "--no-counters")),
)


def run() -> Section:
    """Measure all variants; needs gcc for the limit and the generator."""
    if not can_compile():
        raise SystemExit("bench_udp needs gcc for the server compared with and the load generator")
    with work_folder() as name, contextlib.ExitStack() as started:
        folder = Path(name)
        generator, limit = compiled("udp_load", folder), compiled("udp_reply", folder)
        build(folder, KEYS)
        reply = folder / "reply.bin"
        reply.write_bytes(_reply(folder))
        ports = {LIMIT: free_port()}
        started.enter_context(saying_ready(pinned(0, [str(limit), str(ports[LIMIT]), str(reply)])))
        for variant in VARIANTS:
            port = ports[variant.name] = free_port()
            command = [sys.executable, str(HERE / "udp_server.py"), str(folder), str(port), *variant.arguments]
            started.enter_context(saying_ready(pinned(0, command)))
        size = len(reply.read_bytes())
        rates: dict[str, list[float]] = {name: [] for name in ports}
        best_p50 = dict.fromkeys(ports, float("inf"))
        latencies: dict[str, tuple[float, float]] = {}
        for name, port in ports.items():
            _load(generator, port, SECONDS, WINDOW, size, name != LIMIT)
        for _ in range(ROUNDS):
            answered = dict.fromkeys(ports, 0.0)
            for _ in range(SLICES):
                for name, port in ports.items():
                    got = _load(generator, port, SECONDS / SLICES, WINDOW, size, name != LIMIT)
                    answered[name] += got["qps"] / SLICES
                    best_p50[name] = min(best_p50[name], got["p50_us"])
            for name, rate in answered.items():
                rates[name].append(rate)
        for name, port in ports.items():
            got = _load(generator, port, SECONDS / 2, 1, size, name != LIMIT)
            latencies[name] = got["p50_us"], got["p99_us"]
    ratios = {name: median(a / b for a, b in zip(rates[name], rates[LIMIT], strict=True)) for name in ports}
    rows = [
        [
            name,
            f"{median(rates[name]):,.0f}",
            f"{ratios[name]:.2f}",
            f"{best_p50[LIMIT] / best_p50[name]:.2f}",
            f"{latencies[name][0]:.0f} / {latencies[name][1]:.0f}",
        ]
        for name in ports
    ]
    cost = 1 - median(a / b for a, b in zip(rates[FAST], rates[FAST_BARE], strict=True))
    return Section(
        title="UDP resolution, one core",
        header=("server", "median requests/s", "ratio to the limit", "ratio by best p50", "p50 / p99 µs, one outstanding"),
        rows=rows,
        bars=[
            ("common request, counters on, against the limit", ratios[FAST], "≥ 0.5", ratios[FAST] >= 0.5),
            ("share of the rate that counters cost", cost, "≤ 0.10", cost <= 0.10),
        ],
        remarks=[
            f"{KEYS:,} identifiers in the real index, random keys, {size}-octet replies, {WINDOW} outstanding, "
            f"median of {ROUNDS} interleaved rounds of {SECONDS} s; every reply checked for length, id, code and handle.",
            machine(),
        ],
    )


def _reply(folder: Path) -> bytes:
    """What our server answers, for the C server to repeat."""
    request = encode_message(make_request(ResolutionRequest(f"{PREFIX}0000000"), request_id=1, op_flags=FLAGS))
    index = Index.open(folder / "index")
    authority = Authority(index)
    reply = authority.answer_message(request, "udp", clock.time_s())
    authority.close()
    index.close()
    assert reply is not None and reply.owner == OWNER and len(reply.data) == REPLY_OCTETS, reply
    return reply.data


def _load(generator: Path, port: int, seconds: float, window: int, size: int, check: bool) -> dict[str, float]:
    shape = [str(port), str(seconds), str(window), PREFIX, str(KEYS), f"{FLAGS:x}", str(size), str(int(check))]
    return load([str(generator), *shape])
