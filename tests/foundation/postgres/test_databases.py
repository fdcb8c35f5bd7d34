"""Databases made, cloned and dropped on a real server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest

from biaojie.foundation.postgres import databases, errors
from biaojie.foundation.postgres.cluster import Cluster

pytestmark = pytest.mark.web


@pytest.fixture
def name(server: Cluster) -> Iterator[str]:
    """A database name of this test; whatever it and its derivatives became is dropped."""
    base = f"t_{uuid4().hex[:12]}"
    yield base
    with psycopg.connect(server.dsn()) as connection:
        rows = connection.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", (base,)).fetchall()
    for (found,) in rows:
        databases.drop(server.dsn(), found)


def prepare(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE migrated AS SELECT 1 AS n")


def read(url: str) -> list[tuple[int]]:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT n FROM migrated").fetchall()


def test_create_exists_drop_round_trip(server: Cluster, name: str) -> None:
    before = databases.exists(server.dsn(), name)
    databases.create_database(server.dsn(), name)
    between = databases.exists(server.dsn(), name)

    dropped = databases.drop(server.dsn(), name)

    assert (before, between, dropped) == (False, True, True)
    assert not databases.exists(server.dsn(), name)
    assert databases.drop(server.dsn(), name) is False


def test_create_with_a_name_that_needs_quoting_keeps_it(server: Cluster, name: str) -> None:
    odd = f'{name} 节点"; DROP'

    databases.create_database(server.dsn(), odd)

    with psycopg.connect(server.dsn(odd)) as connection:
        assert connection.info.dbname == odd


def test_create_twice_says_exists(server: Cluster, name: str) -> None:
    databases.create_database(server.dsn(), name)

    with pytest.raises(errors.DatabaseExists) as caught:
        databases.create_database(server.dsn(), name)

    assert name in caught.value.message


@pytest.mark.parametrize("bad", ["", "x" * 64, "库" * 22, "a\0b"])
def test_create_with_a_name_the_server_would_cut_is_refused(server: Cluster, bad: str) -> None:
    with pytest.raises(errors.BadDatabaseName):
        databases.create_database(server.dsn(), bad)


def test_clone_of_a_missing_template_says_missing(server: Cluster, name: str) -> None:
    with pytest.raises(errors.DatabaseMissing) as caught:
        databases.clone(server.dsn(), f"{name}_none", name)

    assert caught.value.data["name"] == f"{name}_none"


def test_template_is_prepared_once_and_clones_are_independent(server: Cluster, name: str) -> None:
    template = f"{name}_template"
    made = [databases.ensure_template(server.dsn(), template, prepare) for _ in range(2)]

    first = databases.clone(server.dsn(), template, f"{name}_1")
    second = databases.clone(server.dsn(), template, f"{name}_2")
    with psycopg.connect(first) as connection:
        connection.execute("INSERT INTO migrated VALUES (2)")

    assert made == [True, False]
    assert read(first) == [(1,), (2,)]
    assert read(second) == [(1,)]


def test_template_is_closed_to_clients_and_can_be_dropped(server: Cluster, name: str) -> None:
    databases.ensure_template(server.dsn(), name, prepare)

    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.dsn(name))

    assert databases.drop(server.dsn(), name) is True


def test_template_whose_preparation_fails_is_not_there_and_is_begun_afresh(server: Cluster, name: str) -> None:
    def fail(url: str) -> None:
        prepare(url)
        raise RuntimeError("migration failed")

    with pytest.raises(RuntimeError, match="migration failed"):
        databases.ensure_template(server.dsn(), name, fail)
    there = databases.exists(server.dsn(), name)
    databases.ensure_template(server.dsn(), name, prepare)

    assert there is False
    assert read(databases.clone(server.dsn(), name, f"{name}_c")) == [(1,)]


def test_template_wanted_by_several_at_once_is_prepared_by_one(server: Cluster, name: str) -> None:
    calls: list[str] = []

    def slow(url: str) -> None:
        calls.append(url)
        prepare(url)

    threads = [threading.Thread(target=databases.ensure_template, args=(server.dsn(), name, slow)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(calls) == 1
    assert databases.exists(server.dsn(), name)


def test_clone_waits_for_a_client_that_is_leaving(server: Cluster, name: str) -> None:
    databases.create_database(server.dsn(), name)
    client = psycopg.connect(server.dsn(name))
    leaving = threading.Timer(0.5, client.close)
    leaving.start()

    databases.create_database(server.dsn(), f"{name}_c", template=name)

    leaving.join()
    assert databases.exists(server.dsn(), f"{name}_c")


def test_clone_of_a_template_in_use_says_in_use(server: Cluster, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "BUSY_PATIENCE_S", 0.2)
    databases.create_database(server.dsn(), name)

    with psycopg.connect(server.dsn(name)), pytest.raises(errors.DatabaseInUse):
        databases.create_database(server.dsn(), f"{name}_c", template=name)


def test_drop_disconnects_clients_only_if_told(server: Cluster, name: str) -> None:
    databases.create_database(server.dsn(), name)
    client = psycopg.connect(server.dsn(name))

    with pytest.raises(errors.DatabaseInUse):
        databases.drop(server.dsn(), name, force=False)
    databases.drop(server.dsn(), name)

    with pytest.raises(psycopg.OperationalError):
        client.execute("SELECT 1")
    client.close()


def test_unreachable_server_is_a_coded_error() -> None:
    with pytest.raises(errors.DatabaseUnreachable) as caught:
        databases.exists("postgresql://u:secret@/db?host=/nowhere/at/all", "x")

    assert "/nowhere/at/all" in caught.value.message
    assert "secret" not in caught.value.message
