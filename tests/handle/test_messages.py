from __future__ import annotations

import hashlib
import struct

import pytest
import vectors
from hypothesis import given
from hypothesis import strategies as st

from biaojie.handle import codes, messages
from biaojie.handle.bodies import Acknowledgement, RawBody, SessionMode
from biaojie.handle.codes import OpCode, ResponseCode
from biaojie.handle.envelope import Envelope
from biaojie.handle.errors import (
    DecodeError,
    EncodeError,
    EncryptedMessage,
    LimitExceeded,
    Truncated,
    UnexpectedValue,
    WrongDirection,
)
from biaojie.handle.header import Header
from biaojie.handle.messages import (
    AddValueRequest,
    ChallengeAnswer,
    ChallengeResponse,
    CreateHandleRequest,
    CreateHandleResponse,
    DeleteHandleRequest,
    ErrorResponse,
    GetSiteInfoRequest,
    GetSiteInfoResponse,
    HomePrefixRequest,
    ListDerivedPrefixesRequest,
    ListHandlesRequest,
    ListHandlesResponse,
    ListHomedRequest,
    ListHomedResponse,
    Message,
    ModifyValueRequest,
    ReferralResponse,
    RemoveValueRequest,
    RequestDigest,
    ResolutionRequest,
    ResolutionResponse,
    SessionSetupRequest,
    SessionSetupResponse,
    SessionTerminateRequest,
    UnhomePrefixRequest,
    VerifyChallengeRequest,
    VerifyChallengeResponse,
    decode_message,
    decode_request,
    decode_response,
    early_error,
    encode_message,
    is_message_type,
    make_request,
    make_response,
)
from biaojie.handle.values import HandleValue

HANDLE = "86.100.1/item-0000042"
EXPIRATION = 0x6B0397F4


@pytest.mark.parametrize("name", vectors.MESSAGES)
def test_observed_message_decoded_and_encoded_is_the_same_octets(name: str) -> None:
    data = vectors.MESSAGES[name]

    again = encode_message(decode_message(data))

    assert again == data


def test_resolution_request_built_by_us_equals_the_observed_one() -> None:
    message = make_request(ResolutionRequest(HANDLE), request_id=0x01020304)

    assert encode_message(message) == vectors.RESOLVE_REQUEST


def test_resolution_response_built_from_the_request_equals_the_observed_one() -> None:
    request = decode_request(vectors.RESOLVE_REQUEST)
    admin = bytes.fromhex("0fff0000000d302e4e412f38362e3130302e310000012c")
    values = (
        HandleValue(1, "URL", b"https://id.example.org/item/42", timestamp=1_700_000_000),
        HandleValue(2, "DESC", b"industrial part number 42 lot 42", timestamp=1_700_000_000),
        HandleValue(100, "HS_ADMIN", admin, timestamp=1_700_000_000),
    )

    response = make_response(request, ResolutionResponse(HANDLE, values), expiration=EXPIRATION)

    assert encode_message(response) == vectors.RESOLVE_RESPONSE


def test_not_found_response_built_from_the_request_equals_the_observed_one() -> None:
    request = decode_request(vectors.NOT_FOUND_REQUEST)

    response = make_response(request, ErrorResponse(ResponseCode.HANDLE_NOT_FOUND), expiration=EXPIRATION)

    assert encode_message(response) == vectors.NOT_FOUND_RESPONSE


def test_challenge_built_from_the_create_request_equals_the_observed_one() -> None:
    request = decode_request(vectors.CREATE_REQUEST)
    digest = messages.digest_request(vectors.CREATE_REQUEST)
    nonce = bytes.fromhex("908cf9e6082031c445e2ce3f22d33848")
    challenge = ChallengeResponse(digest.algorithm, digest.digest, nonce)

    response = make_response(request, challenge, expiration=0x6B03982F, session_id=3)

    assert encode_message(response) == vectors.CREATE_CHALLENGE


