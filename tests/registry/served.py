"""Prefixes that a node serves, and values for their identifiers."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection, transaction

from biaojie.base import clock
from biaojie.foundation.accounts import tokens
from biaojie.foundation.accounts.models import User
from biaojie.foundation.accounts.operations import create_user
from biaojie.foundation.records.journal import change_set
from biaojie.registry.handle_rows import PUBLICATION
from biaojie.registry.models import Membership, Prefix, Registrant
from biaojie.registry.publication import zone_content_of, zone_keys


def make_prefix(name: str, *, is_own: bool = False, status: int = 1, hosting: int = 4) -> Prefix:
    """A prefix with its registrant, published as the registry's verbs would."""
    now = clock.now()
    registrant, _ = Registrant.objects.get_or_create(
        credit_code=f"9111{name}", defaults={"name": f"单位 {name}", "created_at": now, "updated_at": now}
    )
    with transaction.atomic(), change_set(actor="test", channels=(PUBLICATION,)) as changes:
        # Put there without the verbs that lead to it: the triggers of the workflow stand aside for one statement.
        connection.cursor().execute("SET LOCAL session_replication_role = replica")
        prefix = Prefix.objects.create(
            name=name,
            parent=name.rpartition(".")[0],
            registrant=registrant,
            is_own=is_own,
            status=status,
            hosting=hosting,
            created_at=now,
            updated_at=now,
        )
        connection.cursor().execute("SET LOCAL session_replication_role = origin")
        for key in zone_keys(prefix) if status == Prefix.Status.ENABLED else []:
            changes.put(kind="zone", key=key, version=prefix.version, content=zone_content_of(prefix))
    return prefix


def member(user: Any, prefix: Prefix) -> None:
    """Let a person speak for the prefix's registrant."""
    Membership.objects.create(user=user, registrant=prefix.registrant)


def url(address: str, index: int = 1, **more: Any) -> dict[str, Any]:
    """A value of type URL."""
    return {"index": index, "type": "URL", "data": {"format": "string", "value": address}, **more}


@pytest.fixture
def hosted(db: None) -> Prefix:
    """Prefix `88.100.2`, hosted here."""
    return make_prefix("88.100.2")


@pytest.fixture
def operator(db: None) -> User:
    """An operator of this node."""
    return create_user(actor="test", username="wu.operator", password="a-long-pass-phrase-7", role="operator")


@pytest.fixture
def headers(operator: User) -> dict[str, str]:
    """The operator's `Authorization` header, for Django's test client."""
    return {"Authorization": f"Bearer {tokens.issue(operator)[0]}"}
