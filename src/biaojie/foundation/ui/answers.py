"""The one table that turns an error into an HTTP answer; installed on every `NinjaAPI`.

A row is an error code or the family before its dash; the longest match wins. An error no row speaks of is the caller's
fault (422): our own faults are exceptions that are not `BiaojieError`, and they become 500 without a word of their text.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError

from biaojie.base.errors import BiaojieError
from biaojie.foundation.ui.envelope import Status, refusal

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """HTTP status and envelope status of one family of errors."""

    http: int
    status: Status = Status.REFUSED


BY_CODE: dict[str, Answer] = {
    "BASE-000": Answer(http=500, status=Status.INTERNAL),
    "ACC-101": Answer(http=401, status=Status.NOT_SIGNED_IN),
    "ACC-102": Answer(http=401, status=Status.NOT_SIGNED_IN),
    "ACC-103": Answer(http=423),
    "ACC-104": Answer(http=403, status=Status.NO_PERMISSION),
    "ACC-106": Answer(http=409),
    "REC-105": Answer(http=409),
    "WF-101": Answer(http=409),
    "WF-102": Answer(http=403, status=Status.NO_PERMISSION),
    "WF-104": Answer(http=409),
}
DEFAULT = Answer(http=422)


def add_answers(rows: Mapping[str, Answer]) -> None:
    """Lets a chapter add its rows in `AppConfig.ready()`; a code may be answered once only."""
    for code, answer in rows.items():
        if BY_CODE.setdefault(code, answer) != answer:
            raise ValueError(f"{code} already has an answer")


def answer_of(error: BiaojieError) -> Answer:
    """The row for an error: the error's own attribute-free code, else its family, else the default."""
    for kind in type(error).__mro__:
        code = kind.__dict__.get("code")
        if isinstance(code, str) and code != "BASE-000":
            family = code.partition("-")[0]
            if code in BY_CODE:
                return BY_CODE[code]
            if family in BY_CODE:
                return BY_CODE[family]
    return BY_CODE["BASE-000"] if error.code == "BASE-000" else DEFAULT


# Chinese for pydantic's kinds of fault; `{…}` are filled from its context.
VALIDATION_MESSAGES: Mapping[str, str] = {
    "missing": "缺少此项",
    "extra_forbidden": "不允许出现此项",
    "string_type": "应为文本",
    "string_too_short": "至少 {min_length} 个字符",
    "string_too_long": "最多 {max_length} 个字符",
    "string_pattern_mismatch": "格式不正确，应符合 {pattern}",
    "int_type": "应为整数",
    "int_parsing": "应为整数",
    "int_from_float": "应为整数",
    "float_type": "应为数字",
    "float_parsing": "应为数字",
    "bool_type": "应为 true 或 false",
    "bool_parsing": "应为 true 或 false",
    "list_type": "应为列表",
    "dict_type": "应为对象",
    "model_type": "应为对象",
    "model_attributes_type": "应为对象",
    "enum": "只能是 {expected} 之一",
    "literal_error": "只能是 {expected} 之一",
    "greater_than": "应大于 {gt}",
    "greater_than_equal": "不得小于 {ge}",
    "less_than": "应小于 {lt}",
    "less_than_equal": "不得大于 {le}",
    "too_short": "至少 {min_length} 项",
    "too_long": "最多 {max_length} 项",
    "json_invalid": "不是合法的 JSON",
    "date_type": "应为日期",
    "date_from_datetime_parsing": "应为日期，如 2026-01-31",
    "datetime_type": "应为时间",
    "datetime_from_date_parsing": "应为时间，如 2026-01-31T08:00:00+08:00",
    "ip_any_address": "应为 IP 地址",
    "uuid_parsing": "应为 UUID",
    "url_parsing": "应为网址",
}


def validation_rows(errors: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Pydantic's faults as error rows: `API-422`, a pointer like `/body/username`, a Chinese message."""
    rows = []
    for error in errors:
        template = VALIDATION_MESSAGES.get(error.get("type", ""))
        message = template.format_map(_Context(error.get("ctx") or {})) if template else str(error.get("msg", "不正确"))
        place = [str(part) for part in error.get("loc", ())]
        # Ninja names the parameter of the operation after `body`; the caller has never heard of it.
        if len(place) > 1 and place[0] == "body":
            del place[1]
        pointer = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in place)
        rows.append({"code": "API-422", "pointer": pointer, "message": message})
    return rows