def test_create_result_sent_for_the_challenge_answer_equals_the_observed_one() -> None:
    answer = decode_request(vectors.CREATE_ANSWER)

    response = make_response(answer, CreateHandleResponse("86.100.1/NEW-1"), expiration=0x6B03982F, op_code=OpCode.CREATE_HANDLE)

    assert encode_message(response) == vectors.CREATE_DONE


def test_early_error_without_readable_envelope_equals_the_observed_one() -> None:
    reply = early_error(b"", expiration=EXPIRATION, message="Unknown opCode in message: 0")

    assert reply == vectors.EARLY_UNKNOWN_OPERATION


def test_early_error_for_admin_request_equals_the_observed_one() -> None:
    text = "Received admin request on non-admin interface"

    reply = early_error(bytes(19), expiration=EXPIRATION, message=text, op_code=OpCode.DELETE_HANDLE)

    assert reply == vectors.EARLY_NOT_ADMIN


def test_early_error_with_twenty_readable_octets_repeats_the_request_id() -> None:
    reply = decode_response(early_error(vectors.RESOLVE_REQUEST[:20], expiration=1, code=2, message="?"))

    assert (reply.request_id, reply.response_code, reply.body) == (0x01020304, 2, ErrorResponse(2, "?"))


REQUESTS = st.one_of(
    st.builds(
        ResolutionRequest,
        handle=vectors.texts,
        indexes=st.lists(vectors.i32, max_size=4).map(tuple),
        types=st.lists(vectors.texts, max_size=3).map(tuple),
    ),
    st.builds(GetSiteInfoRequest, handle=vectors.texts),
    st.builds(CreateHandleRequest, handle=vectors.texts, values=vectors.value_tuples),
    st.builds(DeleteHandleRequest, handle=vectors.texts),
    st.builds(AddValueRequest, handle=vectors.texts, values=vectors.value_tuples),
    st.builds(RemoveValueRequest, handle=vectors.texts, indexes=st.lists(vectors.i32, max_size=4).map(tuple)),
    st.builds(ModifyValueRequest, handle=vectors.texts, values=vectors.value_tuples),
    st.builds(ListHandlesRequest, handle=vectors.texts),
    st.builds(ListDerivedPrefixesRequest, handle=vectors.texts),
    st.builds(ChallengeAnswer, auth_type=vectors.texts, handle=vectors.texts, index=vectors.i32, signed_response=vectors.octets),
    st.builds(
        VerifyChallengeRequest,
        handle=vectors.texts,
        index=vectors.i32,
        nonce=vectors.octets,
        digest=vectors.octets,
        signed_response=vectors.octets,
    ),
    st.builds(HomePrefixRequest, handle=vectors.texts),
    st.builds(UnhomePrefixRequest, handle=vectors.texts),
    st.builds(ListHomedRequest, handle=vectors.texts),
    st.builds(
        SessionSetupRequest,
        mode=st.sampled_from([SessionMode.CLIENT_KEY, SessionMode.DIFFIE_HELLMAN]),
        timeout=vectors.u32,
        handle=vectors.texts,
        index=vectors.i32,
        public_key=vectors.octets,
    ),
    st.builds(
        SessionSetupRequest,
        mode=st.just(SessionMode.KEY_IN_HANDLE),
        timeout=vectors.u32,
        handle=vectors.texts,
        index=vectors.i32,
        public_key=st.just(b""),
        key_handle=vectors.texts,
        key_index=vectors.i32,
    ),
    st.builds(
        SessionSetupRequest,
        mode=st.integers(5, 0xFFFF),
        timeout=vectors.u32,
        handle=vectors.texts,
        index=vectors.i32,
        public_key=st.just(b""),
        key_handle=st.just(""),
        key_index=st.just(0),
    ),
    st.builds(SessionTerminateRequest),
)
HANDLE_LISTS = st.lists(vectors.texts, max_size=3).map(tuple)
RESPONSES = st.one_of(
    st.tuples(st.just(1), st.just(1), st.builds(ResolutionResponse, handle=vectors.texts, values=vectors.value_tuples)),
    st.tuples(st.just(2), st.just(1), st.builds(GetSiteInfoResponse, site=vectors.sites)),
    st.tuples(st.just(100), st.just(1), st.builds(CreateHandleResponse, handle=vectors.texts)),
    st.tuples(st.sampled_from([101, 102, 103, 104, 300, 301, 401]), st.just(1), st.builds(Acknowledgement)),
    st.tuples(st.sampled_from([105, 106]), st.just(1), st.builds(ListHandlesResponse, handles=HANDLE_LISTS)),
    st.tuples(st.just(201), st.just(1), st.builds(VerifyChallengeResponse, valid=st.booleans())),
    st.tuples(st.just(302), st.just(1), st.builds(ListHomedResponse, handles=HANDLE_LISTS)),
    st.tuples(st.just(400), st.just(1), st.builds(SessionSetupResponse, mode=vectors.u16, data=vectors.octets)),
    st.tuples(
        vectors.u32,
        st.sampled_from([302, 303]),
        st.builds(ReferralResponse, handle=vectors.texts, values=vectors.value_tuples),
    ),
    st.sampled_from([2, 4, 100, 301, 900, 0xFFFFFFFF]).flatmap(
        lambda code: st.tuples(
            vectors.u32,
            st.just(code),
            st.builds(
                ErrorResponse,
                code=st.just(code),
                message=vectors.texts,
                indexes=st.lists(vectors.i32, max_size=3).map(tuple),
            ),
        )
    ),
    st.tuples(
        vectors.u32,
        st.just(402),
        st.builds(
            ChallengeResponse,
            algorithm=st.just(3),
            digest=st.binary(min_size=32, max_size=32),
            nonce=vectors.octets,
        ),
    ),
)
ENVELOPES = st.builds(
    Envelope,
    major=vectors.u8,
    minor=vectors.u8,
    compressed=st.booleans(),
    encrypted=st.just(False),
    truncated=st.booleans(),
    suggested_major=st.integers(0, 31),
    suggested_minor=vectors.u8,
    session_id=vectors.u32,
    request_id=vectors.u32,
    sequence=vectors.u32,
)


