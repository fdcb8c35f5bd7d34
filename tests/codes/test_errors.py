"""Codes are unique, declared in the tree of the docstring, and messages are Chinese."""

from __future__ import annotations

import re

from biaojie.codes import errors


def _classes() -> list[type[errors.CodeError]]:
    return [item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, errors.CodeError)]


def test_error_codes_are_unique_and_in_the_package_series() -> None:
    codes = [item.code for item in _classes()]

    assert len(codes) == len(set(codes))
    assert all(re.fullmatch(r"CODE-1\d\d", code) for code in codes)


def test_error_tree_in_the_docstring_names_every_class_with_its_number() -> None:
    tree = errors.__doc__ or ""

    missing = [item.__name__ for item in _classes() if not re.search(rf"{item.__name__}\s+{item.code[5:]}\b", tree)]

    assert missing == ["CodeError"]


def test_error_messages_are_chinese() -> None:
    first_lines = [(item.__doc__ or "").strip() for item in _classes()]

    assert all(re.search(r"[\u4e00-\u9fff]", line) for line in first_lines)


def test_error_message_with_braces_in_the_text_repeats_them() -> None:
    error = errors.UnrecognisedIdentifier(text="{x}{0}")

    assert "“{x}{0}”" in error.message
