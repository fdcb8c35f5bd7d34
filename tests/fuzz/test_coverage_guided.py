"""Fuzzing that looks which code an input reaches: ten CPU minutes for each decoder, in a process of its own.

With `--bounded`, ten seconds for those that strangers reach.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from decoders import DECODERS, EXPOSED
from outside_programs import requires_all

SCRIPT = Path(__file__).parent / "atheris_targets.py"
WHOLE_CPU_S = 600
BOUNDED_CPU_S = 10
HAS_ATHERIS = find_spec("atheris") is not None
# The requirement's own marker: on newer interpreters there is none to install.
MUST_HAVE_ATHERIS = sys.version_info < (3, 13) and sys.platform == "linux"

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    metafunc.parametrize("name", EXPOSED if metafunc.config.getoption("--bounded") else list(DECODERS))


def test_decoder_under_coverage_guided_fuzzing_fails_on_nothing(
    name: str, bounded: bool, tmp_path: Path, pytestconfig: pytest.Config, capsys: pytest.CaptureFixture[str]
) -> None:
    if not HAS_ATHERIS:
        if MUST_HAVE_ATHERIS and requires_all(pytestconfig):
            pytest.fail("atheris is not installed (requirements/fuzz.txt)")
        pytest.skip("atheris is not installed (requirements/fuzz.txt)")
    budget_s = BOUNDED_CPU_S if bounded else WHOLE_CPU_S

    done = subprocess.run(
        [sys.executable, str(SCRIPT), name, str(budget_s), str(tmp_path)],
        capture_output=True,
        text=True,
        errors="replace",
        env={key: value for key, value in os.environ.items() if not key.startswith("BIAOJIE_")},
        timeout=5 * budget_s + 120,
        check=False,
    )

    found = {path.name: path.read_bytes().hex() for path in (tmp_path / "found").glob("*")}
    assert (done.returncode, found) == (0, {}), done.stdout[-3000:] + done.stderr[-6000:]
    report = json.loads(done.stdout.splitlines()[-1])
    with capsys.disabled():
        print(f"\n    {report['decoder']}: {report['inputs']} inputs, {budget_s} CPU s, corpus {report['corpus']}")
    assert report["inputs"] > 100 * budget_s
