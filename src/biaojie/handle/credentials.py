"""The credential section: a message signed by a key, or authenticated inside a session (RFC 3652 §2.2.4).

What is signed depends on the message's version: from 2.8 the versions (suggested ones too), session id, request id and
counter, then header and body; 2.7 leaves the suggested versions out; up to 2.4 it is header and body alone. 2.5 and 2.6 sign a
buffer that overlaps itself by mistake and are refused. The counter stands where the RFC has the signer's index.
"""

from __future__ import annotations

import hashlib
import hmac

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ed25519, padding, rsa

from biaojie.handle.envelope import ENVELOPE_SIZE, Envelope, decode_envelope, is_at_least
from biaojie.handle.errors import BadSignature, EncodeError, MissingCredential, UnsupportedCredential
from biaojie.handle.key_files import PrivateKey
from biaojie.handle.keys import PublicKey
from biaojie.handle.kinds import BYTES, HANDLE, STRING, U8, U16, U32
from biaojie.handle.layout import Field, Layout, Reader
from biaojie.handle.messages import signed_part

HS_SIGNED = "HS_SIGNED"
HS_MAC = "HS_MAC"
HS_DSAPUBKEY = "HS_DSAPUBKEY"
"""The older name of HS_SIGNED."""
HMAC_SHA256 = "HMAC-SHA256"
ED25519 = "Ed25519"
"""Our own digest name for Ed25519 signatures, which have no digest of their own."""
_OLD_MAC = "\x02"

HASHES: dict[str, type[hashes.HashAlgorithm]] = {
    "SHA-256": hashes.SHA256,
    "SHA256": hashes.SHA256,
    "SHA-1": hashes.SHA1,
    "SHA1": hashes.SHA1,
    "MD5": hashes.MD5,
}


class Credential(msgspec.Struct, frozen=True):
    """A credential section. `counter` numbers a session's messages; it is 0 outside sessions."""

    type: str
    signed_info: bytes
    counter: int = 0
    handle: str = ""
    version: int = 0
    reserved: int = 0
    options: int = 0


class SignedInfo(msgspec.Struct, frozen=True):
    """The digest's name and the signature or MAC."""

    algorithm: str
    signature: bytes


def _credential(
    version: int, reserved: int, options: int, handle: str, counter: int, type_: str, signed_info: bytes
) -> Credential:
    return Credential(type_, signed_info, counter, handle, version, reserved, options)


CREDENTIAL = Layout(
    "Credential",
    _credential,
    Field("version", U8, "版本"),
    Field("reserved", U8, "保留"),
    Field("options", U16, "选项"),
    Field("handle", HANDLE, "签名者标识"),
    Field("counter", U32, "会话计数器"),
    Field("type", STRING, "凭证类型"),
    Field("signed_info", BYTES, "签名信息"),
    title="凭证",
    source="RFC 3652 §2.2.4",
)
SIGNED_INFO = Layout(
    "SignedInfo", SignedInfo, Field("algorithm", STRING, "摘要算法"), Field("signature", BYTES, "签名"), title="签名信息"
)


def sign_message(data: bytes, key: PrivateKey) -> bytes:
    """The message with an HS_SIGNED credential in place of the one it had."""
    envelope = decode_envelope(Reader(data))
    content = _signed_bytes(data, envelope, 0)
    new = is_at_least(envelope.version, 2, 7)
    if isinstance(key, rsa.RSAPrivateKey):
        name = "SHA-256" if new else "SHA1"
        signature = key.sign(content, padding.PKCS1v15(), HASHES[name]())
    elif isinstance(key, dsa.DSAPrivateKey):
        name = "SHA-256" if is_at_least(envelope.version, 2, 11) else "SHA1"
        signature = key.sign(content, HASHES[name]())
    elif isinstance(key, ed25519.Ed25519PrivateKey):
        name, signature = ED25519, key.sign(content)
    else:
        raise EncodeError(field="private_key", reason=type(key).__name__)
    return _attach(data, Credential(HS_SIGNED, SIGNED_INFO.pack(SignedInfo(name, signature))))


