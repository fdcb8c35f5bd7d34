"""A message in UDP packets of at most 512 octets, and packets joined into a message again (RFC 3652 §2.3).

Each piece carries up to 492 octets behind an envelope of its own with the same ids, its number counted from 0, and, unlike in
the RFC, the length of the WHOLE message. Requests are marked TC; answers are not, as the reference server sends them: a
receiver decides by the length alone. A piece's place follows from its number, so pieces cannot overlap.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from biaojie.handle.envelope import ENVELOPE_SIZE, Envelope, decode_envelope
from biaojie.handle.errors import EncodeError, InconsistentPackets, Truncated
from biaojie.handle.layout import MAX_MESSAGE, Reader

PACKET_SIZE = 512
PIECE_SIZE = PACKET_SIZE - ENVELOPE_SIZE
_FLAG_OCTET = 2
_TRUNCATED_BIT = 0x20
_RESPONSE_CODE = slice(ENVELOPE_SIZE + 4, ENVELOPE_SIZE + 8)


def split(message: bytes, *, mark: bool | None = None) -> list[bytes]:
    """The packets of an encoded message; the message itself when it fits one.

    `mark` sets TC; by default pieces of a request are marked (the receiver needs it to start joining) and those of an answer
    are not. An encrypted message does not show which it is and is marked.
    """
    if len(message) <= PACKET_SIZE:
        return [message]
    if len(message) - ENVELOPE_SIZE > MAX_MESSAGE:
        raise EncodeError(field="message", reason=f"{len(message)} > {MAX_MESSAGE}")
    envelope = decode_envelope(Reader(message))
    if mark is None:
        mark = envelope.encrypted or message[_RESPONSE_CODE] == bytes(4)
    flags = message[_FLAG_OCTET] & ~_TRUNCATED_BIT | (_TRUNCATED_BIT if mark else 0)
    head = message[:_FLAG_OCTET] + bytes([flags]) + message[_FLAG_OCTET + 1 : 12]
    length = message[16:ENVELOPE_SIZE]
    content = memoryview(message)[ENVELOPE_SIZE:]
    return [
        b"".join((head, number.to_bytes(4, "big"), length, content[start : start + PIECE_SIZE]))
        for number, start in enumerate(range(0, len(content), PIECE_SIZE))
    ]


class _Pending:
    """The pieces of one message so far."""

    __slots__ = ("deadline_s", "identity", "pieces", "size")

    def __init__(self, identity: tuple[int, ...], deadline_s: float) -> None:
        self.identity = identity
        self.deadline_s = deadline_s
        self.pieces: dict[int, bytes] = {}
        self.size = 0


class Reassembler:
    """Joins packets by (peer, request id), in bounded memory, giving up on a message 5 seconds after its first packet.

    Time is passed in, in seconds of any monotonic clock. A packet costs at most its own octets: nothing is allocated for the
    length a packet promises. When all peers together hold more than `max_bytes` or `max_messages` (a last piece may be one
    octet, and its entry some hundred), the oldest unfinished messages are dropped; one peer holds at most `per_peer` unfinished messages, so that it cannot push out the others with many of them.
    """

    def __init__(
        self, *, max_bytes: int = 4 * 1024 * 1024, max_messages: int = 8192, per_peer: int = 8, lifetime_s: float = 5.0
    ) -> None:
        self.max_bytes = max_bytes
        self.max_messages = max_messages
        self.per_peer = per_peer
        self.lifetime_s = lifetime_s
        self.held_bytes = 0
        self._pending: OrderedDict[tuple[Hashable, int], _Pending] = OrderedDict()
        self._of_peer: dict[Hashable, list[int]] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, peer: Hashable, packet: bytes, now_s: float) -> bytes | None:
        """The whole message once its last missing piece has come, with TC cleared and sequence 0; else None.

        A piece that is shorter than its place, or beyond the end, raises a `DecodeError`; a repeated one changes nothing.
        """
        self.expire(now_s)
        envelope = decode_envelope(Reader(packet))
        length = envelope.message_length
        content = packet[ENVELOPE_SIZE:]
        # A packet that holds all its envelope promises is a message, however large the packet and whatever its flags.
        if envelope.sequence == 0 and len(content) >= length:
            return _message(packet, content[:length])
        start = envelope.sequence * PIECE_SIZE
        if start >= length:
            raise InconsistentPackets(pointer="12", reason=f"序号 {envelope.sequence} 超出总长 {length}")
        size = min(PIECE_SIZE, length - start)
        if len(content) < size:
            raise Truncated(pointer=str(len(packet)), field="packet", needed=size, remaining=len(content))
        return self._keep(peer, packet, envelope, content[:size], now_s)

    def expire(self, now_s: float) -> int:
        """Drops what has waited too long; the number of messages dropped."""
        dropped = 0
        while self._pending:
            key, pending = next(iter(self._pending.items()))
            if pending.deadline_s > now_s:
                break
            self._drop(key)
            dropped += 1
        return dropped

    def _keep(self, peer: Hashable, packet: bytes, envelope: Envelope, piece: bytes, now_s: float) -> bytes | None:
        key = (peer, envelope.request_id)
        identity = (envelope.message_length, envelope.session_id, envelope.major, envelope.minor, envelope.encrypted)
        pending = self._pending.get(key)
        if pending is not None and pending.identity != identity:
            # Another message under the same id: the peer gave the first one up.
            self._drop(key)
            pending = None
        if pending is None:
            pending = _Pending(identity, now_s + self.lifetime_s)
            self._pending[key] = pending
            ids = self._of_peer.setdefault(peer, [])
            ids.append(envelope.request_id)
            if len(ids) > self.per_peer:
                self._drop((peer, ids[0]))
        if envelope.sequence not in pending.pieces:
            pending.pieces[envelope.sequence] = piece
            pending.size += len(piece)
            self.held_bytes += len(piece)
        if pending.size == envelope.message_length:
            content = b"".join(pending.pieces[number] for number in range(len(pending.pieces)))
            self._drop(key)
            return _message(packet, content)
        while self.held_bytes > self.max_bytes or len(self._pending) > self.max_messages:
            self._drop(next(iter(self._pending)))
        return None

    def _drop(self, key: tuple[Hashable, int]) -> None:
        pending = self._pending.pop(key)
        self.held_bytes -= pending.size
        ids = self._of_peer[key[0]]
        ids.remove(key[1])
        if not ids:
            del self._of_peer[key[0]]


def _message(packet: bytes, content: bytes) -> bytes:
    """An envelope as one message has it, and the content."""
    flags = packet[_FLAG_OCTET] & ~_TRUNCATED_BIT
    return b"".join((packet[:_FLAG_OCTET], bytes([flags]), packet[3:12], bytes(4), packet[16:ENVELOPE_SIZE], content))
