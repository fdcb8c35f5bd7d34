"""The command's small commands; those that need a chain are tested in `scenarios/`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

RESOLVE = (
    "020b020b 00000000 01020304 00000000 0000003d 00000001 00000000 19000000 ffff 00 00 7fffffff 00000021"
    "00000015 38362e3130302e312f6974656d2d30303030303432 00000000 00000000 00000000"
)


def biaojie(*arguments: str, cwd: Path, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BIAOJIE_")}
    return subprocess.run(
        [sys.executable, "-m", "biaojie.cli", *arguments],
        cwd=cwd,
        env=kept | {"COLUMNS": "200"} | environment,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


def test_wire_decode_labels_every_field(tmp_path: Path) -> None:
    done = biaojie("wire", "decode", RESOLVE, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "86.100.1/item-0000042" in done.stdout
    assert len(done.stdout.splitlines()) > 20


def test_wire_decode_reads_standard_input(tmp_path: Path) -> None:
    assert biaojie("wire", "decode", "-", cwd=tmp_path, stdin=RESOLVE).returncode == 0


def test_wire_decode_truncated_shows_what_there_is_and_fails_with_a_code(tmp_path: Path) -> None:
    done = biaojie("wire", "decode", "".join(RESOLVE.split())[:100], cwd=tmp_path)

    assert done.returncode == 1
    assert "HDL-" in done.stderr
    assert "major" in done.stdout and "错误" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("wire", "decode", "not hex"), "不是十六进制"),
        (("resolve", "88.100.1/a"), "请先执行 biaojie up"),
        (("resolve", "88.100.1/a", "--protocol", "smtp"), "--protocol"),
        (("nonsense",), "nonsense"),
    ],
)
def test_wrong_usage_ends_with_2_and_one_sentence(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = biaojie(*arguments, cwd=tmp_path)

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [("down",), ("stop", "top"), ("start", "top"), ("status",), ("doctor",)])
def test_commands_without_a_chain_say_so(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = biaojie(*command, cwd=tmp_path)

    assert (done.returncode, done.stdout) == (1, "")
    assert "PROC-103" in done.stderr
    assert "Traceback" not in done.stderr


def test_check_config_shows_value_and_origin(tmp_path: Path) -> None:
    done = biaojie("check-config", cwd=tmp_path, BIAOJIE_UDP_WORKERS="2")

    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if "udp_workers" in line)
    assert "2" in row and "环境变量" in row


def test_check_config_hides_secrets(tmp_path: Path) -> None:
    done = biaojie("check-config", cwd=tmp_path, BIAOJIE_DATABASE_URL="postgresql://u:hunter2@h/d")

    assert "hunter2" not in done.stdout


def test_check_config_unknown_key_fails_with_a_hint(tmp_path: Path) -> None:
    done = biaojie("check-config", cwd=tmp_path, BIAOJIE_ROEL="top")

    assert done.returncode == 1
    assert "BASE-102" in done.stderr and "BIAOJIE_ROLE" in done.stderr


def test_no_answer_ends_with_3(tmp_path: Path) -> None:
    done = biaojie("resolve", "88.100.1/a", "--server", "127.0.0.1:9", "--protocol", "tcp", cwd=tmp_path)

    assert done.returncode == 3
    assert "CLI-" in done.stderr