def mac_message(data: bytes, key: bytes, counter: int) -> bytes:
    """The message with an HS_MAC credential; `counter` starts at 1 and is never used twice in a session."""
    envelope = decode_envelope(Reader(data))
    name, mac = _mac(data, envelope, key, counter)
    return _attach(data, Credential(HS_MAC, SIGNED_INFO.pack(SignedInfo(name, mac)), counter))


def read_credential(data: bytes) -> Credential:
    """The credential of a message; `MissingCredential` when it has none."""
    octets = _credential_octets(data)
    if not octets:
        raise MissingCredential()
    return CREDENTIAL.unpack(Reader(octets))


def verify_message(data: bytes, key: PublicKey) -> None:
    """Returns when the message is signed by `key`; `BadSignature`, `MissingCredential` or `UnsupportedCredential` if not."""
    credential = read_credential(data)
    if credential.type not in (HS_SIGNED, HS_DSAPUBKEY):
        raise UnsupportedCredential(reason=credential.type)
    info = SIGNED_INFO.unpack(Reader(credential.signed_info))
    content = _signed_bytes(data, decode_envelope(Reader(data)), credential.counter)
    verify_signature(key, info.algorithm, info.signature, content)


def verify_mac(data: bytes, key: bytes) -> int:
    """The message's counter, when its MAC fits the session key; whether the counter is fresh is the session's business."""
    credential = read_credential(data)
    if credential.type != HS_MAC:
        raise UnsupportedCredential(reason=credential.type)
    info = SIGNED_INFO.unpack(Reader(credential.signed_info))
    name, mac = _mac(data, decode_envelope(Reader(data)), key, credential.counter)
    if info.algorithm != name:
        raise UnsupportedCredential(reason=info.algorithm)
    if not hmac.compare_digest(mac, info.signature):
        raise BadSignature()
    return credential.counter


def verify_signature(key: PublicKey, algorithm: str, signature: bytes, content: bytes) -> None:
    """Returns when `signature` over `content` fits; the key, not the sender, decides what kind of signature it must be."""
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, content)
            return
        kind = HASHES.get(algorithm.upper())
        if kind is None:
            raise UnsupportedCredential(reason=algorithm)
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, content, padding.PKCS1v15(), kind())
        elif isinstance(key, dsa.DSAPublicKey):
            key.verify(signature, content, kind())
        else:
            raise UnsupportedCredential(reason=type(key).__name__)
    except InvalidSignature as error:
        raise BadSignature() from error
    except (UnsupportedAlgorithm, ValueError) as error:
        raise UnsupportedCredential(reason=str(error)) from error


def _mac(data: bytes, envelope: Envelope, key: bytes, counter: int) -> tuple[str, bytes]:
    content = _signed_bytes(data, envelope, counter)
    if is_at_least(envelope.version, 2, 7):
        return HMAC_SHA256, hmac.digest(key, content, "sha256")
    return _OLD_MAC, hashlib.sha1(key + content + key, usedforsecurity=False).digest()


def _signed_bytes(data: bytes, envelope: Envelope, counter: int) -> bytes:
    part = signed_part(data)
    version = envelope.version
    if is_at_least(version, 2, 7):
        head = bytes(version)
        if is_at_least(version, 2, 8):
            head += bytes((envelope.suggested_major, envelope.suggested_minor))
        # Session id and request id lie side by side in the envelope.
        return head + data[4:12] + counter.to_bytes(4, "big") + part
    if is_at_least(version, 2, 5):
        raise UnsupportedCredential(reason=f"{version[0]}.{version[1]}")
    return part


def _credential_octets(data: bytes) -> bytes:
    reader = Reader(data)
    envelope = decode_envelope(reader)
    reader.pos = ENVELOPE_SIZE + len(signed_part(data))
    reader.end = min(reader.end, ENVELOPE_SIZE + envelope.message_length)
    return BYTES.read(reader, "credential") if reader.remaining >= 4 else b""


def _attach(data: bytes, credential: Credential) -> bytes:
    part = signed_part(data)
    octets = CREDENTIAL.pack(credential)
    length = len(part) + 4 + len(octets)
    return b"".join((data[:16], length.to_bytes(4, "big"), part, len(octets).to_bytes(4, "big"), octets))