@given(body=REQUESTS, envelope=ENVELOPES, flags=vectors.u32, serial=vectors.u16, credential=vectors.octets)
def test_request_encoded_and_decoded_is_equal(body, envelope, flags, serial, credential) -> None:
    op_code = messages.op_code_of(body)
    message = Message(envelope=envelope, header=Header(op_code, 0, flags, serial, 7, 9), body=body, credential=credential)

    again = decode_request(encode_message(message))

    assert (again.body, again.op_flags, again.credential, again.op_code) == (body, flags, credential, op_code)
    assert encode_message(again) == encode_message(message)


@given(row=RESPONSES, flags=vectors.u32, with_digest=st.booleans())
def test_response_encoded_and_decoded_is_equal(row, flags, with_digest) -> None:
    op_code, code, body = row
    digest = RequestDigest(3, bytes(range(32))) if with_digest and code != 402 else None
    flags = flags & ~codes.FLAG_RD | (codes.FLAG_RD if digest else 0)
    message = Message(envelope=Envelope(request_id=1), header=Header(op_code, code, flags), body=body, request_digest=digest)

    again = decode_response(encode_message(message))

    assert (again.body, again.request_digest, again.response_code, again.op_flags) == (body, digest, code, flags)


@given(op_code=st.integers(2004, 0xFFFFFFFF), flags=vectors.u32, body=vectors.octets)
def test_unknown_operation_and_flags_survive_a_round_trip(op_code, flags, body) -> None:
    message = make_request(RawBody(body), request_id=7, op_code=op_code, op_flags=flags)

    again = decode_message(encode_message(message))

    assert (again.op_code, again.op_flags, again.body) == (op_code, flags, RawBody(body))


