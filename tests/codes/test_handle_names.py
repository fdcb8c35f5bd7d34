"""Handle names: splitting, prefix handles, canonical form."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biaojie.codes.errors import BadPrefixArc, CodeError
from biaojie.codes.handle_names import (
    canonical_handle,
    canonical_handle_bytes,
    handle_of_prefix,
    is_prefix_handle,
    parent_prefix,
    prefix_named_by,
    prefix_of,
    read_handle,
    split_handle,
)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("88.100.1/abc", ("88.100.1", "abc")),
        ("88.100.1/a/b//c", ("88.100.1", "a/b//c")),
        ("0.NA/88.100", ("0.NA", "88.100")),
        ("hdl:88.100/x", ("88.100", "x")),
        ("https://hdl.handle.net/88.100/%E7%93%B6?noredirect", ("88.100", "瓶")),
        ("https://hdl.handle.net/88.100/a%3Fb", ("88.100", "a?b")),
        ("88.101.0042/水泵 1", ("88.101.0042", "水泵 1")),
    ],
)
def test_split_handle_valid_gives_prefix_and_suffix(text: str, parts: tuple[str, str]) -> None:
    found = split_handle(text)

    assert found == parts


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("88.100.1", "CODE-113"),
        ("/abc", "CODE-111"),
        ("88.100/", "CODE-112"),
        ("88..100/a", "CODE-114"),
        (".88/a", "CODE-114"),
        ("88.100./a", "CODE-114"),
        ("88 100/a", "CODE-114"),
        ("hdl:hdl:88/a", "CODE-114"),
        ("http://example.com/88/a", "CODE-114"),
        ("hdl:", "CODE-115"),
        ("https://hdl.handle.net/88.100/%ff", "CODE-115"),
        ("88.100/a\x00b", "CODE-105"),
        ("88.100/a\ud800", "CODE-105"),
        ("88.100/" + "a" * 2042, "CODE-104"),
        (" ", "CODE-103"),
    ],
)
def test_split_handle_faulty_is_refused_with_its_code(text: str, code: str) -> None:
    with pytest.raises(CodeError) as caught:
        split_handle(text)

    assert caught.value.code == code


def test_read_handle_of_exactly_the_limit_is_accepted() -> None:
    value = read_handle("88.100/" + "a" * 2041)

    assert len(value.canonical.encode()) == 2048


def test_read_handle_bad_arc_says_which() -> None:
    with pytest.raises(BadPrefixArc) as caught:
        read_handle("88.1 0.1/a")

    assert caught.value.data == {"prefix": "88.1 0.1", "position": 2, "arc": "1 0"}
    assert "第 2 段“1 0”" in caught.value.message


def test_prefix_handle_without_slash_stays_distinguishable_from_its_record() -> None:
    bare, record = read_handle("88.100.1"), read_handle("0.NA/88.100.1")

    assert (bare.suffix, record.suffix) == (None, "88.100.1")
    assert bare.canonical != record.canonical


@pytest.mark.parametrize(
    ("text", "named"),
    [("88.100.1", "88.100.1"), ("0.na/88.100", "88.100"), ("0.NA/0.NA", "0.NA"), ("88.100/a", None), ("0.NA/88.100/a", None)],
)
def test_prefix_named_by_tells_prefix_handles_from_objects(text: str, named: str | None) -> None:
    found = (prefix_named_by(text), is_prefix_handle(text))

    assert found == (named, named is not None)


@pytest.mark.parametrize(
    ("prefix", "handle"),
    [("88.100.1", "0.NA/88.100.1"), ("0.NA", "0.NA/0.NA"), ("0.NA/88", "0.NA/88"), ("hdl:88.100", "0.NA/88.100")],
)
def test_handle_of_prefix_gives_the_record_handle(prefix: str, handle: str) -> None:
    found = handle_of_prefix(prefix)

    assert found == handle


def test_handle_of_prefix_given_an_object_is_refused() -> None:
    with pytest.raises(BadPrefixArc) as caught:
        handle_of_prefix("88.100/abc")

    assert (caught.value.data["position"], caught.value.data["arc"]) == (2, "100/abc")


@pytest.mark.parametrize(("prefix", "parent"), [("88.100.1", "88.100"), ("88.100", "88"), ("88", None), ("0.NA", None)])
def test_parent_prefix_drops_one_arc(prefix: str, parent: str | None) -> None:
    found = parent_prefix(prefix)

    assert found == parent


def test_prefix_of_takes_either_form() -> None:
    found = [prefix_of(text) for text in ("88.100/abc", "88.100", "0.NA/88.100")]

    assert found == ["88.100", "88.100", "0.NA"]


def test_canonical_handle_upper_cases_ascii_only() -> None:
    text = "88.1/aß-é-ﬁ-瓶-ı"

    assert canonical_handle(text) == "88.1/Aß-é-ﬁ-瓶-ı"


@settings(max_examples=200)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_canonical_handle_any_text_agrees_with_the_form_in_bytes(text: str) -> None:
    once = canonical_handle(text)

    assert once.encode() == canonical_handle_bytes(text.encode())
    assert canonical_handle(once) == once
