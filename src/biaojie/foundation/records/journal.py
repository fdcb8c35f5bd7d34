"""How business code writes the journal: in its own transaction, all of a change set or nothing of it.

    with journal.change_set(actor=actor, channels=("publication",)) as changes:
        changes.put(kind="handle", key="88.100.1/A", version=7, content={...})

Nothing is numbered here: serials are given by the channel's reader (`channel`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import msgspec
from django.db import connection

from biaojie.base import clock
from biaojie.foundation.records.errors import BadChange, ChangeSetTooLarge, NotInTransaction, UnknownChannel
from biaojie.foundation.records.models import Change
from biaojie.foundation.records.retention import CHANNELS

LIMIT = 5000
NOTIFY_CHANNEL = "biaojie_journal"
# Up to here one INSERT of arrays, in the same round trip as its set; beyond, COPY is faster.
_COPY_FROM = 64

PUT = Change.Operation.PUT.value
REMOVE = Change.Operation.REMOVE.value
_OPERATIONS = frozenset({PUT, REMOVE})
# An escaped NUL in JSON, but not an escaped backslash before the letters u0000.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")

_BEGIN = """
WITH made AS (INSERT INTO records_changeset (actor, at) VALUES (%s, %s) RETURNING id),
     stamped AS (INSERT INTO records_stamp (channel, change_set_id) SELECT c, made.id FROM made, unnest(%s::text[]) AS c),
     listed AS (INSERT INTO records_change (change_set_id, kind, key, version, operation, content)
                SELECT made.id, c.kind, c.key, c.version, c.operation, c.content FROM made,
                unnest(%s::text[], %s::text[], %s::bigint[], %s::text[], %s::jsonb[])
                WITH ORDINALITY AS c(kind, key, version, operation, content, place) ORDER BY c.place)
SELECT id FROM made
"""

# One statement, so that a set without changes is never written and rows never travel to the client and back.
_FROM_STATEMENT = """
WITH rows AS MATERIALIZED ({}),
     made AS (INSERT INTO records_changeset (actor, at) SELECT %s, %s WHERE EXISTS (SELECT FROM rows) RETURNING id),
     stamped AS (INSERT INTO records_stamp (channel, change_set_id) SELECT c, made.id FROM made, unnest(%s::text[]) AS c),
     listed AS (INSERT INTO records_change (change_set_id, kind, key, version, operation, content)
                SELECT made.id, r.kind, r.key, r.version, r.operation, r.content FROM rows r, made
                RETURNING version >= 0 AND CASE operation WHEN 'put' THEN content IS NOT NULL
                                                          WHEN 'remove' THEN content IS NULL ELSE false END AS fits)
SELECT (SELECT id FROM made), count(*), coalesce(bool_and(fits), true) FROM listed
"""


class Row(NamedTuple):
    """What `copy` takes; a plain tuple of this order serves."""

    kind: str
    key: str
    version: int
    operation: str
    content: Any = None


class Written(NamedTuple):
    """What `write_from` wrote: the change set (None without changes) and how many changes are in it."""

    set_id: int | None
    changes: int


class ChangeSetWriter:
    """Collects one set's changes; written when the block ends without an exception. `id` is None until then."""

    def __init__(self) -> None:
        self.id: int | None = None
        self._rows: list[tuple[str, str, int, str, str | None]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, *, kind: str, key: str, version: int, content: Any) -> None:
        """`key` now has `content` (anything JSON can say, not null)."""
        self._add(kind, key, version, PUT, content)

    def remove(self, *, kind: str, key: str, version: int) -> None:
        """`key` is gone, as of `version`."""
        self._add(kind, key, version, REMOVE, None)

    def copy(self, rows: Iterable[Row | Sequence[Any]]) -> int:
        """Many changes at once, each `(kind, key, version, operation, content)`; gives how many. Raises as `put`."""
        before = len(self._rows)
        for row in rows:
            self._add(*row)
        return len(self._rows) - before

    def _add(self, kind: str, key: str, version: int, operation: str, content: Any = None) -> None:
        if len(self._rows) >= LIMIT:
            raise ChangeSetTooLarge(limit=LIMIT)
        if operation not in _OPERATIONS or (operation == PUT) is (content is None):
            raise BadChange(pointer=key, reason=f"操作 {operation} 与内容不符")
        if not kind or "\x00" in kind or "\x00" in key:
            raise BadChange(pointer=key, reason="类别不得为空，类别和键不得含有 NUL")
        if version < 0:
            raise BadChange(pointer=key, reason="版本不得为负数")
        body = None if content is None else msgspec.json.encode(content).decode()
        if body is not None and _NUL.search(body):
            raise BadChange(pointer=key, reason="内容不得含有 NUL 字符")  # jsonb cannot hold it
        self._rows.append((kind, key, version, operation, body))


@contextmanager
def change_set(*, actor: object, channels: Sequence[str]) -> Iterator[ChangeSetWriter]:
    """Writes what the block puts and removes as one change set, numbered later in each of `channels`.

    Must be inside `transaction.atomic()` (`NotInTransaction`). A block that changes nothing writes nothing. Readers are
    woken when the transaction commits. Raises `UnknownChannel`, `ChangeSetTooLarge` (more than 5,000), `BadChange`.
    """
    names = _checked(channels)
    writer = ChangeSetWriter()
    yield writer
    if len(writer):
        writer.id = _write(writer._rows, str(actor), names)


def write_from(statement: str, params: Sequence[Any], *, actor: object, channels: Sequence[str]) -> Written:
    """One change set out of what one SQL statement returns; none is written when it returns nothing.

    The statement (usually `INSERT … RETURNING`) returns columns named kind, key, version, operation, content. It does
    its work and is journalled in one step; nothing travels through the client. Raises as `change_set`.
    """
    names = _checked(channels)
    with connection.cursor() as cursor:
        cursor.execute(_FROM_STATEMENT.format(statement), [*params, str(actor), clock.now(), names])
        set_id, count, fits = cast(tuple[int | None, int, bool], cursor.fetchone())
        if count > LIMIT:
            raise ChangeSetTooLarge(limit=LIMIT)
        if not fits:
            raise BadChange(reason="操作与内容不符，或版本为负数")
        if count:
            cursor.execute("SELECT pg_notify(%s, c) FROM unnest(%s::text[]) AS c", [NOTIFY_CHANNEL, names])
    return Written(set_id, count)


def _checked(channels: Sequence[str]) -> list[str]:
    """The channels in order, each once, where a change set may be written now."""
    if not connection.in_atomic_block:
        raise NotInTransaction
    for name in channels:
        if name not in CHANNELS:
            raise UnknownChannel(channel=name)
    return sorted(set(channels))


def _write(rows: list[tuple[str, str, int, str, str | None]], actor: str, channels: list[str]) -> int:
    direct = rows if len(rows) <= _COPY_FROM else []
    with connection.cursor() as cursor:
        columns = [list(column) for column in zip(*direct, strict=True)] or [[], [], [], [], []]
        cursor.execute(_BEGIN, [actor, clock.now(), channels, *columns])
        set_id = int(cast(tuple[int], cursor.fetchone())[0])
        if not direct:
            statement = "COPY records_change (change_set_id, kind, key, version, operation, content) FROM STDIN"
            with cursor.copy(statement) as copy:
                for row in rows:
                    copy.write_row((set_id, *row))
        cursor.execute("SELECT pg_notify(%s, c) FROM unnest(%s::text[]) AS c", [NOTIFY_CHANNEL, channels])
    return set_id
