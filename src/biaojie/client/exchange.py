"""A question as octets and the octets that answer it, without sockets: what both clients share.

`prepare` gives a request with a random id; `Prepared.accept` gives a `Response`, None for what answers somebody else, or
raises `BadReply` / `NotVerified`. The schedule of repeated datagrams is that of the software in use.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from biaojie.client.errors import BadReply, NotVerified
from biaojie.handle.bodies import Body, ErrorResponse, GetSiteInfoResponse, ReferralResponse, ResolutionResponse
from biaojie.handle.codes import FLAG_AT, FLAG_CT, FLAG_KC, RESOLUTION_FLAGS
from biaojie.handle.credentials import verify_message
from biaojie.handle.envelope import ENVELOPE_SIZE
from biaojie.handle.errors import HandleError
from biaojie.handle.header import UNKNOWN_SERIAL
from biaojie.handle.keys import decode_public_key
from biaojie.handle.messages import Message, decode_response, encode_message, make_request
from biaojie.handle.sites import Site
from biaojie.handle.values import HandleValue
from biaojie.resolution.cache import Endpoint

RETRANSMIT_MS = (500, 1000, 1500)
"""How long each sending of a datagram is waited for before the next; the last wait ends the try."""
DEFAULT_TIMEOUT_MS = sum(RETRANSMIT_MS)
MAX_HTTP_OCTETS = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One reply. `message` is the wire form, absent where the server spoke JSON; `octets` its size on the wire."""

    endpoint: Endpoint
    response_code: int
    handle: str = ""
    values: tuple[HandleValue, ...] = ()
    referral: str = ""
    text: str = ""
    site: Site | None = None
    site_serial: int = UNKNOWN_SERIAL
    authoritative: bool = False
    verified: bool = False
    octets: int = 0
    elapsed_ms: float = 0.0
    cached: bool = False
    message: Message | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A request ready to be sent; `public_key` non-empty = the reply must be signed by it."""

    body: Body
    request_id: int
    octets: bytes
    public_key: bytes = b""

    def accept(self, data: bytes, endpoint: Endpoint) -> Response | None:
        """The response in these octets; None when they belong to another request."""
        if len(data) < ENVELOPE_SIZE or int.from_bytes(data[8:12], "big") != self.request_id:
            return None
        try:
            message = decode_response(data)
        except HandleError as error:
            raise BadReply(address=str(endpoint), reason=error.message) from error
        verified = False
        if self.public_key:
            try:
                verify_message(data, decode_public_key(self.public_key))
            except HandleError as error:
                raise NotVerified(address=str(endpoint), reason=error.message) from error
            verified = True
        return _response(message, endpoint, len(data), verified)


def prepare(
    body: Body,
    *,
    flags: int | None = None,
    site_serial: int = UNKNOWN_SERIAL,
    public_key: bytes = b"",
    keep_connection: bool = False,
) -> Prepared:
    """A request with an unguessable id; CT is asked for when there is a key to check the reply with."""
    op_flags = (RESOLUTION_FLAGS if flags is None else flags) | (FLAG_CT if public_key else 0)
    op_flags |= FLAG_KC if keep_connection else 0
    request_id = 1 + secrets.randbelow(0xFFFFFFFE)
    message = make_request(body, request_id=request_id, op_flags=op_flags, site_serial=site_serial)
    return Prepared(body=body, request_id=request_id, octets=encode_message(message), public_key=public_key)


def _response(message: Message, endpoint: Endpoint, octets: int, verified: bool) -> Response:
    body = message.body
    return Response(
        endpoint=endpoint,
        response_code=message.response_code,
        handle=body.handle if isinstance(body, ResolutionResponse) else "",
        values=tuple(body.values) if isinstance(body, (ResolutionResponse, ReferralResponse)) else (),
        referral=body.handle if isinstance(body, ReferralResponse) else "",
        text=body.message if isinstance(body, ErrorResponse) else "",
        site=body.site if isinstance(body, GetSiteInfoResponse) else None,
        site_serial=message.header.site_serial,
        authoritative=message.has_flag(FLAG_AT),
        verified=verified,
        octets=octets,
        message=message,
    )
