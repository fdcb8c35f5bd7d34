from __future__ import annotations

import hashlib
import hmac

import pytest
import vectors
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from test_keys import dsa_key

from biaojie.handle import credentials
from biaojie.handle.errors import BadSignature, MissingCredential, UnsupportedCredential
from biaojie.handle.key_files import PrivateKey
from biaojie.handle.layout import Reader
from biaojie.handle.messages import decode_message

RSA = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
ED = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = bytes(range(32))
KEYS = pytest.mark.parametrize("key", [RSA, ED, dsa_key()], ids=["RSA", "Ed25519", "DSA"])


def in_version(major: int, minor: int) -> bytes:
    return bytes([major, minor]) + vectors.RESOLVE_RESPONSE[2:]


@KEYS
@pytest.mark.parametrize("version", [(2, 11), (2, 8), (2, 7), (2, 4), (2, 1)])
def test_signed_message_verifies_and_still_decodes(key: PrivateKey, version: tuple[int, int]) -> None:
    data = in_version(*version)

    signed = credentials.sign_message(data, key)

    credentials.verify_message(signed, key.public_key())
    assert decode_message(signed).body == decode_message(data).body


@KEYS
def test_signature_over_another_body_id_or_session_is_refused(key: PrivateKey) -> None:
    signed = credentials.sign_message(vectors.RESOLVE_RESPONSE, key)

    for position in (3, 7, 11, 20 + 8, 60):
        changed = bytearray(signed)
        changed[position] ^= 1
        with pytest.raises(BadSignature):
            credentials.verify_message(bytes(changed), key.public_key())


def test_truncated_flag_and_sequence_are_not_signed() -> None:
    signed = bytearray(credentials.sign_message(vectors.RESOLVE_RESPONSE, ED))
    signed[2] |= 0x20

    credentials.verify_message(bytes(signed), ED.public_key())


def test_signature_by_another_key_is_refused() -> None:
    signed = credentials.sign_message(vectors.RESOLVE_RESPONSE, ED)

    with pytest.raises(BadSignature):
        credentials.verify_message(signed, ed25519.Ed25519PrivateKey.from_private_bytes(KEY[::-1]).public_key())


@pytest.mark.parametrize("minor", [5, 6])
def test_versions_with_the_overlapping_buffer_are_refused(minor: int) -> None:
    with pytest.raises(UnsupportedCredential):
        credentials.sign_message(in_version(2, minor), ED)
    with pytest.raises(UnsupportedCredential):
        credentials.mac_message(in_version(2, minor), KEY, 1)


def test_message_without_credential_is_not_verified() -> None:
    with pytest.raises(MissingCredential):
        credentials.verify_message(vectors.RESOLVE_RESPONSE, ED.public_key())
    with pytest.raises(MissingCredential):
        credentials.verify_mac(vectors.RESOLVE_RESPONSE, KEY)


def test_mac_covers_versions_ids_counter_header_and_body() -> None:
    data = vectors.CREATE_ANSWER

    credential = credentials.read_credential(credentials.mac_message(data, KEY, 7))

    content = bytes.fromhex("020b020b 00000003 0a0b0c0d 00000007") + data[20:-4]
    info = credentials.SIGNED_INFO.unpack(Reader(credential.signed_info))
    assert (credential.type, credential.counter, info.algorithm) == ("HS_MAC", 7, "HMAC-SHA256")
    assert info.signature == hmac.digest(KEY, content, "sha256")


def test_mac_before_2_5_is_the_enclosed_digest_of_header_and_body() -> None:
    data = in_version(2, 4)

    credential = credentials.read_credential(credentials.mac_message(data, KEY, 7))

    info = credentials.SIGNED_INFO.unpack(Reader(credential.signed_info))
    assert info.algorithm == "\x02"
    assert info.signature == hashlib.sha1(KEY + data[20:-4] + KEY).digest()


@pytest.mark.parametrize("version", [(2, 11), (2, 7), (2, 4)])
def test_mac_verifies_with_the_session_key_only(version: tuple[int, int]) -> None:
    data = credentials.mac_message(in_version(*version), KEY, 12)

    assert credentials.verify_mac(data, KEY) == 12
    with pytest.raises(BadSignature):
        credentials.verify_mac(data, KEY[::-1])


def test_mac_with_another_counter_is_refused() -> None:
    data = bytearray(credentials.mac_message(vectors.RESOLVE_RESPONSE, KEY, 12))
    position = len(vectors.RESOLVE_RESPONSE) + 4 + 4
    assert data[position : position + 4] == (12).to_bytes(4, "big")
    data[position + 3] = 13

    with pytest.raises(BadSignature):
        credentials.verify_mac(bytes(data), KEY)


def test_signature_is_not_taken_for_a_mac_nor_the_other_way() -> None:
    with pytest.raises(UnsupportedCredential):
        credentials.verify_mac(credentials.sign_message(vectors.RESOLVE_RESPONSE, ED), KEY)
    with pytest.raises(UnsupportedCredential):
        credentials.verify_message(credentials.mac_message(vectors.RESOLVE_RESPONSE, KEY, 1), ED.public_key())


@pytest.mark.parametrize("name", ["SHA-256", "SHA256", "sha-256"])
def test_spellings_of_a_digest_mean_the_same(name: str) -> None:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    signature = RSA.sign(b"content", padding.PKCS1v15(), hashes.SHA256())

    credentials.verify_signature(RSA.public_key(), name, signature, b"content")
    with pytest.raises(BadSignature):
        credentials.verify_signature(RSA.public_key(), "SHA1", signature, b"content")
    with pytest.raises(UnsupportedCredential):
        credentials.verify_signature(RSA.public_key(), "SM3", signature, b"content")


def test_signing_again_replaces_the_credential() -> None:
    once = credentials.sign_message(vectors.RESOLVE_RESPONSE, ED)

    assert credentials.sign_message(once, ED) == once
