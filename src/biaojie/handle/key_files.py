"""Private key files: plain (form 1) and encrypted by a passphrase (form 4, PBKDF2 and AES-128-CBC).

    int4 form | form 1: key | form 4: bytes salt, int4 iterations, int4 key bits, bytes iv, bytes cipher text
    key: string type, then parts: RSA_PRIVCRT_KEY n e d p q dp dq qinv; RSA_PRIV_KEY n d; DSA_PRIV_KEY x p q g

Ed25519 (ED25519_PRIV_KEY, one part of 32 octets) is our own addition. The older DES forms 0, 2 and 3 are not read.
"""

from __future__ import annotations

import hashlib

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.asymmetric import dsa, ed25519, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from biaojie.handle.errors import EncodeError, HandleError, InvalidKey, LimitExceeded, WrongPassphrase
from biaojie.handle.keys import Parts, signed, unsigned
from biaojie.handle.kinds import STRING, U32, Blob, Named, Rest
from biaojie.handle.layout import Field, Layout, Reader

PrivateKey = rsa.RSAPrivateKey | dsa.DSAPrivateKey | ed25519.Ed25519PrivateKey

FORM_PLAIN = 1
FORM_AES = 4
MAX_ITERATIONS = 1_000_000
_FORM_NAMES = {0: "DES-ECB", 1: "不加密", 2: "DES-CBC", 3: "PBKDF2 + 3DES", 4: "PBKDF2 + AES"}
_ITERATIONS = 10_000
_KEY_BITS = 128
_RSA_EXPONENTS = (65_537, 3, 17)


class _Key(msgspec.Struct, frozen=True):
    key_type: str
    parts: tuple[bytes, ...]


class _Plain(msgspec.Struct, frozen=True):
    form: int
    key: bytes


class _Encrypted(msgspec.Struct, frozen=True):
    form: int
    salt: bytes
    iterations: int
    key_bits: int
    iv: bytes
    cipher_text: bytes


_FORM = Field("form", Named("int4", "I", _FORM_NAMES), "形式")
PRIVATE_KEY = Layout("PrivateKey", _Key, Field("key_type", STRING, "密钥类型"), Field("parts", Parts(), "各部分"), title="私钥")
PLAIN_FILE = Layout("PrivateKeyFile (1)", _Plain, _FORM, Field("key", Rest(), "私钥"), title="私钥文件（不加密）")
ENCRYPTED_FILE = Layout(
    "PrivateKeyFile (4)",
    _Encrypted,
    _FORM,
    Field("salt", Blob(1024), "盐"),
    Field("iterations", U32, "迭代次数"),
    Field("key_bits", U32, "密钥位数"),
    Field("iv", Blob(64), "初始向量"),
    Field("cipher_text", Blob(65_536), "密文"),
    title="私钥文件（口令加密）",
)


def encode_private_key(key: PrivateKey) -> bytes:
    """The key in its own form, neither encrypted nor marked: type and parts."""
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        public = numbers.public_numbers
        row = (public.n, public.e, numbers.d, numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp)
        return PRIVATE_KEY.pack(_Key("RSA_PRIVCRT_KEY", tuple(signed(number) for number in row)))
    if isinstance(key, dsa.DSAPrivateKey):
        dsa_numbers = key.private_numbers()
        group = dsa_numbers.public_numbers.parameter_numbers
        dsa_row = (dsa_numbers.x, group.p, group.q, group.g)
        return PRIVATE_KEY.pack(_Key("DSA_PRIV_KEY", tuple(signed(number) for number in dsa_row)))
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return PRIVATE_KEY.pack(_Key("ED25519_PRIV_KEY", (key.private_bytes_raw(),)))
    raise EncodeError(field="private_key", reason=type(key).__name__)


