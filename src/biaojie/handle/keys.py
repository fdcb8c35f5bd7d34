"""Public keys as they lie in HS_PUBKEY values and HS_SITE records.

A type name, two reserved octets and parts, each an integer in Java's signed form (a leading zero octet when the top bit is
set): RSA e, n; DSA q, p, g, y; DH y, p, g. The software in use ends an RSA key with a third, empty part; it is written and
not required. Ed25519 (one part, the 32 octets) is our own addition. SM2 and SM9 keys, which Chinese software writes as PEM
text, are kept as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from biaojie.handle.errors import EncodeError, InvalidKey, LimitExceeded
from biaojie.handle.kinds import STRING, U16, Blob
from biaojie.handle.layout import Field, Kind, Layout, Reader

RSA_PUBLIC = "RSA_PUB_KEY"
DSA_PUBLIC = "DSA_PUB_KEY"
DH_PUBLIC = "DH_PUB_KEY"
ED25519_PUBLIC = "ED25519_PUB_KEY"
SM2_PUBLIC = "SM2_PUB_KEY"
SM9_PUBLIC = "SM9_PUB_KEY"

MAX_PART = 2_049
"""Octets of one part: 16,384 bits and a sign octet; larger numbers would only burn the reader's time."""
MAX_PARTS = 16


class DhPublicKey(msgspec.Struct, frozen=True):
    """A Diffie-Hellman public number with its group; sessions check the group (`sessions.check_group`)."""

    y: int
    p: int
    g: int


class OpaqueKey(msgspec.Struct, frozen=True):
    """A key of a kind we do not compute with: type name and parts as they came."""

    key_type: str
    parts: tuple[bytes, ...]
    flags: int = 0


PublicKey = rsa.RSAPublicKey | dsa.DSAPublicKey | ed25519.Ed25519PublicKey | DhPublicKey | OpaqueKey
KeyParts = OpaqueKey


class Parts(Kind):
    """Length-prefixed parts up to the end of the key."""

    name = "bytes…"
    _part = Blob(MAX_PART)

    def write(self, value: Any, out: bytearray, field: str) -> None:
        for part in value:
            self._part.write(part, out, field)

    def read(self, reader: Reader, field: str) -> tuple[bytes, ...]:
        parts: list[bytes] = []
        while reader.remaining:
            if len(parts) == MAX_PARTS:
                raise LimitExceeded(pointer=str(reader.pos), field=field, actual=MAX_PARTS + 1, limit=MAX_PARTS)
            parts.append(self._part.read(reader, field))
        return tuple(parts)

    def text(self, value: Any) -> str:
        return " ".join(self._part.text(part) for part in value)


def _parts(key_type: str, flags: int, parts: tuple[bytes, ...]) -> KeyParts:
    return KeyParts(key_type, parts, flags)


PUBLIC_KEY = Layout(
    "PublicKey",
    _parts,
    Field("key_type", STRING, "密钥类型"),
    Field("flags", U16, "保留"),
    Field("parts", Parts(), "各部分"),
    title="公钥",
)


def encode_public_key(key: PublicKey) -> bytes:
    """The key's octets; `EncodeError` for a key of another kind."""
    if isinstance(key, OpaqueKey):
        return PUBLIC_KEY.pack(key)
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return _pack(RSA_PUBLIC, signed(numbers.e), signed(numbers.n), b"")
    if isinstance(key, dsa.DSAPublicKey):
        dsa_numbers = key.public_numbers()
        group = dsa_numbers.parameter_numbers
        return _pack(DSA_PUBLIC, signed(group.q), signed(group.p), signed(group.g), signed(dsa_numbers.y))
    if isinstance(key, ed25519.Ed25519PublicKey):
        return _pack(ED25519_PUBLIC, key.public_bytes(Encoding.Raw, PublicFormat.Raw))
    if isinstance(key, DhPublicKey):
        return _pack(DH_PUBLIC, signed(key.y), signed(key.p), signed(key.g))
    raise EncodeError(field="public_key", reason=type(key).__name__)


def decode_key_parts(data: bytes) -> KeyParts:
    """Type name and parts of a key, whatever its kind."""
    return PUBLIC_KEY.unpack(Reader(data))


def decode_public_key(data: bytes) -> PublicKey:
    """The key; `InvalidKey` when its numbers make none, `OpaqueKey` for a kind we do not compute with."""
    raw = decode_key_parts(data)
    row = _BUILDERS.get(raw.key_type)
    if row is None:
        return raw
    count, build = row
    if len(raw.parts) < count:
        raise InvalidKey(pointer=str(len(data)), reason=f"{raw.key_type} 需要 {count} 个部分，只有 {len(raw.parts)} 个")
    try:
        return build(*raw.parts[:count])
    except (ValueError, TypeError, OverflowError, UnsupportedAlgorithm) as error:
        raise InvalidKey(pointer="0", reason=str(error)) from error


def signed(number: int) -> bytes:
    """A non-negative integer as Java's `BigInteger.toByteArray` gives it."""
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


def unsigned(part: bytes) -> int:
    """The integer of a part; negative ones do not occur, the sign octet is leading zero."""
    return int.from_bytes(part, "big")


def _pack(key_type: str, *parts: bytes) -> bytes:
    return PUBLIC_KEY.pack(KeyParts(key_type, parts))


def _rsa(e: bytes, n: bytes) -> PublicKey:
    return rsa.RSAPublicNumbers(unsigned(e), unsigned(n)).public_key()


def _dsa(q: bytes, p: bytes, g: bytes, y: bytes) -> PublicKey:
    group = dsa.DSAParameterNumbers(unsigned(p), unsigned(q), unsigned(g))
    return dsa.DSAPublicNumbers(unsigned(y), group).public_key()


def _dh(y: bytes, p: bytes, g: bytes) -> PublicKey:
    return DhPublicKey(unsigned(y), unsigned(p), unsigned(g))


_BUILDERS: dict[str, tuple[int, Callable[..., PublicKey]]] = {
    RSA_PUBLIC: (2, _rsa),
    DSA_PUBLIC: (4, _dsa),
    DH_PUBLIC: (3, _dh),
    ED25519_PUBLIC: (1, ed25519.Ed25519PublicKey.from_public_bytes),
}
