from __future__ import annotations

import hashlib
import hmac

import pytest
import vectors
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st
from test_keys import dsa_key

from biaojie.handle import challenges
from biaojie.handle.challenges import SecretAlgorithm
from biaojie.handle.errors import AnswerTooCostly, ChallengeError, DecodeError, UnknownAlgorithm
from biaojie.handle.key_files import PrivateKey
from biaojie.handle.keys import OpaqueKey
from biaojie.handle.messages import ChallengeAnswer, ChallengeResponse, decode_request, decode_response

SECRET = b"s3cret-key"
NONCE, DIGEST = bytes(range(16)), bytes(range(32))
RSA = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
ED = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def observed() -> tuple[ChallengeResponse, ChallengeAnswer]:
    challenge = decode_response(vectors.CREATE_CHALLENGE).body
    answer = decode_request(vectors.CREATE_ANSWER).body
    assert isinstance(challenge, ChallengeResponse)
    assert isinstance(answer, ChallengeAnswer)
    return challenge, answer


def test_observed_pbkdf2_answer_verifies_with_the_secret_key() -> None:
    challenge, answer = observed()

    assert challenges.check_secret_response(answer.signed_response, SECRET, challenge.nonce, challenge.digest)
    assert not challenges.check_secret_response(answer.signed_response, b"guess", challenge.nonce, challenge.digest)


def test_answer_built_by_us_equals_the_observed_one() -> None:
    challenge, answer = observed()

    ours = challenges.answer_with_secret(challenge, SECRET, handle="0.NA/86.100.1", index=301, salt=b"\1" * 16)

    assert ours == answer


def test_challenge_to_the_observed_request_carries_the_observed_digest() -> None:
    challenge, _ = observed()

    assert challenges.make_challenge(vectors.CREATE_REQUEST, challenge.nonce) == challenge


@pytest.mark.parametrize("algorithm", SecretAlgorithm)
def test_every_secret_algorithm_verifies_its_own_answer_only(algorithm: int) -> None:
    response = challenges.secret_response(SECRET, NONCE, DIGEST, algorithm=algorithm, salt=b"salt", iterations=10)
    changed = response[:-1] + bytes([response[-1] ^ 1])

    assert response[0] == algorithm
    assert challenges.check_secret_response(response, SECRET, NONCE, DIGEST)
    assert not challenges.check_secret_response(changed, SECRET, NONCE, DIGEST)
    assert not challenges.check_secret_response(response, SECRET + b"x", NONCE, DIGEST)
    assert not challenges.check_secret_response(response, SECRET, NONCE[::-1], DIGEST)


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        (1, hashlib.md5(SECRET + NONCE + DIGEST + SECRET).digest()),
        (2, hashlib.sha1(SECRET + NONCE + DIGEST + SECRET).digest()),
        (3, hashlib.sha256(SECRET + NONCE + DIGEST + SECRET).digest()),
        (0x12, hmac.digest(SECRET, NONCE + DIGEST, "sha1")),
        (0x13, hmac.digest(SECRET, NONCE + DIGEST, "sha256")),
    ],
)
def test_simple_answers_are_the_digests_the_protocol_names(algorithm: int, expected: bytes) -> None:
    response = challenges.secret_response(SECRET, NONCE, DIGEST, algorithm=algorithm)

    assert response == bytes([algorithm]) + expected


def test_oldest_form_is_sixteen_octets_of_md5_without_algorithm() -> None:
    response = hashlib.md5(SECRET + NONCE + DIGEST + SECRET).digest()

    assert challenges.check_secret_response(response, SECRET, NONCE, DIGEST)
    assert not challenges.check_secret_response(response, b"guess", NONCE, DIGEST)


def test_iterations_over_the_cap_are_refused_before_computing() -> None:
    response = bytearray(challenges.secret_response(SECRET, NONCE, DIGEST, salt=b"s", iterations=10))
    response[6:10] = (0xFFFFFFFF).to_bytes(4, "big")

    with pytest.raises(AnswerTooCostly) as caught:
        challenges.check_secret_response(bytes(response), SECRET, NONCE, DIGEST)

    assert caught.value.data["field"] == "iterations"


