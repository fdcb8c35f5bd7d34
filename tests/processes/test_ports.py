"""Which ports a chain takes."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from biaojie.processes import ports
from biaojie.processes.errors import PortTaken


def free_base() -> int:
    """A block that is free now, away from the default one so that a running chain does not disturb."""
    return next(base for base in range(42000, 60000, 100) if ports._first_taken(base, 4) is None)


def test_choose_named_base_is_kept_and_used_again(tmp_path: Path) -> None:
    base = free_base()

    first = ports.choose(tmp_path, wanted=base, nodes=4)
    second = ports.choose(tmp_path, wanted=None, nodes=4)

    assert first == second == ports.Block(base=base)
    assert first.port(2, ports.HANDLE) == base + 21


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_choose_named_base_with_a_taken_port_names_it(tmp_path: Path, kind: socket.SocketKind) -> None:
    base = free_base()
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.bind(("127.0.0.1", base + 11))
        if kind == socket.SOCK_STREAM:
            holder.listen()

        with pytest.raises(PortTaken) as refusal:
            ports.choose(tmp_path, wanted=base, nodes=4)

    assert refusal.value.data["port"] == base + 11


def test_choose_kept_base_taken_moves_on_by_a_hundred(tmp_path: Path) -> None:
    base = free_base()
    ports.choose(tmp_path, wanted=base, nodes=4)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", base))
        holder.listen()

        moved = ports.choose(tmp_path, wanted=None, nodes=4)

    assert moved.base > base
    assert (moved.base - base) % 100 == 0
