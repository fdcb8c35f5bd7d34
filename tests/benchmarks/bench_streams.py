"""TCP kept open and HTTP, one core, against a C server that sends a fixed reply of the same size over epoll.

The whole resolver process runs on core 0: its UDP and follower threads idle beside the event loop, as in service.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from urllib.request import urlopen

from sample import PREFIX, REPLY_OCTETS, build, handle
from section import Section, can_compile, compiled, machine, median, pinned, work_folder

from processes import free_port, load, resolver, saying_ready

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "1.2"))
KEYS = int(os.environ.get("BENCH_KEYS", "100000"))
SHAPES = (
    ("TCP, 4 connections, 64 outstanding on each", "handle", 4, 64),
    ("TCP, 64 connections, 1 outstanding on each", "handle", 64, 1),
    ("HTTP, 64 connections, 1 outstanding on each", "http", 64, 1),
)


def run() -> Section:
    """Measure the three shapes; needs gcc."""
    if not can_compile():
        raise SystemExit("bench_streams needs gcc for the server compared with and the load generator")
    with work_folder() as name, contextlib.ExitStack() as started:
        folder = Path(name)
        generator, limit = compiled("stream_load", folder), compiled("stream_reply", folder)
        build(folder, KEYS)
        ports = started.enter_context(resolver(folder, core=0))
        with urlopen(f"http://127.0.0.1:{ports['http']}/api/handles/{handle(1)}") as answer:
            text = answer.read()
            head = "HTTP/1.1 200 OK\r\n" + "".join(f"{key}: {value}\r\n" for key, value in answer.getheaders()) + "\r\n"
        fixed = {"handle": _binary_reply(), "http": head.encode() + text}
        limits: dict[str, int] = {}
        for kind, reply in fixed.items():
            file = folder / f"{kind}.reply"
            file.write_bytes(reply)
            limits[kind] = free_port(socket.SOCK_STREAM)
            started.enter_context(saying_ready(pinned(0, [str(limit), str(limits[kind]), str(file), kind])))
        rows = []
        for title, kind, connections, depth in SHAPES:
            ours: list[dict[str, float]] = []
            theirs: list[dict[str, float]] = []
            for round_number in range(ROUNDS + 1):
                for port, results in ((limits[kind], theirs), (ports["tcp" if kind == "handle" else "http"], ours)):
                    size = REPLY_OCTETS if kind == "handle" else 0
                    seconds = SECONDS if round_number else SECONDS / 2
                    shape = [str(port), str(seconds), str(connections), str(depth), PREFIX, str(KEYS), kind, str(size)]
                    got = load([str(generator), *shape])
                    if round_number:
                        results.append(got)
            ratio = median(mine["qps"] / other["qps"] for mine, other in zip(ours, theirs, strict=True))
            p50, p99 = (median(got[key] for got in ours) for key in ("p50_us", "p99_us"))
            rows.append(
                [
                    title,
                    f"{median(got['qps'] for got in ours):,.0f}",
                    f"{median(got['qps'] for got in theirs):,.0f}",
                    f"{ratio:.2f}",
                    f"{p50:,.0f} / {p99:,.0f}",
                ]
            )
    return Section(
        title="TCP kept open and HTTP, one core",
        header=("shape", "median requests/s", "C, fixed reply", "ratio", "p50 / p99 µs"),
        rows=rows,
        remarks=[
            f"{KEYS:,} identifiers in the real index, random keys, the whole resolver process, counters on; replies of "
            f"{REPLY_OCTETS} octets over TCP and {len(text)} octets of JSON over HTTP; median of "
            f"{ROUNDS} interleaved rounds of {SECONDS} s.",
            machine(),
        ],
    )


def _binary_reply() -> bytes:
    """A reply of the right size; the id is patched in by the server."""
    reply = bytearray(REPLY_OCTETS)
    reply[0:4] = bytes((2, 11, 2, 11))
    reply[16:20] = (REPLY_OCTETS - 20).to_bytes(4, "big")
    reply[20:28] = bytes((0, 0, 0, 1, 0, 0, 0, 1))
    return bytes(reply)
