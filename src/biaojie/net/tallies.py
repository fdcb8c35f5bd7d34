"""What the UDP loop did, in plain numbers for `/metrics`; the counting that the tables ask for is `resolution.counters`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class UdpTallies:
    """Grows only; written by one thread, read by any."""

    batches: int = 0
    packets: int = 0
    kept: int = 0
    pieces: int = 0
    dropped: int = 0
    too_long: int = 0
    unsent: int = 0
    failed: int = 0
