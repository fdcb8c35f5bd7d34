"""What may leave the journal, and what stays."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction

from biaojie.base import clock
from biaojie.foundation.records import journal, retention
from biaojie.foundation.records.channel import Reader
from biaojie.foundation.records.models import Change, ChangeSet, Stamp

pytestmark = pytest.mark.django_db(transaction=True)


def put(key: str) -> None:
    with transaction.atomic(), journal.change_set(actor="li", channels=("publication",)) as changes:
        changes.put(kind="handle", key=key, version=1, content={})


def test_prune_old_and_acknowledged_sets_leave_and_serials_go_on() -> None:
    put("a")
    put("b")
    with Reader("publication") as reader:
        assert [serial for serial, _ in reader.read(after=0)] == [1, 2]
        reader.acknowledge(1)

    too_young = retention.prune(clock.now() + timedelta(days=30))
    removed = retention.prune(clock.now() + timedelta(days=200))
    put("c")
    with Reader("publication") as reader:
        left = [(serial, [change.key for change in changes]) for serial, changes in reader.read(after=1)]

    assert (too_young, removed) == (0, 1)
    assert left == [(2, ["b"]), (3, ["c"])]
    assert (ChangeSet.objects.count(), Change.objects.count(), Stamp.objects.count()) == (2, 2, 2)


def test_prune_unread_sets_stay_however_old() -> None:
    put("a")

    removed = retention.prune(clock.now() + timedelta(days=4000))

    assert (removed, Change.objects.count()) == (0, 1)
