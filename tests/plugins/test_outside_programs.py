from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pytest

@pytest.mark.needs("sh")
def test_with_what_is_there(): pass

@pytest.mark.needs("no-such-program")
@pytest.mark.parametrize("number", [1, 2])
def test_without(number): raise AssertionError("must not run")

def test_bounded(bounded): print(f"bounded is {bounded}")
"""


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A pytest of its own with nothing but the plugin."""
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = needs(program): needs it\n", encoding="utf-8")
    (folder / "test_inner.py").write_text(TESTS, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "outside_programs", "-p", "no:cacheprovider", "-p", "no:randomly"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BIAOJIE_", "PYTEST_", "DJANGO_"))}
    return subprocess.run(
        [*command, "-p", "no:django", "-s", *arguments, str(folder)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**kept, "PYTHONPATH": str(Path(__file__).parent), "PYTHONUTF8": "1", **environment},
        check=False,
    )


def test_needs_missing_program_skips_and_prints_the_count(tmp_path: Path) -> None:
    done = run(tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed, 2 skipped" in done.stdout
    assert "no-such-program: 2 tests skipped" in done.stdout


def test_needs_missing_program_under_xdist_prints_the_count(tmp_path: Path) -> None:
    done = run(tmp_path, "-n", "1")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "no-such-program: 2 tests skipped" in done.stdout


@pytest.mark.parametrize(("arguments", "environment"), [(["--require-all"], {}), ([], {"BIAOJIE_REQUIRE_ALL": "1"})])
def test_needs_missing_program_where_all_is_required_fails(
    tmp_path: Path, arguments: list[str], environment: dict[str, str]
) -> None:
    done = run(tmp_path, *arguments, **environment)

    assert done.returncode == 1
    assert "2 passed" in done.stdout
    assert "缺少外部程序：no-such-program" in done.stdout


@pytest.mark.parametrize(("arguments", "word"), [([], "bounded is False"), (["--bounded"], "bounded is True")])
def test_bounded_option_reaches_the_fixture(tmp_path: Path, arguments: list[str], word: str) -> None:
    done = run(tmp_path, *arguments)

    assert word in done.stdout
