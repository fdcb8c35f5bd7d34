from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biaojie.handle.codes import FLAG_CA, FLAG_DNRF, FLAG_PO, FLAG_RD, FLAG_REC, RESOLUTION_FLAGS
from biaojie.handle.messages import (
    ErrorResponse,
    GetSiteInfoRequest,
    GetSiteInfoResponse,
    ListHandlesRequest,
    Message,
    ReferralResponse,
    ResolutionRequest,
    ResolutionResponse,
    decode_response,
    digest_request,
    encode_message,
    make_request,
)
from biaojie.handle.sites import HashOption, Interface, InterfaceKind, Protocol, Server, Site, encode_site
from biaojie.handle.values import HandleValue, decode_values, encode_values, type_matches
from biaojie.resolution.authority import Authority, _chosen
from biaojie.resolution.entries import Entry, handle_entry, site_entry, zone_entry
from biaojie.resolution.index import Index

STAMP = 0x6553F100
ITEM = [
    HandleValue(1, "URL", b"https://id.example.org/item-42", timestamp=STAMP),
    HandleValue(2, "DESC", b"industrial part number 42 lot 42", timestamp=STAMP),
    HandleValue(100, "HS_ADMIN", bytes.fromhex("0fff0000000d302e4e412f38362e3130302e310000012c"), timestamp=STAMP),
]
MIXED = [
    HandleValue(1, "URL", b"u"),
    HandleValue(2, "URL.MIRROR", b"m"),
    HandleValue(3, "PRICE", b"7", permissions=0x0C),
    HandleValue(300, "HS_SECKEY", b"secret", permissions=0x04),
]
SERVED_BY = HandleValue(3, "HS_SITE.PREFIX", b"site of 88.100")
SITE = Site(
    serial=7,
    primary=True,
    hash_option=HashOption.BY_ALL,
    servers=(Server(1, ip_address("192.0.2.1"), b"", (Interface(InterfaceKind.ADMIN_AND_QUERY, Protocol.TCP, 2641),)),),
)


def put(handle: str, values: list[HandleValue], owner: str, *, own: bool = False) -> Entry:
    return handle_entry(b"\x01" + handle.upper().encode(), 1, owner=owner, values=encode_values(values), own=own)


ENTRIES = [
    zone_entry(b"86.100.1", 1, owner="86.100.1"),
    zone_entry(b"88.1", 1, owner="88.1", refer="0.SERV/88.1"),
    zone_entry(b"0.NA/", 1, owner="86"),
    put("86.100.1/item-0000042", ITEM, "86.100.1"),
    put("86.100.1/mixed", MIXED, "86.100.1"),
    put("86.100.1/private", MIXED[2:3], "86.100.1"),
    put("86.100.1/empty", [], "86.100.1"),
    put("86.100.1/probe", ITEM[:1], "86.100.1", own=True),
    put("99.1/stray", ITEM, "99.1"),
    put("0.NA/0.NA", ITEM[:1], "86"),
    put(
        "0.NA/88.100",
        [HandleValue(1, "HS_SITE", b"s"), SERVED_BY, HandleValue(4, "HS_SERV.PREFIX", b"x", permissions=12)],
        "88.100",
    ),
    put("0.NA/88.100.7", [HandleValue(1, "HS_SITE", b"s")], "88.100"),
]


@pytest.fixture
def authority(index: Index) -> Iterator[Authority]:
    index.rebuild([*ENTRIES, site_entry(encode_site(SITE), 1)], session="s", serial=1)
    made = Authority(index)
    yield made
    made.close()


def asked(authority: Authority, message: Message, transport: str = "tcp") -> Message:
    reply = authority.answer_message(encode_message(message), transport, 1_000_000)
    assert reply is not None
    answer = decode_response(reply.data)
    assert answer.response_code == reply.response_code
    assert answer.header.expiration == 1_043_200
    return answer


