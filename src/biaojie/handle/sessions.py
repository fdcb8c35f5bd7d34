"""Sessions: a key agreed by Diffie-Hellman, messages with a MAC and a counter, and encrypted messages.

The client sends group and public number (operation 400, mode 4), the server answers with a cipher's number and its own public
number in the same group. The key is the first 32 octets of the shared number; all of it keys the HMAC, the first half
AES-128-CBC. RFC 3652 §3.8 describes something else that nobody runs, and the RSA modes do not work between programs in use.

Nothing here keeps time or storage: a `Session` and a `CounterWindow` are values the caller stores.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

import msgspec
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from biaojie.handle.bodies import SessionMode, SessionSetupRequest, SessionSetupResponse
from biaojie.handle.envelope import ENVELOPE_SIZE, decode_envelope
from biaojie.handle.errors import DecryptionFailed, EncodeError, ReplayedCounter, SessionError, WeakGroup
from biaojie.handle.keys import DhPublicKey, decode_public_key, encode_public_key
from biaojie.handle.kinds import Named, Rest
from biaojie.handle.layout import Field, Layout, Reader

CIPHER_AES = 3
KEY_SIZE = 32
IV_SIZE = 16
WINDOW = 200
MIN_GROUP_BITS = 1024
MAX_GROUP_BITS = 4096
EXPONENT_BITS = 320
GENERATOR = 2
GROUP_2048 = int(
    "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404ddef9519b3cd3a431b302b0a6d"
    "f25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7edee386bfb5a899fa5ae9f24117c4b1fe649286651ece45b3d"
    "c2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f83655d23dca3ad961c62f356208552bb9ed529077096966d670c354e4abc9804f1746c08"
    "ca18217c32905e462e36ce3be39e772c180e86039b2783a2ec07a28fb5c55df06f4c52c9de2bcbf6955817183995497cea956ae515d2261898fa0510"
    "15728e5a8aacaa68ffffffffffffffff",
    16,
)
"""2^2048 - 2^1984 - 1 + 2^64 (floor(2^1918 pi) + 124476), RFC 3526 §3."""

_ENCRYPTED_BIT = 0x40


class Session(msgspec.Struct, frozen=True):
    """What both sides hold: the number in the envelope, 32 octets of key, and the identity named at set-up ("" if none)."""

    session_id: int
    key: bytes
    handle: str = ""
    index: int = -1

    @property
    def is_anonymous(self) -> bool:
        return not self.handle


class CounterWindow(msgspec.Struct, frozen=True):
    """Which of the last 200 counters were seen: `seen` has bit n set when `highest - n` was."""

    highest: int = 0
    seen: int = 0

    def accept(self, counter: int) -> CounterWindow:
        """The window with `counter` in it; `ReplayedCounter` when it was seen, is too old to know, or is not positive."""
        if counter <= 0:
            raise ReplayedCounter(counter=counter)
        if counter > self.highest:
            shift = min(counter - self.highest, WINDOW)
            return CounterWindow(counter, (self.seen << shift | 1) & (1 << WINDOW) - 1)
        age = self.highest - counter
        if age >= WINDOW or self.seen >> age & 1:
            raise ReplayedCounter(counter=counter)
        return CounterWindow(self.highest, self.seen | 1 << age)


class _Exchange(msgspec.Struct, frozen=True):
    cipher: int
    public_key: bytes


EXCHANGE = Layout(
    "SessionKeyData (mode 4)",
    _Exchange,
    Field("cipher", Named("int4", "I", {1: "DES", 2: "3DES", 3: "AES"}), "加密算法"),
    Field("public_key", Rest(), "DH 公钥"),
    title="会话密钥数据（Diffie-Hellman）",
)


class ClientSetup(msgspec.Struct, frozen=True):
    """The client's half of a set-up: keep it until the answer comes."""

    exponent: int
    p: int = GROUP_2048
    g: int = GENERATOR
    handle: str = ""
    index: int = -1

    @classmethod
    def fresh(cls, *, handle: str = "", index: int = -1, random_bits: Callable[[int], int] = secrets.randbits) -> ClientSetup:
        """A new half in the 2048-bit group; the identity must be named now or never."""
        return cls(exponent=_exponent(random_bits), handle=handle, index=index)

    def request(self, *, timeout_s: int = 86_400) -> SessionSetupRequest:
        """The body of operation 400."""
        key = encode_public_key(DhPublicKey(pow(self.g, self.exponent, self.p), self.p, self.g))
        return SessionSetupRequest(SessionMode.DIFFIE_HELLMAN, timeout_s, self.handle, self.index, key)

    def finish(self, response: SessionSetupResponse, session_id: int) -> Session:
        """The session, from the answer's body and the session id in its envelope."""
        if response.mode != SessionMode.DIFFIE_HELLMAN or not session_id:
            raise SessionError(reason=f"mode {response.mode}, session {session_id}")
        data = EXCHANGE.unpack(Reader(response.data))
        if data.cipher != CIPHER_AES:
            raise SessionError(reason=f"cipher {data.cipher}")
        peer = _dh_key(data.public_key)
        if (peer.p, peer.g) != (self.p, self.g):
            raise WeakGroup(reason="p, g")
        check_group(peer)
        return Session(session_id, derive_key(pow(peer.y, self.exponent, self.p), self.p), self.handle, self.index)


