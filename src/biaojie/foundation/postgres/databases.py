"""Databases of one server: create, clone, drop; and one template, prepared once and cloned for every node and test.

`admin` is always the address of a database one may connect to (usually `postgres`) as a role that may create databases.
Statements here cannot run inside a transaction; each connection is its own and autocommits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from biaojie.foundation.postgres import dsn
from biaojie.foundation.postgres.errors import (
    BadDatabaseName,
    DatabaseExists,
    DatabaseInUse,
    DatabaseMissing,
    DatabaseUnreachable,
)

NAME_LIMIT = 63  # NAMEDATALEN - 1: PostgreSQL cuts longer names silently
BUSY_PATIENCE_S = 10.0  # a template's last client may still be leaving
_TEMPLATE_LOCK = 0x626A_7470  # first key of the advisory locks taken here ("bjtp")


def exists(admin: str, name: str) -> bool:
    """Whether the server has a database of this name."""
    with _connect(admin) as connection:
        return _exists(connection, name)


def create_database(admin: str, name: str, template: str | None = None) -> None:
    """Create `name`, empty (`template0`, UTF-8) or as a copy of `template`.

    Raises DatabaseExists, DatabaseMissing (the template), DatabaseInUse (the template), BadDatabaseName.
    """
    _check_name(name)
    with _connect(admin) as connection:
        _create(connection, name, template)


def clone(admin: str, template: str, name: str) -> str:
    """Create `name` as a copy of `template` and give its address. Raises as `create_database`."""
    create_database(admin, name, template)
    return dsn.parse(admin).with_name(name).url()


def drop(admin: str, name: str, *, force: bool = True) -> bool:
    """Drop `name`, disconnecting its clients if `force`; gives whether it was there. Raises DatabaseInUse."""
    _check_name(name)
    with _connect(admin) as connection:
        if not _exists(connection, name):
            return False
        unmark = sql.SQL("ALTER DATABASE {} IS_TEMPLATE false").format(sql.Identifier(name))  # a template cannot be dropped
        statement = sql.SQL("DROP DATABASE IF EXISTS {}" + (" WITH (FORCE)" if force else "")).format(sql.Identifier(name))
        try:
            connection.execute(unmark)
            connection.execute(statement)
        except psycopg.errors.InvalidCatalogName:  # somebody else was faster
            return False
        except psycopg.errors.ObjectInUse:
            raise DatabaseInUse(name=name) from None
    return True


def ensure_template(admin: str, name: str, prepare: Callable[[str], None]) -> bool:
    """Make sure that the finished template `name` exists; gives whether this call made it.

    `prepare(url)` fills a new database (migrations) and must leave no connection to it. It works under another name that
    becomes `name` only when it returns: nobody ever clones half a template, and one that failed is started afresh. Of
    several callers one prepares while the others wait.
    """
    _check_name(name)
    building = f"{name[: NAME_LIMIT - 9]}_building"
    with _connect(admin) as connection:
        connection.execute("SELECT pg_advisory_lock(%s, hashtext(%s))", (_TEMPLATE_LOCK, name))
        if _exists(connection, name):
            return False
        drop(admin, building)
        _create(connection, building, None)
        prepare(dsn.parse(admin).with_name(building).url())
        rename = sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(building), sql.Identifier(name))
        _patiently(connection, rename, busy=building)
        # Closed to clients, so that a clone never finds it in use.
        close = sql.SQL("ALTER DATABASE {} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false").format(sql.Identifier(name))
        connection.execute(close)
    return True


def _create(connection: psycopg.Connection, name: str, template: str | None) -> None:
    encoding = " ENCODING 'UTF8'" if template is None else ""
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY {}" + encoding).format(
        sql.Identifier(name), sql.Identifier(template or "template0"), sql.SQL(_strategy(connection))
    )
    try:
        _patiently(connection, statement, busy=template or "template0")
    except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
        raise DatabaseExists(name=name) from None
    except psycopg.errors.InvalidCatalogName:
        raise DatabaseMissing(name=template) from None


def _strategy(connection: psycopg.Connection) -> str:
    """FILE_COPY costs two checkpoints, WAL_LOG twice the writing: with fsync off (tests) the first wins, else the second."""
    row = connection.execute("SELECT current_setting('fsync')").fetchone()
    return "FILE_COPY" if row == ("off",) else "WAL_LOG"


def _patiently(connection: psycopg.Connection, statement: sql.Composed, *, busy: str) -> None:
    """Run a statement that needs `busy` without clients, waiting a while for the last of them to leave."""
    limit = time.monotonic() + BUSY_PATIENCE_S
    while True:
        try:
            connection.execute(statement)
            return
        except psycopg.errors.ObjectInUse:
            if time.monotonic() > limit:
                raise DatabaseInUse(name=busy) from None
            time.sleep(0.1)


def _exists(connection: psycopg.Connection, name: str) -> bool:
    return connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None


def _check_name(name: str) -> None:
    if not name or "\0" in name or len(name.encode()) > NAME_LIMIT:
        raise BadDatabaseName(name=repr(name))


@contextmanager
def _connect(admin: str) -> Iterator[psycopg.Connection]:
    try:
        connection = psycopg.connect(admin, autocommit=True)
    except psycopg.OperationalError as problem:
        address = dsn.parse(admin)
        reason = (str(problem).strip().splitlines() or ["?"])[-1]
        raise DatabaseUnreachable(place=address.place(), reason=reason) from problem
    with connection:
        yield connection
