"""Which nonces were used already, so that a recorded call cannot be played again.

`Nonces` is the port; this module's form keeps them in memory (prober, recursor, tests), `database_nonces` in
PostgreSQL, where all web processes of a node see them.
"""

from __future__ import annotations

import heapq
import threading
from datetime import datetime
from typing import Protocol


class Nonces(Protocol):
    """Remembers each (key, nonce) until a call carrying it would be stale anyway."""

    def is_fresh(self, key_id: str, nonce: str, *, until: datetime, now: datetime) -> bool:
        """Remember it and say whether this was its first use; of two at once exactly one hears True."""
        ...


class MemoryNonces:
    """Nonces of one process; they are forgotten when they expire, and when the process ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: set[tuple[str, str]] = set()
        self._ends: list[tuple[datetime, tuple[str, str]]] = []

    @property
    def count(self) -> int:
        return len(self._known)

    def is_fresh(self, key_id: str, nonce: str, *, until: datetime, now: datetime) -> bool:
        entry = (key_id, nonce)
        with self._lock:
            while self._ends and self._ends[0][0] < now:
                self._known.discard(heapq.heappop(self._ends)[1])
            if entry in self._known:
                return False
            self._known.add(entry)
            heapq.heappush(self._ends, (until, entry))
            return True
