"""Replies kept by the octets of the requests they answered, so that the same question costs two look-ups and a copy.

Only the common question is kept (`resolution.fastpath` recognised it): its reply depends on nothing but these octets and the
index. Request id and expiration are not part of the key: the id is patched into the copy, a request's expiration is not
looked at. Everything is dropped when the index has moved, and once a minute so that the replies' own expiration stays
fresh. So a kept reply is, octet for octet, what the full path would send; a differential test holds it to that.

Where nearly every question is a new one, keeping only costs: a round of `limit` replies with fewer hits than that ends in a
pause. The loop in `udp` reads `by_version` directly: first 8 octets (versions, flags, session) → octets 12 to 36 (sequence,
length, operation, flags, serial) → octets from 40 on (body and credential) → (reply, size, owner).
"""

from __future__ import annotations

import struct
from typing import Final

from biaojie.handle.datagrams import PACKET_SIZE
from biaojie.net import policy

Kept = tuple[bytes, int, str]
Tails = dict[bytes, Kept]

HEAD: Final = struct.Struct(">8s4s24s")
"""Octets 0 to 36 of a request: versions, flags and session; request id; sequence number to recursion count."""
TAIL_AT: Final = 40
_SHAPES_MAX: Final = 256


class KeptAnswers:
    """Bounded in number; not for use by several threads. Time is seconds of any monotonic clock."""

    def __init__(
        self,
        *,
        limit: int = policy.ANSWERS_MAX.value,
        lifetime_s: float = policy.ANSWERS_LIFETIME_S.value,
        pause_s: float = policy.ANSWERS_PAUSE_S.value,
    ) -> None:
        self.by_version: dict[bytes, dict[bytes, Tails]] = {}
        self.hits = 0
        self._limit = limit
        self._lifetime_s = lifetime_s
        self._pause_s = pause_s
        self._count = self._shapes = 0
        self._state: object = None
        self._until_s = 0.0
        self._closed_until_s = 0.0
        self._open = limit > 0

    def __len__(self) -> int:
        return self._count

    def stand_at(self, state: object, now_s: float) -> None:
        """Forget everything unless the index stands where it stood and the minute has not passed."""
        if now_s >= self._until_s or state != self._state:
            self._state = state
            self._until_s = now_s + self._lifetime_s
            self.clear()
        if self._count >= self._limit or self._shapes >= _SHAPES_MAX:
            if self.hits < self._count:
                self._open = False
                self._closed_until_s = now_s + self._pause_s
            self.clear()
        if not self._open and now_s >= self._closed_until_s:
            self._open = self._limit > 0

    def clear(self) -> None:
        """Forget everything."""
        if self._count:
            self.by_version.clear()
        self._count = self._shapes = self.hits = 0

    def keep(self, request: bytes, reply: bytes, owner: str) -> None:
        """Keep the reply of one packet to a recognised request."""
        if not self._open or len(reply) > PACKET_SIZE:
            return
        shapes = self.by_version.get(request[:8])
        if shapes is None:
            shapes = self.by_version[request[:8]] = {}
        shape = request[12:36]
        tails = shapes.get(shape)
        if tails is None:
            tails = shapes[shape] = {}
            self._shapes += 1
        tails[request[TAIL_AT:]] = (reply, len(reply), owner)
        self._count += 1
