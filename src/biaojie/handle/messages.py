"""Whole messages: envelope, header, body, credential section; and the answer to what cannot be read.

`decode_message` takes one complete message (envelope first, pieces already joined, encryption already removed) and gives a
`Message` or a `DecodeError`; `encode_message` is its inverse and computes both length fields. A response code of 0 means a
request. Flags, operation and response codes nobody registered pass through unchanged.
"""

from __future__ import annotations

import hashlib

import msgspec

from biaojie.handle.bodies import (
    Acknowledgement,
    AddValueRequest,
    Body,
    ChallengeAnswer,
    ChallengeResponse,
    CreateHandleRequest,
    CreateHandleResponse,
    DeleteHandleRequest,
    ErrorResponse,
    GetSiteInfoRequest,
    GetSiteInfoResponse,
    HomePrefixRequest,
    ListDerivedPrefixesRequest,
    ListHandlesRequest,
    ListHandlesResponse,
    ListHomedRequest,
    ListHomedResponse,
    ModifyValueRequest,
    RawBody,
    ReferralResponse,
    RemoveValueRequest,
    RequestDigest,
    ResolutionRequest,
    ResolutionResponse,
    SessionMode,
    SessionSetupRequest,
    SessionSetupResponse,
    SessionTerminateRequest,
    UnhomePrefixRequest,
    VerifyChallengeRequest,
    VerifyChallengeResponse,
)
from biaojie.handle.body_layouts import (
    decode_digest,
    decode_request_body,
    decode_response_body,
    encode_body,
    encode_digest,
    op_code_of,
    response_code_of,
)
from biaojie.handle.codes import FLAG_CA, FLAG_PO, FLAG_RD, FLAG_REC, RESOLUTION_FLAGS, OpCode, ResponseCode, response_flags
from biaojie.handle.envelope import (
    COMPATIBLE_VERSION,
    ENVELOPE,
    ENVELOPE_SIZE,
    OWN_VERSION,
    Envelope,
    decode_envelope,
    is_at_least,
    negotiate_version,
)
from biaojie.handle.errors import EncodeError, EncryptedMessage, WrongDirection
from biaojie.handle.header import HEADER, HEADER_SIZE, UNKNOWN_SERIAL, Header
from biaojie.handle.kinds import BYTES
from biaojie.handle.layout import MAX_MESSAGE, Reader

__all__ = [  # the bodies are part of this module's surface
    "ADMIN_FLAGS",
    "FAR_FUTURE",
    "MEDIA_TYPE",
    "UNKNOWN_REQUEST_ID",
    "Acknowledgement",
    "AddValueRequest",
    "Body",
    "ChallengeAnswer",
    "ChallengeResponse",
    "CreateHandleRequest",
    "CreateHandleResponse",
    "DeleteHandleRequest",
    "ErrorResponse",
    "GetSiteInfoRequest",
    "GetSiteInfoResponse",
    "HomePrefixRequest",
    "ListDerivedPrefixesRequest",
    "ListHandlesRequest",
    "ListHandlesResponse",
    "ListHomedRequest",
    "ListHomedResponse",
    "Message",
    "ModifyValueRequest",
    "RawBody",
    "ReferralResponse",
    "RemoveValueRequest",
    "RequestDigest",
    "ResolutionRequest",
    "ResolutionResponse",
    "SessionMode",
    "SessionSetupRequest",
    "SessionSetupResponse",
    "SessionTerminateRequest",
    "UnhomePrefixRequest",
    "VerifyChallengeRequest",
    "VerifyChallengeResponse",
    "decode_message",
    "decode_request",
    "decode_response",
    "digest_request",
    "early_error",
    "encode_message",
    "is_message_type",
    "make_request",
    "make_response",
    "read_message",
    "signed_part",
]

