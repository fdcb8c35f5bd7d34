"""The whole chain of `biaojie up`: how long it takes to start, what it holds in memory, how soon a registration resolves, and how
long a resolution takes from outside, over UDP with one question outstanding.

Everything is asked as a stranger would ask it: registrations through the enterprise's HTTP API, questions as datagrams.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
from section import Section, machine, median, work_folder

from biaojie.client.exchange import Prepared, prepare
from biaojie.handle.bodies import ResolutionRequest
from biaojie.processes import control

REGISTRATIONS = max(200, int(os.environ.get("BENCH_REGISTRATIONS", "300")))
RESTARTS = int(os.environ.get("BENCH_RESTARTS", "25"))
CACHED = int(os.environ.get("BENCH_CACHED", "5000"))
SETTLE_S = float(os.environ.get("BENCH_SETTLE_S", "60"))
POLL_S = 0.001
LOST_S = 0.5
START_WITHIN_S, END_WITHIN_S = 180.0, 60.0
RESOLVABLE_S = 1.0
MEMORY_GB = 1.5
_SUCCESS = (1).to_bytes(4, "big")
_VALUES = [
    {"index": 1, "type": "URL", "data": {"format": "string", "value": "https://p.example/1"}, "ttl": 300},
    {"index": 2000, "type": "productName", "data": {"format": "string", "value": "深沟球轴承"}, "ttl": 300},
]


def run() -> Section:
    """Start a chain twice, measure on the second, end it."""
    with work_folder() as name:
        directory = Path(name) / "chain"
        with _chain(directory) as (first_s, _):
            pass
        with _chain(directory) as (later_s, supervisor):
            nodes: dict[str, dict[str, Any]] = json.loads((directory / "nodes.json").read_text(encoding="utf-8"))
            time.sleep(SETTLE_S)
            memory = _memory(supervisor)
            # Times of the chain at rest, before anything else is asked of it.
            identifiers, acknowledged, resolvable, overall = _register(nodes["enterprise"])
            recursor, owner = _Asker(nodes["recursive"]["handle_udp"]), _Asker(nodes["enterprise"]["handle_udp"])
            recursor.ask(nodes["enterprise"]["prefixes"][0] + "/not-there")
            delegated = [recursor.ask(identifier) for identifier in identifiers]
            cached = [recursor.ask(random.choice(identifiers)) for _ in range(CACHED)]
            direct = [owner.ask(random.choice(identifiers)) for _ in range(CACHED)]
            cold, asked = _cold(directory, nodes["recursive"], identifiers, recursor)
    rows = [
        ["`biaojie up --no-demo` in an empty folder to `ready`, s", "1", f"{first_s:.1f}", "", ""],
        ["started again, to `ready`, s", "1", f"{later_s:.1f}", "", ""],
        _row("registration through the HTTP API until acknowledged, ms", acknowledged),
        _row("**from the acknowledgement until resolvable**, ms", resolvable),
        _row("from sending the registration until resolvable, ms", overall),
        _row(f"resolution through the recursive node, nothing cached ({asked} questions to three levels), ms", cold),
        _row("the same, identifier new, delegations cached, ms", delegated),
        _row("the same, cached, ms", cached),
        _row("asked of the enterprise's resolver itself, ms", direct),
    ]
    worst_s, gigabytes = max(resolvable), sum(memory.values()) / 1e9
    return Section(
        title="The chain of `biaojie up`",
        header=("what", "n", "p50", "p99", "max"),
        rows=rows,
        bars=[
            ("longest of these registrations until resolvable, s", worst_s, f"≤ {RESOLVABLE_S:g}", worst_s <= RESOLVABLE_S),
            (
                f"sum of PSS {SETTLE_S:g} s after `ready`, four nodes and PostgreSQL, GB",
                gigabytes,
                f"< {MEMORY_GB}",
                gigabytes < MEMORY_GB,
            ),
        ],
        remarks=[
            "PSS by program, MB: " + ", ".join(f"{what} {octets / 1e6:.0f}" for what, octets in memory.items()) + ".",
            f"Resolvable: asked over UDP at the enterprise's resolver every {POLL_S * 1000:g} ms from the acknowledgement on; "
            "registrations one after another, at random moments.",
            f"Nothing cached: the recursor is killed and started before each of the {len(cold)} questions, so that its first "
            "question also pays for code that has not run yet.",
            "Latencies are those of a Python client with one datagram outstanding, on the cores that the chain runs on; "
            f"lost datagrams: {recursor.lost + owner.lost}. Start-up times and latencies are information.",
            machine(),
        ],
    )


def _row(what: str, seconds: Sequence[float]) -> list[str]:
    ordered = sorted(seconds)
    p99 = ordered[math.ceil(len(ordered) * 0.99) - 1]
    return [what, f"{len(ordered):,}", *(f"{value * 1000:.2f}" for value in (median(ordered), p99, ordered[-1]))]


@contextlib.contextmanager
def _chain(directory: Path) -> Iterator[tuple[float, int]]:
    """A running chain: seconds it took to say `ready`, and its supervisor's pid."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("BIAOJIE_")}
    output = directory.with_name("output.txt")
    began_s = time.monotonic()
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "biaojie.cli", "up", "--no-demo", "--data", str(directory)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
    try:
        while not output.read_bytes().endswith(b"\nready\n"):
            if process.poll() is not None or time.monotonic() - began_s > START_WITHIN_S:
                raise SystemExit(f"the chain did not start:\n{output.read_text(errors='replace')}")
            time.sleep(0.02)
        yield time.monotonic() - began_s, process.pid
    finally:
        process.terminate()
        process.wait(END_WITHIN_S)


