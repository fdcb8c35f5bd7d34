"""Bearer tokens: issued once in clear, kept as a SHA-256 digest (the token itself has 256 random bits, so no slow hash)."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from biaojie.base import clock
from biaojie.base.roles import PERSON_ROLES
from biaojie.foundation.accounts.errors import BadAccount
from biaojie.foundation.accounts.models import ApiToken, User

LIFETIME = timedelta(hours=12)
LONGEST = timedelta(days=365)
# `last_used_at` is written at most this often, so that reading with a token does not write each time.
USE_RESOLUTION = timedelta(minutes=1)
PREFIX = "bj_"


def issue(user: User, *, lifetime: timedelta = LIFETIME, scope: Sequence[str] = ()) -> tuple[str, ApiToken]:
    """The token in clear (shown once) and its row. A scope can only name what the role permits."""
    role = PERSON_ROLES.get(user.role)
    for permission in scope:
        if role is None or permission not in role.permissions:
            raise BadAccount(pointer="/body/scope", reason=f"角色没有权限 {permission}")
    if not timedelta(0) < lifetime <= LONGEST:
        raise BadAccount(pointer="/body/lifetime_s", reason=f"有效期应在 1 秒至 {LONGEST.days} 天之间")
    token = PREFIX + secrets.token_urlsafe(32)
    now = clock.now()
    row = ApiToken.objects.create(
        user=user,
        digest=digest_of(token),
        hint=token[:8],
        scope=sorted(set(scope)),
        created_at=now,
        expires_at=now + lifetime,
    )
    return token, row


def find(token: str, now: datetime | None = None) -> ApiToken | None:
    """The valid row behind a token, its use noted; None for anything else."""
    now = now or clock.now()
    row = ApiToken.objects.select_related("user").filter(digest=digest_of(token)).first()
    if row is None or not row.is_valid(now):
        return None
    if row.last_used_at is None or now - row.last_used_at > USE_RESOLUTION:
        ApiToken.objects.filter(pk=row.pk).update(last_used_at=now)
        row.last_used_at = now
    return row


def revoke(row: ApiToken) -> None:
    """Ends it now; a second time changes nothing."""
    ApiToken.objects.filter(pk=row.pk, revoked_at=None).update(revoked_at=clock.now())


def purge(keep: timedelta = timedelta(days=180)) -> int:
    """Removes tokens that ended longer ago than `keep`; returns how many."""
    deleted, _ = ApiToken.objects.filter(expires_at__lt=clock.now() - keep).delete()
    return deleted


def digest_of(token: str) -> str:
    """The hex digest under which a token is kept."""
    return hashlib.sha256(token.encode()).hexdigest()