def decode_private_key(data: bytes) -> PrivateKey:
    """The inverse of `encode_private_key`; `InvalidKey` when the parts make no key."""
    raw = PRIVATE_KEY.unpack(Reader(data))
    try:
        if raw.key_type == "RSA_PRIVCRT_KEY":
            n, e, d, p, q, dp, dq, qinv = (unsigned(part) for part in raw.parts[:8])
            return rsa.RSAPrivateNumbers(p, q, d, dp, dq, qinv, rsa.RSAPublicNumbers(e, n)).private_key()
        if raw.key_type == "RSA_PRIV_KEY":
            n, d = (unsigned(part) for part in raw.parts[:2])
            return _rsa_without_factors(n, d)
        if raw.key_type == "DSA_PRIV_KEY":
            x, p, q, g = (unsigned(part) for part in raw.parts[:4])
            if not (p > 2 and 0 < x < q):
                raise InvalidKey(pointer="0", reason=raw.key_type)
            return dsa.DSAPrivateNumbers(x, dsa.DSAPublicNumbers(pow(g, x, p), dsa.DSAParameterNumbers(p, q, g))).private_key()
        if raw.key_type == "ED25519_PRIV_KEY":
            return ed25519.Ed25519PrivateKey.from_private_bytes(b"".join(raw.parts[:1]))
    except (ValueError, TypeError, OverflowError, UnsupportedAlgorithm) as error:
        raise InvalidKey(pointer="0", reason=str(error)) from error
    raise InvalidKey(pointer="0", reason=raw.key_type)


def encode_key_file(key: PrivateKey, *, passphrase: bytes | None = None, salt: bytes = b"", iv: bytes = b"") -> bytes:
    """The content of a private key file; with a passphrase, `salt` and `iv` are 16 random octets each."""
    plain = encode_private_key(key)
    if passphrase is None:
        return PLAIN_FILE.pack(_Plain(FORM_PLAIN, plain))
    if len(salt) < 8 or len(iv) != 16:
        raise EncodeError(field="salt, iv", reason="16")
    padder = padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(_derive(passphrase, salt, _ITERATIONS, _KEY_BITS)), modes.CBC(iv)).encryptor()
    cipher_text = encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()
    return ENCRYPTED_FILE.pack(_Encrypted(FORM_AES, salt, _ITERATIONS, _KEY_BITS, iv, cipher_text))


def decode_key_file(data: bytes, passphrase: bytes | None = None) -> PrivateKey:
    """The key of a private key file; `WrongPassphrase` when it does not open, `DecodeError` when it is none."""
    form = U32.read(Reader(data), "form")
    if form == FORM_PLAIN:
        return decode_private_key(data[4:])
    if form != FORM_AES:
        raise InvalidKey(pointer="0", reason=f"{form} {_FORM_NAMES.get(form, '')}".strip())
    file = ENCRYPTED_FILE.unpack(Reader(data))
    if file.iterations > MAX_ITERATIONS or not file.iterations:
        raise LimitExceeded(pointer="0", field="iterations", actual=file.iterations, limit=MAX_ITERATIONS)
    if file.key_bits not in (128, 192, 256) or len(file.iv) != 16 or len(file.cipher_text) % 16:
        raise InvalidKey(pointer="0", reason=f"{file.key_bits} / {len(file.iv)} / {len(file.cipher_text)}")
    if passphrase is None:
        raise WrongPassphrase()
    key = _derive(passphrase, file.salt, file.iterations, file.key_bits)
    decryptor = Cipher(algorithms.AES(key), modes.CBC(file.iv)).decryptor()
    unpadder = padding.PKCS7(128).unpadder()
    try:
        plain = unpadder.update(decryptor.update(file.cipher_text) + decryptor.finalize()) + unpadder.finalize()
        return decode_private_key(plain)
    except (ValueError, HandleError) as error:
        raise WrongPassphrase() from error


def java_password(octets: bytes) -> bytes:
    """The octets PBKDF2 sees in the software in use, which makes each octet a character and those UTF-8 again."""
    return octets.decode("latin-1").encode("utf-8")


def _derive(passphrase: bytes, salt: bytes, iterations: int, bits: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha1", java_password(passphrase), salt, iterations, bits // 8)


def _rsa_without_factors(n: int, d: int) -> rsa.RSAPrivateKey:
    """The whole key from n and d: the file leaves e out, so the usual exponents are tried."""
    for e in _RSA_EXPONENTS:
        if n > 3 and pow(pow(2, e, n), d, n) == 2:
            p, q = rsa.rsa_recover_prime_factors(n, e, d)
            public = rsa.RSAPublicNumbers(e, n)
            return rsa.RSAPrivateNumbers(
                p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q), public
            ).private_key()
    raise ValueError("RSA_PRIV_KEY")