def with_body(extra: bytes, *, of: bytes = vectors.NOT_FOUND_REQUEST) -> bytes:
    """The message with octets added at the end of its body, lengths put right."""
    length = int.from_bytes(of[16:20], "big") + len(extra)
    body = int.from_bytes(of[40:44], "big") + len(extra)
    return of[:16] + length.to_bytes(4, "big") + of[20:40] + body.to_bytes(4, "big") + of[44:-4] + extra + of[-4:]


def test_octets_behind_the_end_of_the_body_are_ignored() -> None:
    message = decode_request(with_body(b"\xff" * 9))

    assert message.body == ResolutionRequest("86.100.1/NOPE")


def test_octets_behind_the_end_of_the_message_are_ignored() -> None:
    message = decode_request(vectors.NOT_FOUND_REQUEST + b"junk")

    assert message.body == ResolutionRequest("86.100.1/NOPE")


def test_negative_and_repeated_indexes_are_harmless() -> None:
    body = ResolutionRequest("86.100.1/x", (-1, 3, 3, 0), ())

    again = decode_request(encode_message(make_request(body, request_id=1)))

    assert again.body == body


def test_list_count_of_two_thousand_million_is_refused_before_allocating() -> None:
    position = len(vectors.NOT_FOUND_REQUEST) - 12
    data = bytearray(vectors.NOT_FOUND_REQUEST)
    data[position : position + 4] = bytes.fromhex("7fffffff")

    with pytest.raises(LimitExceeded) as caught:
        decode_request(bytes(data))

    assert caught.value.pointer == str(position)


def test_response_code_in_a_request_is_refused() -> None:
    with pytest.raises(WrongDirection) as caught:
        decode_request(vectors.RESOLVE_RESPONSE)

    assert (caught.value.code, caught.value.pointer) == ("HDL-105", "24")


def test_request_where_an_answer_is_due_is_refused() -> None:
    with pytest.raises(WrongDirection):
        decode_response(vectors.RESOLVE_REQUEST)


def test_message_without_credential_section_is_accepted() -> None:
    data = bytearray(vectors.NOT_FOUND_REQUEST[:-4])
    data[16:20] = (len(data) - 20).to_bytes(4, "big")

    assert decode_request(bytes(data)).credential == b""


@pytest.mark.parametrize("name", vectors.MESSAGES)
def test_every_proper_beginning_of_a_message_is_truncated(name: str) -> None:
    data = vectors.MESSAGES[name]

    for size in range(len(data)):
        with pytest.raises(Truncated):
            decode_message(data[:size])


def test_encrypted_message_is_not_parsed_as_plain() -> None:
    data = bytearray(vectors.RESOLVE_REQUEST)
    data[2] |= 0x40

    with pytest.raises(EncryptedMessage):
        decode_message(bytes(data))


def test_message_length_at_the_limit_is_accepted_and_above_refused() -> None:
    handle = "86.100.1/x"
    room = 262_144 - 24 - 4 - (4 + len(handle)) - 4 - (14 + 4 + 3 + 4 + 4)
    fits = CreateHandleRequest(handle, (HandleValue(1, "URL", bytes(room)),))
    too_long = CreateHandleRequest(handle, (HandleValue(1, "URL", bytes(room + 1)),))

    data = encode_message(make_request(fits, request_id=1))

    assert decode_request(data).body == fits
    with pytest.raises(EncodeError):
        encode_message(make_request(too_long, request_id=1))
    with pytest.raises(LimitExceeded):
        decode_message(data[:16] + (262_145).to_bytes(4, "big") + data[20:] + b"\0")


def test_handle_of_2048_octets_is_accepted_and_of_2049_refused() -> None:
    data = encode_message(make_request(DeleteHandleRequest("x" * 2048), request_id=1))

    assert decode_request(data).body == DeleteHandleRequest("x" * 2048)
    with pytest.raises(EncodeError):
        encode_message(make_request(DeleteHandleRequest("x" * 2049), request_id=1))
    longer = bytearray(with_body(b"x", of=data))
    longer[44:48] = (2049).to_bytes(4, "big")
    with pytest.raises(LimitExceeded):
        decode_request(bytes(longer))


