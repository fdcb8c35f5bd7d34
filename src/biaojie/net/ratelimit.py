"""How many requests one source may send: a token bucket per IPv4 /24 or IPv6 /56, in bounded memory.

Off unless `rate_limit_per_s` is set. A UDP source is easily forged, so what exceeds the rate is dropped in silence there;
TCP and HTTP peers are told (RC 3). Memory is two generations of at most `GENERATION` buckets: a bucket not seen for a
whole generation is forgotten, which is the same as full, so a flood of forged sources cannot make it grow.
"""

from __future__ import annotations

from typing import Final

GENERATION: Final = 65_536
BURST_S: Final = 2.0
"""A quiet source may send this many seconds' worth at once."""
_V4_OCTETS: Final = 3
_V6_OCTETS: Final = 7


class RateLimiter:
    """Decides per source network; time is given by the caller (seconds, monotonic). Not for use by several threads."""

    def __init__(self, per_s: float, *, generation: int = GENERATION) -> None:
        if per_s <= 0:
            raise ValueError("a rate limit is a positive number of requests per second")
        self._per_s = per_s
        self._burst = max(1.0, per_s * BURST_S)
        self._generation = generation
        self._young: dict[bytes, tuple[float, float]] = {}
        self._old: dict[bytes, tuple[float, float]] = {}
        self.refused = 0

    def allows(self, host: bytes, now_s: float) -> bool:
        """May the source with this address (4 or 16 octets, network order) send one more request now?"""
        network = host[:_V4_OCTETS] if len(host) == 4 else host[:_V6_OCTETS]
        young = self._young
        bucket = young.get(network) or self._old.get(network)
        held, then_s = bucket or (self._burst, now_s)
        tokens = min(self._burst, held + max(0.0, now_s - then_s) * self._per_s)
        granted = tokens >= 1.0
        if not granted:
            self.refused += 1
        if network not in young and len(young) >= self._generation:
            self._old, self._young = young, {}
            young = self._young
        young[network] = (tokens - 1.0 if granted else tokens, now_s)
        return granted

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