def accept_setup(
    request: SessionSetupRequest, session_id: int, *, random_bits: Callable[[int], int] = secrets.randbits
) -> tuple[Session, SessionSetupResponse]:
    """The server's half: the session, and the body of the answer. Only mode 4 (DH) is accepted."""
    if request.mode != SessionMode.DIFFIE_HELLMAN:
        raise SessionError(reason=f"mode {request.mode}")
    peer = _dh_key(request.public_key)
    check_group(peer)
    exponent = _exponent(random_bits)
    own = encode_public_key(DhPublicKey(pow(peer.g, exponent, peer.p), peer.p, peer.g))
    session = Session(session_id, derive_key(pow(peer.y, exponent, peer.p), peer.p), request.handle, request.index)
    return session, SessionSetupResponse(SessionMode.DIFFIE_HELLMAN, EXCHANGE.pack(_Exchange(CIPHER_AES, own)))


def check_group(key: DhPublicKey) -> None:
    """Refuses groups below 1024 or above 4096 bits, even moduli, and numbers that give the shared secret away."""
    bits = key.p.bit_length()
    if not MIN_GROUP_BITS <= bits <= MAX_GROUP_BITS:
        raise WeakGroup(reason=f"p: {bits}")
    if not key.p & 1:
        raise WeakGroup(reason="p")
    if not 1 < key.g < key.p - 1:
        raise WeakGroup(reason="g")
    if not 1 < key.y < key.p - 1:
        raise WeakGroup(reason="y")


def derive_key(shared: int, p: int) -> bytes:
    """The session key: the shared number in as many octets as p has, zeros before it dropped while 32 remain, then 32."""
    octets = shared.to_bytes((p.bit_length() + 7) // 8, "big")
    start = 0
    while len(octets) - start > KEY_SIZE and octets[start] == 0:
        start += 1
    return octets[start : start + KEY_SIZE]


def encrypt_message(data: bytes, session: Session, iv: bytes) -> bytes:
    """The message with everything behind its envelope encrypted; `iv` is 16 random octets."""
    if len(iv) != IV_SIZE:
        raise EncodeError(field="iv", reason=f"{len(iv)} != {IV_SIZE}")
    padder = padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(session.key[:16]), modes.CBC(iv)).encryptor()
    plain = padder.update(data[ENVELOPE_SIZE:]) + padder.finalize()
    content = iv + encryptor.update(plain) + encryptor.finalize()
    head = data[:2] + bytes([data[2] | _ENCRYPTED_BIT]) + data[3:16]
    return head + len(content).to_bytes(4, "big") + content


def decrypt_message(data: bytes, session: Session) -> bytes:
    """The inverse; `DecryptionFailed` says no more than that. CBC protects nothing by itself: check the MAC as well."""
    reader = Reader(data)
    envelope = decode_envelope(reader)
    content = reader.take(envelope.message_length, "message")
    if not envelope.encrypted or len(content) < 2 * IV_SIZE or len(content) % IV_SIZE:
        raise DecryptionFailed()
    decryptor = Cipher(algorithms.AES(session.key[:16]), modes.CBC(content[:IV_SIZE])).decryptor()
    unpadder = padding.PKCS7(128).unpadder()
    try:
        plain = unpadder.update(decryptor.update(content[IV_SIZE:]) + decryptor.finalize()) + unpadder.finalize()
    except ValueError as error:
        raise DecryptionFailed() from error
    head = data[:2] + bytes([data[2] & ~_ENCRYPTED_BIT]) + data[3:16]
    return head + len(plain).to_bytes(4, "big") + plain


def _dh_key(data: bytes) -> DhPublicKey:
    key = decode_public_key(data)
    if not isinstance(key, DhPublicKey):
        raise SessionError(reason=type(key).__name__)
    return key


def _exponent(random_bits: Callable[[int], int]) -> int:
    """A private number of 320 bits, more than twice the strength of the 2048-bit group."""
    return random_bits(EXPONENT_BITS) | 1 << (EXPONENT_BITS - 1)
