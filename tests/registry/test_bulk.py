"""Bulk loads on the database: modes, faults by row, atomic, exact resume; and that the publication follows."""

from __future__ import annotations

import io
import json
import uuid
from typing import Any

import pytest
from django.db import connection
from served import make_prefix, url

from biaojie.foundation.records.journal import LIMIT
from biaojie.foundation.records.models import Change, ChangeSet
from biaojie.registry import bulk, bulk_rows
from biaojie.registry import operations_handles as handles
from biaojie.registry.bulk_body import BLOCK_OCTETS, Body
from biaojie.registry.errors import (
    BulkDiffers,
    BulkGap,
    BulkLengthMissing,
    BulkLengthRequired,
    BulkMismatch,
    BulkMovedOn,
    BulkRefused,
    BulkSilent,
    PrefixNotServed,
)
from biaojie.registry.models import BulkError, BulkLoad, Handle

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _served() -> None:
    make_prefix("88.100.2")


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three rows to a transaction."""
    monkeypatch.setattr(bulk_rows, "CHUNK_ROWS", 3)


def rows(*names: str, text: str = "") -> bytes:
    """NDJSON of identifiers whose value is the name, or `text`."""
    lines = ({"handle": f"88.100.2/{name}", "values": [url(text or name)]} for name in names)
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def load(data: bytes, *, body: Body | None = None, **order: Any) -> BulkLoad:
    """Open a load and take in its body."""
    wanted = bulk.Order(prefix="88.100.2", **order)
    held = bulk.open_load(actor="wu", order=wanted)
    return bulk.receive(actor="wu", load=held, order=wanted, body=body or Body(io.BytesIO(data).read, length=len(data)))


def live() -> dict[str, tuple[str, int]]:
    """Live identifiers with their value and version."""
    found = Handle.objects.filter(deleted_at=None).order_by("key")
    return {row.spelled.removeprefix("88.100.2/"): (row.values[0]["data"]["value"], row.version) for row in found}


def errors(held: BulkLoad) -> list[tuple[int, str, list[str]]]:
    return [(row["row"], row["handle"], [fault["code"] for fault in row["errors"]]) for row in bulk.errors_of(held)]


def journalled() -> dict[str, tuple[int, str]]:
    """The newest journal row of every handle."""
    found: dict[str, tuple[int, str]] = {}
    for change in Change.objects.filter(kind="handle").order_by("version"):
        found[change.key] = (change.version, change.operation)
    return found


def test_create_good_rows_kept_bad_rows_reported_with_all_faults() -> None:
    handles.create_identifier(actor="wu", identifier="88.100.2/held", values=[url("x")])
    bad = json.dumps({"handle": "88.100.3/a", "values": [url("x", 0), url("y", 1), url("z", 1)]}).encode() + b"\n"
    data = rows("a", "HELD") + bad + b"\n{not json\n" + rows("b", "A")

    held = load(data)

    assert (held.state, held.rows_done, held.accepted, held.rejected) == ("done", 7, 2, 4)
    assert live() == {"a": ("a", 1), "b": ("b", 1), "held": ("x", 1)}
    assert errors(held) == [
        (2, "88.100.2/HELD", ["REG-151"]),
        (3, "88.100.3/a", ["REG-152", "REG-156", "REG-157"]),
        (5, "", ["REG-161"]),
        (7, "88.100.2/A", ["REG-162"]),
    ]


def test_create_writes_what_single_registration_writes() -> None:
    values = [url("https://p.example/件", 2, ttl=60), {"index": 3, "type": "名称", "data": {"format": "hex", "value": "00ff"}}]
    handles.create_identifier(actor="wu", identifier="88.100.2/one\\1", values=values)
    load(json.dumps({"handle": "88.100.2/two\\1", "values": values}).encode())

    one, two = Handle.objects.order_by("key")
    skipped = {"key", "spelled", "created_at", "updated_at"}
    assert {field.name: getattr(one, field.name) for field in one._meta.fields if field.name not in skipped} == {
        field.name: getattr(two, field.name) for field in two._meta.fields if field.name not in skipped
    }
    assert (two.key, two.spelled) == ("1:88.100.2/TWO\\1", "88.100.2/two\\1")
    first, second = Change.objects.filter(kind="handle").order_by("key")
    assert second.content == first.content | {"spelled": two.spelled, "at": int(two.updated_at.timestamp())}
    assert (second.version, second.operation) == (first.version, first.operation)


def test_create_over_deleted_revives_with_growing_version() -> None:
    load(rows("a"))
    load(b'{"handle": "88.100.2/a"}', mode="delete")

    held = load(rows("A", text="new"))

    assert (held.accepted, live()) == (1, {"A": ("new", 3)})
    assert journalled() == {"1:88.100.2/A": (3, "put")}


def test_upsert_replaces_and_creates() -> None:
    load(rows("a", "b"))

    held = load(rows("b", "c", text="new"), mode="upsert")

    assert (held.accepted, held.rejected) == (2, 0)
    assert live() == {"a": ("a", 1), "b": ("new", 2), "c": ("new", 1)}


def test_delete_removes_live_rows_and_reports_the_others() -> None:
    load(rows("a", "b", "c"))
    data = b"".join(
        json.dumps({"handle": name}).encode() + b"\n" for name in ("88.100.2/A", "88.100.2/none", "88.100.3/x", "88.100.2/c")
    )

    held = load(data, mode="delete")

    assert (held.accepted, live()) == (2, {"b": ("b", 1)})
    assert errors(held) == [(2, "88.100.2/none", ["REG-101"]), (3, "88.100.3/x", ["REG-152"])]
    assert journalled()["1:88.100.2/C"] == (2, "remove")


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize(("mode", "code"), [("create", "REG-165"), ("upsert", "REG-165"), ("delete", "REG-101")])
def test_identifier_repeated_in_another_transaction_of_the_load_refused(mode: str, code: str) -> None:
    if mode == "delete":
        load(rows("a", "b", "c", "d", "e"))

    held = load(rows("a", "b", "c", "d", "B", "e", text="new"), mode=mode)

    assert errors(held) == [(5, "88.100.2/B", [code])]
    assert held.accepted == 5


@pytest.mark.usefixtures("small_chunks")
def test_upsert_of_rows_that_another_load_wrote_is_no_repetition() -> None:
    load(rows("a", "b", "c", "d", "e"), mode="upsert")

    held = load(rows("a", "b", "c", "d", "e", text="new"), mode="upsert")

    assert (held.accepted, held.rejected, set(live().values())) == (5, 0, {("new", 2)})


def test_csv_values_by_column() -> None:
    held = load('handle,1:URL,2:名称,ttl\n88.100.2/a,https://a.example,"甲,乙",60\n88.100.2/b,,,\n'.encode(), format="csv")

    assert (held.rows_done, held.accepted, errors(held)) == (2, 1, [(2, "88.100.2/b", ["REG-155"])])
    assert Handle.objects.get().values[1]["data"]["value"] == "甲,乙"


def test_atomic_good_rows_all_written_in_sets_within_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_rows, "CHUNK_ROWS", 4000)
    names = [f"{number:05d}" for number in range(LIMIT + 4000)]

    held = load(rows(*names), atomic=True)

    assert (held.state, held.rows_done, held.accepted, held.rejected) == ("done", len(names), len(names), 0)
    assert len(live()) == len(names)
    sizes = [
        Change.objects.filter(change_set=set_id).count()
        for set_id in ChangeSet.objects.order_by("id").values_list("id", flat=True)
    ]
    assert sizes == [1, LIMIT, 4000]  # the prefix's zone comes first


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize(
    ("data", "mode", "expected"),
    [
        (rows("a", "b", "c", "d") + b"{\n" + rows("e"), "create", [(5, "", ["REG-161"])]),
        (rows("a", "b", "c", "d", "A"), "upsert", [(5, "88.100.2/A", ["REG-162"])]),
        (rows("a", "b", "c", "held", "d"), "create", [(4, "88.100.2/held", ["REG-151"])]),
        (rows("held", "b"), "delete", [(2, "88.100.2/b", ["REG-101"])]),
    ],
)
def test_atomic_with_any_bad_row_writes_nothing(data: bytes, mode: str, expected: list[Any]) -> None:
    handles.create_identifier(actor="wu", identifier="88.100.2/held", values=[url("x")])
    before = Change.objects.count()

    held = load(data, mode=mode, atomic=True)

    assert (held.state, held.accepted, held.rejected, errors(held)) == ("failed", 0, 1, expected)
    assert (live(), Change.objects.count()) == ({"held": ("x", 1)}, before)


def torn(data: bytes, after: int) -> Body:
    """A body whose connection is lost after so many octets, whatever length was announced."""
    stream = io.BytesIO(data[:after])

    def read(size: int) -> bytes:
        return stream.read(min(size, 64))

    return Body(read, length=len(data))


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("rest_only", [False, True])
def test_load_cut_off_anywhere_resumes_exactly(rest_only: bool) -> None:
    names = list("abcdefghij")
    data = rows(*names[:4]) + b"{bad\n" + rows(*names[4:])
    lines = data.splitlines(keepends=True)
    identity = uuid.uuid4()
    for cut in range(0, len(data), 41):
        before = BulkLoad.objects.filter(id=identity).first()
        first = before.rows_done + 1 if before and rest_only else 1
        part = b"".join(lines[first - 1 :])
        missing = max(0, cut - (len(data) - len(part)))
        with pytest.raises(BulkLengthMissing):
            load(part, body=torn(part, missing), load=identity, from_row=first)

    held = load(data, load=identity)

    assert (held.state, held.rows_done, held.accepted, held.rejected) == ("done", 11, 10, 1)
    assert {name: version for name, (_, version) in live().items()} == dict.fromkeys(names, 1)
    assert errors(held) == [(5, "", ["REG-161"])]
    assert Change.objects.filter(kind="handle").count() == 10


@pytest.mark.usefixtures("small_chunks")
def test_load_ended_repeated_changes_nothing() -> None:
    first = load(rows("a", "b", "c", "d"))
    journal = Change.objects.count()

    again = load(rows("a", "b", "c", "d"), load=first.id)

    assert (again.state, again.rows_done, again.accepted, again.finished_at) == ("done", 4, 4, first.finished_at)
    assert Change.objects.count() == journal


def test_load_ended_goes_on_with_rows_that_follow() -> None:
    first = load(rows("a", "b"))

    again = load(rows("a", "b", "c"), load=first.id)

    assert (again.state, again.rows_done, again.accepted) == ("done", 3, 3)
    assert list(live()) == ["a", "b", "c"]


def test_atomic_load_ended_repeated_changes_nothing() -> None:
    first = load(rows("a", "b"), atomic=True)

    again = load(rows("a", "b"), atomic=True, load=first.id)

    assert (again.state, again.accepted, live()) == ("done", 2, {"a": ("a", 1), "b": ("b", 1)})


def of_unknown_length(data: bytes) -> Body:
    """What a chunked body looks like, torn or not."""
    return Body(io.BytesIO(data).read)


@pytest.mark.parametrize(
    ("form", "data"), [("ndjson", rows("a", "b")[:-5]), ("csv", b"handle,1:URL\n88.100.2/a,x\n88.100.2/b,htt")]
)
def test_load_of_unknown_length_with_a_torn_last_line_stays_open(form: str, data: bytes) -> None:
    identity = uuid.uuid4()

    with pytest.raises(BulkLengthMissing):
        load(b"", body=of_unknown_length(data), load=identity, format=form)

    assert (BulkLoad.objects.get(id=identity).state, live()) == ("open", {})


def test_load_of_unknown_length_whose_last_row_is_whole_needs_no_line_end() -> None:
    held = load(b"", body=of_unknown_length(rows("a", "b").rstrip()))

    assert (held.state, held.accepted) == ("done", 2)


def test_atomic_load_of_unknown_length_refused_unless_its_rows_are_counted() -> None:
    with pytest.raises(BulkLengthRequired):
        load(b"", body=of_unknown_length(rows("a")), atomic=True)

    assert load(b"", body=of_unknown_length(rows("a")), atomic=True, row_count=1).accepted == 1


def test_load_from_a_row_beyond_the_next_refused_naming_it() -> None:
    identity = uuid.uuid4()

    with pytest.raises(BulkGap) as refused:
        load(rows("a"), load=identity, from_row=3)

    assert refused.value.data == {"done": 0, "next": 1}


def test_load_continued_in_another_way_refused() -> None:
    identity = uuid.uuid4()
    bulk.open_load(actor="wu", order=bulk.Order(prefix="88.100.2", load=identity))

    with pytest.raises(BulkMismatch):
        load(rows("a"), load=identity, mode="upsert")


def test_load_moved_on_by_another_request_refused() -> None:
    order = bulk.Order(prefix="88.100.2")
    held = bulk.open_load(actor="wu", order=order)
    BulkLoad.objects.filter(pk=held.pk).update(rows_done=5)

    with pytest.raises(BulkMovedOn, match="第 6 行"):
        bulk.receive(actor="wu", load=held, order=order, body=Body(io.BytesIO(rows("a")).read))

    assert live() == {}


def test_load_whose_prefix_is_disabled_meanwhile_stops_there() -> None:
    order = bulk.Order(prefix="88.100.2")
    held = bulk.open_load(actor="wu", order=order)
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("UPDATE registry_prefix SET status = 0")
        cursor.execute("SET session_replication_role = origin")

    with pytest.raises(PrefixNotServed):
        bulk.receive(actor="wu", load=held, order=order, body=Body(io.BytesIO(rows("a")).read))

    assert (live(), BulkLoad.objects.get().state) == ({}, "open")


@pytest.mark.parametrize("count", [1, 3])
def test_load_with_another_row_count_than_announced_keeps_the_last_rows_out(count: int) -> None:
    with pytest.raises(BulkLengthMissing):
        load(rows("a", "b"), row_count=count)

    assert live() == {}


@pytest.mark.parametrize("order", [{"format": "xml"}, {"mode": "replace"}, {"from_row": 0}])
def test_load_of_unknown_form_refused(order: dict[str, Any]) -> None:
    with pytest.raises(BulkRefused):
        load(b"", **order)


def test_load_empty_is_done() -> None:
    held = load(b"")

    assert (held.state, held.rows_done, BulkError.objects.count()) == ("done", 0, 0)


def test_load_of_more_than_one_block_is_whole() -> None:
    names = [f"{number:06d}" for number in range(BLOCK_OCTETS // 40)]

    held = load(rows(*names))

    assert (held.accepted, len(live())) == (len(names), len(names))


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("form", ["ndjson", "csv"])
@pytest.mark.parametrize("changed", ["first", "last", "shorter"])
def test_load_resumed_with_other_rows_than_it_took_refused_naming_their_number(form: str, changed: str) -> None:
    def data(*names: str) -> bytes:
        if form == "ndjson":
            return rows(*names)
        return b"handle,1:URL\n" + b"".join(f"88.100.2/{name},{name}\n".encode() for name in names)

    identity = uuid.uuid4()
    whole = ("a", "b", "c", "d", "e", "f", "g")
    torn = data(*whole)[: len(data(*whole[:6])) + 3]
    stream = io.BytesIO(torn)
    with pytest.raises(BulkLengthMissing):
        load(torn, body=Body(lambda size: stream.read(min(size, 20)), length=len(torn) + 9), load=identity, format=form)
    done = BulkLoad.objects.get(pk=identity).rows_done
    other = {"first": ("x", *whole[1:]), "last": (*whole[: done - 1], "x", *whole[done:]), "shorter": whole[: done - 1]}[changed]

    with pytest.raises(BulkDiffers, match=f"前 {done} 行") as refused:
        load(data(*other), load=identity, format=form)
    kept = BulkLoad.objects.get(pk=identity)
    ended = load(data(*whole), load=identity, format=form)

    assert (done > 0, refused.value.code) == (True, "REG-172")
    assert (kept.state, kept.rows_done, ended.state, sorted(live())) == ("open", done, "done", sorted(whole))


@pytest.mark.usefixtures("small_chunks")
def test_load_resumed_from_a_row_goes_on_with_the_same_digest() -> None:
    names, identity = [str(number) for number in range(10)], uuid.uuid4()
    load(rows(*names[:4]), load=identity)
    load(rows(*names[4:]), load=identity, from_row=5)

    repeated = load(rows(*names), load=identity)

    assert (repeated.rows_done, repeated.accepted, repeated.digest) == (10, 10, load(rows(*names), mode="upsert").digest)


def test_load_whose_client_falls_silent_is_given_up_and_resumed() -> None:
    identity, data = uuid.uuid4(), rows("a", "b")
    blocks = iter([data[:20]])

    def read(size: int) -> bytes:
        try:
            return next(blocks)
        except StopIteration:
            raise TimeoutError from None

    with pytest.raises(BulkSilent):
        load(data, body=Body(read), load=identity)
    left = BulkLoad.objects.get(pk=identity).state

    assert (left, load(data, load=identity).state) == ("open", "done")
