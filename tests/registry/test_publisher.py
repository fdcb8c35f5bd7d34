"""The publish lane end to end: journal to files to index; killed anywhere, restored from an older backup, cut off from its database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connection, connections
from served import make_prefix, url

from biaojie.foundation.records.channel import backlog
from biaojie.foundation.records.models import Channel
from biaojie.registry import operations_handles as handles
from biaojie.registry.comparison import compare
from biaojie.registry.models import Handle
from biaojie.registry.publisher import Publisher
from biaojie.resolution.follower import Follower
from biaojie.resolution.index import Index

pytestmark = pytest.mark.django_db(transaction=True)


class Side:
    """A folder of publication and an index that follows it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "publication"
        self.index = Index.open(folder / "index")
        self._follower = Follower(self.folder, self.index)

    def follow(self) -> str:
        """Poll once; how it went."""
        report = self._follower.poll()
        assert report.problem is None, report
        return report.how

    def publisher(self) -> Publisher:
        return Publisher(self.folder, node="second-test")

    def close(self) -> None:
        self._follower.close()
        self.index.close()


@pytest.fixture
def side(tmp_path: Path) -> Iterator[Side]:
    made = Side(tmp_path)
    yield made
    made.close()


def create(*names: str) -> None:
    for name in names:
        handles.create_identifier(actor="wu", identifier=f"88.100.2/{name}", values=[url(name)])


def test_publish_once_and_follow_gives_an_index_equal_to_the_registry(side: Side) -> None:
    make_prefix("88.100.2")
    create("a", "b")
    publisher = side.publisher()

    first = publisher.publish_once()
    begun = side.follow()
    create("c")
    handles.delete_identifier(actor="wu", identifier="88.100.2/a")
    second = publisher.publish_once()
    went_on = side.follow()

    assert (begun, went_on) == ("snapshot", "deltas")
    assert (second.session, second.serial) == (first.session, first.serial + 2)
    assert compare(side.index).equal
    assert (backlog()[0].unnumbered, backlog()[0].unacknowledged) == (0, 0)


def test_publish_once_with_nothing_new_leaves_the_manifest(side: Side) -> None:
    make_prefix("88.100.2")

    first = side.publisher().publish_once()

    assert side.publisher().publish_once() == first


def test_compare_index_that_differs_names_each_difference(side: Side) -> None:
    make_prefix("88.100.2")
    create("a", "b", "c")
    side.publisher().publish_once()
    side.follow()
    Handle.objects.filter(key="1:88.100.2/A").delete()
    Handle.objects.filter(key="1:88.100.2/B").update(version=9)
    Handle.objects.filter(key="1:88.100.2/C").update(key="1:88.100.2/D")

    result = compare(side.index)

    assert not result.equal
    assert sorted(result.differences) == [
        "内容不同 handle 88.100.2/B：注册第 9 版，索引第 1 版",
        "索引多出 handle 88.100.2/A",
        "索引多出 handle 88.100.2/C",
        "索引缺少 handle 88.100.2/D",
    ]


def test_publish_once_database_restored_older_than_the_manifest_begins_a_new_session(side: Side) -> None:
    make_prefix("88.100.2")
    create("a", "b", "c")
    first = side.publisher().publish_once()
    side.follow()
    # The backup had only the first change set and row; since then two more sets were written than were lost.
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("DELETE FROM registry_handle WHERE key <> '1:88.100.2/A'")
        cursor.execute("DELETE FROM records_change WHERE key ~ '/[BC]$'")
        cursor.execute(
            "DELETE FROM records_stamp s WHERE NOT EXISTS (SELECT FROM records_change c WHERE c.change_set_id = s.change_set_id)"
        )
        cursor.execute("UPDATE records_channel SET serial = 2, acknowledged = 2")
        cursor.execute("SET session_replication_role = origin")
    create("e", "f", "g", "h")

    second = side.publisher().publish_once()

    assert second.session != first.session
    assert side.follow() == "snapshot"
    assert compare(side.index).equal


def test_publish_once_folder_lost_begins_anew_with_all(side: Side) -> None:
    make_prefix("88.100.2")
    create("a", "b")
    first = side.publisher().publish_once()
    for path in side.folder.iterdir():
        path.unlink()

    second = side.publisher().publish_once()

    assert (second.session != first.session, second.serial) == (True, first.serial)
    assert side.follow() == "snapshot"
    assert compare(side.index).equal


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe"])
def test_publish_once_manifest_unreadable_begins_anew(side: Side, damage: bytes) -> None:
    make_prefix("88.100.2")
    create("a")
    side.publisher().publish_once()
    (side.folder / "manifest.json").write_bytes(damage)

    side.publisher().publish_once()

    assert side.follow() == "snapshot"
    assert compare(side.index).equal


