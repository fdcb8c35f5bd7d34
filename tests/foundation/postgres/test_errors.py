"""The error rows themselves."""

from __future__ import annotations

import re

import pytest

from biaojie.foundation.postgres import errors

pytestmark = pytest.mark.web
ROWS = [row for row in vars(errors).values() if isinstance(row, type) and issubclass(row, errors.PostgresError)]


def test_codes_are_unique_and_numbered_as_pg_1xx() -> None:
    codes = [row.code for row in ROWS]

    assert len(set(codes)) == len(codes) > 20
    assert all(re.fullmatch(r"PG-1\d\d", code) for code in codes)


@pytest.mark.parametrize("row", [row for row in ROWS if row is not errors.PostgresError])
def test_message_is_chinese_and_says_what_to_do(row: type[errors.PostgresError]) -> None:
    assert re.search("请|应|可", row().message)


def test_every_error_is_named_in_the_map_of_the_module() -> None:
    assert [row.__name__ for row in ROWS if row.__name__ not in (errors.__doc__ or "")] == []
