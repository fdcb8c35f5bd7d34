"""Messages out of a byte stream (TCP): the envelope's length is the only framing.

Some software in China cuts even TCP messages into 492-octet pieces marked TC; those come out joined. Memory is bounded by one
message of the largest size, plus the pieces of unfinished ones.
"""

from __future__ import annotations

from biaojie.handle.datagrams import PIECE_SIZE, Reassembler
from biaojie.handle.envelope import ENVELOPE_SIZE, decode_envelope
from biaojie.handle.errors import InconsistentPackets
from biaojie.handle.layout import Reader


class FrameReader:
    """Feeds on received octets and gives whole messages, envelope included, in order of completion."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._joiner = Reassembler(max_bytes=1024 * 1024, lifetime_s=float("inf"))

    @property
    def buffered(self) -> int:
        """Octets that wait for more."""
        return len(self._buffer) + self._joiner.held_bytes

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that `data` completes. A `DecodeError` leaves the stream out of step: close the connection."""
        buffer = self._buffer
        buffer += data
        messages = []
        position = 0
        while len(buffer) - position >= ENVELOPE_SIZE:
            head = bytes(buffer[position : position + ENVELOPE_SIZE])
            envelope = decode_envelope(Reader(head))
            size = envelope.message_length
            if envelope.truncated and size > PIECE_SIZE:
                start = envelope.sequence * PIECE_SIZE
                if start >= size:
                    raise InconsistentPackets(pointer="12", reason=f"序号 {envelope.sequence} 超出总长 {size}")
                size = min(PIECE_SIZE, size - start)
            end = position + ENVELOPE_SIZE + size
            if len(buffer) < end:
                break
            message = self._joiner.add(None, bytes(buffer[position:end]), 0.0)
            if message is not None:
                messages.append(message)
            position = end
        del buffer[:position]
        return messages
