"""How an API request is signed in, and who it acts as."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar, cast

from django.http import HttpRequest
from ninja.security import HttpBearer

from biaojie.foundation.accounts import tokens
from biaojie.foundation.accounts.errors import NotPermitted, NotSignedIn
from biaojie.foundation.accounts.models import ApiToken, User

P = ParamSpec("P")
R = TypeVar("R")


class BearerAuth(HttpBearer):
    """`Authorization: Bearer <token>`; puts the token's row in `request.auth`. Raises `NotSignedIn` (ACC-102)."""

    def authenticate(self, request: HttpRequest, token: str) -> ApiToken:
        row = tokens.find(token)
        if row is None:
            raise NotSignedIn
        return row


def token_of(request: HttpRequest) -> ApiToken:
    """The token that signed the request in; raises `NotSignedIn`."""
    row = getattr(request, "auth", None)
    if not isinstance(row, ApiToken):
        raise NotSignedIn
    return row


def actor_of(request: HttpRequest) -> User:
    """The account a request acts as, by token or by session; raises `NotSignedIn`."""
    row = getattr(request, "auth", None)
    if isinstance(row, ApiToken):
        return row.user
    user = getattr(request, "user", None)
    if isinstance(user, User) and user.is_active:
        return user
    raise NotSignedIn


def require(request: HttpRequest, permission: str) -> User:
    """The actor, if role and token scope permit `permission`; raises `NotSignedIn` or `NotPermitted`."""
    user = actor_of(request)
    row = getattr(request, "auth", None)
    holder = row if isinstance(row, ApiToken) else user
    if not holder.may(permission):
        raise NotPermitted(permission=permission)
    return user


def permitted(permission: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorates an operation whose first argument is the request: `@router.get(…)` above, `@permitted("…")` below."""

    def decorate(operation: Callable[P, R]) -> Callable[P, R]:
        @wraps(operation)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            require(cast(HttpRequest, args[0]), permission)
            return operation(*args, **kwargs)

        return checked

    return decorate
