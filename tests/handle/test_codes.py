from __future__ import annotations

import pytest

from biaojie.handle import codes
from biaojie.handle.codes import OpCode, ResponseCode


@pytest.mark.parametrize(
    ("request_flags", "expected"), [(0x19000007, 0x99000000), (0x1F000000, 0x99000000), (0x1AF0000F, 0x98900000)]
)
def test_response_flags_of_a_primary_equal_the_observed_ones(request_flags: int, expected: int) -> None:
    assert codes.response_flags(request_flags, primary=True) == expected


def test_response_flags_of_a_mirror_lack_authority() -> None:
    assert codes.response_flags(0x19000000, primary=False) == 0x19000000


@pytest.mark.parametrize("enum", [OpCode, ResponseCode])
def test_unknown_number_is_a_member_of_its_own(enum) -> None:
    member = enum(60_000)

    assert (int(member), member.name, member.is_known) == (60_000, "UNKNOWN_60000", False)
    assert enum(1).is_known


@pytest.mark.parametrize("value", [-1, 1 << 32, "x"])
def test_number_that_does_not_fit_four_octets_is_no_code(value: object) -> None:
    with pytest.raises(ValueError, match="is not a valid OpCode"):
        OpCode(value)


def test_every_enum_member_has_a_row_with_the_same_name() -> None:
    rows = {row.number: row.name for row in codes.OP_CODE_ROWS}
    answers = {row.number: row.name for row in codes.RESPONSE_CODE_ROWS}

    assert {int(code): code.name for code in OpCode} == {number: rows[number] for number in map(int, OpCode)}
    assert {int(code): code.name for code in ResponseCode} == {number: answers[number] for number in map(int, ResponseCode)}


@pytest.mark.parametrize("rows", [codes.OP_CODE_ROWS, codes.RESPONSE_CODE_ROWS, codes.FLAG_ROWS])
def test_numbers_in_a_table_are_unique_and_titled(rows) -> None:
    assert len({row.number for row in rows}) == len({row.name for row in rows}) == len(rows)
    assert all(row.title and row.english for row in rows)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        *((1, 200), (302, 300), (303, 300), (100, 404), (101, 409), (201, 409), (4, 400), (102, 400), (202, 400), (301, 400)),
        *((5, 501), (3, 503), (7, 503), (402, 401), (400, 403), (401, 403), (403, 403), (404, 403), (2, 500), (405, 500)),
        *((200, 400), (900, 500)),
    ],
)
def test_http_status_of_a_response_code_is_that_of_the_table(code: int, status: int) -> None:
    assert codes.http_status(code) == status


def test_http_status_depends_on_what_was_asked_where_the_table_says_so() -> None:
    assert codes.http_status(200, resolution=True) == 200
    assert codes.http_status(1, created=True) == 201


def test_title_of_an_unknown_number_says_so() -> None:
    assert codes.op_title(7777) == "UNKNOWN_7777 未登记的操作"
    assert codes.response_title(100) == "HANDLE_NOT_FOUND 标识不存在"