def test_create_response_without_body_is_accepted() -> None:
    data = bytearray(vectors.CREATE_DONE[:40] + bytes(4) + bytes(4))
    data[16:20] = (28).to_bytes(4, "big")

    assert decode_response(bytes(data)).body == CreateHandleResponse("")


def test_error_without_body_as_the_rfc_has_it_is_accepted() -> None:
    data = bytearray(vectors.NOT_FOUND_RESPONSE[:40] + bytes(4) + bytes(4))
    data[16:20] = (28).to_bytes(4, "big")

    assert decode_response(bytes(data)).body == ErrorResponse(100)


def test_request_digest_of_the_challenge_is_sha256_of_header_and_body() -> None:
    challenge = decode_response(vectors.CREATE_CHALLENGE).body

    expected = hashlib.sha256(vectors.CREATE_REQUEST[20:-4]).digest()

    assert isinstance(challenge, ChallengeResponse)
    assert challenge.digest == expected


@pytest.mark.parametrize(("minor", "algorithm", "size"), [(0, 1, 16), (1, 2, 20), (6, 2, 20), (7, 3, 32), (11, 3, 32)])
def test_digest_algorithm_follows_the_request_version(minor: int, algorithm: int, size: int) -> None:
    data = vectors.RESOLVE_REQUEST[:1] + bytes([minor]) + vectors.RESOLVE_REQUEST[2:]

    digest = messages.digest_request(data)

    assert (digest.algorithm, len(digest.digest)) == (algorithm, size)


def test_unknown_digest_algorithm_is_refused() -> None:
    data = bytearray(vectors.CREATE_CHALLENGE)
    data[44] = 9

    with pytest.raises(UnexpectedValue):
        decode_response(bytes(data))


def test_response_to_rd_request_carries_the_digest_after_a_round_trip() -> None:
    request = make_request(ResolutionRequest(HANDLE), request_id=5, op_flags=0x19800000)
    digest = messages.digest_request(encode_message(request))
    body = ResolutionResponse(HANDLE, ())

    response = decode_response(encode_message(make_response(request, body, expiration=1, digest=digest)))

    assert (response.request_digest, response.body) == (digest, body)


def test_response_without_digest_drops_the_flag_that_promises_it() -> None:
    request = make_request(ResolutionRequest(HANDLE), request_id=5, op_flags=0x19800000)

    response = make_response(request, ResolutionResponse(HANDLE, ()), expiration=1)

    assert response.op_flags == 0x99000000


def test_session_setup_carries_two_zero_octets_and_reads_without_them() -> None:
    body = SessionSetupRequest(SessionMode.DIFFIE_HELLMAN, 60, "", -1, b"key")
    data = encode_message(make_request(body, request_id=1))
    shorter = data[:16] + struct.pack(">I", len(data) - 22) + data[20:40] + struct.pack(">I", len(data) - 50) + data[44:-6]

    assert data[-6:] == bytes(6)
    assert decode_request(data).body == decode_request(shorter + bytes(4)).body == body


@given(data=st.binary(max_size=120), head=st.sampled_from(sorted(vectors.MESSAGES)))
def test_any_octets_behind_a_valid_header_give_a_message_or_a_decode_error(data: bytes, head: str) -> None:
    start = vectors.MESSAGES[head]
    message = start[:16] + (24 + len(data)).to_bytes(4, "big") + start[20:40] + len(data).to_bytes(4, "big") + data

    try:
        decoded = decode_message(message)
    except DecodeError as error:
        assert error.code.startswith("HDL-1")
        assert 0 <= int(error.pointer) <= len(message)
    else:
        assert decoded.op_code == int.from_bytes(start[20:24], "big")


def test_is_message_type_looks_at_the_type_alone() -> None:
    assert is_message_type("Application/X-HDL-Message; charset=x")
    assert not is_message_type("text/html")
