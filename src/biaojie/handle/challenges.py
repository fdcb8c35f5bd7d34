"""Challenge and response: proving to hold a secret or private key (RFC 3652 §3.5).

The server refuses a request with 402, a nonce and the request's digest; the client signs nonce and digest (without its
algorithm octet) and sends the answer with operation 200. Secret keys answer with one algorithm octet and a keyed digest, HMAC
or PBKDF2; public keys with the name of a hash and a signature. What an answer may make the checker compute is capped, and
digests are compared in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from enum import IntEnum

import msgspec
from cryptography.hazmat.primitives.asymmetric import dsa, ed25519, padding, rsa

from biaojie.handle.bodies import ChallengeAnswer, ChallengeResponse, VerifyChallengeRequest
from biaojie.handle.credentials import ED25519, HASHES, verify_signature
from biaojie.handle.errors import AnswerTooCostly, BadSignature, EncodeError, UnknownAlgorithm, UnsupportedCredential
from biaojie.handle.key_files import PrivateKey, java_password
from biaojie.handle.keys import PublicKey
from biaojie.handle.kinds import STRING, U32, Blob
from biaojie.handle.layout import Field, Layout, Reader
from biaojie.handle.messages import digest_request

HS_SECKEY = "HS_SECKEY"
HS_PUBKEY = "HS_PUBKEY"

NONCE_SIZE = 16
"""What the software in use sends; the RFC wants 20."""
ITERATIONS = 10_000
KEY_BITS = 160
MAX_ITERATIONS = 100_000
MAX_KEY_BITS = 320
_MD5_SIZE = 16


class SecretAlgorithm(IntEnum):
    """The first octet of a secret key's answer."""

    MD5 = 0x01
    SHA1 = 0x02
    SHA256 = 0x03
    HMAC_SHA1 = 0x12
    HMAC_SHA256 = 0x13
    PBKDF2 = 0x22


class _Derived(msgspec.Struct, frozen=True):
    salt: bytes
    iterations: int
    key_bits: int
    mac: bytes


class _Signed(msgspec.Struct, frozen=True):
    algorithm: str
    signature: bytes


DERIVED_ANSWER = Layout(
    "SecretAnswer (PBKDF2)",
    _Derived,
    Field("salt", Blob(1024), "盐"),
    Field("iterations", U32, "迭代次数"),
    Field("key_bits", U32, "密钥位数"),
    Field("mac", Blob(64), "校验码"),
    title="对称密钥应答（算法字节 0x22 之后）",
)
SIGNED_ANSWER = Layout(
    "KeyAnswer",
    _Signed,
    Field("algorithm", STRING, "摘要算法"),
    Field("signature", Blob(4096), "签名"),
    title="公钥应答",
)


def _enclosed(name: str) -> Callable[[bytes, bytes], bytes]:
    def compute(key: bytes, message: bytes) -> bytes:
        return hashlib.new(name, key + message + key, usedforsecurity=False).digest()

    return compute


def _hmac(name: str) -> Callable[[bytes, bytes], bytes]:
    def compute(key: bytes, message: bytes) -> bytes:
        return hmac.digest(key, message, name)

    return compute


_SIMPLE: dict[int, Callable[[bytes, bytes], bytes]] = {
    SecretAlgorithm.MD5: _enclosed("md5"),
    SecretAlgorithm.SHA1: _enclosed("sha1"),
    SecretAlgorithm.SHA256: _enclosed("sha256"),
    SecretAlgorithm.HMAC_SHA1: _hmac("sha1"),
    SecretAlgorithm.HMAC_SHA256: _hmac("sha256"),
}


def make_challenge(request: bytes, nonce: bytes) -> ChallengeResponse:
    """The challenge to an encoded request; `nonce` is 16 random octets or more."""
    digest = digest_request(request)
    return ChallengeResponse(digest.algorithm, digest.digest, nonce)


def answer_with_secret(
    challenge: ChallengeResponse,
    key: bytes,
    *,
    handle: str,
    index: int,
    salt: bytes,
    algorithm: int = SecretAlgorithm.PBKDF2,
) -> ChallengeAnswer:
    """The answer of whoever holds the secret key at `index:handle`; `salt` is 16 random octets, used by PBKDF2 only."""
    response = secret_response(key, challenge.nonce, challenge.digest, algorithm=algorithm, salt=salt)
    return ChallengeAnswer(HS_SECKEY, handle, index, response)


def answer_with_key(challenge: ChallengeResponse, key: PrivateKey, *, handle: str, index: int) -> ChallengeAnswer:
    """The answer of whoever holds the private key of the HS_PUBKEY value at `index:handle`."""
    return ChallengeAnswer(HS_PUBKEY, handle, index, key_response(key, challenge.nonce, challenge.digest))


