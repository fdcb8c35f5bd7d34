from __future__ import annotations

from biaojie.handle import errors
from biaojie.handle.errors import DecodeError, HandleError


def declared() -> list[type[HandleError]]:
    return [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, HandleError)]


def test_every_error_has_a_code_of_its_own_and_a_chinese_message() -> None:
    codes = [error.code for error in declared()]

    assert len(codes) == len(set(codes))
    assert all(any("\u4e00" <= character <= "\u9fff" for character in error.__doc__ or "") for error in declared())


def test_decode_errors_and_no_others_have_codes_of_the_first_hundred() -> None:
    assert all(error.code.startswith("HDL-1") == issubclass(error, DecodeError) for error in declared())


def test_error_says_its_code_message_and_octet() -> None:
    error = errors.Truncated(pointer="20", field="handle", needed=5, remaining=3)

    assert str(error) == "[HDL-101] 报文不完整：handle 需要 5 字节，只剩 3 字节（20）"
