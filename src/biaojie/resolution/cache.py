"""What a walk remembers between questions: answers, absences, delegations, and how fast each address is.

Three bounded stores with their own TTL rows (absent handles must not push out found ones when somebody asks for
random names), and one latency table. Time is an argument everywhere: `now_s` is the product's clock
(`base.clock.time_s`), so that TTLs run out in a test or in a sped-up chain as they would in life.
Not thread-safe: one event loop owns a cache.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

PROTOCOLS = ("udp", "tcp", "http", "https")
UNKNOWN_LATENCY_MS = 40.0
DOWN_FOR_S = 15.0
SMOOTHING = 0.3


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """One address of one server: protocol (`udp`, `tcp`, `http`, `https`), host (IP literal or name) and port."""

    protocol: str
    host: str
    port: int

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise ValueError(f"unknown protocol {self.protocol!r}")
        if not 0 < self.port < 65536:
            raise ValueError(f"port {self.port} out of range")

    @property
    def authority(self) -> str:
        """`host:port`, an IPv6 host in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.protocol}://{self.authority}"


@dataclass(slots=True)
class _Held(Generic[V]):
    value: V
    stored_s: float
    expires_s: float
    weight: int


@dataclass(slots=True)
class TtlCache(Generic[K, V]):
    """A map whose entries run out, bounded by count and by weight (octets); the least recently used go first."""

    capacity: int
    capacity_weight: int = 64 * 1024 * 1024
    hits: int = 0
    misses: int = 0
    weight: int = 0
    _held: OrderedDict[K, _Held[V]] = field(default_factory=OrderedDict)

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: K, now_s: float) -> V | None:
        """The value, or None when it was never stored, was pushed out or has run out."""
        found = self.get_with_age(key, now_s)
        return None if found is None else found[0]

    def get_with_age(self, key: K, now_s: float) -> tuple[V, float] | None:
        """Value and the seconds it has left; a clock set back far behind the storing does not keep it alive."""
        held = self._held.get(key)
        if held is None:
            self.misses += 1
            return None
        if now_s >= held.expires_s or now_s < held.stored_s - (held.expires_s - held.stored_s):
            self._remove(key)
            self.misses += 1
            return None
        self._held.move_to_end(key)
        self.hits += 1
        return held.value, held.expires_s - now_s

    def put(self, key: K, value: V, *, ttl_s: float, now_s: float, weight: int = 256) -> None:
        """Store for `ttl_s` seconds; a TTL of 0 or less, or a value heavier than the whole cache, is not kept."""
        self.drop(key)
        if ttl_s <= 0 or weight > self.capacity_weight:
            return
        self._held[key] = _Held(value, now_s, now_s + ttl_s, weight)
        self.weight += weight
        while len(self._held) > self.capacity or self.weight > self.capacity_weight:
            self._remove(next(iter(self._held)))

    def drop(self, key: K) -> None:
        """Forget one entry."""
        if key in self._held:
            self._remove(key)

    def clear(self) -> None:
        """Forget all entries (the root site has changed)."""
        self._held.clear()
        self.weight = 0

    def _remove(self, key: K) -> None:
        self.weight -= self._held.pop(key).weight


@dataclass(slots=True)
class Latencies:
    """Measured answering time per address, smoothed; addresses that failed stand at the end for a while."""

    capacity: int = 10_000
    _ms: OrderedDict[Endpoint, float] = field(default_factory=OrderedDict)
    _down_until_s: dict[Endpoint, float] = field(default_factory=dict)

    def observe(self, endpoint: Endpoint, elapsed_ms: float) -> None:
        """An answer came after `elapsed_ms`."""
        self._down_until_s.pop(endpoint, None)
        before = self._ms.pop(endpoint, None)
        self._ms[endpoint] = elapsed_ms if before is None else before + SMOOTHING * (elapsed_ms - before)
        while len(self._ms) > self.capacity:
            self._ms.popitem(last=False)

    def failed(self, endpoint: Endpoint, now_s: float) -> None:
        """No answer came; for `DOWN_FOR_S` the address is tried only after the others."""
        if len(self._down_until_s) >= self.capacity:
            self._down_until_s = {e: until for e, until in self._down_until_s.items() if until > now_s}
        if len(self._down_until_s) < self.capacity:
            self._down_until_s[endpoint] = now_s + DOWN_FOR_S

    def is_down(self, endpoint: Endpoint, now_s: float) -> bool:
        """Did it fail within the last `DOWN_FOR_S` seconds?"""
        until = self._down_until_s.get(endpoint)
        return until is not None and now_s < until <= now_s + DOWN_FOR_S

    def ms(self, endpoint: Endpoint) -> float | None:
        """The smoothed answering time, None when never asked."""
        return self._ms.get(endpoint)

    def order(self, endpoints: Iterable[Endpoint], now_s: float, protocols: Sequence[str] = PROTOCOLS) -> tuple[Endpoint, ...]:
        """Best first: alive before failed, then by preferred protocol, then by answering time; stable otherwise.

        Protocols that are not among `protocols`, the order of preference, are left out.
        """
        rank = {protocol: position for position, protocol in enumerate(protocols)}
        usable = (endpoint for endpoint in dict.fromkeys(endpoints) if endpoint.protocol in rank)
        return tuple(
            sorted(
                usable,
                key=lambda e: (self.is_down(e, now_s), rank[e.protocol], self._ms.get(e, UNKNOWN_LATENCY_MS)),
            )
        )
