"""One real chain for all scenarios that leave it as they found it; each test registers under names of its own.

Under xdist the group keeps them on one worker (`--dist loadgroup`), so that a run pays for one chain.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # `running_chain` is shared by these tests and those of faults
collect_ignore_glob = [] if find_spec("django") is not None else ["*"]


# What a chain does by itself after a minute (counters are loaded, old addresses leave) is set off first and looked at last.
EARLY, LATE = ("test_asked_counts",), ("test_change_needs", "test_address_that", "test_figures")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ours = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in ours:
        item.add_marker(pytest.mark.xdist_group("scenarios"))
        item.add_marker(pytest.mark.web)
        item.add_marker(pytest.mark.timeout(400))  # the first test waits for the chain
    items[:] = [item for item in items if item not in set(ours)] + sorted(ours, key=_lateness)


def _lateness(item: pytest.Item) -> int:
    return 1 if item.name.startswith(LATE) else -1 if item.name.startswith(EARLY) else 0


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """The chain of `biaojie up`, with its demonstration data."""
    from running_chain import Chain, free_block

    with Chain(tmp_path_factory.mktemp("chain"), port_base=free_block()) as running:
        print(f"\nchain ready after {running.started_s:.1f} s")
        yield running


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> object:
    """Prints a measurement so that it shows when the test passes too."""

    def say(text: str) -> None:
        with capsys.disabled():
            print(f"\n    {text}", flush=True)

    return say
