"""The floors that must live without Django do."""

from __future__ import annotations

import subprocess
import sys

import pytest

FREE = (
    "biaojie.base.settings",
    "biaojie.codes.parsing",
    "biaojie.handle.messages",
    "biaojie.resolution.authority",
    "biaojie.resolution.publication",
    "biaojie.net.udp",
    "biaojie.net.tcp",
    "biaojie.net.http",
    "biaojie.client.resolver",
    "biaojie.foundation.nodes.card",
    "biaojie.foundation.nodes.signing",
    "biaojie.processes.resolver",
    "biaojie.processes.recursor",
    "biaojie.cli",
)


@pytest.mark.parametrize("module", FREE)
def test_import_brings_no_django(module: str) -> None:
    code = f"import sys, {module}; sys.exit('django' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
