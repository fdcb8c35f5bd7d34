"""What any text must satisfy."""

from __future__ import annotations

import pytest

from biaojie.codes.errors import EmptyText, ForbiddenCharacter, TextTooLong
from biaojie.codes.plain_text import clean, is_digits, shown


def test_clean_takes_blanks_off_and_keeps_those_within() -> None:
    text = clean("　 88.100/水 泵\n")

    assert text == "88.100/水 泵"


def test_clean_control_character_says_where_in_the_text_as_given() -> None:
    with pytest.raises(ForbiddenCharacter) as caught:
        clean("  ab\x07c")

    assert caught.value.data == {"position": 5, "character": "U+0007"}


@pytest.mark.parametrize("text", ["a\x7fb", "a\x9fb", "a\udc00b", "a\nb"])
def test_clean_forbidden_character_is_refused(text: str) -> None:
    with pytest.raises(ForbiddenCharacter):
        clean(text)


def test_clean_counts_octets_not_characters() -> None:
    with pytest.raises(TextTooLong) as caught:
        clean("瓶" * 683)

    assert caught.value.data == {"length": 2049, "limit": 2048}
    assert clean("瓶" * 682) == "瓶" * 682


def test_clean_blank_is_refused() -> None:
    with pytest.raises(EmptyText):
        clean(" \u3000\t")


def test_shown_long_or_unprintable_is_shortened_and_escaped() -> None:
    text = shown("a\x00" + "b" * 80)

    assert text == "a\\u0000" + "b" * 58 + "…"


@pytest.mark.parametrize(("text", "answer"), [("0123", True), ("", False), ("１２", False), ("1a", False), ("²", False)])
def test_is_digits_knows_ascii_digits_only(text: str, answer: bool) -> None:
    found = is_digits(text)

    assert found is answer
