"""Messages that cannot be read, over each transport: the reference's response code in the reference's layout, or silence.

The request id is repeated whenever 20 octets were readable (DIV-2); the text is ours.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass

import pytest
import vectors
from node_under_test import Node, question
from reference_node import WAYS, exchange, tunnel
from test_vectors import early_frame, masked

from biaojie.handle.bodies import ResolutionRequest
from biaojie.handle.messages import decode_response

REQUEST = question("", body=ResolutionRequest("86.100.1/x", (1, 2)), request_id=0xA1B2C3D4)
NO_ID = bytes.fromhex("ffffffff")


@dataclass(frozen=True, slots=True)
class Row:
    """One malformed message: what is put where into a good one, how much of it is sent, and the code it must get."""

    name: str
    code: int
    at: int = 0
    octets: str = ""
    length: int | None = None
    framed: bool = True
    """Does the envelope's length still say where the message ends? Else a stream waits for more, or for another message."""

    def message(self) -> bytes:
        new = bytes.fromhex(self.octets)
        return (REQUEST[: self.at] + new + REQUEST[self.at + len(new) :])[: self.length]


ROWS = (
    Row("operation 0", 4, 20, "00000000"),
    Row("operation unknown below 100", 2, 20, "00000063"),
    Row("operation unknown above", 2, 20, "7fffffff"),
    Row("operation negative", 2, 20, "ffffffff"),
    Row("length over 262144", 2, 16, "00040001", framed=False),
    Row("length negative", 2, 16, "80000000", framed=False),
    Row("length 0", 4, 16, "00000000", length=20),
    Row("length 23", 4, 16, "00000017", length=43),
    Row("envelope alone", 4, length=20, framed=False),
    Row("cut within the header", 4, length=30, framed=False),
    Row("cut before the end", 4, length=-1, framed=False),
    Row("body longer than the message", 4, 40, "00000fff"),
    Row("body length negative", 4, 40, "ffffffff"),
    Row("handle longer than the body", 4, 44, "00000100"),
    Row("handle longer than 2048", 2, 44, "00000fff"),
    Row("handle length negative", 2, 44, "ffffffff"),
    Row("index count 7fffffff", 2, 58, "7fffffff"),
    Row("index count beyond the body", 4, 58, "00000040"),
    Row("compressed", 4, 2, "82"),
    Row("encrypted without a session", 501, 2, "42"),
)


def expected_frame(code: int, request_id: bytes) -> str:
    """The recorded early error with another code and id."""
    recorded = bytearray(vectors.EARLY_UNKNOWN_OPERATION)
    recorded[8:12] = request_id
    recorded[24:28] = code.to_bytes(4, "big")
    return early_frame(bytes(recorded))


# On a stream a message that is not all there is waited for, until the stream ends: see below.
ON_EACH = [(way, row) for way in WAYS for row in ROWS if way != "tcp" or row.framed or row.code != 4]


@pytest.mark.parametrize(("way", "row"), ON_EACH, ids=[f"{way}-{row.name}" for way, row in ON_EACH])
def test_malformed_message_gets_its_code_in_the_recorded_layout(node: Node, way: str, row: Row) -> None:
    reply = exchange(node, way, row.message())

    assert early_frame(reply) == expected_frame(row.code, bytes.fromhex("a1b2c3d4"))


@pytest.mark.parametrize("octets", [b"\0", b"\xff" * 10, REQUEST[:19]], ids=["one octet", "ten octets", "nineteen octets"])
@pytest.mark.parametrize("way", ["udp", "http"])
def test_less_than_an_envelope_gets_code_4_and_no_id(node: Node, way: str, octets: bytes) -> None:
    reply = exchange(node, way, octets)

    assert early_frame(reply) == expected_frame(4, NO_ID)


@pytest.mark.parametrize("length", [1, 19, 20, 30, len(REQUEST) - 1])
def test_stream_that_ends_before_its_message_is_closed_in_silence(node: Node, length: int) -> None:
    reply = exchange(node, "tcp", REQUEST[:length])

    assert reply == b""


@pytest.mark.parametrize("fill", [b"\0", b"\xff", b"A"], ids=["zeros", "ones", "letters"])
def test_garbage_gets_an_early_error(node: Node, way: str, fill: bytes) -> None:
    reply = exchange(node, way, fill * 60, timeout_s=1.0)

    # Zeros are a message of no length; the others promise more than a message may hold.
    if way == "udp" and fill == b"\xff":
        assert reply == b""  # looks like a piece of a larger message
    else:
        assert early_frame(reply) == expected_frame(4 if fill == b"\0" else 2, fill * 4)


def test_another_protocol_on_the_stream_gets_an_early_error_and_the_end(node: Node) -> None:
    reply = exchange(node, "tcp", b"GET / HTTP/1.1\r\nHost: id.example.org\r\n\r\n")

    assert decode_response(reply).response_code == 2


def test_answer_sent_as_a_question_gets_code_2_and_over_udp_silence(node: Node, way: str) -> None:
    # Over UDP two servers would otherwise complain to each other for ever.
    timeout_s = 0.4 if way == "udp" else 5.0

    reply = exchange(node, way, vectors.NOT_FOUND_RESPONSE, timeout_s=timeout_s)

    if way == "udp":
        assert reply == b""
    else:
        assert early_frame(reply) == expected_frame(2, vectors.NOT_FOUND_RESPONSE[8:12])


def test_empty_datagram_is_silence(node: Node) -> None:
    assert exchange(node, "udp", b"", timeout_s=0.4) == b""


def test_empty_tunnel_is_refused(node: Node) -> None:
    assert tunnel(node, b"") == (400, b"")


def test_early_errors_say_nothing_of_our_inside(node: Node, way: str) -> None:
    texts = [exchange(node, way, row.message()) for row in ROWS if row.framed]

    assert texts
    for text in texts:
        assert not any(word in text for word in (b"Traceback", b"File ", b".py", b"Error", b"biaojie"))


def test_after_all_of_them_v1_is_still_answered(node: Node, way: str) -> None:
    for row in ROWS:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(row.message(), node.udp[0])

    reply = exchange(node, way, vectors.RESOLVE_REQUEST)

    assert masked(reply) == masked(vectors.RESOLVE_RESPONSE)