@pytest.mark.parametrize(("bits", "error"), [(328, AnswerTooCostly), (0, UnknownAlgorithm), (7, UnknownAlgorithm)])
def test_key_bits_out_of_bounds_are_refused(bits: int, error: type[ChallengeError]) -> None:
    response = bytearray(challenges.secret_response(SECRET, NONCE, DIGEST, salt=b"s", iterations=10))
    response[10:14] = bits.to_bytes(4, "big")

    with pytest.raises(error):
        challenges.check_secret_response(bytes(response), SECRET, NONCE, DIGEST)


def test_zero_iterations_are_refused() -> None:
    response = bytearray(challenges.secret_response(SECRET, NONCE, DIGEST, salt=b"s", iterations=10))
    response[6:10] = bytes(4)

    with pytest.raises(UnknownAlgorithm):
        challenges.check_secret_response(bytes(response), SECRET, NONCE, DIGEST)


def test_binary_key_is_accepted_as_java_and_as_others_derive_from_it() -> None:
    key = bytes(range(0x80, 0x90))
    response = challenges.secret_response(key, NONCE, DIGEST, salt=b"salt", iterations=10)
    derived = hashlib.pbkdf2_hmac("sha1", key, b"salt", 10, 20)
    plain = response[:-20] + hmac.digest(derived, NONCE + DIGEST, "sha1")

    assert response != plain
    assert challenges.check_secret_response(response, key, NONCE, DIGEST)
    assert challenges.check_secret_response(plain, key, NONCE, DIGEST)


@pytest.mark.parametrize("response", [b"", b"\x04" + bytes(20)])
def test_unknown_algorithm_is_refused(response: bytes) -> None:
    with pytest.raises(UnknownAlgorithm):
        challenges.check_secret_response(response, SECRET, NONCE, DIGEST)


@pytest.mark.parametrize("key", [RSA, ED, dsa_key()], ids=["RSA", "Ed25519", "DSA"])
def test_answer_by_private_key_verifies_with_its_public_key_only(key: PrivateKey) -> None:
    answer = challenges.answer_with_key(ChallengeResponse(3, DIGEST, NONCE), key, handle="0.NA/86", index=300)

    assert (answer.auth_type, answer.handle, answer.index) == ("HS_PUBKEY", "0.NA/86", 300)
    assert challenges.check_key_response(answer.signed_response, key.public_key(), NONCE, DIGEST)
    assert not challenges.check_key_response(answer.signed_response, key.public_key(), NONCE[::-1], DIGEST)


@pytest.mark.parametrize("name", ["SHA-1", "SHA1", "SHA256"])
def test_other_spellings_of_the_hash_are_accepted(name: str) -> None:
    response = challenges.key_response(RSA, NONCE, DIGEST, algorithm=name)

    assert challenges.check_key_response(response, RSA.public_key(), NONCE, DIGEST)


def test_answer_with_a_hash_or_key_we_do_not_compute_is_refused() -> None:
    response = challenges.key_response(RSA, NONCE, DIGEST)

    with pytest.raises(UnknownAlgorithm):
        challenges.check_key_response(response.replace(b"SHA-256", b"SHA-999"), RSA.public_key(), NONCE, DIGEST)
    with pytest.raises(UnknownAlgorithm):
        challenges.check_key_response(response, OpaqueKey("SM2_PUB_KEY", (b"pem",)), NONCE, DIGEST)


def test_holder_of_the_key_confirms_the_observed_answer() -> None:
    challenge, answer = observed()

    question = challenges.ask_holder(answer, challenge)

    assert question.digest == b"\3" + challenge.digest
    assert challenges.check_for_asker(question, SECRET)
    assert not challenges.check_for_asker(question, b"guess")


@given(response=st.binary(max_size=80))
def test_any_octets_as_answer_are_false_or_a_named_error(response: bytes) -> None:
    try:
        assert challenges.check_secret_response(response, SECRET, NONCE, DIGEST, max_iterations=5) is False
    except (DecodeError, ChallengeError) as error:
        assert error.code[:5] in ("HDL-1", "HDL-4")
    for key in (RSA.public_key(), ED.public_key()):
        try:
            assert challenges.check_key_response(response, key, NONCE, DIGEST) is False
        except (DecodeError, ChallengeError) as error:
            assert error.code[:5] in ("HDL-1", "HDL-4")