MEDIA_TYPE = "application/x-hdl-message"
"""What a message is called in an HTTP body (the tunnel)."""
UNKNOWN_REQUEST_ID = 0xFFFFFFFF
ADMIN_FLAGS = FLAG_REC | FLAG_CA
FAR_FUTURE = 0x7FFFFFFF
_MD5, _SHA1, _SHA256 = 1, 2, 3


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message. The length fields of envelope and header count only in what was read; writing computes them.

    `credential` is the credential section without its length, `b""` when there is none.
    """

    envelope: Envelope
    header: Header
    body: Body
    request_digest: RequestDigest | None = None
    credential: bytes = b""

    @property
    def op_code(self) -> int:
        return self.header.op_code

    @property
    def response_code(self) -> int:
        return self.header.response_code

    @property
    def op_flags(self) -> int:
        return self.header.op_flags

    @property
    def request_id(self) -> int:
        return self.envelope.request_id

    @property
    def session_id(self) -> int:
        return self.envelope.session_id

    @property
    def is_request(self) -> bool:
        return self.header.response_code == 0

    def has_flag(self, flag: int) -> bool:
        return bool(self.header.op_flags & flag)


def make_request(
    body: Body,
    *,
    request_id: int,
    op_flags: int | None = None,
    op_code: int | None = None,
    session_id: int = 0,
    site_serial: int = UNKNOWN_SERIAL,
    recursion_count: int = 0,
    expiration: int = FAR_FUTURE,
    version: tuple[int, int] = OWN_VERSION,
) -> Message:
    """A request. The operation follows from the body; flags default to what the operation needs (PO for resolution)."""
    number = op_code_of(body) if op_code is None else op_code
    if number is None:
        raise EncodeError(field="op_code", reason=type(body).__name__)
    flags = (RESOLUTION_FLAGS if number == OpCode.RESOLUTION else ADMIN_FLAGS) if op_flags is None else op_flags
    return Message(
        envelope=Envelope(
            major=version[0],
            minor=version[1],
            suggested_major=OWN_VERSION[0],
            suggested_minor=OWN_VERSION[1],
            session_id=session_id,
            request_id=request_id,
        ),
        header=Header(number, 0, flags, site_serial, recursion_count, expiration),
        body=body,
    )


def make_response(
    request: Message,
    body: Body,
    *,
    expiration: int,
    primary: bool = True,
    site_serial: int = 1,
    response_code: int | None = None,
    op_code: int | None = None,
    extra_flags: int = 0,
    session_id: int = 0,
    digest: RequestDigest | None = None,
) -> Message:
    """The answer to `request`, in the version both speak.

    `op_code` is given when a challenge answer is met with the original operation's result. A challenge always carries RD;
    for other answers RD needs `digest`, and is dropped without it, because the flag promises octets.
    """
    code = response_code_of(body) if response_code is None else response_code
    if not code:
        raise EncodeError(field="response_code", reason=str(code))
    flags = response_flags(request.op_flags, primary=primary) | extra_flags
    if isinstance(body, ChallengeResponse):
        flags |= FLAG_RD
    elif digest is None:
        flags &= ~FLAG_RD
    version = negotiate_version(request.envelope)
    return Message(
        envelope=Envelope(
            major=version[0],
            minor=version[1],
            suggested_major=OWN_VERSION[0],
            suggested_minor=OWN_VERSION[1],
            session_id=session_id,
            request_id=request.request_id,
        ),
        header=Header(request.op_code if op_code is None else op_code, code, flags, site_serial, 0, expiration),
        body=body,
        request_digest=digest if flags & FLAG_RD and not isinstance(body, ChallengeResponse) else None,
    )


def encode_message(message: Message) -> bytes:
    """Envelope, header, body, credential section; `EncodeError` when it does not fit or exceeds 262,144 octets."""
    body = encode_body(message.body)
    if message.request_digest is not None:
        body = encode_digest(message.request_digest) + body
    header = message.header
    wire_header = Header(
        header.op_code,
        header.response_code,
        header.op_flags,
        header.site_serial,
        header.recursion_count,
        header.expiration,
        len(body),
    )
    length = HEADER_SIZE + len(body) + 4 + len(message.credential)
    if length > MAX_MESSAGE:
        raise EncodeError(field="message", reason=f"{length} > {MAX_MESSAGE}")
    out = bytearray()
    ENVELOPE.write(msgspec.structs.replace(message.envelope, message_length=length), out, "envelope")
    HEADER.write(wire_header, out, "header")
    out += body
    BYTES.write(message.credential, out, "credential")
    return bytes(out)


def decode_message(data: bytes) -> Message:
    """The message at the head of `data`; octets behind its length are ignored."""
    return read_message(Reader(data))


def decode_request(data: bytes) -> Message:
    """A message that must be a request."""
    message = decode_message(data)
    if not message.is_request:
        raise WrongDirection(pointer=str(ENVELOPE_SIZE + 4), expected="请求", actual=message.response_code)
    return message


def decode_response(data: bytes) -> Message:
    """A message that must be an answer."""
    message = decode_message(data)
    if message.is_request:
        raise WrongDirection(pointer=str(ENVELOPE_SIZE + 4), expected="应答", actual=0)
    return message


def read_message(reader: Reader, *, clip: bool = False) -> Message:
    """Like `decode_message`, from a reader, whose trace then tells what every octet means.

    `clip` reads on as far as there are octets where a length promises more than there are (for dumps).
    """
    envelope = decode_envelope(reader)
    if envelope.message_length > reader.remaining and not clip:
        raise reader.truncated("message", envelope.message_length)
    reader.end = min(reader.end, reader.pos + envelope.message_length)
    if envelope.encrypted:
        raise EncryptedMessage(pointer="2", session_id=envelope.session_id)
    header = HEADER.unpack(reader)
    if header.body_length > reader.remaining and not clip:
        raise reader.truncated("body", header.body_length)
    message_end = reader.end
    body_end = reader.end = min(reader.end, reader.pos + header.body_length)
    digest = None
    if header.response_code == 0:
        body = decode_request_body(header.op_code, reader)
    else:
        challenged = header.response_code == ResponseCode.AUTHENTICATION_NEEDED
        if challenged or (header.op_flags & FLAG_RD and reader.remaining):
            digest = decode_digest(reader)
        body = decode_response_body(header.op_code, header.response_code, digest, reader)
        digest = None if challenged else digest
    reader.pos, reader.end = body_end, message_end
    # Some software in China leaves the credential section out altogether.
    credential = b""
    if reader.remaining >= 4:
        credential = BYTES.trace(reader, "credential 凭证") if reader.trace is not None else BYTES.read(reader, "credential")
    return Message(envelope=envelope, header=header, body=body, request_digest=digest, credential=credential)


def is_message_type(content_type: str) -> bool:
    """Does this Content-Type, whatever its parameters and case, announce a message?"""
    return content_type.partition(";")[0].strip().lower() == MEDIA_TYPE


def signed_part(data: bytes) -> bytes:
    """Header and body as they lie in a message's octets; `Truncated` when they are not all there."""
    reader = Reader(data)
    envelope = decode_envelope(reader)
    header = HEADER.unpack(reader)
    size = HEADER_SIZE + header.body_length
    reader.pos = ENVELOPE_SIZE
    reader.end = min(reader.end, ENVELOPE_SIZE + envelope.message_length)
    return reader.take(size, "body")


