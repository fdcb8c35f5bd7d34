"""Bulk registration: open a load, take its body in as it streams, say what became of every row.

Not atomic: each chunk (at most 5,000 rows) is one transaction of rows, journal, errors and `rows_done`, so that a load cut
off anywhere goes on exactly where it stands: the client asks for `rows_done` and sends the body again with the load's id,
whole or from the next row on (`from_row`). A whole body must begin with the very rows taken before (`BulkLoad.digest`); a
body that begins later cannot be compared, and is taken at its word. Atomic: rows are staged, and one transaction writes them all when none was
refused; cut off, it begins again at row 1. Repeating a load that has ended changes nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import structlog
from django.db import transaction

from biaojie.base import clock
from biaojie.foundation.accounts.models import User
from biaojie.foundation.audit.log import record
from biaojie.registry.bulk_body import Body, ahead
from biaojie.registry.bulk_rows import Chunk, Fault, RowReader, csv_chunks, ndjson_chunks
from biaojie.registry.bulk_store import CREATE, DELETE, MODES, UPSERT, Staging, Target, refused, repeated_earlier, write
from biaojie.registry.errors import (
    BulkGap,
    BulkLengthMissing,
    BulkLengthRequired,
    BulkMismatch,
    BulkMovedOn,
    BulkRefused,
    NotAllowed,
    NotFound,
)
from biaojie.registry.models import BulkError, BulkLoad
from biaojie.registry.operations_handles import served_prefix
from biaojie.registry.visibility import holds

NDJSON: Final = "ndjson"
CSV: Final = "csv"
FORMATS: Final = (NDJSON, CSV)

log = structlog.get_logger(__name__)

Finish = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a bulk request asks for; `from_row` is the number of its body's first row."""

    prefix: str
    format: str = NDJSON
    mode: str = CREATE
    atomic: bool = False
    load: uuid.UUID | None = None
    from_row: int = 1
    row_count: int | None = None


def open_load(*, actor: object, order: Order, user: User | None = None) -> BulkLoad:
    """The load of an order: a new one, or the one it names. Raises `BulkRefused`, `BulkMismatch`, `BulkGap`,
    `PrefixNotServed`, `NotAllowed`."""
    if order.format not in FORMATS or order.mode not in MODES or order.from_row < 1:
        raise BulkRefused(pointer="query", reason=f"format 为 {'、'.join(FORMATS)}，mode 为 {'、'.join(MODES)}，from_row 从 1 计")
    prefix = served_prefix(order.prefix, user)
    identity = order.load or uuid.uuid4()
    with transaction.atomic():
        load, is_new = BulkLoad.objects.get_or_create(
            id=identity,
            defaults={
                "prefix": prefix,
                "format": order.format,
                "mode": order.mode,
                "atomic": order.atomic,
                "actor": str(actor),
                "created_at": clock.now(),
            },
        )
        if is_new:
            detail = {"mode": order.mode, "format": order.format, "atomic": order.atomic}
            record(actor=actor, action="identifier.bulk.open", subject=f"{prefix.name} {load.id}", detail=detail)
    held = (load.prefix_id, load.format, load.mode, load.atomic)
    if held != (prefix.pk, order.format, order.mode, order.atomic):
        raise BulkMismatch(pointer="query/load", load=str(load.id))
    if order.from_row > load.rows_done + 1:
        raise BulkGap(pointer="query/from_row", done=load.rows_done, next=load.rows_done + 1)
    return load


def receive(*, actor: object, load: BulkLoad, order: Order, body: Body, user: User | None = None) -> BulkLoad:
    """Take in a body for an open load and end it. Raises `BulkLengthMissing`, `BulkDigestWrong`, `BulkRefused`,
    `BulkDiffers`, `BulkSilent`, `BulkMovedOn`.

    After a refusal the load stays open at `rows_done`; what is done stays done. An ended load that is not atomic passes
    over the rows it has and goes on with any that follow: a torn chunked body may have looked whole.
    """
    end_is_sure = body.end_is_sure or order.row_count is not None
    if load.atomic:
        if load.state != BulkLoad.State.OPEN:
            return load
        if not end_is_sure:
            raise BulkLengthRequired(pointer="header")
    target = Target(prefix=load.prefix, mode=load.mode, actor=f"{load.actor} (bulk {load.id})")
    take = _take_atomic if load.atomic else _take_by_chunks
    with ahead(_chunks(load, order, body, end_is_sure)) as chunks:
        take(load, target, _counted(chunks, order), lambda: _end(load, actor))
    return load


