"""Supervised processes: started, restarted, killed as a group."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from biaojie.processes.children import Child, ChildSpec

SLEEP = "import time; time.sleep(600)"


def child(tmp_path: Path, code: str = SLEEP) -> Child:
    return Child(
        ChildSpec(
            name="node/process",
            argv=(sys.executable, "-c", code),
            environment=dict(os.environ),
            log=tmp_path / "log" / "process.log",
            probe=lambda: True,
        )
    )


def wait_for(condition: Callable[[], object], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_child_that_dies_is_said_and_started_again(tmp_path: Path) -> None:
    process = child(tmp_path)
    process.start()
    first = process.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)

    statuses: list[int] = []
    assert wait_for(lambda: (status := process.restart_if_due()) is not None and not statuses.append(status))
    assert wait_for(lambda: process.restart_if_due() is None and process.pid not in (None, first))

    assert statuses == [-signal.SIGKILL]
    assert process.restarts == 1
    process.kill()


def test_killed_child_stays_down_until_started(tmp_path: Path) -> None:
    process = child(tmp_path)
    process.start()
    process.kill()

    assert process.restart_if_due() is None
    assert process.pid is None

    process.start()

    assert process.pid is not None
    process.kill()


def test_kill_ends_the_whole_group(tmp_path: Path) -> None:
    mark = tmp_path / "grandchild"
    code = (
        "import subprocess, sys, time\n"
        f"p = subprocess.Popen([sys.executable, '-c', {SLEEP!r}])\n"
        f"open({str(mark)!r}, 'w').write(str(p.pid))\n"
        "time.sleep(600)\n"
    )
    process = child(tmp_path, code)
    process.start()
    assert wait_for(lambda: mark.exists() and mark.read_text())

    process.kill()

    assert wait_for(lambda: not alive(int(mark.read_text())))


def test_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    code = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from biaojie.processes.children import Child, ChildSpec\n"
        f"c = Child(ChildSpec(name='a/b', argv=(sys.executable, '-c', {SLEEP!r}), environment=dict(os.environ),"
        f" log=Path({str(tmp_path)!r}) / 'l', probe=lambda: True))\n"
        f"c.start(); Path({str(mark)!r}).write_text(str(c.pid)); time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    assert wait_for(lambda: mark.exists() and mark.read_text())
    pid = int(mark.read_text())
    assert alive(pid)

    parent.kill()
    parent.wait()

    assert wait_for(lambda: not alive(pid))


@pytest.mark.parametrize("stubborn", [False, True])
def test_terminate_ends_also_what_ignores_it(tmp_path: Path, *, stubborn: bool) -> None:
    ready = tmp_path / "ready"
    ignore = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" if stubborn else ""
    process = child(tmp_path, f"{ignore}open({str(ready)!r}, 'w').close()\n{SLEEP}")
    process.start()
    assert wait_for(ready.exists)
    pid = process.pid
    assert pid is not None

    process.terminate(timeout_s=0.5)

    assert not alive(pid)
    assert process.restart_if_due() is None
