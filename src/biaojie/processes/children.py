"""One supervised process: started in a group of its own, watched, restarted with growing pauses, ended as a group.

A child that reports readiness prints one JSON line with `"ready": true` on its standard output; everything it prints
goes to its log file. A child that was stopped on purpose stays down until it is started on purpose.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from biaojie.processes.lifeline import tie_to_parent

FIRST_PAUSE_S, LONGEST_PAUSE_S, CALM_AFTER_S = 0.2, 10.0, 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """What to run; `name` is `node/process`, `probe` says whether it answers yet."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    probe: Callable[[], bool]
    popen: Mapping[str, object] = field(default_factory=dict)
    renew: Callable[[], ChildSpec] | None = None
    """Called before each restart, where a program's last run must be cleared away first."""


class Child:
    """The state of one supervised process.

    Started from the supervisor's main thread only: the kernel ties a child's life to the thread that forked it.
    """

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.process: subprocess.Popen[bytes] | None = None
        self.wanted = False
        self.restarts = 0
        self._started_s = 0.0
        self._pause_s = FIRST_PAUSE_S
        self._next_start_s = 0.0

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process is not None and self.process.poll() is None else None

    def start(self) -> None:
        """Start it now and keep it running from here on."""
        self.wanted = True
        if self.pid is not None:
            return
        supervisor = os.getpid()
        self.spec.log.parent.mkdir(parents=True, exist_ok=True)
        with self.spec.log.open("ab") as log:
            options: dict[str, Any] = {
                "env": dict(self.spec.environment),
                "stdin": subprocess.DEVNULL,
                "stdout": log,
                "stderr": log,
                "start_new_session": True,
                "preexec_fn": lambda: tie_to_parent(supervisor),
            }
            # The launcher of PostgreSQL brings its own user, group and lifeline.
            self.process = subprocess.Popen(list(self.spec.argv), **(options | dict(self.spec.popen)))
        self._started_s = time.monotonic()

    def restart_if_due(self) -> int | None:
        """Notice a death and start again when its pause is over; returns the exit status the moment a death is noticed."""
        noticed = None
        if self.process is not None and self.process.poll() is not None:
            noticed = self.process.returncode
            lived_s = time.monotonic() - self._started_s
            self._pause_s = FIRST_PAUSE_S if lived_s > CALM_AFTER_S else min(self._pause_s * 2, LONGEST_PAUSE_S)
            self._next_start_s = time.monotonic() + self._pause_s
            self._kill_group(self.process.pid)
            self.process = None
        if self.wanted and self.process is None and time.monotonic() >= self._next_start_s:
            self.restarts += 1
            self.start_again()
        return noticed

    def start_again(self) -> None:
        """Start what has run before: what its last run left behind is cleared away first."""
        if self.pid is None and self.spec.renew is not None:
            self.spec = self.spec.renew()
        self.start()

    def kill(self) -> None:
        """SIGKILL it and its group, and keep it down."""
        self.wanted = False
        self._next_start_s = 0.0
        self._pause_s = FIRST_PAUSE_S
        if self.process is not None:
            self._kill_group(self.process.pid)
            self.process.wait()
            self.process = None

    def terminate(self, *, timeout_s: float) -> None:
        """Ask it to end, wait, and kill what is left of its group."""
        self.wanted = False
        process = self.process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout_s)
        self._kill_group(process.pid)
        process.wait()
        self.process = None

    def ready(self) -> bool:
        return self.pid is not None and self.spec.probe()

    @staticmethod
    def _kill_group(group: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def terminate_all(children: Sequence[Child], *, timeout_s: float) -> None:
    """End several at once: the slowest decides how long it takes, not the sum."""
    threads = [threading.Thread(target=child.terminate, kwargs={"timeout_s": timeout_s}) for child in children]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
