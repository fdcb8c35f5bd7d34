"""Which ports a chain on one machine uses: a block of a hundred, kept in DIR so that addresses stay what they were."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from biaojie.processes.errors import PortTaken

DEFAULT_BASE = 18000
BLOCK = 100
LAST_BASE = 64000

# Offsets inside a node's ten ports.
WEB, HANDLE, HANDLE_HTTP = 0, 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block of ports; node number i owns `base + 10 * i` to `base + 10 * i + 9`."""

    base: int

    def port(self, node: int, offset: int) -> int:
        return self.base + 10 * node + offset


def choose(directory: Path, *, wanted: int | None, nodes: int) -> Block:
    """The block to use: `wanted` or the one kept in DIR or the first free one from 18000 in steps of 100.

    Raises `PortTaken` naming the port when `wanted` is given and one of its ports is in use.
    """
    kept = directory / "ports.json"
    if wanted is not None:
        taken = _first_taken(wanted, nodes)
        if taken is not None:
            raise PortTaken(port=taken)
        base = wanted
    else:
        start = _read(kept) or DEFAULT_BASE
        candidates = range(start, LAST_BASE, BLOCK)
        found = next((base for base in candidates if _first_taken(base, nodes) is None), None)
        if found is None:
            raise PortTaken(port=start)
        base = found
    kept.write_text(json.dumps({"base": base}) + "\n", encoding="utf-8")
    return Block(base=base)


def _read(path: Path) -> int | None:
    try:
        base = json.loads(path.read_text(encoding="utf-8"))["base"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return base if isinstance(base, int) and 1024 <= base < LAST_BASE else None


def _first_taken(base: int, nodes: int) -> int | None:
    block = Block(base=base)
    return next((port for port in _ports(block, nodes) if not _free(port)), None)


def _ports(block: Block, nodes: int) -> Iterable[int]:
    for node in range(nodes):
        for offset in (WEB, HANDLE, HANDLE_HTTP):
            yield block.port(node, offset)


def _free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                # A port in TIME_WAIT is free for a server; one that listens is not.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
