"""The answer every JSON operation gives: `{"status", "message", "data"}`, as SNMS has it.

`status` is 1 for success, -1 not signed in, -2 refused (with `errors`), -3 no permission, -4 internal; the HTTP status
says the same in HTTP's words. `answers()` documents them all on an operation, so that the OpenAPI document does not lie.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")


class Status(IntEnum):
    """The envelope's own status."""

    OK = 1
    NOT_SIGNED_IN = -1
    REFUSED = -2
    NO_PERMISSION = -3
    INTERNAL = -4


class ErrorRow(BaseModel):
    """One fault: a stable code, the place in the request, a Chinese message."""

    model_config = ConfigDict(title="错误")

    code: str = Field(title="错误代码", examples=["REC-101"])
    pointer: str = Field(default="", title="出错位置", examples=["/body/username"])
    message: str = Field(title="说明")


class Envelope(BaseModel, Generic[T]):
    """A successful answer around `data`."""

    status: int = Field(default=int(Status.OK), title="状态", description="1 成功")
    message: str = Field(default="success", title="说明")
    data: T = Field(title="数据")


class Refusal(BaseModel):
    """An answer that refuses, with every reason."""

    status: int = Field(title="状态", description="-1 未登录，-2 被拒绝，-3 无权限，-4 系统错误")
    message: str = Field(title="说明")
    data: Any = Field(default=None, title="数据")
    errors: list[ErrorRow] = Field(default_factory=list, title="错误列表")


REFUSAL_STATUSES: tuple[int, ...] = (400, 401, 403, 404, 409, 411, 412, 413, 422, 423, 429, 500, 503)
DOCUMENTED: frozenset[int] = frozenset({401, 403, 409, 413, 422})


def ok(data: Any = None, message: str = "success") -> dict[str, Any]:
    """A successful envelope as a plain dict; ninja checks it against the operation's `Envelope[…]`."""
    return {"status": int(Status.OK), "message": message, "data": data}


def refusal(status: Status, message: str, errors: list[dict[str, str]] | None = None) -> dict[str, Any]:
    """A refusing envelope as a plain dict."""
    return {"status": int(status), "message": message, "data": None, "errors": errors or []}


def answers(success: Any, *extra: int, code: int = 200) -> dict[Any, Any]:
    """The `response=` of an operation: `success` at `code`, `Refusal` at 401, 403, 409, 413, 422 and at `extra`."""
    return {code: Envelope[success], **refusals(*extra)}


def refusals(*extra: int) -> dict[Any, Any]:
    """The refusing half of `answers`, for an operation whose success has a form of its own."""
    return {frozenset(DOCUMENTED | set(extra)): Refusal}
