from __future__ import annotations

import msgspec
import pytest
import vectors
from hypothesis import given
from hypothesis import strategies as st

from biaojie.handle import json_form
from biaojie.handle.errors import InvalidJson
from biaojie.handle.messages import ResolutionResponse, decode_response
from biaojie.handle.sites import encode_site
from biaojie.handle.values import SECRET_PERMISSIONS, HandleValue, Reference


def test_observed_response_has_the_json_of_the_reference() -> None:
    body = decode_response(vectors.RESOLVE_RESPONSE).body
    assert isinstance(body, ResolutionResponse)

    form = json_form.response_json(1, body.handle, body.values)

    assert form == {
        "responseCode": 1,
        "handle": "86.100.1/item-0000042",
        "values": [
            {
                "index": 1,
                "type": "URL",
                "data": {"format": "string", "value": "https://id.example.org/item/42"},
                "ttl": 86400,
                "timestamp": "2023-11-14T22:13:20Z",
            },
            {
                "index": 2,
                "type": "DESC",
                "data": {"format": "string", "value": "industrial part number 42 lot 42"},
                "ttl": 86400,
                "timestamp": "2023-11-14T22:13:20Z",
            },
            {
                "index": 100,
                "type": "HS_ADMIN",
                "data": {
                    "format": "admin",
                    "value": {"handle": "0.NA/86.100.1", "index": 300, "permissions": "111111111111"},
                },
                "ttl": 86400,
                "timestamp": "2023-11-14T22:13:20Z",
            },
        ],
    }


def test_answers_without_values_have_the_json_of_the_reference() -> None:
    assert json_form.response_json(100, "86.100.1/nope") == {"responseCode": 100, "handle": "86.100.1/nope"}
    assert json_form.response_json(200, "86.100.1/x", []) == {"responseCode": 200, "handle": "86.100.1/x", "values": []}
    assert json_form.response_json(302, "9/x", referral_handle="0.SERV/9")["referralHandle"] == "0.SERV/9"
    assert json_form.response_json(301, "9/x", message="That prefix doesn't live here")["message"]


WELL_FORMED = st.builds(
    HandleValue,
    index=vectors.i32,
    type=st.one_of(st.sampled_from(["URL", "HS_ADMIN", "HS_VLIST", "HS_SITE", "HS_SECKEY", "hs_site.6"]), st.text(max_size=8)),
    data=st.one_of(vectors.octets, st.text(max_size=12).map(str.encode), vectors.sites.map(encode_site)),
    ttl_type=st.sampled_from([0, 1]),
    ttl=vectors.u32,
    timestamp=vectors.u32,
    permissions=st.integers(0, 15),
    references=st.lists(st.builds(Reference, handle=st.text(max_size=8), index=vectors.i32), max_size=2).map(tuple),
)


@given(value=WELL_FORMED)
def test_value_through_json_text_is_equal(value: HandleValue) -> None:
    form = msgspec.json.decode(msgspec.json.encode(json_form.value_to_json(value)))

    assert json_form.value_from_json(form) == value


@pytest.mark.parametrize("type_", ["HS_ADMIN", "HS_VLIST", "HS_SITE", "HS_PUBKEY", "URL"])
@given(data=vectors.octets)
def test_data_of_any_octets_comes_back_from_its_json(type_: str, data: bytes) -> None:
    assert json_form.data_from_json(json_form.data_to_json(type_, data)) == data


def test_permissions_and_references_appear_only_when_not_default() -> None:
    plain = json_form.value_to_json(HandleValue(1, "URL", b"x"))
    special = json_form.value_to_json(HandleValue(1, "URL", b"x", permissions=0x0C, references=(Reference("a/b", 2),)))

    assert set(plain) == {"index", "type", "data", "ttl"}
    assert special["permissions"] == "1100"
    assert special["references"] == [{"handle": "a/b", "index": 2}]


def test_secret_key_without_permissions_is_not_made_public() -> None:
    value = json_form.value_from_json({"index": 301, "type": "hs_seckey", "data": "s3cret-key"})

    assert value.permissions == SECRET_PERMISSIONS
    assert json_form.value_to_json(value)["permissions"] == "1100"


def test_absolute_ttl_is_a_moment() -> None:
    form = json_form.value_to_json(HandleValue(1, "URL", b"x", ttl_type=1, ttl=1_700_000_000))

    assert form["ttl"] == "2023-11-14T22:13:20Z"


@pytest.mark.parametrize(
    ("data", "octets"),
    [
        ("text 中", "text 中".encode()),
        ({"format": "string", "value": "x"}, b"x"),
        ({"format": "base64", "value": "AAE="}, b"\0\1"),
        ({"format": "hex", "value": "00ff"}, b"\0\xff"),
        ({"format": "vlist", "value": [{"handle": "a", "index": 1}]}, bytes.fromhex("00000001 00000001 61 00000001")),
        (
            {"format": "admin", "value": {"handle": "a", "index": 300, "permissions": "011"}},
            bytes.fromhex("0003 00000001 61 0000012c"),
        ),
    ],
)
def test_data_formats_are_read(data: object, octets: bytes) -> None:
    assert json_form.value_from_json({"index": 1, "type": "T", "data": data}).data == octets


@pytest.mark.parametrize(
    "form",
    [
        None,
        {},
        {"index": "1", "type": "T", "data": "x"},
        {"index": 1 << 40, "type": "T", "data": "x"},
        {"index": 1, "type": "T", "data": {"format": "odd", "value": "x"}},
        {"index": 1, "type": "T", "data": {"format": "base64", "value": "?"}},
        {"index": 1, "type": "T", "data": {"format": "hex", "value": "0"}},
        {"index": 1, "type": "T", "data": {"format": "admin", "value": {"handle": "a", "index": 1, "permissions": "3"}}},
        {"index": 1, "type": "T", "data": {"format": "vlist", "value": 3}},
        {"index": 1, "type": "T", "data": {"format": "site", "value": {}}},
        {"index": 1, "type": "T", "data": {"format": "key", "value": {}}},
        {"index": 1, "type": "T", "data": "x", "ttl": -1},
        {"index": 1, "type": "T", "data": "x", "ttl": "soon"},
        {"index": 1, "type": "T", "data": "x", "timestamp": "1969-12-31T23:59:59Z"},
        {"index": 1, "type": "T", "data": "x", "permissions": "11"},
        {"index": 1, "type": "T\ud800", "data": "x"},
        {"index": 1, "type": "T", "data": "\ud800"},
        {"index": 1, "type": "T", "data": "x", "references": [{"handle": "a"}]},
    ],
)
def test_json_that_is_no_value_is_refused(form: object) -> None:
    with pytest.raises(InvalidJson):
        json_form.value_from_json(form)


def test_binary_data_of_a_text_type_goes_as_base64() -> None:
    assert json_form.data_to_json("URL", b"a\0b") == {"format": "base64", "value": "YQBi"}


def test_moment_with_an_offset_is_read_as_utc_seconds() -> None:
    assert json_form.from_iso_time("2023-11-15T06:13:20+08:00") == 1_700_000_000
