"""Who sees what: staff of the node everything, an enterprise's person what belongs to its units (`Membership`)."""

from __future__ import annotations

from typing import TypeVar

from django.db.models import Model, Q, QuerySet

from biaojie.foundation.accounts.models import User
from biaojie.registry.errors import NotAllowed, NotFound
from biaojie.registry.models import Prefix, Registrant, RoutingChange

M = TypeVar("M", bound=Model)

CONFINED_ROLE = "enterprise"


def is_confined(user: User) -> bool:
    """Whether a person sees only the units it is a member of."""
    return user.role == CONFINED_ROLE


def registrants_for(user: User) -> QuerySet[Registrant]:
    """The units a person may see."""
    return _confine(Registrant.objects.all(), user, Q(memberships__user=user))


def prefixes_for(user: User) -> QuerySet[Prefix]:
    """The prefixes a person may see."""
    return _confine(Prefix.objects.all(), user, Q(registrant__memberships__user=user))


def changes_for(user: User) -> QuerySet[RoutingChange]:
    """The routing changes a person may see."""
    return _confine(RoutingChange.objects.all(), user, Q(prefix__registrant__memberships__user=user))


def prefix_for(user: User, name: str) -> Prefix:
    """The prefix, if the person may see it. Raises `NotFound` otherwise: that it exists is not told either."""
    prefix = prefixes_for(user).select_related("registrant").filter(name=name).first()
    if prefix is None:
        raise NotFound(pointer="name", what="前缀", name=name)
    return prefix


def holds(user: User, prefix: str) -> bool:
    """Whether what lies under a prefix is a person's to see and to change."""
    return not is_confined(user) or prefixes_for(user).filter(name=prefix).exists()


def check_speaks_for(user: User, credit_code: str) -> None:
    """Raises `NotAllowed` when a confined person applies in another unit's name."""
    if is_confined(user) and not registrants_for(user).filter(credit_code=credit_code.strip().upper()).exists():
        raise NotAllowed(pointer="registrant/credit_code", name=credit_code)


def _confine(rows: QuerySet[M], user: User, mine: Q) -> QuerySet[M]:
    return rows.filter(mine).distinct() if is_confined(user) else rows
