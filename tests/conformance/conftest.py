"""One resolver process with the records of the recorded exchanges, for all tests of this room."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.extend(str(Path(__file__).parent.parent / room) for room in ("conformance", "handle", "net"))

from node_under_test import Node
from reference_node import WAYS, start_reference_node


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    running = start_reference_node(tmp_path_factory.mktemp("conformance"))
    yield running
    assert running.stop() == 0
    log = (running.folder / "resolver.log").read_text(encoding="utf-8")
    assert "Traceback" not in log, log


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """How the question travels: "udp", "tcp" or "http"."""
    return str(request.param)
