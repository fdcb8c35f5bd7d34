"""Rows of a bulk body: the quick way and the full check say the same, whatever the row; blocks may be cut anywhere."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from served import url

from biaojie.registry import bulk_rows
from biaojie.registry.bulk_rows import LINE_LONGEST, Chunk, RowReader, csv_chunks, ndjson_chunks
from biaojie.registry.errors import BulkRefused

PREFIX = "88.100.2"


def quick(line: bytes) -> Chunk:
    """The row as a load reads it."""
    chunk = Chunk(last=1)
    RowReader(PREFIX).json_line(chunk, 1, line)
    return chunk


def full(line: bytes) -> Chunk:
    """The row by the rules in full only."""
    chunk = Chunk(last=1)
    RowReader(PREFIX).full(chunk, 1, bulk_rows.msgspec.json.decode(line))
    return chunk


def said(chunk: Chunk) -> tuple[list[Any], list[Any]]:
    """Rows with their values as data, and faults."""
    rows = []
    for line in chunk.lines:
        row, key, shown, values = line.removesuffix("\n").replace("\\\\", "\\").split("\t")
        rows.append((int(row), key, shown, json.loads(values)))
    return rows, chunk.faults


HANDLES = st.one_of(
    st.text(max_size=12).map(lambda text: f"{PREFIX}/{text}"),
    st.sampled_from(
        [PREFIX, f"{PREFIX}/", f" {PREFIX}/a ", f"hdl:{PREFIX}/a", "88.100.3/a", f"{PREFIX}/a\\b", f"{PREFIX}/" + "x" * 300]
    ),
)
VALUES = st.fixed_dictionaries(
    {
        "index": st.integers(-1, 5) | st.sampled_from([1.0, "1", True, 2**31 - 1, 2**31, None]),
        "type": st.sampled_from(["URL", "hs_site", "HS_ADMIN", "", "名称", "t" * 255, "名" * 100, "a\x00"]),
        "data": st.one_of(
            st.text(max_size=6).map(lambda text: {"format": "string", "value": text}),
            st.sampled_from(
                [
                    "bare",
                    {"format": "hex", "value": "00ff"},
                    {"format": "hex", "value": "0"},
                    {"format": "string", "value": "x" * 17_000},
                    {"format": "string", "value": "\\u0000"},
                    {"format": "string", "value": "\x00"},
                    {"format": "string", "value": 1},
                    {"format": "string", "value": "x", "more": 1},
                    None,
                ]
            ),
        ),
    },
    optional={
        "ttl": st.sampled_from([0, 60, -1, 2**32 - 1, 2**32, None, "2030-01-01T00:00:00Z", "soon", 1.5]),
        "permissions": st.sampled_from(["1110", "9"]),
        "colour": st.just(1),
    },
)
ROWS = st.fixed_dictionaries(
    {"handle": HANDLES | st.sampled_from([1, None]), "values": st.lists(VALUES, max_size=4)}, optional={"note": st.just("x")}
) | st.sampled_from([1, [], {}, {"handle": f"{PREFIX}/a"}, {"handle": f"{PREFIX}/a", "values": None}])


@given(ROWS, st.booleans())
@settings(max_examples=400, deadline=None)
def test_json_line_any_row_quick_and_full_agree(row: Any, ascii_only: bool) -> None:
    line = json.dumps(row, ensure_ascii=ascii_only).encode()

    assert said(quick(line)) == said(full(line))


def test_json_line_common_row_takes_the_quick_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RowReader, "full", None)
    values = [url("https://p.example/件", 2, ttl=60), url("x", 1)]

    chunk = quick(json.dumps({"handle": f"{PREFIX}/a\\b", "values": values}).encode())

    assert said(chunk) == ([(1, f"1:{PREFIX}/A\\B", f"{PREFIX}/a\\b", [values[1], values[0]])], [])


@pytest.mark.parametrize("line", [b"{", b"\xff", b'{"handle":"\\ud800"}', b"[" * 100_000, b'"\x00"'])
def test_json_line_that_is_no_json_refused(line: bytes) -> None:
    faults = quick(line).faults

    assert [(fault.row, fault.errors[0]["code"]) for fault in faults] == [(1, "REG-161")]


@given(st.lists(st.sampled_from(["a", "b", "", "中", "\r", "{}"]), max_size=8), st.data())
@settings(max_examples=60, deadline=None)
def test_ndjson_chunks_however_cut_give_the_same_rows(names: list[str], data: st.DataObject) -> None:
    lines = [
        json.dumps({"handle": f"{PREFIX}/{n}{name}", "values": [url(name)]}) if len(name) == 1 else name
        for n, name in enumerate(names)
    ]
    body = ("\ufeff" + "\n".join(lines)).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=4)))
    blocks = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True) if start != end]

    whole = list(ndjson_chunks([body], RowReader(PREFIX), first=1, done=0))
    cut = list(ndjson_chunks(blocks, RowReader(PREFIX), first=1, done=0))

    assert cut == whole
    assert sum(len(chunk.lines) for chunk in whole) == sum(name != "" and name != "{}" for name in names)


def test_ndjson_chunks_longer_than_a_transaction_are_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_rows, "CHUNK_ROWS", 3)
    body = b"".join(json.dumps({"handle": f"{PREFIX}/{n}", "values": [url("x")]}).encode() + b"\n" for n in range(6))

    chunks = list(ndjson_chunks([body], RowReader(PREFIX), first=1, done=0))

    assert [(chunk.last, len(chunk.lines)) for chunk in chunks] == [(3, 3), (6, 3)]


def test_ndjson_chunks_done_rows_passed_over() -> None:
    body = b"".join(json.dumps({"handle": f"{PREFIX}/{n}", "values": [url("x")]}).encode() + b"\n" for n in range(1, 7))

    (chunk,) = ndjson_chunks([body], RowReader(PREFIX), first=3, done=5)

    assert [row[:2] for row in said(chunk)[0]] == [(6, f"1:{PREFIX}/4"), (7, f"1:{PREFIX}/5"), (8, f"1:{PREFIX}/6")]


def test_ndjson_chunks_line_beyond_the_limit_refused_and_others_kept() -> None:
    good = json.dumps({"handle": f"{PREFIX}/a", "values": [url("x")]}).encode() + b"\n"
    body = good + b"x" * (3 * LINE_LONGEST) + b"\n" + good.replace(b"/a", b"/b")

    (chunk,) = ndjson_chunks((body[n : n + 200_000] for n in range(0, len(body), 200_000)), RowReader(PREFIX), first=1, done=0)

    assert [row[0] for row in said(chunk)[0]] == [1, 3]
    assert [(fault.row, fault.errors[0]["code"]) for fault in chunk.faults] == [(2, "REG-161")]


def test_chunk_identifier_twice_refused_naming_the_earlier_row() -> None:
    rows = [{"handle": f"{PREFIX}/a", "values": [url("1")]}, {"handle": f"{PREFIX}/A", "values": [url("2")]}]

    (chunk,) = ndjson_chunks(["\n".join(map(json.dumps, rows)).encode()], RowReader(PREFIX), first=1, done=0)

    assert len(chunk.lines) == 1
    assert [(fault.row, fault.errors[0]["message"]) for fault in chunk.faults] == [(2, "与第 1 行的标识重复")]


CSV = f"""handle,2000:productName,ttl,1:URL
{PREFIX}/a,"轴承, ""深沟""
第二行",60,https://p.example/a
{PREFIX}/b,,,https://p.example/b
{PREFIX}/c,x,soon,
{PREFIX}/d,,,
{PREFIX}/e,x,1
""".encode()


def test_csv_chunks_rows_become_values_and_faults() -> None:
    (chunk,) = csv_chunks([CSV], RowReader(PREFIX), first=1, done=0)

    rows, faults = said(chunk)
    name = {"format": "string", "value": '轴承, "深沟"\n第二行'}
    assert rows == [
        (
            1,
            f"1:{PREFIX}/A",
            f"{PREFIX}/a",
            [url("https://p.example/a", ttl=60), {"index": 2000, "type": "productName", "data": name, "ttl": 60}],
        ),
        (2, f"1:{PREFIX}/B", f"{PREFIX}/b", [url("https://p.example/b")]),
    ]
    assert [(fault.row, fault.handle, fault.errors[0]["code"]) for fault in faults] == [
        (3, f"{PREFIX}/c", "REG-156"),
        (4, f"{PREFIX}/d", "REG-155"),
        (5, f"{PREFIX}/e", "REG-161"),
    ]


@pytest.mark.parametrize(
    "header",
    ["", "\n", "handle,handle", "URL", "handle,URL", "handle,x:URL", "handle,0:URL", "handle,1:HS_SITE", "handle,1:A,1:B"],
)
def test_csv_chunks_header_that_will_not_do_refused(header: str) -> None:
    with pytest.raises(BulkRefused):
        list(csv_chunks([f"{header}\n".encode()], RowReader(PREFIX), first=1, done=0))


def test_csv_chunks_octets_not_utf8_refused_by_row() -> None:
    body = b"handle,1:URL\n" + f"{PREFIX}/a,".encode() + "轴承".encode("gbk") + b"\n" + f"{PREFIX}/b,x\n".encode()

    (chunk,) = csv_chunks([body], RowReader(PREFIX), first=1, done=0)

    assert [row[0] for row in said(chunk)[0]] == [2]
    assert [(fault.row, fault.errors[0]["code"]) for fault in chunk.faults] == [(1, "REG-156")]


@given(st.lists(st.text(alphabet=st.sampled_from('a,"\n\r\x00\\中\ud800'), max_size=6), min_size=2, max_size=3))
@settings(max_examples=100, deadline=None)
def test_csv_cells_any_record_quick_and_full_agree(cells: list[str]) -> None:
    columns = bulk_rows.read_columns(["handle", "1:URL", "2:名称"])
    record = [f"{PREFIX}/{cells[0]}", *cells[1:]]
    quickly, fully = Chunk(last=1), Chunk(last=1)
    reader = RowReader(PREFIX)

    reader.cells(quickly, 1, columns, record)

    if len(record) == 3:
        reader.full(fully, 1, columns.form(record))
        assert said(quickly) == said(fully)
    else:
        assert quickly.faults