class TestVectors:
    def test_request_for_everything_is_answered_as_the_recorded_exchange(self, index: Index) -> None:
        index.rebuild(ENTRIES, session="s", serial=1)
        authority = Authority(index)
        request = bytes.fromhex(
            "020b020b0000000001020304000000000000003d000000010000000019000000ffff00007fffffff00000021"
            "0000001538362e3130302e312f6974656d2d303030303034320000000000000000" + "00000000"
        )
        recorded = bytes.fromhex(
            "020b020b000000000102030400000000000000eb000000010000000199000000000100006b0397f4000000cf0000001538362e3130302e31"
            "2f6974656d2d3030303030343200000003000000016553f10000000151800e0000000355524c0000001e68747470733a2f2f69642e657861"
            "6d706c652e6f72672f6974656d2d343200000000000000026553f10000000151800e000000044445534300000020696e647573747269616c"
            "2070617274206e756d626572203432206c6f7420343200000000000000646553f10000000151800e0000000848535f41444d494e00000017"
            "0fff0000000d302e4e412f38362e3130302e310000012c0000000000000000"
        )

        reply = authority.answer_message(request, "udp", 0x6B0397F4 - 43_200)
        authority.close()

        assert reply is not None
        assert reply.data.hex() == recorded.hex()
        assert (reply.owner, reply.found, reply.own) == ("86.100.1", True, False)

    def test_request_for_an_absent_handle_is_answered_as_the_recorded_exchange(self, index: Index) -> None:
        index.rebuild(ENTRIES, session="s", serial=1)
        authority = Authority(index)
        request = bytes.fromhex(
            "020b020b00000000010203040000000000000035000000010000000019000000ffff00007fffffff00000019"
            "0000000d38362e3130302e312f4e4f5045000000000000000000000000"
        )
        recorded = "020b020b00000000010203040000000000000020000000010000006499000000000100006b0397f4000000040000000000000000"

        reply = authority.answer_message(request, "udp", 0x6B0397F4 - 43_200)
        authority.close()

        assert reply is not None
        assert reply.data.hex() == recorded
        assert (reply.owner, reply.found) == ("86.100.1", False)


