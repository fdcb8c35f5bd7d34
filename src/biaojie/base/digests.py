"""Digests and the one JSON form they are taken over.

What two nodes sign or compare must come out as the same octets on both sides, whatever carried it in between. This
module knows that form and the hash; it does not know keys or signatures.
"""

from __future__ import annotations

import hashlib

import msgspec


def sha256(data: bytes) -> bytes:
    """The 32 octets of SHA-256."""
    return hashlib.sha256(data).digest()


def sha256_hex(data: bytes) -> str:
    """SHA-256 as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def canonical_json(value: object) -> bytes:
    """A JSON value as its only accepted octets: UTF-8, no spaces, the keys of every object in code point order.

    Text is not normalised and numbers are integers wherever a signature is taken; a value that went through any JSON
    reader, writer or `jsonb` column gives the same octets again.
    """
    return msgspec.json.encode(msgspec.to_builtins(value), order="sorted")
