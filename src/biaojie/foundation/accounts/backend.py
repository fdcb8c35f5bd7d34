"""The one way a name and a password become a user, for API and pages alike."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.hashers import make_password
from django.http import HttpRequest

from biaojie.foundation.accounts import lockout
from biaojie.foundation.accounts.errors import AccountLocked
from biaojie.foundation.accounts.models import User
from biaojie.foundation.audit.log import record


class AccountBackend(BaseBackend):
    """Checks the lock, then the password; counts failures. Permissions are `User.may`, not Django's tables."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **_: Any
    ) -> User | None:
        if username is None or password is None:
            return None
        _refuse_if_locked(username, request)
        user = User.objects.filter(username=username).first() if "\x00" not in username else None
        if user is None:
            make_password(password)  # the same work as for a known name, so that time tells nothing
        elif user.check_password(password) and user.is_active:
            # Again: of many attempts at once, those that end after the name was closed must learn nothing.
            _refuse_if_locked(username, request)
            lockout.forget_failures(username)
            return user
        is_locked_now = lockout.count_failure(username)
        record(actor=username, action="sign_in.failed", subject=username, detail={"locked": is_locked_now}, request=request)
        if not is_locked_now:
            _refuse_if_locked(username, request)
        return None

    def get_user(self, user_id: int) -> User | None:
        return User.objects.filter(pk=user_id, is_active=True).first()


def _refuse_if_locked(username: str, request: HttpRequest | None) -> None:
    try:
        lockout.refuse_if_locked(username)
    except AccountLocked:
        record(actor=username, action="sign_in.refused_locked", subject=username, request=request)
        raise
