from __future__ import annotations

import pytest
import vectors
from hypothesis import given
from hypothesis import strategies as st

from biaojie.handle import system_values
from biaojie.handle.errors import EncodeError, InvalidJson, TrailingBytes, Truncated
from biaojie.handle.system_values import AdminRecord
from biaojie.handle.values import HandleValue, Reference

OBSERVED = bytes.fromhex("0fff0000000d302e4e412f38362e3130302e310000012c")


def test_observed_admin_record_has_all_twelve_rights() -> None:
    record = system_values.decode_admin(OBSERVED)

    assert record == AdminRecord(system_values.ALL_RIGHTS, "0.NA/86.100.1", 300)
    assert system_values.encode_admin(record) == OBSERVED
    assert record.allows(system_values.RIGHT_BITS["list_handles"])
    assert not record.allows(system_values.RIGHT_BITS["list_prefixes"])


def test_admin_record_of_old_software_with_two_zero_octets_is_accepted() -> None:
    assert system_values.decode_admin(OBSERVED + bytes(2)) == system_values.decode_admin(OBSERVED)


@pytest.mark.parametrize("tail", [b"\0", b"\0\1", bytes(3)])
def test_admin_record_with_any_other_tail_is_refused(tail: bytes) -> None:
    with pytest.raises(TrailingBytes):
        system_values.decode_admin(OBSERVED + tail)


@given(permissions=vectors.u16, handle=vectors.texts, index=vectors.i32)
def test_admin_record_encoded_and_decoded_is_equal(permissions: int, handle: str, index: int) -> None:
    record = AdminRecord(permissions, handle, index)

    assert system_values.decode_admin(system_values.encode_admin(record)) == record


@given(members=st.lists(vectors.references, max_size=4).map(tuple))
def test_value_list_encoded_and_decoded_is_equal(members: tuple[Reference, ...]) -> None:
    assert system_values.decode_value_list(system_values.encode_value_list(members)) == members


@given(permissions=st.integers(0, 0x1FFF))
def test_rights_as_digits_and_back_are_equal(permissions: int) -> None:
    assert system_values.rights_from_text(system_values.rights_to_text(permissions)) == permissions


def test_rights_are_twelve_digits_most_significant_first() -> None:
    assert system_values.rights_to_text(0x0801) == "100000000001"


@pytest.mark.parametrize("text", ["", "012", "2", "0" * 17, "１"])
def test_rights_that_are_no_digits_are_refused(text: str) -> None:
    with pytest.raises(InvalidJson):
        system_values.rights_from_text(text)


@pytest.mark.parametrize(
    ("type_", "meaning"),
    [
        ("HS_ADMIN", AdminRecord(1, "0.NA/86", 0)),
        ("hs_vlist", (Reference("0.NA/86", 300),)),
        ("HS_SERV", "0.SERV/示例"),
        ("HS_ALIAS", "86.100.1/x"),
        ("HS_NAMESPACE", b"<namespace/>"),
        ("URL", b"https://id.example.org/"),
    ],
)
def test_data_of_a_type_is_decoded_and_encoded_by_its_row(type_: str, meaning: object) -> None:
    data = system_values.encode_data(type_, meaning)

    assert system_values.decode_data(HandleValue(1, type_, data)) == meaning


def test_text_for_a_type_of_octets_is_refused() -> None:
    with pytest.raises(EncodeError):
        system_values.encode_data("URL", "text")


@pytest.mark.parametrize("decode", [system_values.decode_admin, system_values.decode_value_list])
def test_empty_data_is_truncated(decode) -> None:
    with pytest.raises(Truncated):
        decode(b"")