def digest_request(data: bytes) -> RequestDigest:
    """The digest of a request's header and body: SHA-256 for peers from 2.7, SHA-1 from 2.1, else MD5."""
    part = signed_part(data)
    version = decode_envelope(Reader(data)).version
    if is_at_least(version, 2, 7):
        return RequestDigest(_SHA256, hashlib.sha256(part).digest())
    if is_at_least(version, 2, 1):
        return RequestDigest(_SHA1, hashlib.sha1(part, usedforsecurity=False).digest())
    return RequestDigest(_MD5, hashlib.md5(part, usedforsecurity=False).digest())


def early_error(
    request: bytes,
    *,
    expiration: int,
    code: int = ResponseCode.PROTOCOL_ERROR,
    message: str = "",
    op_code: int = OpCode.RESERVED,
    site_serial: int = UNKNOWN_SERIAL,
) -> bytes:
    """The answer to octets that could not be read as a request, as the software in use sends it.

    Version 2.3, flags REC|CA|PO. The request id is repeated whenever 20 octets were readable, else it is 0xFFFFFFFF.
    """
    request_id = int.from_bytes(request[8:12], "big") if len(request) >= ENVELOPE_SIZE else UNKNOWN_REQUEST_ID
    return encode_message(
        Message(
            envelope=Envelope(major=COMPATIBLE_VERSION[0], minor=COMPATIBLE_VERSION[1], request_id=request_id),
            header=Header(op_code, code, FLAG_REC | FLAG_CA | FLAG_PO, site_serial, 0, expiration),
            body=ErrorResponse(code, message),
        )
    )
