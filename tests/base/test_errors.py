"""Errors: message, place, data; and the codes of the whole product are unique."""

from __future__ import annotations

import importlib
import pkgutil
from importlib.util import find_spec

import biaojie
from biaojie.base.errors import BiaojieError, SettingError


def test_message_is_filled_from_data() -> None:
    error = SettingError(pointer="web", name="web", reason="应为 主机:端口")

    assert str(error) == "[BASE-101] 配置项 web 不正确：应为 主机:端口（web）"
    assert error.as_row() == {"code": "BASE-101", "pointer": "web", "message": "配置项 web 不正确：应为 主机:端口"}


def test_missing_data_leaves_the_placeholder() -> None:
    assert SettingError(name="web").message == "配置项 web 不正确：{reason}"


def test_own_message_is_taken_as_it_stands() -> None:
    assert BiaojieError("{不是占位符}").message == "{不是占位符}"


def test_codes_are_unique_and_messages_chinese() -> None:
    has_django = find_spec("django") is not None
    for found in pkgutil.walk_packages(biaojie.__path__, "biaojie."):
        if found.name.endswith(".errors"):
            importlib.import_module(found.name)
    codes: dict[str, type[BiaojieError]] = {}
    waiting = list(BiaojieError.__subclasses__())
    while waiting:
        error = waiting.pop()
        waiting.extend(error.__subclasses__())
        code = vars(error).get("code")
        if code is None or not error.__module__.startswith("biaojie."):
            continue

        assert codes.setdefault(code, error) is error, f"{code}: {codes[code]} and {error}"
        assert any("\u4e00" <= character <= "\u9fff" for character in error.__doc__ or ""), f"{error} has no Chinese message"

    assert len(codes) > (100 if has_django else 60)
