"""A published index with one of each kind of answer, and a resolver process that serves it on free ports."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from node_under_test import Node, all_entries, start_node

from biaojie.resolution.follower import Follower
from biaojie.resolution.index import Index
from biaojie.resolution.publication import PublicationWriter


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node folder whose publication and index hold `all_entries`."""
    folder = tmp_path_factory.mktemp("node")
    PublicationWriter(folder / "publication", node="second").start(all_entries(), 1)
    with Index.open(folder / "index") as index:
        follower = Follower(folder / "publication", index)
        assert follower.poll().problem is None
        follower.close()
    return folder


@pytest.fixture(scope="session")
def node(published: Path) -> Iterator[Node]:
    """One resolver for all tests that only ask."""
    running = start_node(published)
    yield running
    assert running.stop() == 0


@pytest.fixture
def starting(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Start further nodes, each in a fresh folder with its own publication."""
    with ExitStack() as started:

        def start(**settings: str) -> Node:
            folder = tmp_path / "node"
            if not folder.exists():
                PublicationWriter(folder / "publication", node="second").start(all_entries(), 1)
            new = start_node(folder, **settings)
            started.callback(new.stop)
            return new

        yield start