def _memory(supervisor: int) -> dict[str, int]:
    """PSS of a process and all below it, in octets, by program."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
    found: dict[str, int] = {}
    for pid in parents:
        above = pid
        while above > 1 and above != supervisor:
            above = parents.get(above, 0)
        if above == supervisor:
            program = _program(pid)
            found[program] = found.get(program, 0) + _pss(pid)
    return dict(sorted(found.items(), key=lambda row: -row[1]))


def _program(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    named = [word.decode() for word in words if word.startswith(b"biaojie.processes.")]
    if named:
        return named[0].rpartition(".")[2]
    return (
        "postgres" if b"postgres" in words[0] else "supervisor" if b"biaojie.cli" in words else words[0].decode(errors="replace")
    )


def _pss(pid: int) -> int:
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(row.split()[1]) * 1024 for row in rows if row.startswith("Pss:"))


class _Asker:
    """A connected UDP socket; one question outstanding."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect((host, int(port)))
        self._socket.settimeout(LOST_S)
        self.lost = 0

    def ask(self, identifier: str) -> float:
        """Seconds to the reply, of an identifier that is there unless it says it is not."""
        question = prepare(ResolutionRequest(identifier))
        while True:
            began_s = time.perf_counter()
            reply = self.exchange(question)
            took_s = time.perf_counter() - began_s
            if reply is not None:
                break
            self.lost += 1
        assert (reply[24:28] == _SUCCESS) == ("not-there" not in identifier), reply
        return took_s

    def exchange(self, question: Prepared) -> bytes | None:
        """The reply to one datagram; None when there is none in time or nobody listens."""
        wanted = question.octets[8:12]
        try:
            self._socket.send(question.octets)
            while True:
                reply = self._socket.recv(65536)
                if reply[8:12] == wanted:
                    return reply
        except OSError:
            return None


def _register(enterprise: dict[str, Any]) -> tuple[list[str], list[float], list[float], list[float]]:
    """Registers, and asks until each resolves: identifiers; seconds to the acknowledgement, from there, and in all."""
    prefix = enterprise["prefixes"][0]
    user = next(user for user in enterprise["users"] if user["username"] == "operator")
    asker = _Asker(enterprise["handle_udp"])
    identifiers, acknowledged, resolvable, overall = [], [], [], []
    with httpx2.Client(base_url=enterprise["http"], timeout=30.0, trust_env=False) as client:
        sign_in = client.post("/api/v1/token", json={"username": user["username"], "password": user["password"]})
        bearer = {"Authorization": f"Bearer {sign_in.json()['data']['token']}"}
        for number in range(REGISTRATIONS):
            identifier = f"{prefix}/bench-{number:05d}"
            question = prepare(ResolutionRequest(identifier))
            body = {"identifier": identifier, "values": _VALUES}
            # At no fixed distance from the last one, or every registration would meet the same phase of the loops behind.
            time.sleep(random.uniform(0.0, 0.05))
            sent_s = time.perf_counter()
            answer = client.post("/api/v1/identifiers", json=body, headers=bearer)
            known_s = time.perf_counter()
            if answer.status_code != 201:
                raise SystemExit(f"a registration was refused: {answer.status_code} {answer.text[:500]}")
            while True:
                reply = asker.exchange(question)
                found_s = time.perf_counter()
                if reply is not None and reply[24:28] == _SUCCESS:
                    break
                if found_s - known_s > 30:
                    raise SystemExit(f"{identifier} did not become resolvable")
                time.sleep(POLL_S)
            identifiers.append(identifier)
            acknowledged.append(known_s - sent_s)
            resolvable.append(found_s - known_s)
            overall.append(found_s - sent_s)
    return identifiers, acknowledged, resolvable, overall


def _cold(directory: Path, recursive: dict[str, Any], identifiers: Sequence[str], asker: _Asker) -> tuple[list[float], int]:
    """Seconds of a recursor's first question after each restart; and to how many nodes its path led."""

    def restart() -> None:
        control.call(directory, "stop", node="recursive", process="recursor")
        control.call(directory, "start", node="recursive", process="recursor")
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{recursive['http']}/healthz", timeout=2) as answer:
                if answer.status == 200:
                    return
            if time.monotonic() > deadline:
                raise SystemExit("the recursor did not come back")
            time.sleep(0.02)

    restart()
    with urllib.request.urlopen(f"{recursive['http']}/resolve/{identifiers[0]}?trace=1&format=json") as answer:
        trace = json.load(answer)
    asked = {step["address"] for step in _steps(trace) if step.get("address")}
    if len(asked) != 3:
        raise SystemExit(f"a first question should be asked of three nodes: {trace}")
    found = []
    for _ in range(RESTARTS):
        restart()
        found.append(asker.ask(random.choice(identifiers)))
    return found, len(asked)


def _steps(trace: dict[str, Any]) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = trace["trace"]
    return steps
