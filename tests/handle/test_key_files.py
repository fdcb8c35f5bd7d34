from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from test_keys import dsa_key

from biaojie.handle import key_files
from biaojie.handle.errors import DecodeError, EncodeError, InvalidKey, LimitExceeded, WrongPassphrase
from biaojie.handle.key_files import PRIVATE_KEY, decode_key_file, encode_key_file
from biaojie.handle.keys import signed

RSA = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
ED = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SALT, IV = b"s" * 16, b"i" * 16


def same(left: object, right: object) -> bool:
    return left.public_key() == right.public_key()  # type: ignore[attr-defined]  # both are private keys


@pytest.mark.parametrize("key", [RSA, ED, dsa_key()], ids=["RSA", "Ed25519", "DSA"])
def test_plain_file_written_and_read_is_the_same_key(key: key_files.PrivateKey) -> None:
    data = encode_key_file(key)

    assert data[:4] == bytes.fromhex("00000001")
    assert same(decode_key_file(data), key)


@pytest.mark.parametrize("passphrase", [b"open sesame", "口令".encode()])
def test_encrypted_file_opens_with_its_passphrase_only(passphrase: bytes) -> None:
    data = encode_key_file(ED, passphrase=passphrase, salt=SALT, iv=IV)

    assert data[:4] == bytes.fromhex("00000004")
    assert ED.private_bytes_raw() not in data
    assert same(decode_key_file(data, passphrase), ED)
    for wrong in (None, b"", passphrase + b"x"):
        with pytest.raises(WrongPassphrase):
            decode_key_file(data, wrong)


def test_rsa_key_of_modulus_and_exponent_alone_is_completed() -> None:
    numbers = RSA.private_numbers()
    plain = PRIVATE_KEY.pack(key_files._Key("RSA_PRIV_KEY", (signed(numbers.public_numbers.n), signed(numbers.d))))

    assert same(decode_key_file(bytes.fromhex("00000001") + plain), RSA)


@pytest.mark.parametrize("form", [0, 2, 3, 5])
def test_older_forms_are_refused_by_name(form: int) -> None:
    with pytest.raises(InvalidKey):
        decode_key_file(form.to_bytes(4, "big") + bytes(40), b"x")


def test_iterations_are_capped() -> None:
    data = bytearray(encode_key_file(ED, passphrase=b"x", salt=SALT, iv=IV))
    data[24:28] = (1_000_001).to_bytes(4, "big")

    with pytest.raises(LimitExceeded):
        decode_key_file(bytes(data), b"x")


@pytest.mark.parametrize("data", [b"", bytes(3), bytes.fromhex("00000001"), bytes.fromhex("00000004") + bytes(30)])
def test_octets_that_are_no_key_file_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_key_file(data, b"x")


def test_salt_that_is_too_short_is_refused() -> None:
    with pytest.raises(EncodeError):
        encode_key_file(ED, passphrase=b"x", salt=b"", iv=IV)
