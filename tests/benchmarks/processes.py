"""Starting what is measured: programs that say "ready", resolvers, free ports, and one run of a load generator."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from section import pinned


@contextlib.contextmanager
def saying_ready(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A program that prints "ready" once it serves; ended afterwards."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if line.strip() != "ready":
            raise SystemExit(f"{command} did not start: {line}")
        yield process
    finally:
        process.terminate()
        process.wait(5)


@contextlib.contextmanager
def resolver(folder: Path, *, core: int) -> Iterator[dict[str, int]]:
    """The resolver process of a node folder, tied to a core; gives its ports by protocol."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("BIAOJIE_")}
    environment |= {"BIAOJIE_NODE_DIR": str(folder), "BIAOJIE_ENVIRONMENT": "test"}
    environment |= {f"BIAOJIE_HANDLE_{name}": "127.0.0.1:0" for name in ("UDP", "TCP", "HTTP")}
    command = pinned(core, [sys.executable, "-m", "biaojie.processes.resolver"])
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        yield {name: int(ready[name][0].rpartition(":")[2]) for name in ("udp", "tcp", "http")}
    finally:
        process.terminate()
        process.wait(10)


def load(command: list[str], *, core: int = 1) -> dict[str, float]:
    """One run of a load generator, tied to a core; wrong replies end the benchmark."""
    done = subprocess.run(pinned(core, command), check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    if result["bad"] or not result["ok"]:
        raise SystemExit(f"wrong replies: {result}")
    return result


def free_port(kind: socket.SocketKind = socket.SOCK_DGRAM) -> int:
    """A port nobody uses at this moment."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
