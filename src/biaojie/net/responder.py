"""One request's octets in, one reply's octets out: the index view, the fast and the full way, and the counting around them.

A responder belongs to one thread. Between `renew` and `release` all answers see one state of the index; the loop of UDP does
that per batch, TCP per read, HTTP per request. Counted are questions about identifiers, by owner ("" when no zone of ours)
and source (附件1 表3, 表8); site requests and what could not be read are not.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from biaojie.handle.codes import ResponseCode
from biaojie.handle.messages import early_error
from biaojie.net.ratelimit import RateLimiter
from biaojie.resolution.authority import Authority
from biaojie.resolution.counters import Counters
from biaojie.resolution.environment import State
from biaojie.resolution.fastpath import Answering, FastPath
from biaojie.resolution.index import Index
from biaojie.resolution.policy import EXPIRATION_S

_RESOLUTION = b"\0\0\0\1"
_UNREAD = frozenset({ResponseCode.ERROR, ResponseCode.PROTOCOL_ERROR})


class Answered(NamedTuple):
    """A reply and whom to count it for; `owner` None = not a question about an identifier."""

    octets: bytes
    owner: str | None
    found: bool
    own: bool


class Responder:
    """Answers and counts for one thread; `transport` is "udp", "tcp" or "http".

    `recognise` is the fast way alone: request → (reply, owner) for the common question about a found identifier, whose reply
    depends on nothing but these octets and the index; else None. With `fast` off it is never taken.
    """

    def __init__(
        self, index: Index, counters: Counters | None, *, transport: str, limiter: RateLimiter | None = None, fast: bool = True
    ) -> None:
        self.authority = Authority(index)
        path = FastPath(self.authority)
        self._bind = path.bind
        self.recognise: Answering = path.answer if fast else _nothing
        self._counters = counters
        self._transport = transport
        self._limiter = limiter
        self.busy = 0
        self._now_s = self._began_s = 0.0
        self._found: dict[tuple[str, bytes], int] = {}

    def renew(self, now_s: float) -> State:
        """Move to the newest state of the index and say which it is."""
        self._began_s, self._now_s = time.perf_counter(), now_s
        self.authority.renew()
        self._bind(now_s)
        return self.authority.reader.state

    def release(self) -> None:
        """Let go of the state and count what `serve` found; call it before waiting."""
        self.authority.release()
        if self._found:
            # Answers of one read leave together: each took as long as all.
            took_us = (time.perf_counter() - self._began_s) * 1e6
            for (owner, host), number in self._found.items():
                self.count(owner, host, found=True, own=False, took_us=took_us, now_s=self._now_s, number=number)
            self._found.clear()

    def close(self) -> None:
        """Give the reader back."""
        self.authority.close()

    def answer(self, message: bytes, now_s: float) -> Answered | None:
        """The full way: the reply to a whole message, None for silence; never raises, whatever the octets."""
        reply = self.authority.answer_message(message, self._transport, now_s)
        if reply is None:
            return None
        is_question = message[20:24] == _RESOLUTION and reply.response_code not in _UNREAD
        return Answered(reply.data, reply.owner if is_question else None, reply.found, reply.own)

    def serve(self, message: bytes, host: bytes) -> bytes | None:
        """Answer and count one message of a peer that cannot have forged its address; beyond its rate it is told so (RC 3).

        Between `renew` and `release`.
        """
        now_s = self._now_s
        if self._limiter is not None and not self.admits(host):
            return early_error(message, expiration=int(now_s) + EXPIRATION_S.value, code=ResponseCode.SERVER_TOO_BUSY)
        recognised = self.recognise(message)
        if recognised is not None:
            key = recognised[1], host
            self._found[key] = self._found.get(key, 0) + 1
            return recognised[0]
        began_s = time.perf_counter()
        answered = self.answer(message, now_s)
        if answered is None:
            return None
        if answered.owner is not None:
            took_us = (time.perf_counter() - began_s) * 1e6
            self.count(answered.owner, host, found=answered.found, own=answered.own, took_us=took_us, now_s=now_s)
        return answered.octets

    def admits(self, host: bytes) -> bool:
        """Is this source within its rate? Counts the request against it."""
        if self._limiter is None or self._limiter.allows(host, time.monotonic()):
            return True
        self.busy += 1
        return False

    def count(self, owner: str, host: bytes, *, found: bool, own: bool, took_us: float, now_s: float, number: int = 1) -> None:
        """Count requests of one owner from one source (4 or 16 octets) that took equally long."""
        if self._counters is not None:
            self._counters.add(owner, host, found, own, took_us, number, now_s=now_s)


def _nothing(_: bytes) -> None:
    return None