def get_load(*, load: uuid.UUID, user: User | None = None) -> BulkLoad:
    """The load as it stands. Raises `NotFound`, `NotAllowed`."""
    row = BulkLoad.objects.select_related("prefix").filter(id=load).first()
    if row is None:
        raise NotFound(pointer="load", what="批量任务", name=str(load))
    if user is not None and not holds(user, row.prefix.name):
        raise NotAllowed(pointer="load", name=str(load))
    return row


def list_loads(*, prefix: str, user: User | None = None, limit: int = 100) -> list[BulkLoad]:
    """The newest loads of a prefix. Raises `PrefixNotServed`, `NotAllowed`."""
    owner = served_prefix(prefix, user)
    return list(BulkLoad.objects.select_related("prefix").filter(prefix=owner).order_by("-created_at")[:limit])


def errors_of(load: BulkLoad, *, limit: int | None = None) -> Iterator[dict[str, Any]]:
    """The refused rows in order, `{"row", "handle", "errors": [{code, pointer, message}]}`; streamed."""
    rows = BulkError.objects.filter(load=load).order_by("row", "id").values("row", "handle", "errors")
    for row in rows[:limit] if limit is not None else rows.iterator(chunk_size=2000):
        yield {"row": row["row"], "handle": row["handle"], "errors": row["errors"]}


def as_load(load: BulkLoad) -> dict[str, Any]:
    """What the API says of a load."""
    return {
        "load": load.id,
        "prefix": load.prefix.name,
        "format": load.format,
        "mode": load.mode,
        "atomic": load.atomic,
        "state": load.state,
        "rows_done": load.rows_done,
        "accepted": load.accepted,
        "rejected": load.rejected,
        "next_row": load.rows_done + 1,
        "created_at": load.created_at,
        "finished_at": load.finished_at,
    }


def _chunks(load: BulkLoad, order: Order, body: Body, end_is_sure: bool) -> Iterator[Chunk]:
    values_wanted = load.mode != DELETE
    reader = RowReader(load.prefix.name, values_wanted=values_wanted)
    done, known = (0, "") if load.atomic else (load.rows_done, load.digest)
    if load.format == CSV:
        return csv_chunks(
            body.blocks(),
            reader,
            first=order.from_row,
            done=done,
            known=known,
            load=str(load.id),
            values_wanted=values_wanted,
            end_is_sure=end_is_sure,
        )
    return ndjson_chunks(
        body.blocks(), reader, first=order.from_row, done=done, known=known, load=str(load.id), end_is_sure=end_is_sure
    )


def _counted(chunks: Iterable[Chunk], order: Order) -> Iterator[Chunk]:
    """The chunks; where a number of rows was announced, the last of them only once it has proved right."""
    if order.row_count is None:
        yield from chunks
        return
    held: Chunk | None = None
    for chunk in chunks:
        if held is not None:
            yield held
        held = chunk
    # A repetition of rows all done already gives no chunk to count by.
    if held is not None:
        received = held.last - order.from_row + 1
        if received != order.row_count:
            raise BulkLengthMissing(pointer="header/X-Row-Count", expected=f"{order.row_count} 行", received=f"{received} 行")
        yield held


