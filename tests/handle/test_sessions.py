from __future__ import annotations

import random

import pytest
import vectors
from hypothesis import given
from hypothesis import strategies as st

from biaojie.handle import credentials, sessions
from biaojie.handle.bodies import SessionSetupRequest, SessionSetupResponse
from biaojie.handle.errors import DecryptionFailed, EncodeError, EncryptedMessage, ReplayedCounter, SessionError, WeakGroup
from biaojie.handle.keys import DhPublicKey, encode_public_key
from biaojie.handle.messages import decode_message, encode_message, make_request
from biaojie.handle.sessions import ClientSetup, CounterWindow, Session

SESSION = Session(9, bytes(range(32)))
IV = bytes(range(16))
P = sessions.GROUP_2048


def agreed() -> tuple[Session, Session]:
    rng = random.Random(7)
    client = ClientSetup.fresh(handle="0.NA/86.100.1", index=300, random_bits=rng.getrandbits)
    request = decode_message(encode_message(make_request(client.request(timeout_s=60), request_id=1))).body
    assert isinstance(request, SessionSetupRequest)
    server, answer = sessions.accept_setup(request, 77, random_bits=rng.getrandbits)
    return client.finish(answer, 77), server


def test_both_sides_agree_on_key_and_identity() -> None:
    client, server = agreed()

    assert client == server
    assert (len(client.key), client.handle, client.index, client.is_anonymous) == (32, "0.NA/86.100.1", 300, False)


def test_message_of_the_session_passes_from_side_to_side() -> None:
    client, server = agreed()

    sealed = sessions.encrypt_message(credentials.mac_message(vectors.CREATE_REQUEST, client.key, 1), client, IV)
    opened = sessions.decrypt_message(sealed, server)

    assert credentials.verify_mac(opened, server.key) == 1
    assert decode_message(opened).body == decode_message(vectors.CREATE_REQUEST).body


def test_group_is_the_one_its_formula_gives() -> None:
    scale = 1 << 2200
    pi = 4 * (4 * _arctan_of_inverse(5, scale) - _arctan_of_inverse(239, scale))

    expected = (1 << 2048) - (1 << 1984) - 1 + ((pi >> (2200 - 1918)) + 124_476 << 64)

    assert expected == P


def _arctan_of_inverse(x: int, scale: int) -> int:
    term = total = scale // x
    divisor, sign = 3, -1
    while term:
        term //= x * x
        total += sign * (term // divisor)
        divisor, sign = divisor + 2, -sign
    return total


@pytest.mark.parametrize("y", [0, 1, P - 1, P, P + 5])
def test_public_number_that_gives_the_secret_away_is_refused(y: int) -> None:
    request = SessionSetupRequest(4, 60, "", -1, encode_public_key(DhPublicKey(y, P, 2)))

    with pytest.raises(WeakGroup):
        sessions.accept_setup(request, 1)


@pytest.mark.parametrize(("p", "g"), [((1 << 1022) | 1, 2), ((1 << 4096) | 1, 2), (P - 1, 2), (P, 1), (P, P - 1), (P, 0)])
def test_weak_group_is_refused(p: int, g: int) -> None:
    with pytest.raises(WeakGroup):
        sessions.check_group(DhPublicKey(5, p, g))


def test_group_of_1024_bits_as_the_java_client_makes_is_accepted() -> None:
    sessions.check_group(DhPublicKey(5, (1 << 1023) | 1, 2))


def test_answer_in_another_group_is_refused() -> None:
    client = ClientSetup.fresh()
    other = sessions.EXCHANGE.pack(sessions._Exchange(3, encode_public_key(DhPublicKey(5, P - 2, 2))))

    with pytest.raises(WeakGroup):
        client.finish(SessionSetupResponse(4, other), 1)


@pytest.mark.parametrize("mode", [1, 2, 3])
def test_modes_other_than_dh_are_refused(mode: int) -> None:
    with pytest.raises(SessionError):
        sessions.accept_setup(SessionSetupRequest(mode, 60), 1)


def test_cipher_other_than_aes_is_refused() -> None:
    client = ClientSetup.fresh()
    data = sessions.EXCHANGE.pack(sessions._Exchange(1, encode_public_key(DhPublicKey(5, P, 2))))

    with pytest.raises(SessionError):
        client.finish(SessionSetupResponse(4, data), 1)


@pytest.mark.parametrize(
    ("shared", "start"), [(1 << 1023, b"\x80"), (0xAB << 800, b"\xab"), (0xCD << 248, b"\xcd"), (5, bytes(31) + b"\5")]
)
def test_key_drops_leading_zeros_while_more_than_32_octets_remain(shared: int, start: bytes) -> None:
    key = sessions.derive_key(shared, (1 << 1023) | 1)

    assert len(key) == 32
    assert key.startswith(start)


def test_encrypted_message_keeps_its_envelope_and_says_so() -> None:
    sealed = sessions.encrypt_message(vectors.RESOLVE_RESPONSE, SESSION, IV)

    assert sealed[2] & 0x40
    assert int.from_bytes(sealed[16:20], "big") == len(sealed) - 20
    assert sealed[20:36] == IV
    assert b"item-0000042" not in sealed
    assert sessions.decrypt_message(sealed, SESSION) == vectors.RESOLVE_RESPONSE
    with pytest.raises(EncryptedMessage):
        decode_message(sealed)


def test_cipher_is_aes_128_with_the_first_half_of_the_key() -> None:
    other = Session(9, SESSION.key[:16] + bytes(16))
    sealed = sessions.encrypt_message(vectors.RESOLVE_RESPONSE, SESSION, IV)

    assert sessions.decrypt_message(sealed, other) == vectors.RESOLVE_RESPONSE


def test_message_that_does_not_open_is_refused() -> None:
    sealed = sessions.encrypt_message(vectors.RESOLVE_RESPONSE, SESSION, IV)

    for wrong in (vectors.RESOLVE_RESPONSE, sealed[:16] + (16).to_bytes(4, "big") + sealed[20:36]):
        with pytest.raises(DecryptionFailed):
            sessions.decrypt_message(wrong, SESSION)
    with pytest.raises(EncodeError):
        sessions.encrypt_message(sealed, SESSION, b"short")


@given(counters=st.lists(st.integers(-5, 600), max_size=60))
def test_window_accepts_each_counter_once_and_none_older_than_200(counters: list[int]) -> None:
    window = CounterWindow()
    seen: set[int] = set()

    for counter in counters:
        highest = max(seen, default=0)
        fresh = counter > 0 and counter not in seen and counter > highest - sessions.WINDOW
        try:
            window = window.accept(counter)
        except ReplayedCounter:
            assert not fresh
        else:
            assert fresh
            seen.add(counter)


def test_window_state_stays_small_after_a_jump() -> None:
    window = CounterWindow().accept(1).accept(0xFFFFFFFF)

    assert window.seen.bit_length() <= sessions.WINDOW
    with pytest.raises(ReplayedCounter):
        window.accept(1)
