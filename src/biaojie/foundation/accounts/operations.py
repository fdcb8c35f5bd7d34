"""The business verbs of accounts."""

from __future__ import annotations

import re

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from biaojie.base import clock
from biaojie.base.roles import PERSON_ROLES
from biaojie.foundation.accounts import lockout
from biaojie.foundation.accounts.errors import BadAccount, NameTaken
from biaojie.foundation.accounts.models import ApiToken, User
from biaojie.foundation.audit.log import record

NAME = re.compile(r"[A-Za-z0-9_.@-]{2,64}", re.ASCII)


def create_user(*, actor: object, username: str, password: str, role: str, display_name: str = "") -> User:
    """A new account. Raises `BadAccount` (name, role, weak password) or `NameTaken`."""
    if not NAME.fullmatch(username):
        raise BadAccount(pointer="/body/username", reason="用户名为 2 至 64 个字母、数字或 _ . @ -")
    if role not in PERSON_ROLES:
        raise BadAccount(pointer="/body/role", reason=f"没有名为 {role} 的角色")
    user = User(username=username, display_name=display_name[:100], role=role, created_at=clock.now())
    _set_password(user, password)
    try:
        with transaction.atomic():
            user.save(force_insert=True)
            record(actor=actor, action="account.create", subject=username, detail={"role": role})
    except IntegrityError as error:
        raise NameTaken(pointer="/body/username", username=username) from error
    return user


@transaction.atomic
def set_password(*, actor: object, user: User, password: str) -> None:
    """A new password; every token of the account ends."""
    _set_password(user, password)
    user.save(update_fields=["password"])
    ApiToken.objects.filter(user=user, revoked_at=None).update(revoked_at=clock.now())
    record(actor=actor, action="account.password", subject=user.username)


@transaction.atomic
def close_account(*, actor: object, user: User) -> None:
    """Closes an account and ends its tokens; nothing is deleted."""
    user.is_active = False
    user.save(update_fields=["is_active"])
    ApiToken.objects.filter(user=user, revoked_at=None).update(revoked_at=clock.now())
    record(actor=actor, action="account.close", subject=user.username)


@transaction.atomic
def unlock(*, actor: object, username: str) -> None:
    """Lifts the lock after repeated failures."""
    lockout.forget_failures(username)
    record(actor=actor, action="account.unlock", subject=username)


def _set_password(user: User, password: str) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise BadAccount(pointer="/body/password", reason="；".join(error.messages)) from error
    user.set_password(password)
