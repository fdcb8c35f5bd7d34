"""Closes a user name after repeated failures, whether or not such an account exists (so that none can be found out)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from biaojie.base import clock
from biaojie.foundation.accounts.errors import AccountLocked
from biaojie.foundation.accounts.models import Lock


@dataclass(frozen=True, slots=True, kw_only=True)
class LockPolicy:
    """`failures` within `window` close the name for `period` (等保 2.0, 8.1.4.1 b)."""

    failures: int
    window: timedelta
    period: timedelta


POLICY = LockPolicy(failures=5, window=timedelta(minutes=15), period=timedelta(minutes=15))


def refuse_if_locked(username: str) -> None:
    """Raises `AccountLocked` while the name is closed."""
    row = Lock.objects.filter(pk=_key(username), until__gt=clock.now()).first()
    if row is not None and row.until is not None:
        minutes = max(1, math.ceil((row.until - clock.now()).total_seconds() / 60))
        raise AccountLocked(pointer="/body/username", minutes=minutes)


def count_failure(username: str) -> bool:
    """Counts one failure; True when it closed the name. Concurrent failures are all counted (row lock)."""
    now = clock.now()
    with transaction.atomic():
        row = _locked(username, now)
        is_stale = now - row.since > POLICY.window or (row.until is not None and row.until <= now)
        if is_stale:
            row.failures, row.since, row.until = 0, now, None
        row.failures += 1
        is_closing = row.until is None and row.failures >= POLICY.failures
        if is_closing:
            row.until = now + POLICY.period
        row.save()
    return is_closing


def forget_failures(username: str) -> None:
    """After a success, or by a security administrator's unlock."""
    Lock.objects.filter(pk=_key(username)).delete()


def purge() -> int:
    """Removes what no longer counts: anybody may try any name, and each leaves a row. Gives how many went."""
    now = clock.now()
    stale = Q(since__lt=now - POLICY.window) & (Q(until=None) | Q(until__lte=now))
    return Lock.objects.filter(stale).delete()[0]


def _locked(username: str, now: datetime) -> Lock:
    """The name's row, made where there is none; again where a success elsewhere takes it away in between."""
    while (row := Lock.objects.select_for_update().filter(pk=_key(username)).first()) is None:
        Lock.objects.bulk_create([Lock(username=_key(username), failures=0, since=now)], ignore_conflicts=True)
    return row


def _key(username: str) -> str:
    return username[:64].replace("\x00", "")
