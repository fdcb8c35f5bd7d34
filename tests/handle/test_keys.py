from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from biaojie.handle import jwk, keys
from biaojie.handle.errors import DecodeError, EncodeError, InvalidJson, InvalidKey, LimitExceeded
from biaojie.handle.keys import DhPublicKey, OpaqueKey, decode_public_key, encode_public_key

RSA = rsa.generate_private_key(public_exponent=65_537, key_size=2048).public_key()
ED = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))).public_key()
# FIPS 186 sizes, made once: generating a group takes seconds.
DSA_P = int(
    "e0a67598cd1b763bc98c8abb333e5dda0cd3aa0e5e1fb5ba8a7b4eabc10ba338fae06dd4b90fda70d7cf0cb0c638be3341bec0af8a7330a3307ded2299a0ee60"
    "6df035177a239c34a912c202aa5f83b9c4a7cf0235b5316bfc6efb9a248411258b30b839af172440f32563056cb67a861158ddd90e6a894c72a5bbef9e286c6b",
    16,
)
DSA_Q = int("e950511eab424b9a19a2aeb4e159b7844c589c4f", 16)
DSA_G = int(
    "d29d5121b0423c2769ab21843e5a3240ff19cacc792264e3bb6be4f78edd1b15c4dff7f1d905431f0ab16790e1f773b5ce01c804e509066a9919f5195f4abc58"
    "189fd9ff987389cb5bedf21b4dab4f8b76a055ffe2770988fe2ec2de11ad92219f0b351869ac24da3d7ba87011a701ce8ee7bfe49486ed4527b7186ca4610a75",
    16,
)


def dsa_key() -> dsa.DSAPrivateKey:
    x = 0x1234567890ABCDEF1234567890ABCDEF
    group = dsa.DSAParameterNumbers(DSA_P, DSA_Q, DSA_G)
    return dsa.DSAPrivateNumbers(x, dsa.DSAPublicNumbers(pow(DSA_G, x, DSA_P), group)).private_key()


def test_rsa_key_ends_in_an_empty_part_as_the_reference_writes_it() -> None:
    data = encode_public_key(RSA)
    numbers = RSA.public_numbers()

    head = bytes.fromhex("0000000b") + b"RSA_PUB_KEY" + bytes(2) + bytes.fromhex("00000003 010001 00000101 00")
    assert data == head + numbers.n.to_bytes(256, "big") + bytes(4)
    assert decode_public_key(data) == decode_public_key(data[:-4]) == RSA


def test_dsa_key_encoded_and_decoded_is_equal() -> None:
    key = dsa_key().public_key()

    raw = keys.decode_key_parts(encode_public_key(key))

    assert [keys.unsigned(part) for part in raw.parts[:3]] == [DSA_Q, DSA_P, DSA_G]
    assert decode_public_key(encode_public_key(key)) == key


def test_ed25519_key_has_a_type_of_our_own_and_one_part() -> None:
    raw = keys.decode_key_parts(encode_public_key(ED))

    assert (raw.key_type, raw.parts) == ("ED25519_PUB_KEY", (ED.public_bytes_raw(),))
    assert decode_public_key(encode_public_key(ED)) == ED


@given(y=st.integers(0, 1 << 300), p=st.integers(0, 1 << 300), g=st.integers(0, 1 << 20))
def test_dh_key_encoded_and_decoded_is_equal(y: int, p: int, g: int) -> None:
    key = DhPublicKey(y, p, g)

    assert decode_public_key(encode_public_key(key)) == key


@pytest.mark.parametrize("key_type", ["SM2_PUB_KEY", "SM9_PUB_KEY", "X"])
def test_key_of_another_kind_passes_as_it_is(key_type: str) -> None:
    key = OpaqueKey(key_type, (b"-----BEGIN PUBLIC KEY-----", b""), 3)

    assert decode_public_key(encode_public_key(key)) == key