def secret_response(
    key: bytes,
    nonce: bytes,
    digest: bytes,
    *,
    algorithm: int = SecretAlgorithm.PBKDF2,
    salt: bytes = b"",
    iterations: int = ITERATIONS,
    key_bits: int = KEY_BITS,
) -> bytes:
    """Algorithm octet and proof; `digest` without its own algorithm octet."""
    message = nonce + digest
    if algorithm == SecretAlgorithm.PBKDF2:
        derived = hashlib.pbkdf2_hmac("sha1", java_password(key), salt, iterations, key_bits // 8)
        answer = _Derived(salt, iterations, key_bits, hmac.digest(derived, message, "sha1"))
        return bytes([algorithm]) + DERIVED_ANSWER.pack(answer)
    compute = _SIMPLE.get(algorithm)
    if compute is None:
        raise UnknownAlgorithm(algorithm=algorithm)
    return bytes([algorithm]) + compute(key, message)


def check_secret_response(
    response: bytes, key: bytes, nonce: bytes, digest: bytes, *, max_iterations: int = MAX_ITERATIONS
) -> bool:
    """Whether the answer proves the secret key. 16 octets without an algorithm octet are the oldest form, MD5.

    `UnknownAlgorithm`, `AnswerTooCostly` or a `DecodeError` for an answer that cannot or will not be computed.
    """
    message = nonce + digest
    if len(response) == _MD5_SIZE:
        return hmac.compare_digest(_SIMPLE[SecretAlgorithm.MD5](key, message), response)
    if not response:
        raise UnknownAlgorithm(algorithm="")
    if response[0] == SecretAlgorithm.PBKDF2:
        return _check_derived(DERIVED_ANSWER.unpack(Reader(response, 1)), key, message, max_iterations)
    compute = _SIMPLE.get(response[0])
    if compute is None:
        raise UnknownAlgorithm(algorithm=response[0])
    return hmac.compare_digest(compute(key, message), response[1:])


def key_response(key: PrivateKey, nonce: bytes, digest: bytes, *, algorithm: str = "SHA-256") -> bytes:
    """Hash name and signature over nonce and digest; Ed25519 signs them without a hash of its own."""
    message = nonce + digest
    kind = HASHES.get(algorithm.upper())
    if kind is None:
        raise UnknownAlgorithm(algorithm=algorithm)
    if isinstance(key, rsa.RSAPrivateKey):
        return SIGNED_ANSWER.pack(_Signed(algorithm, key.sign(message, padding.PKCS1v15(), kind())))
    if isinstance(key, dsa.DSAPrivateKey):
        return SIGNED_ANSWER.pack(_Signed(algorithm, key.sign(message, kind())))
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return SIGNED_ANSWER.pack(_Signed(ED25519, key.sign(message)))
    raise EncodeError(field="private_key", reason=type(key).__name__)


def check_key_response(response: bytes, key: PublicKey, nonce: bytes, digest: bytes) -> bool:
    """Whether the answer was signed by the private half of `key`; `UnknownAlgorithm` for a hash or key we do not compute with."""
    answer = SIGNED_ANSWER.unpack(Reader(response))
    try:
        verify_signature(key, answer.algorithm, answer.signature, nonce + digest)
    except BadSignature:
        return False
    except UnsupportedCredential as error:
        raise UnknownAlgorithm(algorithm=answer.algorithm) from error
    return True


def ask_holder(answer: ChallengeAnswer, challenge: ChallengeResponse) -> VerifyChallengeRequest:
    """Operation 201: the question to the server that holds the secret key."""
    digest = bytes([challenge.algorithm]) + challenge.digest
    return VerifyChallengeRequest(answer.handle, answer.index, challenge.nonce, digest, answer.signed_response)


def check_for_asker(request: VerifyChallengeRequest, key: bytes, *, max_iterations: int = MAX_ITERATIONS) -> bool:
    """The answer to operation 201 by the server that holds the secret key."""
    return check_secret_response(request.signed_response, key, request.nonce, request.digest[1:], max_iterations=max_iterations)


def _check_derived(answer: _Derived, key: bytes, message: bytes, max_iterations: int) -> bool:
    limits = (("iterations", answer.iterations, max_iterations), ("key_bits", answer.key_bits, MAX_KEY_BITS))
    for field, actual, limit in limits:
        if actual > limit:
            raise AnswerTooCostly(field=field, actual=actual, limit=limit)
    if not answer.iterations or answer.key_bits < 8 or answer.key_bits % 8:
        raise UnknownAlgorithm(algorithm=f"PBKDF2/{answer.iterations}/{answer.key_bits}")
    # Java feeds PBKDF2 the key's octets as characters; other clients the octets themselves. They differ above 0x7f only.
    return any(
        hmac.compare_digest(
            hmac.digest(
                hashlib.pbkdf2_hmac("sha1", password, answer.salt, answer.iterations, answer.key_bits // 8), message, "sha1"
            ),
            answer.mac,
        )
        for password in {java_password(key), key}
    )
