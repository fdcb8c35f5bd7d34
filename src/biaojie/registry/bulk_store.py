"""How bulk rows come into the tables: COPY into a temporary table, then one statement that writes rows and journal together.

`Staging` is the temporary table of one request, on the request's own connection. `write` moves rows of it by a mode's
statement, at most one change set at a time; `refused` says afterwards which rows the statement passed over and why.
Rows are written in key order, so that two loads at once wait for one another instead of blocking each other for ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self

from django.db import connection

from biaojie.base.errors import BiaojieError
from biaojie.foundation.records.journal import LIMIT, Written, write_from
from biaojie.registry.bulk_rows import Fault
from biaojie.registry.errors import BulkRepeated, BulkRepeatedEarlier, HandleExists, NotFound
from biaojie.registry.handle_rows import KIND, PUBLICATION
from biaojie.registry.models import Prefix

CREATE: Final = "create"
UPSERT: Final = "upsert"
DELETE: Final = "delete"
MODES: Final = (CREATE, UPSERT, DELETE)

_TABLE: Final = 'CREATE TEMP TABLE bulk_rows (place bigint, key text COLLATE "C", spelled text, values jsonb)'

# `content` is what `handle_rows.content_of` says of a row.
_PUT: Final = """
INSERT INTO registry_handle AS h (key, spelled, prefix_id, owner, purpose, values, version, created_at, updated_at)
SELECT b.key, b.spelled, %s, %s, 'identifier', b.values, 1, %s, %s FROM bulk_rows b
WHERE b.place >= %s AND b.place <= %s ORDER BY b.key
ON CONFLICT (key) DO UPDATE SET spelled = excluded.spelled, prefix_id = excluded.prefix_id, owner = excluded.owner,
    values = excluded.values, version = h.version + 1, updated_at = excluded.updated_at, deleted_at = NULL,
    purpose = CASE WHEN h.deleted_at IS NULL THEN h.purpose ELSE excluded.purpose END,
    created_at = CASE WHEN h.deleted_at IS NULL THEN h.created_at ELSE excluded.created_at END
    {}
RETURNING 'handle' AS kind, key, version, 'put' AS operation, jsonb_build_object(
    'spelled', spelled, 'owner', owner, 'purpose', purpose, 'values', values, 'at', %s::bigint) AS content
"""
_STATEMENTS: Final = {CREATE: _PUT.format("WHERE h.deleted_at IS NOT NULL"), UPSERT: _PUT.format("")}
_LOCK: Final = """
SELECT FROM registry_handle h JOIN bulk_rows b USING (key) WHERE b.place >= %s AND b.place <= %s ORDER BY h.key FOR UPDATE OF h
"""
_REMOVE: Final = """
UPDATE registry_handle h SET version = h.version + 1, deleted_at = %s, updated_at = %s FROM bulk_rows b
WHERE b.place >= %s AND b.place <= %s AND h.key = b.key AND h.deleted_at IS NULL AND h.prefix_id = %s
RETURNING 'handle' AS kind, h.key, h.version, 'remove' AS operation, NULL::jsonb AS content
"""
_PASSED_OVER: Final = """
SELECT b.place, b.spelled FROM bulk_rows b WHERE b.place >= %s AND b.place <= %s AND NOT EXISTS (
    SELECT FROM records_change c WHERE c.kind = %s AND c.key = b.key AND c.change_set_id = %s) ORDER BY b.place