class _Context(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "?"


HTTP_MESSAGES: Mapping[int, tuple[Status, str]] = {
    400: (Status.REFUSED, "请求格式不正确"),
    401: (Status.NOT_SIGNED_IN, "未登录或登录已失效"),
    403: (Status.NO_PERMISSION, "没有权限"),
    404: (Status.REFUSED, "没有这个地址或对象"),
    405: (Status.REFUSED, "不支持该请求方法"),
    408: (Status.REFUSED, "请求正文没有收全"),
    413: (Status.REFUSED, "请求内容过大"),
    429: (Status.REFUSED, "请求过于频繁"),
    500: (Status.INTERNAL, "系统内部错误"),
    503: (Status.INTERNAL, "数据库暂时不可用，请稍后重试"),
}


def install(api: NinjaAPI) -> None:
    """Registers the handlers on an API."""

    def send(request: HttpRequest, http: int, body: dict[str, Any]) -> HttpResponse:
        response = api.create_response(request, body, status=http)
        if http == 401:
            response.headers["WWW-Authenticate"] = 'Bearer realm="biaojie"'
        return response

    def plain(request: HttpRequest, http: int) -> HttpResponse:
        status, message = HTTP_MESSAGES.get(http, (Status.REFUSED, "请求被拒绝"))
        return send(request, http, refusal(status, message, [{"code": f"API-{http}", "pointer": "", "message": message}]))

    @api.exception_handler(BiaojieError)
    def ours(request: HttpRequest, error: BiaojieError) -> HttpResponse:
        answer = answer_of(error)
        if answer.status is Status.INTERNAL:
            log.error("%s %s failed", request.method, request.path, exc_info=error)
            message = HTTP_MESSAGES[500][1]
            return send(request, answer.http, refusal(answer.status, message, [{**error.as_row(), "message": message}]))
        rows = error.data.get("errors") or [error.as_row()]
        return send(request, answer.http, refusal(answer.status, error.message, rows))

    @api.exception_handler(ValidationError)
    def invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
        return send(request, 422, refusal(Status.REFUSED, "请求内容不符合要求", validation_rows(error.errors)))

    @api.exception_handler(AuthenticationError)
    def not_signed_in(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
        return plain(request, 401)

    @api.exception_handler(Http404)
    def absent(request: HttpRequest, error: Http404) -> HttpResponse:
        return plain(request, 404)

    @api.exception_handler(RequestDataTooBig)
    def too_big(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
        return plain(request, 413)

    @api.exception_handler(UnreadablePostError)
    def cut_off(request: HttpRequest, error: UnreadablePostError) -> HttpResponse:
        return plain(request, 408)

    @api.exception_handler(DataError)
    @api.exception_handler(UnicodeEncodeError)
    def unstorable(request: HttpRequest, error: Exception) -> HttpResponse:
        # NUL and halves of surrogate pairs are legal in a URL and in JSON; no column holds them, and nothing was written.
        log.warning("%s %s: %s", request.method, request.path, str(error).splitlines()[0])
        message = "含有无法存储的字符（如 NUL），或超出范围的数值"
        return send(request, 422, refusal(Status.REFUSED, message, [{"code": "API-422", "pointer": "", "message": message}]))

    @api.exception_handler(OperationalError)
    @api.exception_handler(InterfaceError)
    def without_database(request: HttpRequest, error: Exception) -> HttpResponse:
        # A server that restarts, a session that was ended: the same call succeeds a moment later.
        log.error("%s %s failed", request.method, request.path, exc_info=error)
        return plain(request, 503)

    @api.exception_handler(HttpError)
    def http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
        return plain(request, error.status_code)

    @api.exception_handler(Exception)
    def unforeseen(request: HttpRequest, error: Exception) -> HttpResponse:
        log.error("%s %s failed", request.method, request.path, exc_info=error)
        return plain(request, 500)
