"""Options and the marker that decide how much of the suite runs.

    --bounded          the `long` tests that have a bounded part run only that (`bounded` fixture)
    --require-all      what is missing fails instead of being skipped; `BIAOJIE_REQUIRE_ALL=1` says the same
    needs(program)     a test that starts an outside program: skipped where `shutil.which(program)` finds none

How many tests were skipped for want of what is printed at the end of the run, also under xdist.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from typing import NoReturn

import pytest

MISSING = "missing"
"""Name of the user property that carries, with a skipped test's report, what it lacked."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("biaojie")
    group.addoption("--bounded", action="store_true", help="of long tests, run only the bounded part")
    group.addoption("--require-all", action="store_true", help="fail, instead of skipping, where an outside program is missing")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        for program in marker.args:
            if shutil.which(program) is None:
                do_without(item, program)


@pytest.fixture(scope="session")
def bounded(pytestconfig: pytest.Config) -> bool:
    """Shall a long test run only its bounded part?"""
    return bool(pytestconfig.getoption("--bounded"))


def requires_all(config: pytest.Config) -> bool:
    """Must nothing be missing in this run?"""
    return bool(config.getoption("--require-all")) or os.environ.get("BIAOJIE_REQUIRE_ALL", "") not in ("", "0")


def do_without(item: pytest.Item, what: str) -> NoReturn:
    """Skip this test, and have it counted, for want of `what`; fail it where nothing may be missing."""
    if requires_all(item.config):
        pytest.fail(f"缺少外部程序：{what}（--require-all）", pytrace=False)
    item.user_properties.append((MISSING, what))
    pytest.skip(f"缺少外部程序：{what}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lacking = Counter(
        what
        for report in terminalreporter.stats.get("skipped", [])
        for name, what in getattr(report, "user_properties", ())
        if name == MISSING
    )
    if lacking:
        terminalreporter.section("缺少外部程序而跳过")
        for what, count in sorted(lacking.items()):
            terminalreporter.line(f"{what}: {count} tests skipped")
