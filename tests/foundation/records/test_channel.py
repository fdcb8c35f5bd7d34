"""Reading the journal: late commits, competing readers, killed readers, contiguous serials."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest
from django.db import transaction

from biaojie.foundation.records import journal
from biaojie.foundation.records.channel import Reader, backlog, newest
from biaojie.foundation.records.errors import ChannelBusy, UnknownChannel
from biaojie.foundation.records.models import Change, Channel, Stamp

pytestmark = pytest.mark.django_db(transaction=True)

# A change set written over a bare connection, so that a test decides when it commits.
SET = "INSERT INTO records_changeset (actor, at) VALUES ('li', now()) RETURNING id"
STAMP = "INSERT INTO records_stamp (channel, change_set_id) VALUES ('publication', %s)"
CHANGE = (
    "INSERT INTO records_change (change_set_id, kind, key, version, operation, content) VALUES (%s, 'handle', %s, 1, 'put', '{}')"
)


def put(*keys: str, version: int = 1) -> None:
    with transaction.atomic(), journal.change_set(actor="li", channels=("publication",)) as changes:
        for key in keys:
            changes.put(kind="handle", key=key, version=version, content={})


def open_transaction(url: str, key: str) -> psycopg.Connection[tuple[int, ...]]:
    connection = psycopg.connect(url)
    row = connection.execute(SET).fetchone()
    assert row is not None
    connection.execute(STAMP, row)
    connection.execute(CHANGE, (*row, key))
    return connection


def keys_read(reader: Reader, after: int) -> list[tuple[int, list[str]]]:
    return [(serial, [change.key for change in changes]) for serial, changes in reader.read(after=after)]


def test_read_transaction_that_commits_late_is_numbered_after_those_before_it(database_url: str) -> None:
    with open_transaction(database_url, "late") as late, Reader("publication") as reader:
        put("early")

        first = keys_read(reader, after=0)
        late.commit()
        second = keys_read(reader, after=1)
        third = keys_read(reader, after=2)

    assert (first, second, third) == ([(1, ["early"])], [(2, ["late"])], [])


def test_read_writers_in_parallel_every_change_once_and_serials_contiguous(database_url: str) -> None:
    writers, each = 4, 30

    def work(writer: int) -> None:
        for n in range(each):
            connection = open_transaction(database_url, f"{writer}-{n}")
            if n % 7 == 3:
                connection.rollback()
            else:
                connection.commit()
            connection.close()

    threads = [threading.Thread(target=work, args=(writer,)) for writer in range(writers)]
    for thread in threads:
        thread.start()
    found: list[tuple[int, list[str]]] = []
    with Reader("publication") as reader:
        while True:
            is_last = not any(thread.is_alive() for thread in threads)
            found += keys_read(reader, after=len(found))
            if is_last:
                break

    expected = {f"{writer}-{n}" for writer in range(writers) for n in range(each) if n % 7 != 3}
    assert [serial for serial, _ in found] == list(range(1, len(expected) + 1))
    assert sorted(key for _, keys in found for key in keys) == sorted(expected)


def test_reader_second_one_waits_until_the_first_leaves() -> None:
    put("a")
    order: list[str] = []

    def second() -> None:
        with Reader("publication") as reader:
            order.append("second")
            keys_read(reader, after=0)

    thread = threading.Thread(target=second)
    with Reader("publication") as reader:
        thread.start()
        with pytest.raises(ChannelBusy), Reader("publication", wait_lock=False):
            pass
        thread.join(0.3)
        order.append("first")
        keys_read(reader, after=0)
    thread.join(10)

    assert order == ["first", "second"]


KILLED_READER = """
import os, sys, django
os.environ["DJANGO_SETTINGS_MODULE"] = "biaojie.site.settings"
django.setup()
from biaojie.foundation.records.channel import Reader
with Reader("publication") as reader:
    for serial, changes in reader.read(after=0):
        print("numbered", serial, flush=True)
        sys.stdin.readline()
"""


def test_reader_killed_between_numbering_and_consuming_loses_nothing(database_url: str, tmp_path: Path) -> None:
    put("a")
    put("b")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BIAOJIE_")}
    environment |= {"BIAOJIE_DATABASE_URL": database_url, "BIAOJIE_NODE_DIR": str(tmp_path), "BIAOJIE_ENVIRONMENT": "test"}
    (tmp_path / "secret.key").write_text("k" * 50)
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED_READER], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None and child.stdin is not None
    assert child.stdout.readline() == "numbered 1\n"
    put("c")

    os.kill(child.pid, signal.SIGKILL)
    child.wait(10)
    child.stdout.close()
    child.stdin.close()
    with Reader("publication") as reader:
        found = keys_read(reader, after=0)

    assert found == [(1, ["a"]), (2, ["b"]), (3, ["c"])]


def test_read_again_before_acknowledging_gives_the_same() -> None:
    put("a", "b")

    with Reader("publication") as reader:
        first = keys_read(reader, after=0)
        again = keys_read(reader, after=0)

    assert first == again == [(1, ["a", "b"])]


def test_read_limit_numbers_no_more_sets_than_asked() -> None:
    for n in range(5):
        put(str(n))

    with Reader("publication") as reader:
        found = [[serial for serial, _ in reader.read(after=after, limit=2)] for after in (0, 2, 4)]

    assert found == [[1, 2], [3, 4], [5]]
    assert Stamp.objects.filter(serial=None).count() == 0


def test_read_bulk_set_of_five_thousand_yielded_whole() -> None:
    with transaction.atomic(), journal.change_set(actor="li", channels=("publication",)) as changes:
        changes.copy(("handle", f"k{n}", 1, "put", {"n": n}) for n in range(5000))
    put("after")

    with Reader("publication") as reader:
        sizes = [(serial, len(found)) for serial, found in reader.read(after=0)]

    assert sizes == [(1, 5000), (2, 1)]


def test_reader_wait_woken_by_a_commit() -> None:
    with Reader("publication") as reader:
        silent = reader.wait(0.05)
        put("a")
        woken = reader.wait(5)

    assert (silent, woken) == (False, True)


def test_acknowledge_moves_forward_only_and_backlog_says_how_far() -> None:
    for n in range(3):
        put(str(n))
    with Reader("publication") as reader:
        keys_read(reader, after=0)
        reader.acknowledge(2)
        reader.acknowledge(1)
    put("new")

    (found,) = [row for row in backlog() if row.channel == "publication"]

    assert Channel.objects.get(pk="publication").acknowledged == 2
    assert (found.unnumbered, found.unacknowledged) == (1, 1)
    assert found.oldest_at is not None


def test_reader_undeclared_channel_refused() -> None:
    with pytest.raises(UnknownChannel):
        Reader("gossip")


def test_newest_of_one_key_the_highest_version_holds() -> None:
    older, newer, other = (Change(kind="handle", key=key, version=version) for key, version in (("a", 6), ("a", 7), ("b", 1)))

    assert newest([newer, other, older]) == [newer, other]
