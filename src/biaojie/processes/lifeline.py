"""How a process ends: with its parent, also when that is killed outright, and without tripping over its own threads.

Linux sends a process the signal of its choice when its parent thread dies; there is nothing to poll and nothing to
leak. Where the call does not exist (other systems) the supervisor's own clean-up on the next start remains.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import sys
from typing import NoReturn

_PR_SET_PDEATHSIG = 1


def tie_to_parent(expected_parent: int | None = None, *, signal_number: int = signal.SIGKILL) -> None:
    """Ask the kernel to end this process when its parent ends; ends at once if the parent is gone already."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if expected_parent is not None and os.getppid() != expected_parent:
        os.kill(os.getpid(), signal_number)


def leave(status: int = 0) -> NoReturn:
    """End a process whose work is done and whose embedded HTTP server has been stopped.

    The server's native thread lets go of its last Python objects some time after it has reported its end. Doing so while the
    interpreter is being taken apart aborts the process (SIGABRT, seen in four of ten ends), so it is not taken apart.
    """
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)
