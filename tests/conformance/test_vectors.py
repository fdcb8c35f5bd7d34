"""Exchanges recorded with the reference implementation, put to our running resolver over each transport.

Expected octets are the recorded ones; only what the recorded server took from its clock (expiration) is masked, and where
we leave the recording on purpose the test names the divergence.
"""

from __future__ import annotations

import pytest
import vectors
from node_under_test import Node
from reference_node import exchange, packets

from biaojie.handle.codes import FLAG_KC, OpCode
from biaojie.handle.envelope import ENVELOPE_SIZE
from biaojie.handle.messages import ErrorResponse, decode_response

EXPIRATION = slice(36, 40)
REQUEST_ID = slice(8, 12)


def masked(message: bytes) -> str:
    """A message in hex, its expiration replaced by zeros."""
    octets = bytearray(message)
    octets[EXPIRATION] = bytes(4)
    return octets.hex()


def early_frame(message: bytes) -> str:
    """What an early error has besides lengths and text: versions, flags, ids, codes, serial; the text must fill the body."""
    length = int.from_bytes(message[16:20], "big")
    body_length = int.from_bytes(message[40:44], "big")
    text_length = int.from_bytes(message[44:48], "big")
    assert length == len(message) - ENVELOPE_SIZE == 24 + body_length + 4
    assert body_length == 4 + text_length
    assert message[48 + text_length :] == bytes(4)
    message[48 : 48 + text_length].decode()
    return masked(message[:16] + bytes(4) + message[20:40])


def test_v1_resolve_everything_is_answered_octet_for_octet(node: Node, way: str) -> None:
    reply = exchange(node, way, vectors.RESOLVE_REQUEST)

    assert masked(reply) == masked(vectors.RESOLVE_RESPONSE)


def test_v1_asked_again_at_once_is_answered_from_what_is_kept_octet_for_octet(node: Node, way: str) -> None:
    replies = {masked(exchange(node, way, vectors.RESOLVE_REQUEST)) for _ in range(5)}

    assert replies == {masked(vectors.RESOLVE_RESPONSE)}


def test_v3_absent_handle_is_answered_octet_for_octet(node: Node, way: str) -> None:
    reply = exchange(node, way, vectors.NOT_FOUND_REQUEST)

    assert masked(reply) == masked(vectors.NOT_FOUND_RESPONSE)


def test_v3_no_matching_value_is_the_same_with_code_200(node: Node, way: str) -> None:
    # "86.100.1/hidden" is two octets longer than "86.100.1/NOPE": body 27, message 55, name 15.
    request = bytes.fromhex(
        "020b020b00000000010203040000000000000037000000010000000019000000ffff00007fffffff0000001b0000000f"
        + b"86.100.1/hidden".hex()
        + "00" * 12
    )

    reply = exchange(node, way, request)

    recorded = bytearray(vectors.NOT_FOUND_RESPONSE)
    recorded[24:28] = bytes.fromhex("000000c8")
    assert masked(reply) == masked(recorded)


def test_v9_long_answer_comes_in_the_recorded_pieces(node: Node) -> None:
    request = bytes.fromhex(
        "020b020b00000000010203040000000000000035000000010000000019000000ffff00007fffffff000000190000000d"
        + b"86.100.1/long".hex()
        + "00" * 12
    )

    pieces = packets(node, request, 4)
    over_tcp = exchange(node, "tcp", request)

    assert [len(piece) for piece in pieces] == [512, 512, 512, 179]
    assert [piece[:ENVELOPE_SIZE].hex() for piece in pieces] == [
        f"020b020b00000000010203040000000{number}00000663" for number in range(4)
    ]
    joined = b"".join(piece[ENVELOPE_SIZE:] for piece in pieces)
    assert masked(pieces[0][:ENVELOPE_SIZE] + joined) == masked(over_tcp)


def test_v13_operation_0_is_answered_in_the_recorded_form_with_the_request_id(node: Node, way: str) -> None:
    request = bytearray(vectors.RESOLVE_REQUEST)
    request[20:24] = bytes(4)

    reply = exchange(node, way, bytes(request))

    recorded = bytearray(vectors.EARLY_UNKNOWN_OPERATION)
    # DIV-2: the id is repeated. The recorded answer suggests 2.11, which is what ours suggests.
    recorded[REQUEST_ID] = request[REQUEST_ID]
    assert early_frame(reply) == early_frame(bytes(recorded))


@pytest.mark.parametrize("op_code", [100, 101, 102, 103, 104, 105, 106, 200, 201, 300, 301, 302, 400, 401, 402, 1000, 1001])
def test_operations_from_100_are_answered_not_supported(node: Node, way: str, op_code: int) -> None:
    request = bytearray(vectors.CREATE_REQUEST)
    request[20:24] = op_code.to_bytes(4, "big")

    reply = decode_response(exchange(node, way, bytes(request)))

    # DIV-6: RC 5, with the operation and the id of the question, in its version.
    assert (reply.op_code, reply.response_code, reply.request_id) == (op_code, 5, 0x01020304)
    assert (reply.envelope.version, reply.header.site_serial) == ((2, 11), 1)
    assert isinstance(reply.body, ErrorResponse)
    assert reply.body.message


def test_v7_answer_to_a_challenge_is_answered_not_supported(node: Node, way: str) -> None:
    reply = decode_response(exchange(node, way, vectors.CREATE_ANSWER))

    assert (reply.op_code, reply.response_code, reply.request_id) == (OpCode.CHALLENGE_ANSWER, 5, 0x0A0B0C0D)


def test_v1_and_v3_on_one_connection_with_kc_are_both_answered(node: Node) -> None:
    first = bytearray(vectors.RESOLVE_REQUEST)
    first[28] |= FLAG_KC >> 24

    reply = exchange(node, "tcp", bytes(first) + vectors.NOT_FOUND_REQUEST)

    # KC comes back as 0, so that the answers are those recorded without it.
    split = len(vectors.RESOLVE_RESPONSE)
    assert masked(reply[:split]) == masked(vectors.RESOLVE_RESPONSE)
    assert masked(reply[split:]) == masked(vectors.NOT_FOUND_RESPONSE)


def test_without_kc_only_the_first_request_of_a_connection_is_answered(node: Node) -> None:
    reply = exchange(node, "tcp", vectors.RESOLVE_REQUEST + vectors.NOT_FOUND_REQUEST)

    assert masked(reply) == masked(vectors.RESOLVE_RESPONSE)