class TestResolution:
    @pytest.mark.parametrize(
        ("handle", "indexes", "types", "flags", "code", "found"),
        [
            ("86.100.1/Item-0000042", (), (), FLAG_PO, 1, [1, 2, 100]),
            ("86.100.1/item-0000042", (2, 2, -1, 9), (), FLAG_PO, 1, [2]),
            ("86.100.1/item-0000042", (), ("url",), FLAG_PO, 1, [1]),
            ("86.100.1/item-0000042", (100,), ("URL",), FLAG_PO, 1, [1, 100]),
            ("86.100.1/item-0000042", (7,), ("EMAIL",), FLAG_PO, 200, []),
            ("86.100.1/item-0000042", (), (), 0, 1, [1, 2, 100]),
            ("86.100.1/mixed", (), (), FLAG_PO, 1, [1, 2]),
            ("86.100.1/mixed", (), ("URL.",), FLAG_PO, 1, [1, 2]),
            ("86.100.1/mixed", (3,), (), FLAG_PO, 200, []),
            ("86.100.1/mixed", (1,), (), 0, 1, [1]),
            ("86.100.1/mixed", (3,), (), 0, 5, []),
            ("86.100.1/mixed", (1, 3), (), 0, 5, []),
            ("86.100.1/mixed", (), (), 0, 401, []),
            ("86.100.1/mixed", (300,), (), 0, 401, []),
            ("86.100.1/private", (), (), FLAG_PO, 200, []),
            ("86.100.1/private", (), (), 0, 5, []),
            ("86.100.1/empty", (), (), FLAG_PO, 200, []),
            ("86.100.1/empty", (), (), 0, 200, []),
            ("86.100.1/nope", (), (), FLAG_PO, 100, []),
            ("86.100.1/", (), (), FLAG_PO, 100, []),
            ("99.1/stray", (), (), FLAG_PO, 301, []),
            ("/x", (), (), FLAG_PO, 301, []),
            ("88.1/x", (), (), FLAG_DNRF, 301, []),
            ("0.NA/0.na", (), (), FLAG_PO, 1, [1]),
            ("0.NA", (), (), FLAG_PO, 1, [1]),
            ("88.100", (), (), FLAG_PO, 1, [1, 3]),
            ("99", (), (), FLAG_PO, 100, []),
            ("", (), (), FLAG_PO, 100, []),
            ("0.NA/88.100.1", (), (), FLAG_PO | FLAG_DNRF, 100, []),
        ],
    )
    def test_resolve_of_each_kind_of_question_gives_code_and_values(
        self,
        authority: Authority,
        handle: str,
        indexes: tuple[int, ...],
        types: tuple[str, ...],
        flags: int,
        code: int,
        found: list[int],
    ) -> None:
        answer = authority.resolve(handle.encode(), indexes, types, flags)

        assert (answer.response_code, [value.index for value in decode_values(answer.values)]) == (code, found)
        assert answer.found == (code == 1)
        assert answer.needs_authentication == (code == 5)

    def test_resolve_repeats_the_handle_as_spelled(self, authority: Authority) -> None:
        reply = asked(authority, make_request(ResolutionRequest("86.100.1/ITEM-0000042"), request_id=1))
        slashless = asked(authority, make_request(ResolutionRequest("0.na"), request_id=1))

        assert isinstance(reply.body, ResolutionResponse) and isinstance(slashless.body, ResolutionResponse)
        assert (reply.body.handle, slashless.body.handle) == ("86.100.1/ITEM-0000042", "0.na")
        assert reply.body.values == tuple(ITEM)

    @pytest.mark.parametrize("handle", ["0.NA/88.100.1", "88.100.1", "0.na/88.100.1.2.3", "88.100.7.1"])
    def test_resolve_of_an_absent_derived_prefix_refers_to_the_nearest_delegation(
        self, authority: Authority, handle: str
    ) -> None:
        reply = asked(authority, make_request(ResolutionRequest(handle), request_id=1))

        assert reply.response_code == 303
        assert reply.body == ReferralResponse("", (SERVED_BY,))

    @pytest.mark.parametrize(("version", "code"), [((2, 10), 303), ((2, 9), 100), ((2, 1), 100)])
    def test_resolve_of_an_absent_derived_prefix_by_an_old_client_is_not_found(
        self, authority: Authority, version: tuple[int, int], code: int
    ) -> None:
        request = bytearray(encode_message(make_request(ResolutionRequest("88.100.1"), request_id=1, version=version)))
        request[2:4] = bytes(version)

        reply = authority.answer_message(bytes(request), "udp", 0)

        assert reply is not None and reply.response_code == code
        assert reply.data[:4] == bytes((*version, 2, 11))

    def test_resolve_in_a_zone_that_refers_gives_its_service_handle(self, authority: Authority) -> None:
        reply = asked(authority, make_request(ResolutionRequest("88.1/anything"), request_id=1))

        assert (reply.response_code, reply.body) == (302, ReferralResponse("0.SERV/88.1"))

    def test_resolve_below_a_zone_of_derived_prefixes(self, index: Index) -> None:
        second = [
            zone_entry(b"0.NA/88.100", 1, owner="88.100"),
            put("0.NA/88.100.1", [HandleValue(1, "HS_SITE", b"enterprise")], "88.100.1"),
        ]
        index.rebuild(second, session="s", serial=1)
        authority = Authority(index)

        codes = [authority.resolve(handle).response_code for handle in (b"88.100.1", b"88.100.2", b"88.100", b"88.1001.1", b"89")]
        authority.close()

        assert codes == [1, 100, 301, 301, 301]

    def test_resolve_of_a_probe_identifier_is_marked_own(self, authority: Authority) -> None:
        answer = authority.resolve(b"86.100.1/PROBE")

        assert (answer.own, answer.found, answer.owner) == (True, True, "86.100.1")

    def test_resolve_of_a_handle_with_many_arcs_ends(self, authority: Authority) -> None:
        assert authority.resolve(b"0.NA/" + b"1." * 1_000 + b"1").response_code == 100

    def test_resolve_with_tens_of_thousands_of_filters_ends_quickly(self, authority: Authority) -> None:
        answer = authority.resolve(b"86.100.1/mixed", range(5, 60_000), [f"T{number}." for number in range(20_000)])

        assert answer.response_code == 200

    def test_public_question_in_an_unknown_session_is_answered_and_another_is_not(self, authority: Authority) -> None:
        body = ResolutionRequest("86.100.1/item-0000042")

        public = asked(authority, make_request(body, request_id=1, session_id=9))
        other = asked(authority, make_request(body, request_id=1, session_id=9, op_flags=FLAG_REC))

        assert (public.response_code, other.response_code) == (1, 5)

    @given(st.lists(st.text(st.sampled_from("URLx.ſß"), max_size=5), max_size=4))
    @settings(max_examples=60)
    def test_type_filter_equals_type_matches(self, requested: list[str]) -> None:
        types = ["URL", "URL.X", "urlx", "ß", "", "x.L", "URL."]
        values = encode_values([HandleValue(number, name, b"") for number, name in enumerate(types, start=1)])

        chosen = [span.type for span in _chosen(values, (), requested)]

        assert chosen == [name for name in types if not requested or any(type_matches(name, wanted) for wanted in requested)]


