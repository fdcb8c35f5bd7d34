"""What comes out of a question: an `Answer` in meaning, a `Reply` in octets."""

from __future__ import annotations

import msgspec

from biaojie.resolution.entries import EMPTY_VALUES


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one question put to this node.

    `body` is the response body in wire form, without a request digest; `values` the counted list in it (also of a prefix
    referral), `message` the text of an error. `owner` is the prefix it is counted for ("" when no zone of ours).
    `found` says that content was answered; `own` that a probe identifier was asked for. `needs_authentication`: the
    question touches values that only an administrator may read.
    """

    response_code: int
    body: bytes
    values: bytes = EMPTY_VALUES
    message: str = ""
    owner: str = ""
    found: bool = False
    own: bool = False
    needs_authentication: bool = False


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A whole message to send back, and what to count for it."""

    data: bytes
    response_code: int
    owner: str = ""
    found: bool = False
    own: bool = False
    needs_authentication: bool = False
