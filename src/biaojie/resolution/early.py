"""Octets that are no request anybody here serves, and the code they are answered with: one table for every kind of node.

Looked at in the order of the wire: envelope (compressed, encrypted), header (an answer, an operation nobody registered). The
message behind a good head is `handle`'s to read, the operation the node's to serve or not.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from biaojie.handle.codes import OpCode, ResponseCode
from biaojie.handle.envelope import ENVELOPE_SIZE, Envelope, decode_envelope
from biaojie.handle.errors import EncodeError, EncryptedMessage, HandleError, LimitExceeded, WrongDirection
from biaojie.handle.header import HEADER, Header
from biaojie.handle.layout import Reader

_CODES: Final[tuple[tuple[type[HandleError], ResponseCode], ...]] = (
    (EncryptedMessage, ResponseCode.SESSION_FAILED),
    (LimitExceeded, ResponseCode.ERROR),
    (WrongDirection, ResponseCode.ERROR),
    (EncodeError, ResponseCode.ERROR),
)
"""First that fits; what is in no row is a protocol error."""


class Unserved(Exception):
    """A head that is read and refused."""

    def __init__(self, code: ResponseCode, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Refusal(NamedTuple):
    """What an early error says."""

    code: ResponseCode
    message: str


def read_head(data: bytes) -> tuple[Envelope, Header]:
    """Envelope and header of a request for a registered operation; raises `Unserved`, `WrongDirection` or another `DecodeError`."""
    octets = Reader(data)
    envelope = decode_envelope(octets)
    if envelope.compressed:
        raise Unserved(ResponseCode.PROTOCOL_ERROR, "不支持压缩报文")
    if envelope.encrypted:
        raise Unserved(ResponseCode.SESSION_FAILED, "会话号无效，无法解密请求")
    header: Header = HEADER.unpack(octets)
    if header.response_code:
        raise WrongDirection(pointer=str(ENVELOPE_SIZE + 4), expected="请求", actual=header.response_code)
    if header.op_code == OpCode.RESERVED or not OpCode(header.op_code).is_known:
        code = ResponseCode.PROTOCOL_ERROR if header.op_code == OpCode.RESERVED else ResponseCode.ERROR
        raise Unserved(code, f"未知的操作码：{header.op_code}")
    return envelope, header


def refusal_of(error: Unserved | HandleError) -> Refusal:
    """The answer for what `read_head`, or the reading of the rest, raised."""
    if isinstance(error, Unserved):
        return Refusal(error.code, error.message)
    code = next((code for kind, code in _CODES if isinstance(error, kind)), ResponseCode.PROTOCOL_ERROR)
    return Refusal(code, error.message)
