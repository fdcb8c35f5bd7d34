"""VAA and its way to and from the Handle form."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biaojie.codes.errors import CodeError
from biaojie.codes.vaa import from_handle, read_vaa, to_handle

SERIAL_CHARACTERS = "0123456789ABCDEFXYZabcdefxyz*+-./()!"


@pytest.mark.parametrize(
    ("vaa", "handle"),
    [
        ("VAA08810012345678/abc123", "88.100.12345678/abc123"),
        ("VAA08610000012345/A.b(1)!", "86.100.00012345/A.b(1)!"),
        ("VAA02000112345678/a/b", "20.001.12345678/a/b"),
        ("VAA00010012345678/x", "0.100.12345678/x"),
    ],
)
def test_vaa_and_handle_convert_both_ways(vaa: str, handle: str) -> None:
    there, back = to_handle(vaa), from_handle(handle)

    assert (there, back) == (handle, vaa)


def test_read_vaa_canonical_is_upper_case_and_routes_by_handle_prefix() -> None:
    value = read_vaa("vaa08810012345678/abc123")

    assert (value.canonical, value.routing_key) == ("VAA08810012345678/ABC123", "88.100.12345678")


def test_read_vaa_serial_without_slash_is_read_as_with_and_noted() -> None:
    value = read_vaa("VAA08810012345678abc")

    assert value.canonical == read_vaa("VAA08810012345678/abc").canonical
    assert len(value.notes) == 1


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("VAA", "CODE-141"),
        ("VAA088100", "CODE-141"),
        ("VAA08810012345678", "CODE-141"),
        ("VAA08810", "CODE-142"),
        ("VAA0881001234567/abc", "CODE-142"),
        ("VAA08810012345678/", "CODE-143"),
        ("VAA08810012345678/" + "a" * 33, "CODE-143"),
        ("VAA08810012345678" + "a" * 33, "CODE-143"),
        ("VAA08810012345678/a_b", "CODE-144"),
        ("VAA08810012345678/瓶", "CODE-144"),
    ],
)
def test_read_vaa_faulty_is_refused_with_its_code(text: str, code: str) -> None:
    with pytest.raises(CodeError) as caught:
        read_vaa(text)

    assert caught.value.code == code


@pytest.mark.parametrize(
    "handle",
    [
        "88.100/abc",
        "88.100.12345678",
        "88.1021.12345678/a",
        "88.100.123/a",
        "088.100.12345678/a",
        "1088.100.12345678/a",
        "88.100.12345678/a_b",
        "88.100.12345678/" + "a" * 33,
    ],
)
def test_from_handle_without_a_vaa_form_is_refused(handle: str) -> None:
    with pytest.raises(CodeError) as caught:
        from_handle(handle)

    assert caught.value.code == "CODE-145"


def test_to_handle_given_a_handle_is_refused() -> None:
    with pytest.raises(CodeError) as caught:
        to_handle("88.100.12345678/a")

    assert caught.value.code == "CODE-141"


@settings(max_examples=200)
@given(
    ttc=st.integers(0, 999),
    stc=st.from_regex(r"[0-9]{3}", fullmatch=True),
    cin=st.from_regex(r"[0-9]{8}", fullmatch=True),
    serial=st.text(SERIAL_CHARACTERS, min_size=1, max_size=32),
)
def test_vaa_round_trip_through_the_handle_is_exact(ttc: int, stc: str, cin: str, serial: str) -> None:
    vaa = f"VAA{ttc:03d}{stc}{cin}/{serial}"

    handle = to_handle(vaa)

    assert from_handle(handle) == vaa
    assert handle == f"{ttc}.{stc}.{cin}/{serial}"
