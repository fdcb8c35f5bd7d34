"""What an identifier and its values may be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from served import url

from biaojie.base.errors import BiaojieError
from biaojie.codes.errors import CodeError
from biaojie.handle.json_form import value_from_json
from biaojie.registry.errors import HandleBlanks, HandleRefused
from biaojie.registry.handle_rules import RECORD_LONGEST, VALUE_LONGEST, check_row, check_values, read_identifier, spelled


@pytest.mark.parametrize(
    ("text", "canonical", "shown"),
    [
        ("88.100.2/a b", "88.100.2/A B", "88.100.2/a b"),
        (" hdl:88.100.2/件-1 ", "88.100.2/件-1", "88.100.2/件-1"),
        ("88.100.2/01/06901234000016", "88.100.2/01/06901234000016", "88.100.2/01/06901234000016"),
        ("oid:1.2.156.3001", "1.2.156.3001", "oid:1.2.156.3001"),
    ],
)
def test_read_identifier_of_any_system_gives_canonical_and_shown_form(text: str, canonical: str, shown: str) -> None:
    found = read_identifier(text)

    assert (found.canonical, spelled(found)) == (canonical, shown)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("88.100.2/" + "x" * 247, "REG-153"),
        ("88.100.2/a\x00", "REG-150"),
        ("0.NA/88.100.2", "REG-150"),
        ("88.100.2", "REG-150"),
        ("88.100.3/a", "REG-152"),
        ("88.100.2x/a", "REG-152"),
    ],
)
def test_read_identifier_that_may_not_be_registered_refused(text: str, code: str) -> None:
    with pytest.raises(BiaojieError) as refused:
        read_identifier(text, prefix="88.100.2")

    assert refused.value.code == code


def test_read_identifier_under_prefix_of_other_case_accepted() -> None:
    assert read_identifier("88.ab/x", prefix="88.AB").canonical == "88.AB/X"


def test_check_values_good_values_stored_sorted_as_given() -> None:
    forms = [url("https://a.example/2", 7, ttl=60), {"index": 2, "type": "T", "data": "文字"}]

    stored, faults = check_values(forms)

    assert faults == []
    assert stored == [{"index": 2, "type": "T", "data": {"format": "string", "value": "文字"}}, forms[0]]


@pytest.mark.parametrize(
    ("forms", "faults"),
    [
        ("text", [("REG-156", "values")]),
        ([], [("REG-155", "values")]),
        ([url("x", n + 1) for n in range(201)], [("REG-156", "values")]),
        ([1], [("REG-156", "values/0")]),
        ([url("x", 0)], [("REG-156", "values/0/index")]),
        ([url("x", -1), url("x", 2**31)], [("REG-156", "values/0/index"), ("REG-156", "values/1")]),
        ([url("x", 1), url("y", 1)], [("REG-157", "values/1/index")]),
        ([url("x", 1, colour="red")], [("REG-156", "values/0/colour")]),
        ([{"index": 1, "type": "T", "data": {"format": "string", "value": "x", "more": 1}}], [("REG-156", "values/0/more")]),
        ([{"index": 1, "type": "", "data": "x"}], [("REG-156", "values/0/type")]),
        ([{"index": 1, "type": "t" * 256, "data": "x"}], [("REG-156", "values/0/type")]),
        ([{"index": 1, "type": "hs_site.6", "data": "x"}], [("REG-159", "values/0/type")]),
        ([url("x" * (VALUE_LONGEST + 1))], [("REG-158", "values/0/data")]),
        ([url("x" * VALUE_LONGEST, n) for n in range(1, 6)], [("REG-156", "values")]),
        ([url("a\x00b")], [("REG-156", "values/0")]),
        ([url("a\ud800b")], [("REG-156", "values/0")]),
        ([url("x", ttl=-1)], [("REG-156", "values/0")]),
        ([url("x", permissions="12")], [("REG-156", "values/0")]),
        ([url("x", 1.5), url("ok", 2), {"index": 3}], [("REG-156", "values/0"), ("REG-156", "values/2")]),
    ],
)
def test_check_values_every_fault_found_with_its_place(forms: Any, faults: list[tuple[str, str]]) -> None:
    stored, found = check_values(forms)

    assert stored == []
    assert [(fault.code, fault.pointer) for fault in found] == faults


def test_check_values_backslash_written_before_u0000_is_no_nul() -> None:
    stored, faults = check_values([url("a\\u0000")])

    assert (stored, faults) == ([url("a\\u0000")], [])


def test_check_values_record_of_exactly_the_limit_accepted() -> None:
    each = RECORD_LONGEST // 4 - 4 * 4 - len("URL") - 3 * 4 + 2  # head, type and references of a value on the wire

    stored, faults = check_values([url("x" * each, n) for n in range(1, 5)])

    assert len(stored) == 4, faults


def test_check_row_with_several_faults_lists_them_all() -> None:
    row = {"handle": "88.100.3/a", "values": [url("x", 0), url("y", 1), url("z", 1)], "note": 1}

    identifier, values, faults = check_row(row, prefix="88.100.2")

    assert (identifier, values) == (None, [])
    assert [(fault.code, fault.pointer) for fault in faults] == [
        ("REG-150", "note"),
        ("REG-152", "handle"),
        ("REG-156", "values/0/index"),
        ("REG-157", "values/2/index"),
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["index", "type", "data", "format", "value", "ttl"]), inner)
    ),
    max_leaves=12,
)


@given(JSON)
def test_check_values_of_anything_refused_or_ready_for_the_wire(forms: Any) -> None:
    stored, faults = check_values(forms)

    assert bool(stored) is not bool(faults)
    assert [value_from_json(form).index for form in stored] == sorted(form["index"] for form in stored)


@given(st.text(max_size=40))
def test_read_identifier_of_any_text_raises_only_our_errors(text: str) -> None:
    try:
        found = read_identifier(text)
    except BiaojieError as error:
        assert isinstance(error, CodeError | HandleRefused)
    else:
        assert read_identifier(spelled(found)).canonical == found.canonical


@pytest.mark.parametrize("text", ["88.100.2/a\u2028", "\u300088.100.2/a", "88.100.2/a\x1c", "88.100.2/a\t", "1.2.156.3001.7\xa0"])
def test_read_identifier_with_blanks_that_nobody_sees_refused(text: str) -> None:
    with pytest.raises(HandleBlanks):
        read_identifier(text)


def test_read_identifier_trims_spaces_and_line_ends() -> None:
    assert read_identifier(" 88.100.2/a \r\n").canonical == "88.100.2/A"