"""
# Rows whose live record was last written by this load itself: a repetition in another transaction's rows of the body.
_WRITTEN_BY: Final = """
SELECT b.place, b.spelled FROM bulk_rows b JOIN registry_handle h USING (key)
JOIN records_change c ON c.kind = %s AND c.key = h.key AND c.version = h.version
JOIN records_changeset s ON s.id = c.change_set_id
WHERE b.place >= %s AND b.place <= %s AND h.deleted_at IS NULL AND s.actor = %s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where rows go and in whose name: `actor` names the load, so that its own rows are known again."""

    prefix: Prefix
    mode: str
    actor: str


class Staging:
    """The temporary table of one request; a context manager. `by_transaction` empties it at each commit."""

    def __init__(self, *, by_transaction: bool) -> None:
        self._ending = " ON COMMIT DELETE ROWS" if by_transaction else ""

    def __enter__(self) -> Self:
        with connection.cursor() as cursor:
            # The connection comes from a pool: an interrupted request may have left its table behind.
            cursor.execute("DROP TABLE IF EXISTS pg_temp.bulk_rows")
            cursor.execute(_TABLE + self._ending)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None and not connection.needs_rollback:
            with connection.cursor() as cursor:
                cursor.execute("DROP TABLE IF EXISTS pg_temp.bulk_rows")

    def add(self, lines: bytes) -> None:
        """COPY lines of (row, key, spelled, values)."""
        with connection.cursor() as cursor, cursor.copy("COPY bulk_rows (place, key, spelled, values) FROM STDIN") as copy:
            copy.write(lines)

    def remove(self, places: Sequence[int]) -> None:
        """Take rows out again."""
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM bulk_rows WHERE place = ANY(%s)", [list(places)])

    def repeated(self) -> Iterator[Fault]:
        """Rows whose identifier an earlier row has; call after `index`."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT place, spelled, first FROM (SELECT place, spelled, min(place) OVER (PARTITION BY key) AS first"
                " FROM bulk_rows) r WHERE place > first ORDER BY place"
            )
            while rows := cursor.fetchmany(LIMIT):
                for place, shown, first in rows:
                    yield Fault(place, shown, [BulkRepeated(pointer="handle", other=first).as_row()])

    def index(self) -> None:
        """Prepare a table of many change sets for reading slice by slice."""
        with connection.cursor() as cursor:
            cursor.execute("CREATE INDEX ON bulk_rows (place)")
            cursor.execute("ANALYZE bulk_rows")

    def slices(self) -> list[tuple[tuple[int, int], int]]:
        """Spans of rows, each at most one change set, and how many rows lie in each."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT min(place), max(place), count(*) FROM (SELECT place, (row_number() OVER (ORDER BY place) - 1) / %s"
                " AS slice FROM bulk_rows) r GROUP BY slice ORDER BY 1",
                [LIMIT],
            )
            return [((int(low), int(high)), int(count)) for low, high, count in cursor.fetchall()]


def write(target: Target, span: tuple[int, int], now: datetime) -> Written:
    """Write the rows of a span as the mode says, with their journal, in the caller's transaction."""
    if target.mode == DELETE:
        with connection.cursor() as cursor:
            cursor.execute(_LOCK, span)
        params: list[Any] = [now, now, *span, target.prefix.pk]
        return write_from(_REMOVE, params, actor=target.actor, channels=(PUBLICATION,))
    params = [target.prefix.pk, target.prefix.name, now, now, *span, int(now.timestamp())]
    return write_from(_STATEMENTS[target.mode], params, actor=target.actor, channels=(PUBLICATION,))


def refused(target: Target, span: tuple[int, int], written: Written) -> list[Fault]:
    """The rows of a span that `write` passed over, each with its reason."""
    repeated = {fault.row: fault for fault in repeated_earlier(target, span)} if target.mode == CREATE else {}
    with connection.cursor() as cursor:
        cursor.execute(_PASSED_OVER, [*span, KIND, written.set_id or 0])
        rows = cursor.fetchall()
    return [repeated.get(place) or Fault(place, shown, [_why(target.mode, shown).as_row()]) for place, shown in rows]


def repeated_earlier(target: Target, span: tuple[int, int]) -> list[Fault]:
    """The rows of a span whose identifier an earlier transaction of the same load has written."""
    with connection.cursor() as cursor:
        cursor.execute(_WRITTEN_BY, [KIND, *span, target.actor])
        return [Fault(place, shown, [BulkRepeatedEarlier(pointer="handle").as_row()]) for place, shown in cursor.fetchall()]


def _why(mode: str, shown: str) -> BiaojieError:
    if mode == DELETE:
        return NotFound(pointer="handle", what="标识", name=shown)
    return HandleExists(pointer="handle", handle=shown)
