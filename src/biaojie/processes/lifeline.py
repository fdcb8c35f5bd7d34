"""How a child ends with its parent, also when the parent is killed outright.

Linux sends a process the signal of its choice when its parent thread dies; there is nothing to poll and nothing to
leak. Where the call does not exist (other systems) the supervisor's own clean-up on the next start remains.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def tie_to_parent(expected_parent: int | None = None, *, signal_number: int = signal.SIGKILL) -> None:
    """Ask the kernel to end this process when its parent ends; ends at once if the parent is gone already."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if expected_parent is not None and os.getppid() != expected_parent:
        os.kill(os.getpid(), signal_number)
