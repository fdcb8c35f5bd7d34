"""The root of the error tree, and how an error says what, where and why.

Each package keeps its own `errors.py` below one of these classes. A class's docstring is its default message in
Chinese, its `code` is stable for ever, and what a machine wants to know lies in `data`. Translation to a Handle
response code, an HTTP status or a form message happens once, at the edge that needs it; not here.
"""

from __future__ import annotations

from typing import Any, ClassVar


class BiaojieError(Exception):
    """系统内部错误"""

    code: ClassVar[str] = "BASE-000"

    def __init__(self, message: str | None = None, /, *, pointer: str = "", **data: Any) -> None:
        """`pointer` is the place of the fault (JSON pointer, line, octet), `data` fills `{names}` in the docstring."""
        template = message if message is not None else (type(self).__doc__ or "").strip().split("\n", 1)[0]
        self.message = template.format_map(_Lenient(data)) if message is None else template
        self.pointer = pointer
        self.data = data
        super().__init__(self.message)

    def __str__(self) -> str:
        place = f"（{self.pointer}）" if self.pointer else ""
        return f"[{self.code}] {self.message}{place}"

    def as_row(self) -> dict[str, str]:
        """The form in which an API lists it: `{"code", "pointer", "message"}`."""
        return {"code": self.code, "pointer": self.pointer, "message": self.message}


class SettingError(BiaojieError):
    """配置项 {name} 不正确：{reason}"""

    code = "BASE-101"


class UnknownSetting(SettingError):
    """没有名为 {name} 的配置项{hint}"""

    code = "BASE-102"


class _Lenient(dict[str, Any]):
    """Leaves a placeholder it has no value for as it stands, so that building a message never fails."""

    def __missing__(self, key: str) -> str:
        return "{" + key + "}"