def test_publish_once_journal_lost_sets_nobody_published_begins_anew(side: Side) -> None:
    make_prefix("88.100.2")
    first = side.publisher().publish_once()
    create("a", "b", "c")
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(
            "UPDATE records_stamp SET serial = 1 + n FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM records_stamp"
            " WHERE serial IS NULL) r WHERE r.id = records_stamp.id"
        )
        cursor.execute("UPDATE records_channel SET serial = 4")
        cursor.execute("DELETE FROM records_change WHERE key ~ '/B$'")
        cursor.execute("SET session_replication_role = origin")

    create("d")
    second = side.publisher().publish_once()

    assert second.session != first.session
    assert side.follow() == "snapshot"
    assert compare(side.index).equal
    # What was numbered and acknowledged stays so: the manifest is never ahead of the journal.
    channel = Channel.objects.get(name="publication")
    assert (channel.serial, channel.acknowledged) == (second.serial, second.serial)


PROGRAM = """
import os, signal, sys, django
from pathlib import Path
django.setup()
from biaojie.registry import publisher
from biaojie.foundation.records.channel import Reader
from biaojie.resolution.publication import PublicationWriter

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

place = sys.argv[2]
owner, name = {"number": (Reader, "number"), "delta": (PublicationWriter, "_publish"), "acknowledge": (Reader, "acknowledge"),
               "snapshot": (PublicationWriter, "_snapshot")}[place]
setattr(owner, name, die)
publisher.Publisher(Path(sys.argv[1]), node="second-test").publish_once()
"""


@pytest.fixture
def killed_at(side: Side, database_url: str, tmp_path: Path) -> Callable[[str], None]:
    """Runs a publisher in a process of its own that is killed when it comes to a step."""

    def run(place: str) -> None:
        (tmp_path / "secret.key").write_text("k" * 64, encoding="utf-8")
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("BIAOJIE_")},
            "DJANGO_SETTINGS_MODULE": "biaojie.site.settings",
            "BIAOJIE_ROLE": "second",
            "BIAOJIE_ENVIRONMENT": "test",
            "BIAOJIE_NODE_DIR": str(tmp_path),
            "BIAOJIE_DATABASE_URL": database_url,
        }
        done = subprocess.run([sys.executable, "-c", PROGRAM, str(side.folder), place], env=environment, check=False, timeout=60)
        assert done.returncode == -signal.SIGKILL

    return run


@pytest.mark.parametrize("place", ["number", "delta", "acknowledge", "snapshot"])
def test_publisher_killed_between_steps_next_one_publishes_everything_once(
    side: Side, killed_at: Callable[[str], None], place: str
) -> None:
    make_prefix("88.100.2")
    create("a")
    if place != "snapshot":
        side.publisher().publish_once()
        side.follow()
    create("b", "c")
    handles.delete_identifier(actor="wu", identifier="88.100.2/a")

    killed_at(place)
    side.publisher().publish_once()
    side.follow()

    assert compare(side.index).equal
    assert backlog()[0].unacknowledged == 0


@pytest.fixture
def running(side: Side) -> Iterator[Publisher]:
    """A publisher at work in a thread, as in its lane."""
    publisher, stop = side.publisher(), threading.Event()

    def run() -> None:
        try:
            publisher.run(stop)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    yield publisher
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)


def published(side: Side, name: str) -> Callable[[], bool]:
    def look() -> bool:
        side.follow()
        reader = side.index.reader()
        try:
            reader.renew()
            return reader.get_handle(b"\x0188.100.2/" + name.encode()) is not None
        finally:
            reader.close()

    return look


def test_run_registered_identifier_is_published_by_notification(side: Side, running: Publisher) -> None:
    make_prefix("88.100.2")
    until(lambda: (side.folder / "manifest.json").exists())
    delays = []
    for name in "ABCDE":
        create(name)
        began_s = time.monotonic()
        until(published(side, name))
        delays.append(time.monotonic() - began_s)

    # Far below the second between two looks of its own accord: it was woken. (A busy machine costs some of the five.)
    assert sorted(delays)[2] < 0.5


def test_run_connections_killed_goes_on(side: Side, running: Publisher) -> None:
    make_prefix("88.100.2")
    create("A")
    until(lambda: (side.folder / "manifest.json").exists())
    until(published(side, "A"))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )

    create("B")

    until(published(side, "B"))
    assert compare(side.index).equal
