"""A node's key: made once, kept in a file nobody else may read, named by its digest.

Ed25519 throughout. The key id that travels in signatures is short; the fingerprint that two people compare by telephone
is the whole digest in groups of four. Which keys to trust is not decided here.
"""

from __future__ import annotations

import base64
import os
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)

from biaojie.base.digests import sha256, sha256_hex
from biaojie.foundation.nodes.errors import CardMalformed, KeyFileInvalid, KeyFileMissing, KeyFileOpen

ALGORITHM = "ed25519"

# 160 bits of SHA-256: beyond reach of a second preimage, and still one readable word of 32 letters and digits.
KEY_ID_OCTETS = 20


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class NodeKey:
    """A private key with the id its signatures carry; its `repr` never shows the secret."""

    private: Ed25519PrivateKey
    key_id: str

    @property
    def public(self) -> Ed25519PublicKey:
        return self.private.public_key()

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.public)

    def sign(self, data: bytes) -> bytes:
        """64 octets of Ed25519 over `data`."""
        return self.private.sign(data)

    def __repr__(self) -> str:
        return f"NodeKey(key_id={self.key_id!r})"


def make_key() -> NodeKey:
    """A new key, not yet kept anywhere."""
    return _with_id(Ed25519PrivateKey.generate())


def save_key(key: NodeKey, path: Path) -> None:
    """Write PKCS#8 PEM, readable by this user only, complete or not at all; never replaces a file (FileExistsError)."""
    pem = key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    handle, name = tempfile.mkstemp(prefix=path.name, dir=path.parent)  # mkstemp opens with 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        os.link(name, path)
    finally:
        Path(name).unlink()


def load_key(path: Path) -> NodeKey:
    """The key of a file. Raises `KeyFileMissing`, `KeyFileOpen` (others may read it) or `KeyFileInvalid`."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            pem = file.read()
    except FileNotFoundError as error:
        raise KeyFileMissing(path=path) from error
    if mode & 0o077:
        raise KeyFileOpen(path=path, mode=f"{mode:04o}")
    try:
        private = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileInvalid(path=path) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise KeyFileInvalid(path=path)
    return _with_id(private)


def load_or_make_key(path: Path) -> NodeKey:
    """The key of a file, made there at first start; two starts at once end with the same key."""
    if not path.exists():
        with suppress(FileExistsError):  # the other start was faster: its key is the node's
            save_key(make_key(), path)
    return load_key(path)


def key_id_of(public: Ed25519PublicKey) -> str:
    """32 lower-case letters and digits (Base32) naming a public key."""
    return base64.b32encode(sha256(_spki(public))[:KEY_ID_OCTETS]).decode("ascii").lower()


def node_id_of(first_key_id: str) -> str:
    """The node's id for ever, taken from its first key; later keys do not change it."""
    return f"node-{first_key_id}"


def fingerprint(public: Ed25519PublicKey) -> str:
    """SHA-256 of the public key (SubjectPublicKeyInfo, DER) as 16 groups of four hexadecimal digits, for people to compare."""
    digits = sha256_hex(_spki(public)).upper()
    return " ".join(digits[start : start + 4] for start in range(0, len(digits), 4))


def is_same_fingerprint(left: str, right: str) -> bool:
    """Whether two fingerprints agree in every digit, however they are spaced or cased; a shortened one does not."""
    first, second = _digits(left), _digits(right)
    return len(first) == 64 and first == second


def encode_public(public: Ed25519PublicKey) -> str:
    """A public key as Base64 of its SubjectPublicKeyInfo."""
    return base64.b64encode(_spki(public)).decode("ascii")


def decode_public(text: str) -> Ed25519PublicKey:
    """The inverse of `encode_public`. Raises `CardMalformed`."""
    try:
        public = load_der_public_key(base64.b64decode(text, validate=True))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CardMalformed(reason="公钥不是 Base64 编码的 SubjectPublicKeyInfo") from error
    if not isinstance(public, Ed25519PublicKey):
        raise CardMalformed(reason="公钥不是 Ed25519 公钥")
    return public


def is_signed_by(public: Ed25519PublicKey, signature: bytes, data: bytes) -> bool:
    """Whether `signature` over `data` was made by the holder of the key."""
    try:
        public.verify(signature, data)
    except InvalidSignature:
        return False
    return True


def _with_id(private: Ed25519PrivateKey) -> NodeKey:
    return NodeKey(private=private, key_id=key_id_of(private.public_key()))


def _spki(public: Ed25519PublicKey) -> bytes:
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _digits(text: str) -> str:
    return "".join(text.replace(":", "").replace("-", "").split()).upper()
