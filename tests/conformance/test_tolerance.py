"""What the reference implementation puts up with in a request, and how it negotiates: our resolver over each transport."""

from __future__ import annotations

import hashlib

import pytest
from node_under_test import Node, question
from reference_node import ITEM, SERVED_BY, SITE, exchange, tunnel

from biaojie.handle.bodies import ResolutionRequest
from biaojie.handle.codes import FLAG_DNRF, FLAG_PO, FLAG_RD, RESOLUTION_FLAGS
from biaojie.handle.datagrams import split
from biaojie.handle.envelope import ENVELOPE_SIZE
from biaojie.handle.messages import (
    ErrorResponse,
    GetSiteInfoRequest,
    Message,
    ReferralResponse,
    ResolutionResponse,
    decode_response,
)
from biaojie.handle.sites import decode_site

ITEM_42 = "86.100.1/item-0000042"


def asked(node: Node, way: str, octets: bytes) -> Message:
    reply = exchange(node, way, octets)
    assert reply
    return decode_response(reply)


def found(reply: Message) -> list[int]:
    """The indexes of the values of a successful answer."""
    assert isinstance(reply.body, ResolutionResponse), reply
    return [value.index for value in reply.body.values]


def patched(octets: bytes, at: int, hexadecimal: str) -> bytes:
    """A message with some of its octets replaced."""
    new = bytes.fromhex(hexadecimal)
    return octets[:at] + new + octets[at + len(new) :]


@pytest.mark.parametrize("serial", [0, 1, 9, 0xFFFF])
def test_request_with_another_site_serial_is_answered_with_ours(node: Node, way: str, serial: int) -> None:
    reply = asked(node, way, question(ITEM_42, site_serial=serial))

    assert found(reply) == [1, 2, 100]
    assert reply.header.site_serial == 1


@pytest.mark.parametrize("count", [1, 10, 11, 255])
def test_request_with_a_high_recursion_count_is_answered(node: Node, way: str, count: int) -> None:
    reply = asked(node, way, question(ITEM_42, recursion_count=count))

    assert found(reply) == [1, 2, 100]


@pytest.mark.parametrize("expiration", [0, 1, 0xFFFFFFFF])
def test_request_that_has_expired_is_answered(node: Node, way: str, expiration: int) -> None:
    reply = asked(node, way, question(ITEM_42, expiration=expiration))

    assert found(reply) == [1, 2, 100]


@pytest.mark.parametrize("place", ["behind the message", "behind the credential", "behind the lists"])
def test_octets_behind_the_end_are_ignored(node: Node, way: str, place: str) -> None:
    request = question(ITEM_42)
    body_length = int.from_bytes(request[40:44], "big")
    if place == "behind the lists":
        body = 44 + body_length
        longer = request[:40] + (body_length + 7).to_bytes(4, "big") + request[44:body] + b"\xff" * 7 + request[body:]
    else:
        longer = request + b"\xff" * 7
    if place != "behind the message":
        longer = longer[:16] + (len(longer) - ENVELOPE_SIZE).to_bytes(4, "big") + longer[20:]

    reply = asked(node, way, longer)

    assert found(reply) == [1, 2, 100]


def test_request_without_a_credential_section_is_answered(node: Node, way: str) -> None:
    request = question(ITEM_42)[:-4]

    reply = asked(node, way, request[:16] + (len(request) - ENVELOPE_SIZE).to_bytes(4, "big") + request[20:])

    assert found(reply) == [1, 2, 100]


@pytest.mark.parametrize(
    ("indexes", "expected"),
    [((2, 2, 2), [2]), ((-1, 2), [2]), ((1, -(2**31), 1), [1]), ((2, 1), [1, 2]), ((0, 100), [100])],
    ids=["repeated", "negative", "lowest", "unordered", "zero"],
)
def test_repeated_and_negative_indexes_are_harmless(node: Node, way: str, indexes: tuple[int, ...], expected: list[int]) -> None:
    reply = asked(node, way, question("", body=ResolutionRequest(ITEM_42, indexes)))

    assert found(reply) == expected


def test_only_indexes_that_are_not_there_give_200(node: Node, way: str) -> None:
    reply = asked(node, way, question("", body=ResolutionRequest(ITEM_42, (-5, 7))))

    assert reply.response_code == 200


@pytest.mark.parametrize(
    ("asked_for", "answered", "has_digest"),
    [
        (0x19000000, 0x99000000, False),
        (0x19000007, 0x99000000, False),
        (0x1F000000, 0x99000000, False),
        (0x1AF0000F, 0x98900000, True),
        (0x01000000, 0x81000000, False),
        (0x01080000 | 0x0007FFFF, 0x81000000, False),
    ],
)
def test_flags_come_back_as_recorded(node: Node, way: str, asked_for: int, answered: int, has_digest: bool) -> None:
    reply = asked(node, way, question(ITEM_42, flags=asked_for))

    assert f"{reply.op_flags:08x}" == f"{answered:08x}"
    assert found(reply) == [1, 2, 100]
    assert (reply.request_digest is not None) == has_digest


@pytest.mark.parametrize(
    ("version", "expected"),
    [("020b020b", (2, 11)), ("02010000", (2, 1)), ("0201020b", (2, 11)), ("0300030000"[:8], (2, 11)), ("05000500", (5, 0))],
    ids=["2.11", "2.1 suggesting nothing", "2.1 suggesting 2.11", "3.0", "5.0"],
)
def test_version_is_negotiated_as_recorded(node: Node, way: str, version: str, expected: tuple[int, int]) -> None:
    reply = asked(node, way, patched(question(ITEM_42), 0, version))

    assert reply.envelope.version == expected
    assert reply.envelope.suggested_version == (2, 11)
    assert found(reply) == [1, 2, 100]


