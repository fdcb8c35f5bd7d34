"""The 20 octets before every message or packet: version, ids, length (RFC 3652 §2.2.1).

The third octet holds three flags and, unlike in the RFC, the suggested major version in its low five bits; the fourth the
suggested minor version. `message_length` counts everything behind the envelope, also in each piece of a split message.
"""

from __future__ import annotations

import msgspec

from biaojie.handle.errors import LimitExceeded
from biaojie.handle.kinds import HEX32, U8, U32, Bits
from biaojie.handle.layout import MAX_MESSAGE, Field, Layout, Reader

ENVELOPE_SIZE = 20
OWN_VERSION = (2, 11)
"""The version we speak and suggest."""
COMPATIBLE_VERSION = (2, 3)
"""What a message carries when nothing is known of the peer."""


class Envelope(msgspec.Struct, frozen=True):
    """One envelope; a suggested version of (0, 0) means "the same as the version"."""

    major: int = OWN_VERSION[0]
    minor: int = OWN_VERSION[1]
    compressed: bool = False
    encrypted: bool = False
    truncated: bool = False
    suggested_major: int = OWN_VERSION[0]
    suggested_minor: int = OWN_VERSION[1]
    session_id: int = 0
    request_id: int = 0
    sequence: int = 0
    message_length: int = 0

    @property
    def version(self) -> tuple[int, int]:
        return self.major, self.minor

    @property
    def suggested_version(self) -> tuple[int, int]:
        """What the peer could speak; its version when it suggests nothing."""
        return (self.suggested_major, self.suggested_minor) if self.suggested_major else self.version


ENVELOPE = Layout(
    "Envelope",
    Envelope,
    Field("major", U8, "主版本"),
    Field("minor", U8, "次版本"),
    Field(
        "flags",
        Bits("bits", "B", ("compressed", 1), ("encrypted", 1), ("truncated", 1), ("suggested_major", 5)),
        "标志与建议主版本",
    ),
    Field("suggested_minor", U8, "建议次版本"),
    Field("session_id", HEX32, "会话号"),
    Field("request_id", HEX32, "请求号"),
    Field("sequence", U32, "分片序号"),
    Field("message_length", U32, "报文长度"),
    title="信封",
    source="RFC 3652 §2.2.1",
)


def decode_envelope(reader: Reader) -> Envelope:
    """The next envelope; a message length above 262,144 is refused."""
    start = reader.pos
    envelope = ENVELOPE.unpack(reader)
    if envelope.message_length > MAX_MESSAGE:
        raise LimitExceeded(pointer=str(start + 16), field="message_length", actual=envelope.message_length, limit=MAX_MESSAGE)
    return envelope


def negotiate_version(request: Envelope, own: tuple[int, int] = OWN_VERSION) -> tuple[int, int]:
    """The version to answer in: the lower of the peer's suggested version and our own.

    5.x was an early wire number and counts as very old: it is answered as it came.
    """
    suggested = request.suggested_version
    if request.major == 5:
        return request.version
    return min(suggested, own)


def is_at_least(version: tuple[int, int], major: int, minor: int) -> bool:
    """Whether a peer's version has what came with `major.minor`; 5.x is older than everything."""
    return version[0] != 5 and version >= (major, minor)
