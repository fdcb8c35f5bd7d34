from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biaojie.handle.values import PUBLIC_READ, HandleValue, Reference, decode_values, encode_values
from biaojie.resolution.entries import (
    EMPTY_VALUES,
    NOTHING_PUBLIC,
    PRIVATE,
    Entry,
    RouteContent,
    check_entry,
    decode_entry,
    digest_of,
    encode_entry,
    handle_entry,
    index_key,
    removal,
    route_entry,
    spans,
    split_public,
    zone_entry,
)
from biaojie.resolution.errors import EntryInvalid

references = st.builds(Reference, st.text(max_size=5), st.integers(0, 9))
values = st.lists(
    st.builds(
        HandleValue,
        st.integers(1, 2**31 - 1),
        st.text(max_size=8),
        st.binary(max_size=20),
        permissions=st.integers(0, 15),
        references=st.lists(references, max_size=2).map(tuple),
    ),
    max_size=6,
)


@given(values)
def test_split_public_of_any_list_equals_filtering_decoded_values(given_values: list[HandleValue]) -> None:
    public_values = [value for value in given_values if value.permissions & PUBLIC_READ]

    flags, public = split_public(encode_values(given_values))

    assert decode_values(public) == public_values
    assert bool(flags & PRIVATE) == (len(public_values) < len(given_values))
    assert bool(flags & NOTHING_PUBLIC) == (not public_values)


@given(values)
def test_spans_of_any_list_name_each_value(given_values: list[HandleValue]) -> None:
    octets = encode_values(given_values)

    found = [(span.number, span.permissions, span.type) for span in spans(octets)]

    assert found == [(value.index, value.permissions, value.type) for value in given_values]


@given(values, st.data())
def test_split_public_of_cut_or_lengthened_list_is_refused(given_values: list[HandleValue], data: st.DataObject) -> None:
    octets = encode_values(given_values)
    cut = data.draw(st.integers(0, len(octets) - 1))

    for malformed in (octets[:cut], octets + b"\0"):
        with pytest.raises(ValueError):
            split_public(malformed)


@given(st.binary(max_size=60))
def test_split_public_of_any_octets_gives_a_list_or_value_error(octets: bytes) -> None:
    try:
        _, public = split_public(octets)
    except ValueError:
        return

    assert len(public) >= 4


def test_split_public_with_huge_counts_ends_at_once() -> None:
    value = encode_values([HandleValue(1, "URL", b"")])[4:-4]

    for octets in (b"\xff\xff\xff\xff", b"\0\0\0\1" + value + b"\xff\xff\xff\xff"):
        with pytest.raises(ValueError):
            split_public(octets)


@given(
    st.builds(Entry, st.text(max_size=6), st.binary(max_size=30), st.integers(0, 2**63 - 1), st.none() | st.binary(max_size=30))
)
def test_entry_encoded_and_decoded_is_equal(entry: Entry) -> None:
    assert decode_entry(encode_entry(entry)) == entry


@given(st.binary(max_size=30))
def test_decode_entry_of_any_octets_gives_an_entry_or_entry_invalid(octets: bytes) -> None:
    try:
        entry = decode_entry(octets)
    except EntryInvalid as error:
        assert error.code == "RES-121"
    else:
        assert isinstance(entry.key, bytes)


@pytest.mark.parametrize(
    "entry",
    [
        Entry("colour", b"k", 1, b""),
        Entry("handle", b"", 1, None),
        Entry("handle", b"k", -1, None),
        Entry("handle", b"k", 1, b"not msgpack"),
        handle_entry(b"\x0188.100/1", 1, owner="88.100", values=b"\0\0\0\1"),
        Entry("zone", b"88.100", 1, b"\x90"),
        route_entry(b"\x02x", 1, RouteContent("OID", "1.2", b"b", b"b", [], "88.100")),
    ],
    ids=["unknown kind", "no key", "negative version", "garbage", "cut values", "zone is a list", "empty interval"],
)
def test_check_entry_of_a_wrong_entry_raises_entry_invalid(entry: Entry) -> None:
    with pytest.raises(EntryInvalid):
        check_entry(entry)


def test_check_entry_of_right_entries_is_silent() -> None:
    check_entry(handle_entry(b"\x0188.100/1", 1, owner="88.100", values=EMPTY_VALUES))
    check_entry(zone_entry(b"88.100", 1, owner="88.100"))
    check_entry(removal("route", b"\x02x", 5))


def test_index_key_of_long_keys_differs_and_fits() -> None:
    long_key = b"\x01" + b"A" * 600

    first, second = index_key(long_key + b"1"), index_key(long_key + b"2")

    assert len(first) == 480
    assert first != second
    assert index_key(b"A" * 480) == b"A" * 480


def test_digest_of_entries_in_another_order_is_equal_and_of_others_is_not() -> None:
    entries = [zone_entry(f"88.{number}".encode(), 1, owner="x") for number in range(5)]

    assert digest_of(entries) == digest_of(reversed(entries))
    assert digest_of(entries) != digest_of(entries[1:])
    assert digest_of(entries) != digest_of([*entries[1:], zone_entry(b"88.0", 2, owner="x")])