@given(number=st.integers(0, 1 << 2048))
def test_number_in_javas_form_has_a_sign_bit_of_zero(number: int) -> None:
    octets = keys.signed(number)

    assert octets[0] < 0x80
    assert keys.unsigned(octets) == number
    assert len(octets) == 1 or octets[0] or octets[1] >= 0x80


@pytest.mark.parametrize(
    ("key_type", "parts"),
    [
        ("RSA_PUB_KEY", (b"\3",)),
        ("RSA_PUB_KEY", (b"\2", b"\4")),
        ("RSA_PUB_KEY", (b"", b"")),
        ("DSA_PUB_KEY", (b"\1", b"\1", b"\1", b"\1")),
        ("ED25519_PUB_KEY", (b"short",)),
        ("DH_PUB_KEY", ()),
    ],
)
def test_parts_that_make_no_key_are_refused(key_type: str, parts: tuple[bytes, ...]) -> None:
    data = encode_public_key(OpaqueKey(key_type, parts))

    with pytest.raises(InvalidKey):
        decode_public_key(data)


def test_part_of_2049_octets_is_accepted_and_longer_refused() -> None:
    data = encode_public_key(OpaqueKey("X", (bytes(2049),)))

    assert decode_public_key(data) == OpaqueKey("X", (bytes(2049),))
    with pytest.raises(LimitExceeded):
        decode_public_key(data[:7] + (2050).to_bytes(4, "big") + bytes(2050))
    with pytest.raises(EncodeError):
        encode_public_key(OpaqueKey("X", (bytes(2050),)))


def test_seventeen_parts_are_refused() -> None:
    with pytest.raises(LimitExceeded):
        decode_public_key(encode_public_key(OpaqueKey("X", (b"",) * 17)))


@pytest.mark.parametrize("key", [RSA, ED, dsa_key().public_key()], ids=["RSA", "Ed25519", "DSA"])
def test_key_through_jwk_is_the_same_key(key: keys.PublicKey) -> None:
    form = jwk.key_to_json(encode_public_key(key))

    assert form["format"] == "key"
    assert jwk.key_from_json(form) == encode_public_key(key)


@pytest.mark.parametrize("key", [DhPublicKey(5, 23, 2), OpaqueKey("SM2_PUB_KEY", (b"pem",))])
def test_key_without_a_jwk_form_goes_as_base64(key: keys.PublicKey) -> None:
    form = jwk.key_to_json(encode_public_key(key))

    assert form["format"] == "base64"
    assert jwk.key_from_json(form) == encode_public_key(key)


@given(data=st.binary(max_size=60))
def test_octets_that_are_no_key_go_as_base64(data: bytes) -> None:
    assert jwk.key_from_json(jwk.key_to_json(data)) == data


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"format": "key"},
        {"format": "key", "value": 7},
        {"format": "key", "value": {"kty": "EC"}},
        {"format": "key", "value": {"kty": "RSA", "n": "AA", "e": "!!"}},
        {"format": "key", "value": {"kty": "OKP", "crv": "Ed25519", "x": "AA"}},
        {"format": "key", "value": {"kty": "RSA", "n": "A" * 5000, "e": "AQAB"}},
        {"format": "base64", "value": "?"},
    ],
)
def test_json_that_is_no_key_is_refused(form: dict[str, object]) -> None:
    with pytest.raises(InvalidJson):
        jwk.key_from_json(form)


@given(data=st.binary(max_size=80))
def test_any_octets_give_a_key_or_a_decode_error(data: bytes) -> None:
    for key_type in (b"RSA_PUB_KEY", b"DSA_PUB_KEY", b"DH_PUB_KEY", b"ED25519_PUB_KEY"):
        try:
            decode_public_key(len(key_type).to_bytes(4, "big") + key_type + bytes(2) + data)
        except DecodeError as error:
            assert error.code.startswith("HDL-1")
