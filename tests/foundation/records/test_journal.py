"""Writing the journal: in the transaction, whole or not at all, and never changed afterwards."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, transaction

from biaojie.foundation.records import journal
from biaojie.foundation.records.errors import BadChange, ChangeSetTooLarge, NotInTransaction, UnknownChannel
from biaojie.foundation.records.models import Change, ChangeSet, Stamp

PUBLICATION = ("publication",)


def write(count: int, first: int = 0) -> int | None:
    with transaction.atomic(), journal.change_set(actor="li", channels=PUBLICATION) as changes:
        changes.copy(("handle", f"88.1/{n}", 1, "put", {"n": n}) for n in range(first, first + count))
    return changes.id


@pytest.mark.django_db(transaction=True)
def test_change_set_outside_transaction_refused() -> None:
    with pytest.raises(NotInTransaction), journal.change_set(actor="li", channels=PUBLICATION):
        pass


@pytest.mark.django_db
def test_change_set_put_and_remove_written_in_order_with_one_stamp() -> None:
    with journal.change_set(actor="li", channels=PUBLICATION) as changes:
        changes.put(kind="handle", key="88.1/甲", version=3, content={"values": [1, "中"]})
        changes.remove(kind="handle", key="88.1/B", version=9)

    rows = list(Change.objects.order_by("id").values_list("change_set", "kind", "key", "version", "operation", "content"))
    assert rows == [
        (changes.id, "handle", "88.1/甲", 3, "put", {"values": [1, "中"]}),
        (changes.id, "handle", "88.1/B", 9, "remove", None),
    ]
    assert list(Stamp.objects.values_list("channel", "change_set", "serial")) == [("publication", changes.id, None)]
    assert ChangeSet.objects.get().actor == "li"


@pytest.mark.django_db
def test_change_set_without_changes_writes_nothing() -> None:
    with journal.change_set(actor="li", channels=PUBLICATION):
        pass

    assert ChangeSet.objects.count() == 0


@pytest.mark.django_db
def test_change_set_whose_block_fails_writes_nothing() -> None:
    with pytest.raises(ZeroDivisionError), journal.change_set(actor="li", channels=PUBLICATION) as changes:
        changes.remove(kind="handle", key="88.1/B", version=9)
        raise ZeroDivisionError

    assert (ChangeSet.objects.count(), Change.objects.count()) == (0, 0)


@pytest.mark.django_db
@pytest.mark.parametrize("count", [1, 64, 65, 5000])
def test_copy_any_size_up_to_the_limit_writes_every_row_in_order(count: int) -> None:
    set_id = write(count)

    keys = list(Change.objects.filter(change_set=set_id).order_by("id").values_list("key", "content__n"))
    assert keys == [(f"88.1/{n}", n) for n in range(count)]


@pytest.mark.django_db
def test_copy_more_than_the_limit_refused() -> None:
    with pytest.raises(ChangeSetTooLarge):
        write(5001)

    assert Change.objects.count() == 0


@pytest.mark.django_db
def test_change_set_unknown_channel_refused() -> None:
    with pytest.raises(UnknownChannel), journal.change_set(actor="li", channels=("gossip",)):
        pass


@pytest.mark.django_db
@pytest.mark.parametrize(
    "row",
    [
        ("handle", "a", 1, "put", None),
        ("handle", "a", 1, "remove", {}),
        ("handle", "a", 1, "replace", {}),
        ("", "a", 1, "put", {}),
        ("handle", "a\x00", 1, "put", {}),
        ("handle", "a", -1, "put", {}),
        ("handle", "a", 1, "put", {"text": "\x00"}),
    ],
)
def test_copy_row_that_cannot_be_stored_refused(row: tuple[object, ...]) -> None:
    with pytest.raises(BadChange), journal.change_set(actor="li", channels=PUBLICATION) as changes:
        changes.copy([row])


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE records_change SET version = 2",
        "UPDATE records_changeset SET actor = 'x'",
        "UPDATE records_stamp SET channel = 'x'",
        "DELETE FROM records_change",
        "DELETE FROM records_changeset",
        "DELETE FROM records_stamp",
        "TRUNCATE records_change",
        "TRUNCATE records_changeset CASCADE",
        "UPDATE records_stamp SET serial = NULL",
        "SET LOCAL biaojie.pruning = 'on'; DELETE FROM records_change",
    ],
)
def test_journal_rows_any_change_refused_by_the_database(statement: str) -> None:
    write(3)

    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; " + statement)

    assert Change.objects.count() == 3


@pytest.mark.django_db
def test_stamp_serial_set_once_then_refused() -> None:
    write(1)
    Stamp.objects.update(serial=1)

    with pytest.raises(IntegrityError), transaction.atomic():
        Stamp.objects.update(serial=2)

    assert Stamp.objects.get().serial == 1


@pytest.mark.django_db
def test_put_text_that_only_looks_like_an_escaped_nul_kept() -> None:
    with journal.change_set(actor="li", channels=PUBLICATION) as changes:
        changes.put(kind="handle", key="a", version=1, content={"path": r"C:\u0000", "tail": "\\"})

    assert Change.objects.get().content == {"path": r"C:\u0000", "tail": "\\"}


ROWS = (
    "SELECT 'handle' AS kind, '88.1/' || n AS key, 1::bigint AS version, {} AS operation, {} AS content "
    "FROM generate_series(1, %s) n"
)
PUTS = ROWS.format("'put'", "jsonb_build_object('n', n)")


@pytest.mark.django_db
def test_write_from_statement_that_returns_rows_journals_them_as_one_set() -> None:
    written = journal.write_from(PUTS, [3], actor="li", channels=PUBLICATION)

    assert written == (ChangeSet.objects.get(actor="li").id, 3)
    keys = Change.objects.order_by("key").values_list("kind", "key", "version", "operation", "content")
    assert list(keys) == [("handle", f"88.1/{n}", 1, "put", {"n": n}) for n in (1, 2, 3)]
    assert Stamp.objects.get().change_set_id == written.set_id


@pytest.mark.django_db
def test_write_from_statement_without_rows_writes_nothing() -> None:
    written = journal.write_from(PUTS, [0], actor="li", channels=PUBLICATION)

    assert written == (None, 0)
    assert (ChangeSet.objects.count(), Stamp.objects.count()) == (0, 0)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("statement", "number", "error"),
    [
        (PUTS, journal.LIMIT + 1, ChangeSetTooLarge),
        (ROWS.format("'put'", "NULL::jsonb"), 1, BadChange),
        (ROWS.format("'remove'", "'{}'::jsonb"), 1, BadChange),
        (ROWS.format("'rename'", "'{}'::jsonb"), 1, BadChange),
    ],
)
def test_write_from_rows_that_do_not_fit_refused(statement: str, number: int, error: type[Exception]) -> None:
    with pytest.raises(error), transaction.atomic():
        journal.write_from(statement, [number], actor="li", channels=PUBLICATION)

    assert Change.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_write_from_outside_transaction_refused() -> None:
    with pytest.raises(NotInTransaction):
        journal.write_from(PUTS, [1], actor="li", channels=PUBLICATION)