class TestMessages:
    def test_get_site_info_gives_the_bare_site_and_its_serial(self, authority: Authority) -> None:
        reply = asked(authority, make_request(GetSiteInfoRequest(), request_id=1))

        assert (reply.body, reply.header.site_serial) == (GetSiteInfoResponse(SITE), 7)

    def test_get_site_info_before_it_is_published_is_an_error(self, index: Index) -> None:
        authority = Authority(index)

        reply = asked(authority, make_request(GetSiteInfoRequest(), request_id=1))
        authority.close()

        assert reply.response_code == 2

    @pytest.mark.parametrize("handle", ["86.100.1/item-0000042", "86.100.1/nope", "88.1/x"])
    def test_request_digest_is_returned_when_asked_for(self, authority: Authority, handle: str) -> None:
        request = make_request(ResolutionRequest(handle), request_id=1, op_flags=RESOLUTION_FLAGS | FLAG_RD)

        reply = asked(authority, request)

        assert reply.request_digest == digest_request(encode_message(request))

    @pytest.mark.parametrize("op_code", [100, 101, 105, 106, 200, 201, 300, 400, 401, 1000])
    def test_operations_not_served_here_are_said_so(self, authority: Authority, op_code: int) -> None:
        request = bytearray(encode_message(make_request(ListHandlesRequest("0.NA/86"), request_id=0x01020304)))
        request[20:24] = op_code.to_bytes(4, "big")

        reply = authority.answer_message(bytes(request), "tcp", 0)

        assert reply is not None and reply.needs_authentication
        answer = decode_response(reply.data)
        assert (answer.op_code, answer.response_code, answer.request_id) == (op_code, 5, 0x01020304)
        assert isinstance(answer.body, ErrorResponse) and answer.body.message

    @pytest.mark.parametrize(
        ("name", "code"),
        [
            ("compressed", 4),
            ("encrypted", 501),
            ("op 0", 4),
            ("op 99", 2),
            ("response code 1", 2),
            ("too long", 2),
            ("shorter than it says", 4),
            ("body beyond the message", 4),
            ("handle beyond the body", 4),
            ("handle over 2048", 2),
            ("huge index list", 2),
            ("ten octets", 4),
            ("envelope only", 4),
        ],
    )
    def test_malformed_messages_get_their_code_and_their_request_id(self, authority: Authority, name: str, code: int) -> None:
        request = bytearray(encode_message(make_request(ResolutionRequest("86.100.1/x", (1, 2)), request_id=0xA1B2C3D4)))
        places: dict[str, tuple[int, str]] = {
            "compressed": (2, "82"),
            "encrypted": (2, "42"),
            "op 0": (20, "00000000"),
            "op 99": (20, "00000063"),
            "response code 1": (24, "00000001"),
            "too long": (16, "00040001"),
            "shorter than it says": (16, "00000fff"),
            "body beyond the message": (40, "00000fff"),
            "handle beyond the body": (44, "00000100"),
            "handle over 2048": (44, "00000fff"),
            "huge index list": (58, "7fffffff"),
        }
        if name in places:
            place, octets = places[name]
            request[place : place + len(octets) // 2] = bytes.fromhex(octets)
        request = request[: {"ten octets": 10, "envelope only": 20}.get(name, len(request))]

        reply = authority.answer_message(bytes(request), "tcp", 0)

        assert reply is not None
        answer = decode_response(reply.data)
        assert (answer.response_code, answer.op_code) == (code, 0)
        assert answer.envelope.version == (2, 3)
        assert answer.request_id == (0xFFFFFFFF if name == "ten octets" else 0xA1B2C3D4)

    def test_answers_and_nothing_get_silence_over_udp(self, authority: Authority) -> None:
        reply = authority.answer_message(encode_message(make_request(ResolutionRequest("86.100.1/x"), request_id=1)), "udp", 0)
        assert reply is not None

        assert authority.answer_message(reply.data, "udp", 0) is None
        assert authority.answer_message(b"", "udp", 0) is None

    def test_values_too_many_for_one_message_are_an_error(self, index: Index) -> None:
        values = [HandleValue(number, "BLOB", bytes(60_000)) for number in range(1, 6)]
        index.rebuild([zone_entry(b"86", 1, owner="86"), put("86/big", values, "86")], session="s", serial=1)
        authority = Authority(index)

        everything = asked(authority, make_request(ResolutionRequest("86/big"), request_id=7))
        one = asked(authority, make_request(ResolutionRequest("86/big", (2,)), request_id=7))
        authority.close()

        assert (everything.response_code, everything.request_id, one.response_code) == (2, 7, 1)

    def test_answers_within_a_batch_see_one_state(self, authority: Authority, index: Index) -> None:
        authority.renew()
        index.rebuild([], session="t", serial=1)
        within = authority.resolve(b"86.100.1/probe").response_code
        authority.release()

        assert (within, authority.resolve(b"86.100.1/probe").response_code) == (1, 301)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    with Index.open(tmp_path_factory.mktemp("index")) as index:
        index.rebuild([*ENTRIES, site_entry(encode_site(SITE), 1)], session="s", serial=1)
        made = Authority(index)
        yield made
        made.close()


# Log records add up over the examples, which is what is wanted: there may never be one.
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=120) | st.data())
def test_any_octets_get_a_readable_reply_or_silence(shared: Authority, caplog: pytest.LogCaptureFixture, octets: object) -> None:
    if not isinstance(octets, bytes):
        assert isinstance(octets, st.DataObject)
        handle = octets.draw(st.sampled_from(["86.100.1/mixed", "88.100.1", "", "99/x", "88.1/x"]))
        op_flags = octets.draw(st.sampled_from([RESOLUTION_FLAGS, 0, FLAG_RD, 0xFFFFFFFF, FLAG_PO | FLAG_CA]))
        message = make_request(ResolutionRequest(handle, (3,), ("URL",)), request_id=1, op_flags=op_flags)
        mutable = bytearray(encode_message(message))
        for _ in range(octets.draw(st.integers(1, 3))):
            mutable[octets.draw(st.integers(0, len(mutable) - 1))] = octets.draw(st.integers(0, 255))
        octets = bytes(mutable)

    reply = shared.answer_message(octets, "udp", 0)

    assert caplog.records == []
    if reply is not None:
        assert decode_response(reply.data).response_code == reply.response_code