def _take_by_chunks(load: BulkLoad, target: Target, chunks: Iterable[Chunk], end: Finish) -> None:
    with Staging(by_transaction=True) as staging:
        for chunk in chunks:
            with transaction.atomic():
                _lock(load)
                served_prefix(target.prefix.name)
                written, faults = _write_chunk(load, target, staging, chunk)
                _add_errors(load, faults)
                load.rows_done, load.digest = chunk.last, chunk.digest
                load.accepted += written
                load.rejected += len(faults)
                load.state, load.finished_at = BulkLoad.State.OPEN, None
                load.save(update_fields=["rows_done", "digest", "accepted", "rejected", "state", "finished_at"])
        if load.state == BulkLoad.State.OPEN:
            with transaction.atomic():
                _lock(load)
                end()


def _write_chunk(load: BulkLoad, target: Target, staging: Staging, chunk: Chunk) -> tuple[int, list[Fault]]:
    """Rows written, and the refused rows of the chunk."""
    faults, span, wanted = list(chunk.faults), (load.rows_done + 1, chunk.last), len(chunk.lines)
    if not wanted:
        return 0, faults
    staging.add(chunk.text())
    if target.mode == UPSERT and load.rows_done:
        # Else the last of two rows would win or lose depending on where a transaction ends.
        repeated = repeated_earlier(target, span)
        if repeated:
            staging.remove([fault.row for fault in repeated])
            faults += repeated
            wanted -= len(repeated)
    written = write(target, span, clock.now())
    if written.changes < wanted:
        faults += refused(target, span, written)
    return written.changes, faults


def _take_atomic(load: BulkLoad, target: Target, chunks: Iterable[Chunk], end: Finish) -> None:
    BulkError.objects.filter(load=load).delete()
    rows, rejected = 0, 0
    with Staging(by_transaction=False) as staging:
        for chunk in chunks:
            if chunk.lines and not rejected:
                staging.add(chunk.text())
            _add_errors(load, chunk.faults)
            rows, rejected = chunk.last, rejected + len(chunk.faults)
        staging.index()
        repeated = list(staging.repeated())
        _add_errors(load, repeated)
        rejected += len(repeated)
        faults: list[Fault] = []
        with transaction.atomic():
            _lock(load)
            accepted = 0
            if not rejected:
                with transaction.atomic():
                    accepted, faults = _write_slices(target, staging)
                    if faults:
                        transaction.set_rollback(True)
                _add_errors(load, faults)
                rejected += len(faults)
            load.rows_done, load.accepted, load.rejected = rows, 0 if rejected else accepted, rejected
            load.state = BulkLoad.State.FAILED if rejected else load.state
            load.save(update_fields=["rows_done", "accepted", "rejected", "state"])
            end()


def _write_slices(target: Target, staging: Staging) -> tuple[int, list[Fault]]:
    accepted, faults = 0, []
    now = clock.now()
    for span, count in staging.slices():
        written = write(target, span, now)
        accepted += written.changes
        if written.changes < count:
            faults += refused(target, span, written)
    return accepted, faults


def _lock(load: BulkLoad) -> None:
    """Raises `BulkMovedOn` when another request has moved the same load on."""
    held = BulkLoad.objects.select_for_update().only("rows_done", "state").get(pk=load.pk)
    if (held.rows_done, held.state) != (load.rows_done, load.state):
        raise BulkMovedOn(pointer="load", load=str(load.pk), done=held.rows_done, next=held.rows_done + 1)


def _end(load: BulkLoad, actor: object) -> None:
    if load.state == BulkLoad.State.OPEN:
        load.state = BulkLoad.State.DONE
    load.finished_at = clock.now()
    load.save(update_fields=["state", "finished_at"])
    detail = {"state": load.state, "rows": load.rows_done, "accepted": load.accepted, "rejected": load.rejected}
    record(actor=actor, action="identifier.bulk.end", subject=f"{load.prefix.name} {load.id}", detail=detail)
    log.info("bulk.ended", load=str(load.id), prefix=load.prefix.name, **detail)


def _add_errors(load: BulkLoad, faults: Iterable[Fault]) -> None:
    rows = [BulkError(load=load, row=fault.row, handle=fault.handle, errors=fault.errors) for fault in faults]
    BulkError.objects.bulk_create(rows, batch_size=1000)
