"""Recognition, and parsing of any text."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from biaojie.codes.errors import CodeError
from biaojie.codes.parsing import is_valid, parse, recognise, resolution_form
from biaojie.codes.systems import System
from biaojie.codes.vaa import VaaValue

SUFFIX = "214PmkhKndUcArDQPgD5J4fFVwqJFPt"
VALID = [
    "88.100.1/abc",
    "88.100.1",
    "0.na/88.100",
    "88.101.0042/水泵 1",
    "hdl:10.1000/182",
    "https://hdl.handle.net/86.100/a%2Fb",
    "1.2.156.3001.0501",
    "urn:oid:2.16.156.1",
    f"did:bid:ef{SUFFIX}",
    f"did:bid:byo1:zf{SUFFIX}",
    "VAA08810012345678/abc123",
    "VAA08810012345678abc",
    "E=000016901234567892",
    "Ecode:300001AbC",
    "E=400001|瓶 a",
    "1|0001|690123456789",
    "6901234567892",
    "96385074",
    "106141412345678908",
    "(01)09501101530003(21)SN1(17)250101",
    "(414)9501101530003",
    "https://id.gs1.org/01/09501101530003/10/L/21/S(1)",
]


@pytest.mark.parametrize(
    ("text", "system"),
    [
        ("88.100.1/abc", System.HANDLE),
        ("88.100.1", System.HANDLE),
        ("86.100", System.HANDLE),
        ("20.500.12357", System.HANDLE),
        ("10.1000", System.HANDLE),
        ("88", System.HANDLE),
        ("0.NA", System.HANDLE),
        ("0.na/88.100", System.HANDLE),
        ("hdl:1.2", System.HANDLE),
        ("HTTPS://HDL.HANDLE.NET/1/2", System.HANDLE),
        ("1.2/3", System.HANDLE),
        ("1.2.156", System.OID),
        ("0.1.2", System.OID),
        ("urn:oid:88.1", System.OID),
        ("DID:BID:x", System.BID),
        ("vaa088100", System.VAA),
        ("VAA08810012345678/abc", System.VAA),
        ("VAA1/abc", System.HANDLE),
        ("E=1", System.ECODE),
        ("0|0001|6901234567892", System.ECODE),
        ("https://www.iotroot.com/E=1", System.ECODE),
        ("100016901234567", System.ECODE),
        ("6901234567892", System.GS1),
        ("106141412345678908", System.GS1),
        ("(01)1", System.GS1),
        ("https://example.com/x/01/09501101530003/21/1234", System.GS1),
        ("6901234567893", None),
        ("did:vaa:xyz", None),
        ("https://example.com/88.100/abc", None),
        ("水泵", None),
        ("12345", None),
        ("", None),
    ],
)
def test_recognise_tells_the_system(text: str, system: System | None) -> None:
    found = recognise(text)

    assert found is system


def test_recognise_eighteen_digits_with_a_valid_check_digit_are_gs1_unless_marked() -> None:
    digits = "106141412345678908"

    assert [recognise(digits), recognise(f"E={digits}")] == [System.GS1, System.ECODE]


@pytest.mark.parametrize("text", VALID)
def test_parse_canonical_form_is_idempotent_and_recognised_again(text: str) -> None:
    once = parse(text)

    again = parse(once.canonical)

    assert again == once
    assert (again.canonical, again.routing_key, again.key()) == (once.canonical, once.routing_key, once.key())


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("水泵", "CODE-102"),
        ("https://example.com/x", "CODE-102"),
        ("", "CODE-103"),
        ("a" * 2049, "CODE-104"),
        ("88.100/\x00", "CODE-105"),
        ("88.100/", "CODE-112"),
        ("2027.42", "CODE-123"),
        ("VAA088100", "CODE-141"),
        ("6901234567893", "CODE-161"),
    ],
)
def test_parse_unrecognised_or_faulty_is_refused_with_its_code(text: str, code: str) -> None:
    with pytest.raises(CodeError) as caught:
        parse(text)

    assert caught.value.code == code
    assert not is_valid(text)


def test_parse_with_the_system_given_does_not_guess() -> None:
    systems = [parse(text, system).system for text, system in (("1.2.156", System.HANDLE), ("2027.42", System.HANDLE))]

    assert systems == [System.HANDLE, System.HANDLE]
    assert not is_valid("88.100/a", System.OID)


def test_parse_vaa_given_as_a_handle_is_its_vaa() -> None:
    identifier = parse("88.100.12345678/abc", System.VAA)

    assert identifier.canonical == "VAA08810012345678/ABC"
    assert isinstance(identifier.value, VaaValue)


def test_resolution_form_of_a_vaa_is_its_handle_and_of_others_themselves() -> None:
    vaa, oid = parse("VAA08810012345678/abc"), parse("1.2.156")

    assert resolution_form(vaa) == parse("88.100.12345678/abc")
    assert resolution_form(oid) is oid


_PIECES = [
    "88",
    "100",
    ".",
    "/",
    "did:bid:",
    "ef",
    "VAA",
    "088100",
    "12345678",
    "E=",
    "1",
    "0001",
    "|",
    "(01)",
    "(21)",
    "(10)",
    "(",
    "09501101530003",
    "6901234567892",
    "https://",
    "id.gs1.org",
    "hdl:",
    "hdl.handle.net",
    "%ff",
    "%2F",
    "?",
    "urn:oid:",
    "0.NA",
    "瓶",
    "１",
    ":",
    "[",
    "-",
    "é",
    "{0}",
    "(8004)",
    "(7007)",
    "250199",
]
_pieces = st.lists(st.sampled_from([*_PIECES, " ", "\x00", "\ud800", "\x1d"]), max_size=9).map("".join)


@settings(max_examples=400, deadline=None)
@example(text="(01)09501101530003(7007)259999250199", system=None)
@example(text="https://[/01/09501101530003", system=System.GS1)
@given(
    text=st.one_of(_pieces, st.text(max_size=30), st.builds("".join, st.tuples(st.sampled_from(VALID), st.text(max_size=4)))),
    system=st.one_of(st.none(), st.sampled_from(System)),
)
def test_parse_any_text_gives_an_identifier_or_a_coded_error(text: str, system: System | None) -> None:
    try:
        identifier = parse(text, system)
    except CodeError as error:
        assert error.code.startswith("CODE-1")
        str(error).encode()
        return

    again = parse(identifier.canonical, identifier.system)
    assert again == identifier
    assert again.routing_bytes() == identifier.routing_bytes()
    assert identifier.key()[0] == identifier.system.number
    assert system in (None, identifier.system)
