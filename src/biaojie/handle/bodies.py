"""What each operation carries, as values: one class per body, requests before their answers.

How they lie on the wire, and which belongs to which operation, is declared in `body_layouts`.
"""

from __future__ import annotations

import msgspec

from biaojie.handle.sites import Site
from biaojie.handle.values import HandleValue


class Body(msgspec.Struct, frozen=True):
    """The root of all bodies."""


class ResolutionRequest(Body, frozen=True):
    """Asks for the values whose index or type is listed; for all when both lists are empty."""

    handle: str
    indexes: tuple[int, ...] = ()
    types: tuple[str, ...] = ()


class ResolutionResponse(Body, frozen=True):
    """The handle as the client spelled it, and the values."""

    handle: str
    values: tuple[HandleValue, ...]


class GetSiteInfoRequest(Body, frozen=True):
    """Asks a server for its site record; the handle is ignored."""

    handle: str = "/"


class GetSiteInfoResponse(Body, frozen=True):
    """The site record, bare."""

    site: Site


class CreateHandleRequest(Body, frozen=True):
    """Creates a handle with these values."""

    handle: str
    values: tuple[HandleValue, ...]


class CreateHandleResponse(Body, frozen=True):
    """The handle that was created, which the server may have minted; "" from old servers."""

    handle: str = ""


class DeleteHandleRequest(Body, frozen=True):
    """Deletes a handle and all its values."""

    handle: str


class AddValueRequest(Body, frozen=True):
    """Adds values."""

    handle: str
    values: tuple[HandleValue, ...]


class RemoveValueRequest(Body, frozen=True):
    """Removes the values of these indexes."""

    handle: str
    indexes: tuple[int, ...]


class ModifyValueRequest(Body, frozen=True):
    """Replaces the values of the same indexes."""

    handle: str
    values: tuple[HandleValue, ...]


class ListHandlesRequest(Body, frozen=True):
    """Lists the handles under a prefix, given as 0.NA/prefix."""

    handle: str


class ListHandlesResponse(Body, frozen=True):
    """Some of the handles; CN in the header says whether more messages follow."""

    handles: tuple[str, ...]


class ListDerivedPrefixesRequest(Body, frozen=True):
    """Lists the prefixes derived from a prefix, given as 0.NA/prefix."""

    handle: str


class ChallengeAnswer(Body, frozen=True):
    """Answers the challenge named by the envelope's session id."""

    auth_type: str
    handle: str
    index: int
    signed_response: bytes


class VerifyChallengeRequest(Body, frozen=True):
    """Asks the server that holds a secret key whether an answer is right; `digest` with its algorithm octet."""

    handle: str
    index: int
    nonce: bytes
    digest: bytes
    signed_response: bytes


class VerifyChallengeResponse(Body, frozen=True):
    """Whether the answer was right."""

    valid: bool


class HomePrefixRequest(Body, frozen=True):
    """Makes the server answer for a prefix, given as 0.NA/prefix."""

    handle: str


class UnhomePrefixRequest(Body, frozen=True):
    """Ends that."""

    handle: str


class ListHomedRequest(Body, frozen=True):
    """Lists the prefixes a server answers for; the handle is ignored."""

    handle: str = "/"


class ListHomedResponse(Body, frozen=True):
    """The prefixes a server answers for, as 0.NA/prefix."""

    handles: tuple[str, ...]


class SessionSetupRequest(Body, frozen=True):
    """Asks for a session. `mode` 4 (DH) and 1 carry `public_key`, 3 names a key by `key_handle` and `key_index`.

    An empty identity handle with index -1 is anonymous. `timeout` is in seconds.
    """

    mode: int
    timeout: int
    handle: str = ""
    index: int = -1
    public_key: bytes = b""
    key_handle: str = ""
    key_index: int = 0


class SessionSetupResponse(Body, frozen=True):
    """The server's half; for mode 4 `data` is the cipher's number and a DH public key."""

    mode: int
    data: bytes


class SessionTerminateRequest(Body, frozen=True):
    """Ends the session the envelope names."""


class Acknowledgement(Body, frozen=True):
    """Done; nothing more to say."""


class ChallengeResponse(Body, frozen=True):
    """Prove who you are: the digest of the request this is about, and octets to sign with it."""

    algorithm: int
    digest: bytes
    nonce: bytes


class ReferralResponse(Body, frozen=True):
    """Ask elsewhere: at the service of `handle` when it is not empty, else at the sites in `values`."""

    handle: str = ""
    values: tuple[HandleValue, ...] = ()


class ErrorResponse(Body, frozen=True):
    """Why not. `code` lies in the header, `indexes` may name the offending values; an RFC server sends nothing at all."""

    code: int
    message: str = ""
    indexes: tuple[int, ...] = ()


class RawBody(Body, frozen=True):
    """A body nobody told us how to read."""

    data: bytes = b""


class RequestDigest(msgspec.Struct, frozen=True):
    """Digest of a request's header and body: 1 MD5, 2 SHA-1, 3 SHA-256 (RFC 3652 §2.2.3)."""

    algorithm: int
    digest: bytes


class SessionMode:
    """Ways to agree on a session key; only DH works between programs in use."""

    CLIENT_KEY = 1
    SERVER_KEY = 2
    KEY_IN_HANDLE = 3
    DIFFIE_HELLMAN = 4
