"""Bulk registration over HTTP: the body streams in from the server's input, chunked or of known length; reports stream out.

Django shows a chunked body as empty, so that nothing here touches `request.body`: the WSGI input is read block by block.
"""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from django.conf import settings
from django.http import HttpRequest, StreamingHttpResponse
from ninja import Router, Schema, Status
from ninja.params.functions import Query
from pydantic import Field

from biaojie.foundation.accounts.bearer import BearerAuth, require
from biaojie.foundation.accounts.models import User
from biaojie.foundation.ui.envelope import Status as Word
from biaojie.foundation.ui.envelope import answers, ok, refusal, refusals
from biaojie.registry import bulk
from biaojie.registry.bulk_body import Body
from biaojie.registry.errors import BulkAtomicFailed, BulkBusy, BulkBusyAccount, BulkRefused
from biaojie.registry.models import BulkLoad
from biaojie.registry.policies import BULK_ACCOUNT_SHARE

ERRORS_SHOWN = 100
NDJSON_TYPE = "application/x-ndjson; charset=utf-8"

router = Router(tags=["批量注册"], auth=BearerAuth())

# A load keeps a thread busy for as long as its body streams: half of them stay free for everybody else, and one account
# never has all of the other half.
_PLACES = max(1, settings.NODE.web_threads // 2)
_PLACES_EACH = max(1, _PLACES // BULK_ACCOUNT_SHARE.value)
_held: Counter[int] = Counter()
_lock = threading.Lock()
_DIGITS_MOST = 15


class RowErrors(Schema):
    """A refused row and all its faults."""

    row: int = Field(title="行号")
    handle: str = Field(title="标识")
    errors: list[dict[str, str]] = Field(title="错误", description="code、pointer、message")


class LoadRow(Schema):
    """A bulk load as it stands."""

    load: uuid.UUID = Field(title="任务编号")
    prefix: str = Field(title="前缀")
    format: str = Field(title="格式")
    mode: str = Field(title="方式")
    atomic: bool = Field(title="全部成功才生效")
    state: str = Field(title="状态", description="open 接收中、done 已完成、failed 未执行")
    rows_done: int = Field(title="已处理行数")
    accepted: int = Field(title="成功")
    rejected: int = Field(title="失败")
    next_row: int = Field(title="续传起始行")
    created_at: datetime = Field(title="开始时间")
    finished_at: datetime | None = Field(title="完成时间")
    errors: list[RowErrors] = Field(default=[], title="错误", description=f"前 {ERRORS_SHOWN} 个被拒绝的行，全部见 report")


class LoadList(Schema):
    """The newest loads of a prefix."""

    items: list[LoadRow] = Field(title="批量任务")


_BODY = {
    "requestBody": {
        "required": True,
        "description": '每行 {"handle", "values"}；CSV 首行为 handle,索引:类型,…[,ttl]。可用 chunked 传输。',
        "content": {
            "application/x-ndjson": {"schema": {"type": "string"}},
            "text/csv": {"schema": {"type": "string"}},
        },
    },
    "parameters": [
        {"in": "header", "name": "X-Row-Count", "schema": {"type": "integer"}, "description": "正文行数，核对用"},
        {"in": "header", "name": "Content-Digest", "schema": {"type": "string"}, "description": "sha-256=:…:，核对用"},
    ],
}


@router.post(
    "/identifiers/bulk",
    response=answers(LoadRow, 404, 408, 411, 429),
    summary="批量注册",
    operation_id="identifier_bulk",
    openapi_extra=_BODY,
)
def bulk_register(
    request: HttpRequest,
    prefix: Annotated[str, Query(title="前缀", max_length=64)],
    format: Annotated[Literal["ndjson", "csv"], Query(title="格式")] = "ndjson",  # noqa: A002  # the parameter's name
    mode: Annotated[Literal["create", "upsert", "delete"], Query(title="方式")] = "create",
    atomic: Annotated[bool, Query(title="全部成功才生效")] = False,
    load: Annotated[uuid.UUID | None, Query(title="任务编号", description="续传时给出")] = None,
    from_row: Annotated[int, Query(title="正文首行的行号", ge=1)] = 1,
) -> Status[dict[str, Any]]:
    """Takes rows in as they stream. 422 with `data` when an atomic load failed; REG-16x, REG-17x; 429 when too many run at once.

    A whole body sent again for a load must begin with the rows taken before (REG-172); one sent from `from_row` on is not
    compared. 408 when no octets come for a while; the load stays open.
    """
    user = require(request, "identifiers.bulk")
    order = bulk.Order(
        prefix=prefix, format=format, mode=mode, atomic=atomic, load=load, from_row=from_row, row_count=_row_count(request)
    )
    body = _body_of(request)
    with _place(user):
        held = bulk.open_load(actor=user, order=order, user=user)
        held = bulk.receive(actor=user, load=held, order=order, body=body, user=user)
    data = _shown(held)
    if held.state == BulkLoad.State.FAILED:
        message = BulkAtomicFailed(count=held.rejected).message
        said = refusal(Word.REFUSED, message, _error_rows(data["errors"]))
        return Status(422, said | {"data": LoadRow(**data).model_dump(mode="json")})
    return Status(200, ok(data))


@router.get("/identifiers/bulk", response=answers(LoadList, 404), summary="批量任务列表", operation_id="identifier_bulk_list")
def list_(request: HttpRequest, prefix: Annotated[str, Query(title="前缀", max_length=64)]) -> dict[str, Any]:
    """The newest hundred loads of a prefix."""
    user = require(request, "registry.read")
    return ok({"items": [bulk.as_load(row) for row in bulk.list_loads(prefix=prefix, user=user)]})


@router.get(
    "/identifiers/bulk/{load}", response=answers(LoadRow, 404), summary="查看批量任务", operation_id="identifier_bulk_get"
)
def get(request: HttpRequest, load: uuid.UUID) -> dict[str, Any]:
    """How far a load has come: `next_row` is where to go on."""
    user = require(request, "registry.read")
    return ok(_shown(bulk.get_load(load=load, user=user)))


@router.get(
    "/identifiers/bulk/{load}/report",
    response=refusals(404),
    summary="下载批量任务报告",
    operation_id="identifier_bulk_report",
    openapi_extra={"responses": {200: {"description": "每行一个被拒绝的行", "content": {"application/x-ndjson": {}}}}},
)
def report(request: HttpRequest, load: uuid.UUID) -> StreamingHttpResponse:
    """Every refused row as NDJSON: `row`, `handle`, `errors`."""
    user = require(request, "registry.read")
    held = bulk.get_load(load=load, user=user)
    lines = (msgspec.json.encode(row) + b"\n" for row in bulk.errors_of(held))
    return StreamingHttpResponse(
        lines,
        content_type=NDJSON_TYPE,
        headers={"Content-Disposition": f'attachment; filename="bulk-{held.id}.ndjson"'},
    )


def _body_of(request: HttpRequest) -> Body:
    """The request's octets, whichever way they are transferred."""
    is_chunked = "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower()
    length = request.META.get("CONTENT_LENGTH") or ""
    if request.META.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise BulkRefused(pointer="header/Content-Encoding", reason="正文不得压缩")
    return Body(
        request.META["wsgi.input"].read,
        length=None if is_chunked else int(length) if _is_number(length) else 0,
        digest=request.META.get("HTTP_CONTENT_DIGEST", ""),
    )


def _row_count(request: HttpRequest) -> int | None:
    text = request.META.get("HTTP_X_ROW_COUNT", "")
    if not text:
        return None
    if not _is_number(text):
        raise BulkRefused(pointer="header/X-Row-Count", reason=f"X-Row-Count 应为至多 {_DIGITS_MOST} 位的整数")
    return int(text)


def _is_number(text: str) -> bool:
    return len(text) <= _DIGITS_MOST and text.isascii() and text.isdigit()


@contextmanager
def _place(user: User) -> Iterator[None]:
    with _lock:
        if _held.total() >= _PLACES:
            raise BulkBusy(limit=_PLACES)
        if _held[user.pk] >= _PLACES_EACH:
            raise BulkBusyAccount(limit=_PLACES_EACH)
        _held[user.pk] += 1
    try:
        yield
    finally:
        with _lock:
            _held[user.pk] -= 1
            if not _held[user.pk]:
                del _held[user.pk]


def _shown(load: BulkLoad) -> dict[str, Any]:
    return bulk.as_load(load) | {"errors": list(bulk.errors_of(load, limit=ERRORS_SHOWN))}


def _error_rows(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The faults of refused rows with the row's number in their pointers."""
    return [
        {**error, "pointer": "/".join(filter(None, (f"rows/{row['row']}", error["pointer"])))}
        for row in rows
        for error in row["errors"]
    ]
