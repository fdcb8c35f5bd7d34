"""The UDP loop: a batch of datagrams in, their replies out, one thread per socket.

A packet takes the first of three ways that fits. Kept: its octets are those of a request answered before (`answers`), the
reply is copied and the id patched. Recognised: the common request, answered from the index record (`resolution.fastpath`).
Full: decoded, decided, encoded (`resolution.authority`), with pieces joined and long replies cut. Once per batch: the
index view, the clock, and the counters, in which every request of a batch took as long as the whole batch.

`stop` lets the loop finish the batch at hand; whoever started it flushes the counters after `join`.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import structlog

from biaojie.base import clock
from biaojie.handle.datagrams import PACKET_SIZE, Reassembler, split
from biaojie.handle.envelope import ENVELOPE_SIZE
from biaojie.handle.errors import DecodeError
from biaojie.net import policy
from biaojie.net.answers import HEAD, TAIL_AT, KeptAnswers
from biaojie.net.mmsg import SLOT, SLOTS, Batch, Host, open_batch, packed
from biaojie.net.ratelimit import RateLimiter
from biaojie.net.responder import Responder
from biaojie.net.tallies import UdpTallies

log = structlog.get_logger(__name__)

_PLACES: Final = [(i, i * SLOT, i * SLOT + 8, i * SLOT + 12, i * SLOT + TAIL_AT, 2 * i + 1) for i in range(SLOTS)]
"""Per slot: its number, where it begins, where its request id begins and ends, where its body begins, the place of its size."""
_TC_BIT: Final = 0x20
_REFUSED: Final = -1
_FAILURE_PAUSE_S: Final = 0.05


class UdpServer:
    """Serves one bound socket (`mmsg.bind_udp`) in a thread of its own; owns the responder it is given."""

    def __init__(
        self,
        sock: socket.socket,
        responder: Responder,
        *,
        limiter: RateLimiter | None = None,
        batched: bool | None = None,
        answers_max: int = policy.ANSWERS_MAX.value,
    ) -> None:
        self.tallies = UdpTallies()
        self._sock = sock
        self._responder = responder
        self._limiter = limiter
        self._batch: Batch = open_batch(sock, batched=batched)
        self._kept = KeptAnswers(limit=answers_max)
        self._joiner = Reassembler()
        self._stopping = False
        self._thread = threading.Thread(target=self.run, name=f"udp-{sock.getsockname()[1]}", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the loop to end after the batch at hand."""
        self._stopping = True

    def join(self, timeout_s: float = 5.0) -> bool:
        """Wait for the end; tells whether it came. Closes the socket."""
        self._thread.join(timeout_s)
        ended = not self._thread.is_alive()
        if ended:
            self._sock.close()
        return ended

    def run(self) -> None:
        """The loop; returns after `stop`."""
        batch, responder = self._batch, self._responder
        try:
            while not self._stopping:
                count = batch.receive()
                if not count:
                    continue
                try:
                    self._serve(count)
                except Exception:
                    # One batch is lost, its clients ask again; the loop of a node must not end while its process lives.
                    log.exception("udp.batch_failed", packets=count)
                    self.tallies.failed += count
                    time.sleep(_FAILURE_PAUSE_S)
                finally:
                    responder.release()
        finally:
            responder.close()

    def _serve(self, count: int) -> None:
        """Answer the datagrams in the first `count` slots."""
        began_s = time.perf_counter()
        batch, kept = self._batch, self._kept
        sizes, hosts = batch.sizes(count), batch.hosts(count)
        if self._limiter is not None:
            sizes = self._within_rate(sizes, hosts, time.monotonic())
        now_s = clock.time_s()
        kept.stand_at(self._responder.renew(now_s), time.monotonic())
        owners: list[str | None] = []
        missed: Sequence[int] = range(count)
        if len(kept):
            missed = self._copy_kept(sizes, owners)
        else:
            owners = [None] * count
        holes = self._answer_slots(missed, sizes, hosts, owners, now_s, began_s) if missed else []
        sent, first = 0, 0
        for hole in holes:
            sent += batch.send(first, hole)
            first = hole + 1
        sent += batch.send(first, count)
        kept.hits += count - len(missed)
        tallies = self.tallies
        tallies.batches += 1
        tallies.packets += count
        tallies.kept += count - len(missed)
        tallies.unsent += count - len(holes) - sent
        self._count(owners, hosts, (time.perf_counter() - began_s) * 1e6, now_s)

    def _copy_kept(self, sizes: Sequence[int], owners: list[str | None]) -> list[int]:
        """The first way: put kept replies in their slots, whom to count them for in `owners`; the slots it does not fit."""
        inbox, outbox, out_sizes = self._batch.inbox, self._batch.outbox, self._batch.out_sizes
        known, head, answered = self._kept.by_version, HEAD.unpack_from, owners.append
        missed: list[int] = []
        for size, (slot, start, id_at, id_end, tail_at, size_at) in zip(sizes, _PLACES, strict=False):
            version, request_id, shape = head(inbox, start)
            try:
                reply, reply_size, owner = known[version][shape][inbox[tail_at : start + size]]
            except KeyError:
                missed.append(slot)
                answered(None)
            else:
                outbox[start : start + reply_size] = reply
                outbox[id_at:id_end] = request_id
                out_sizes[size_at] = reply_size
                answered(owner)
        return missed

    def _answer_slots(
        self,
        slots: Sequence[int],
        sizes: Sequence[int],
        hosts: Sequence[Host],
        owners: list[str | None],
        now_s: float,
        began_s: float,
    ) -> list[int]:
        """The other two ways: put replies in their slots, whom to count them for as found in `owners`; the slots left empty."""
        inbox, outbox, out_sizes = self._batch.inbox, self._batch.outbox, self._batch.out_sizes
        recognise, keep = self._responder.recognise, self._kept.keep
        holes: list[int] = []
        for slot in slots:
            size, start = sizes[slot], slot * SLOT
            packet = inbox[start : start + size]
            recognised = recognise(packet)
            reply: bytes | None
            if recognised is not None:
                reply, owners[slot] = recognised
                keep(packet, *recognised)
            else:
                reply, owners[slot] = self._answer(slot, packet, size, hosts[slot], now_s, began_s)
            if reply is not None and len(reply) > PACKET_SIZE:
                self._send_pieces(slot, reply)
                reply = None
            if reply is None:
                holes.append(slot)
            else:
                outbox[start : start + len(reply)] = reply
                out_sizes[2 * slot + 1] = len(reply)
        return holes

    def _count(self, owners: list[str | None], hosts: Sequence[Host], took_us: float, now_s: float) -> None:
        """Count what was found in a batch, one call per owner and source."""
        total, owner, host = len(owners), owners[0], hosts[0]
        if owners.count(owner) == total and hosts.count(host) == total:
            pairs: Iterable[tuple[tuple[str | None, Host], int]] = (((owner, host), total),)
        else:
            pairs = Counter(zip(owners, hosts, strict=True)).items()
        for (owner, host), number in pairs:
            if owner is not None:
                self._responder.count(owner, packed(host), found=True, own=False, took_us=took_us, now_s=now_s, number=number)

    def _answer(
        self, slot: int, packet: bytes, size: int, host: Host, now_s: float, began_s: float
    ) -> tuple[bytes | None, str | None]:
        """The full way: the reply, None for silence, and whom to count it for as found."""
        tallies = self.tallies
        if size < 0 or size >= SLOT:
            tallies.dropped += 1
            return None, None
        message: bytes | None = packet
        if size > ENVELOPE_SIZE and packet[2] & _TC_BIT:
            tallies.pieces += 1
            try:
                message = self._joiner.add(self._batch.peer(slot), packet, time.monotonic())
            except DecodeError:
                tallies.dropped += 1
                return None, None
            if message is None:
                return None, None
        assert message is not None
        answer = self._responder.answer(message, now_s)
        if answer is None:
            tallies.dropped += 1
            return None, None
        owner = answer.owner
        if owner is not None and (answer.own or not answer.found):
            took_us = (time.perf_counter() - began_s) * 1e6
            self._responder.count(owner, packed(host), found=answer.found, own=answer.own, took_us=took_us, now_s=now_s)
            owner = None
        return answer.octets, owner

    def _send_pieces(self, slot: int, octets: bytes) -> None:
        """Send the pieces of a reply that does not fit one packet; nothing is left to send from this slot."""
        pieces = split(octets, mark=False)
        if len(pieces) > policy.UDP_REPLY_PIECES_MAX.value:
            self.tallies.too_long += 1
            return
        for piece in pieces:
            self._batch.send_piece(slot, piece)

    def _within_rate(self, sizes: Sequence[int], hosts: Sequence[Host], now_s: float) -> list[int]:
        """The sizes, a mark in place of those beyond their source's rate: UDP sources are easily forged, so silence."""
        limiter = self._limiter
        assert limiter is not None
        return [size if limiter.allows(packed(host), now_s) else _REFUSED for size, host in zip(sizes, hosts, strict=True)]
