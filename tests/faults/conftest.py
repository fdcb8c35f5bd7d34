"""Faults need a chain of their own: they kill its processes. The chain's class is that of the scenarios."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

sys.path += [str(Path(__file__).parent), str(Path(__file__).parent.parent / "scenarios")]
collect_ignore_glob = [] if find_spec("django") is not None else ["*"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.web)
            item.add_marker(pytest.mark.xdist_group("faults"))


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Prints a measurement so that it shows when the test passes too."""

    def say(text: str) -> None:
        with capsys.disabled():
            print(f"\n    {text}", end="", flush=True)

    return say


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A chain without demonstration data, on whatever block of ports it finds."""
    from running_chain import Chain

    with Chain(tmp_path_factory.mktemp("faults"), options=("--no-demo",)) as running:
        yield running
