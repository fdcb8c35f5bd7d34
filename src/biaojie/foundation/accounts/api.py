"""Signing in and out, and who one is."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import authenticate
from django.db import transaction
from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import ConfigDict, Field

from biaojie.base import clock
from biaojie.base.roles import PERSON_ROLES
from biaojie.foundation.accounts import tokens
from biaojie.foundation.accounts.bearer import BearerAuth, token_of
from biaojie.foundation.accounts.errors import WrongCredentials
from biaojie.foundation.accounts.models import User
from biaojie.foundation.audit.log import record
from biaojie.foundation.ui.envelope import answers, ok

router = Router(tags=["账号"])


class SignIn(Schema):
    """What `POST /api/v1/token` takes."""

    model_config = ConfigDict(extra="forbid")

    username: str = Field(title="用户名", min_length=1, max_length=64)
    password: str = Field(title="密码", min_length=1, max_length=1024)
    lifetime_s: int = Field(
        default=int(tokens.LIFETIME.total_seconds()), title="有效期（秒）", ge=60, le=int(tokens.LONGEST.total_seconds())
    )
    scope: list[str] = Field(default_factory=list, title="权限范围", description="空为角色的全部权限", max_length=50)


class Token(Schema):
    """A token in clear, shown once."""

    token: str = Field(title="令牌")
    expires_at: datetime = Field(title="到期时间")
    username: str = Field(title="用户名")
    role: str = Field(title="角色")


class Person(Schema):
    """The signed-in account."""

    username: str = Field(title="用户名")
    display_name: str = Field(title="姓名")
    role: str = Field(title="角色")
    role_title: str = Field(title="角色名称")
    permissions: list[str] = Field(title="权限")


@router.post("/token", response=answers(Token, 423), auth=None, summary="登录，取得访问令牌", operation_id="token_issue")
def issue_token(request: HttpRequest, body: SignIn) -> dict[str, Any]:
    """Raises ACC-101 (401), ACC-103 (423), ACC-105 (422)."""
    user = authenticate(request, username=body.username, password=body.password)
    if not isinstance(user, User):
        raise WrongCredentials(pointer="/body/password")
    with transaction.atomic():
        token, row = tokens.issue(user, lifetime=timedelta(seconds=body.lifetime_s), scope=body.scope)
        User.objects.filter(pk=user.pk).update(last_login=clock.now())
        record(actor=user, action="token.issue", subject=row.hint, detail={"scope": row.scope}, request=request)
    return ok({"token": token, "expires_at": row.expires_at, "username": user.username, "role": user.role})


@router.delete("/token", response=answers(None), auth=BearerAuth(), summary="退出，吊销当前令牌", operation_id="token_revoke")
def revoke_token(request: HttpRequest) -> dict[str, Any]:
    """Ends the token the request came with."""
    row = token_of(request)
    with transaction.atomic():
        tokens.revoke(row)
        record(actor=row.user, action="token.revoke", subject=row.hint, request=request)
    return ok()


@router.get("/account", response=answers(Person), auth=BearerAuth(), summary="当前账号", operation_id="account_get")
def current_account(request: HttpRequest) -> dict[str, Any]:
    """Who the token belongs to and what it may do."""
    row = token_of(request)
    role = PERSON_ROLES.get(row.user.role)
    permissions = sorted(p for p in (role.permissions if role else ()) if row.may(p))
    user = row.user
    return ok(
        {
            "username": user.username,
            "display_name": user.display_name,
            "role": user.role,
            "role_title": user.role_title,
            "permissions": permissions,
        }
    )
