"""How quiet the machine is right now: one busy loop per core that looks at the clock and adds up the gaps it did not run.

Run as a program, `quiet.py CORE SECONDS`, it is one of these loops and prints its gaps as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from section import pinned

SPIN_S = 0.6
GAP_NS = 100_000
"""A turn of the loop takes well under a microsecond: whoever misses this much was not running."""
QUIET_SHARE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Spin:
    """The worst core's share of wall time lost to others, and the longest single gap."""

    lost: float
    longest_ms: float

    def __str__(self) -> str:
        return f"{self.lost:.0%} lost, longest gap {self.longest_ms:.1f} ms"


def spin(seconds: float = SPIN_S) -> Spin:
    """Spin on all cores at once, as a benchmark does that keeps them busy."""
    cores = sorted(os.sched_getaffinity(0))
    loops = [
        subprocess.Popen(pinned(core, [sys.executable, __file__, str(core), str(seconds)]), stdout=subprocess.PIPE)
        for core in cores
    ]
    found = [json.loads(loop.communicate()[0]) for loop in loops]
    return Spin(lost=max(row["lost"] for row in found), longest_ms=max(row["longest_ms"] for row in found))


def verdict(before: Spin, after: Spin) -> str:
    """One line for a section: how quiet the minutes of its measurement were at both ends."""
    word = "quiet" if max(before.lost, after.lost) <= QUIET_SHARE else "**not quiet**"
    return f"machine {word}: spin test before: {before}; after: {after}"


def _loop(seconds: float) -> dict[str, float]:
    now = time.perf_counter_ns
    lost = longest = 0
    last = began = now()
    end = began + int(seconds * 1e9)
    while last < end:
        moment = now()
        gap = moment - last
        if gap > GAP_NS:
            lost += gap
            longest = max(longest, gap)
        last = moment
    return {"lost": lost / (last - began), "longest_ms": longest / 1e6}


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    print(json.dumps(_loop(float(sys.argv[2]))))
