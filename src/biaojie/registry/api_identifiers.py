"""Identifiers one by one: register, read, replace, delete, list. Bulk work is `api_bulk`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Router, Schema, Status
from ninja.params.functions import Query
from pydantic import ConfigDict, Field

from biaojie.foundation.accounts.bearer import BearerAuth, require
from biaojie.foundation.ui.envelope import answers, ok
from biaojie.registry import operations_handles as handles

router = Router(tags=["标识"], auth=BearerAuth())

# A query parameter, because an identifier may hold any character.
IdentifierParameter = Annotated[str, Query(title="标识", min_length=1, max_length=2048)]


class NewIdentifier(Schema):
    """An identifier of any of the six code systems and its values in the Handle JSON form."""

    model_config = ConfigDict(extra="forbid")

    identifier: str = Field(title="标识", min_length=1, max_length=2048, examples=["88.100.1/QK-202601-000004"])
    values: list[dict[str, Any]] = Field(
        title="值",
        examples=[[{"index": 1, "type": "URL", "data": {"format": "string", "value": "https://p.example/1"}, "ttl": 300}]],
    )


class Replacement(Schema):
    """New values, and the version they are meant to replace."""

    model_config = ConfigDict(extra="forbid")

    values: list[dict[str, Any]] = Field(title="值")
    version: int | None = Field(default=None, title="所依据的版本", ge=1)


class IdentifierRow(Schema):
    """A registered identifier."""

    identifier: str = Field(title="标识")
    system: str = Field(title="编码体系")
    canonical: str = Field(title="规范形式")
    prefix: str = Field(title="归属前缀")
    values: list[dict[str, Any]] = Field(title="值")
    version: int = Field(title="版本")
    created_at: datetime = Field(title="创建时间")
    updated_at: datetime = Field(title="更新时间")


class IdentifierPage(Schema):
    """A page of identifiers; `next` is the `after` of the following page, empty at the end."""

    items: list[IdentifierRow] = Field(title="标识")
    next: str = Field(title="下一页")


@router.post("/identifiers", response=answers(IdentifierRow, 404, code=201), summary="注册标识", operation_id="identifier_create")
def create(request: HttpRequest, body: NewIdentifier) -> Status[dict[str, Any]]:
    """Raises CODE-1xx, REG-15x, REG-170 (422), REG-103 (403)."""
    user = require(request, "identifiers.write")
    row = handles.create_identifier(actor=user, identifier=body.identifier, values=body.values, user=user)
    return Status(201, ok(handles.as_row(row)))


@router.get("/identifiers", response=answers(IdentifierPage, 404), summary="标识列表", operation_id="identifier_list")
def list_(
    request: HttpRequest,
    prefix: Annotated[str, Query(title="前缀", max_length=64)],
    after: Annotated[str, Query(title="起点", max_length=4096)] = "",
    limit: Annotated[int, Query(title="条数", ge=1, le=handles.PAGE_MOST)] = 100,
) -> dict[str, Any]:
    """Keyset pages in canonical order."""
    user = require(request, "registry.read")
    page = handles.list_identifiers(prefix=prefix, after=after, limit=limit, user=user)
    return ok({"items": [handles.as_row(row) for row in page.rows], "next": page.next})


@router.get("/identifiers/one", response=answers(IdentifierRow, 404), summary="查看标识", operation_id="identifier_get")
def get(request: HttpRequest, identifier: IdentifierParameter) -> dict[str, Any]:
    """The live row of an identifier of any system; REG-101 (404) when there is none."""
    user = require(request, "registry.read")
    return ok(handles.as_row(handles.get_identifier(identifier=identifier, user=user)))


@router.put("/identifiers/one", response=answers(IdentifierRow, 404), summary="修改标识", operation_id="identifier_replace")
def replace(request: HttpRequest, body: Replacement, identifier: IdentifierParameter) -> dict[str, Any]:
    """Replaces all values; with `version`, only if nobody else has changed it (REG-102, 409)."""
    user = require(request, "identifiers.write")
    row = handles.replace_identifier(actor=user, identifier=identifier, values=body.values, version=body.version, user=user)
    return ok(handles.as_row(row))


@router.delete("/identifiers/one", response=answers(None, 404), summary="删除标识", operation_id="identifier_delete")
def delete(
    request: HttpRequest,
    identifier: IdentifierParameter,
    version: Annotated[int | None, Query(title="所依据的版本", ge=1)] = None,
) -> dict[str, Any]:
    """Takes it out of resolution; its history stays."""
    user = require(request, "identifiers.write")
    handles.delete_identifier(actor=user, identifier=identifier, version=version, user=user)
    return ok()