def test_request_digest_is_sha256_of_header_and_body(node: Node, way: str) -> None:
    request = question(ITEM_42, flags=FLAG_PO | FLAG_RD)

    reply = exchange(node, way, request)

    body = reply[44:]
    assert body[0] == 3
    assert body[1:33] == hashlib.sha256(request[20:-4]).digest()
    assert body[33:37] == len(ITEM_42).to_bytes(4, "big")


@pytest.mark.parametrize(
    ("handle", "code"),
    [
        ("86.100.1/ITEM-0000042", 1),
        ("86.100.1/Item-0000042", 1),
        ("86.100.1/", 100),
        ("/x", 301),
        ("", 301),
        ("99.1/x", 301),
        ("86.100.1/中文", 1),
        ("86.100.1/a/b/c", 100),
        ("0.na/88.100", 1),
        ("88.100", 1),
    ],
)
def test_handle_is_found_without_regard_to_ascii_case_and_spelled_as_asked(node: Node, way: str, handle: str, code: int) -> None:
    reply = asked(node, way, question(handle))

    assert reply.response_code == code
    if code == 1:
        assert isinstance(reply.body, ResolutionResponse)
        assert reply.body.handle == handle


def test_handle_that_is_not_utf8_is_absent(node: Node, way: str) -> None:
    request = question("86.100.1/xxxx")

    reply = asked(node, way, request.replace(b"xxxx", b"\xff\xfe\x80x"))

    assert reply.response_code == 100


@pytest.mark.parametrize(
    ("types", "expected"),
    [(("url",), [1]), (("URL.",), [1, 2]), (("url.x",), [2]), (("URLS", "URL"), [1, 3]), (("Url.", "urls"), [1, 2, 3])],
)
def test_types_are_compared_without_case_and_a_final_dot_takes_the_family(
    node: Node, way: str, types: tuple[str, ...], expected: list[int]
) -> None:
    reply = asked(node, way, question("", body=ResolutionRequest("86.100.1/types", types=types)))

    assert found(reply) == expected


def test_index_or_type_is_enough_to_match(node: Node, way: str) -> None:
    reply = asked(node, way, question("", body=ResolutionRequest(ITEM_42, (100,), ("desc",))))

    assert found(reply) == [2, 100]


@pytest.mark.parametrize(
    ("handle", "flags", "indexes", "code"),
    [
        ("86.100.1/hidden", RESOLUTION_FLAGS, (), 200),
        ("86.100.1/partly", RESOLUTION_FLAGS, (5,), 200),
        ("86.100.1/partly", RESOLUTION_FLAGS, (), 1),
        ("86.100.1/partly", 0, (1,), 1),
        ("86.100.1/sealed", 0, (), 401),
        ("86.100.1/partly", 0, (), 5),  # 402 once authenticated reads are served
    ],
)
def test_values_not_public_are_kept_back(
    node: Node, way: str, handle: str, flags: int, indexes: tuple[int, ...], code: int
) -> None:
    reply = exchange(node, way, question("", body=ResolutionRequest(handle, indexes), flags=flags))

    assert decode_response(reply).response_code == code
    assert b"12.50" not in reply
    assert b"s3cret-key" not in reply


def test_absent_derived_prefix_is_referred_with_the_values_that_say_where(node: Node, way: str) -> None:
    reply = asked(node, way, question("0.NA/88.100.77"))

    assert reply.response_code == 303
    assert isinstance(reply.body, ReferralResponse)
    assert reply.body.handle == ""
    assert [(value.index, value.type, value.data) for value in reply.body.values] == [(3, "HS_SITE.PREFIX", SERVED_BY.data)]


@pytest.mark.parametrize("version", [None, "02090209"], ids=["DNRF", "2.9"])
def test_absent_derived_prefix_asked_by_who_does_not_follow_is_100(node: Node, way: str, version: str | None) -> None:
    request = question("0.NA/88.100.77", flags=RESOLUTION_FLAGS | (0 if version else FLAG_DNRF))

    reply = asked(node, way, patched(request, 0, version) if version else request)

    assert reply.response_code == 100


def test_site_info_is_the_bare_record(node: Node, way: str) -> None:
    reply = exchange(node, way, question("", body=GetSiteInfoRequest("/")))

    body_length = int.from_bytes(reply[40:44], "big")
    assert decode_site(reply[44 : 44 + body_length]) == SITE


def test_request_in_marked_pieces_over_tcp_is_joined(node: Node) -> None:
    body = ResolutionRequest(ITEM_42, types=(*(f"TYPE-{number:04d}" for number in range(120)), "URL"))
    pieces = split(question("", body=body))

    reply = decode_response(exchange(node, "tcp", b"".join(pieces)))

    assert len(pieces) > 2
    assert found(reply) == [1]


@pytest.mark.parametrize("lead", [b"", b"\r", b"\n"])
@pytest.mark.parametrize("path", ["/", "/86.100.1/item-0000042", "/any/path"])
def test_tunnel_takes_any_path_and_one_leading_line_end(node: Node, lead: bytes, path: str) -> None:
    status, reply = tunnel(node, lead + question(ITEM_42), path)

    assert status == 200
    assert found(decode_response(reply)) == [1, 2, 100]


def test_every_error_about_a_readable_request_has_a_readable_body(node: Node, way: str) -> None:
    reply = asked(node, way, question("99.1/x"))

    assert isinstance(reply.body, ErrorResponse)
    assert reply.body.message


def test_values_of_the_item_are_those_published(node: Node, way: str) -> None:
    reply = asked(node, way, question(ITEM_42))

    assert isinstance(reply.body, ResolutionResponse)
    assert reply.body.values == ITEM
