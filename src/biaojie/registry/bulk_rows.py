"""The rows of a bulk body: NDJSON or CSV octets become chunks ready for COPY, with every fault of every row.

    NDJSON   one object per line, {"handle": "88.100.1/A", "values": [{…Handle JSON…}]}; blank lines are skipped
    CSV      UTF-8; header `handle,1:URL,2000:productName[,ttl]`: a column per value, titled index:type; an empty cell is no value

Rows count from 1: lines of NDJSON, records of CSV without its header. The common shape of a row is decoded into typed
structs in one step; whatever is unusual goes through `handle_rules.check_row`, which alone words a refusal. A
differential test holds both to the same answer. Memory: one chunk, bounded in rows and octets, whatever the body's length.
Each chunk carries the digest of all rows up to its end, chained row by row, so that a body sent again can be held to the rows
taken before (`Rows`).
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec

from biaojie.base.errors import BiaojieError
from biaojie.codes.errors import CodeError
from biaojie.codes.systems import System
from biaojie.handle.values import ascii_upper
from biaojie.registry.errors import BulkDiffers, BulkLengthMissing, BulkRefused, BulkRepeated, BulkRowForm, HandleRefused
from biaojie.registry.handle_rules import (
    HANDLE_LONGEST,
    RESERVED_TYPES,
    TYPE_LONGEST,
    VALUE_LONGEST,
    VALUES_MOST,
    check_row,
    check_values,
    read_identifier,
    spelled,
)

CHUNK_ROWS: Final = 5000
"""Rows of one transaction: the journal's limit of one change set."""

CHUNK_OCTETS: Final = 4 << 20
"""A chunk is closed early when its lines come to this."""

LINE_LONGEST: Final = 1 << 20
"""Octets of one line; a longer one is refused as a row."""

_UTF8_MOST: Final = 4
_DIGITS_MOST: Final = 10
_BOM: Final = b"\xef\xbb\xbf"
_HANDLE: Final = f"{System.HANDLE.number}:"


class _Data(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    format: Literal["string"]
    value: str


class _Value(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    index: Annotated[int, msgspec.Meta(gt=0, le=0x7FFFFFFF)]
    type: Annotated[str, msgspec.Meta(min_length=1, max_length=TYPE_LONGEST)]
    data: _Data
    ttl: Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)] | msgspec.UnsetType = msgspec.UNSET


class _Row(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    handle: str
    values: Annotated[list[_Value], msgspec.Meta(min_length=1, max_length=VALUES_MOST)]


_decode_row: Final = msgspec.json.Decoder(_Row).decode
_encode: Final = msgspec.json.Encoder().encode


class Fault(NamedTuple):
    """A refused row: its number, the identifier as far as it could be read, and all its faults."""

    row: int
    handle: str
    errors: list[dict[str, str]]


@dataclass(slots=True, kw_only=True)
class Chunk:
    """Rows up to and with `last`: `lines` are COPY text of (row, key, spelled, values), `keys` says which row has a key."""

    last: int
    lines: list[str] = field(default_factory=list)
    keys: dict[str, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    octets: int = 0
    digest: str = ""

    def add(self, row: int, key: str, shown: str, values: str) -> None:
        """Take a good row, unless an earlier row of the chunk has its key."""
        other = self.keys.setdefault(key, row)
        if other != row:
            self.refuse(row, shown, [BulkRepeated(pointer="handle", other=other)])
            return
        # No field holds a tab or line end (control characters are refused, JSON escapes them): only backslashes need care.
        self.lines.append(f"{row}\t{key}\t{shown}\t{values}\n".replace("\\", "\\\\"))

    def refuse(self, row: int, handle: str, faults: Iterable[BiaojieError]) -> None:
        """Take note of a refused row."""
        self.faults.append(Fault(row, handle[:HANDLE_LONGEST], [fault.as_row() for fault in faults]))

    def text(self) -> bytes:
        """What COPY reads."""
        return "".join(self.lines).encode()


@dataclass(slots=True, kw_only=True)
class Rows:
    """The place of a body in a load: its first row's number, how many rows are done, and their digest.

    A body that begins at row 1 is compared with the rows done before; one that begins later gives nothing to compare.
    `row` and `digest` follow the body: the digest of row n is SHA-256 over that of row n-1 and the row's octets.
    """

    first: int = 1
    done: int = 0
    known: str = ""
    load: str = ""
    row: int = field(init=False)
    _state: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.row = self.first - 1
        self._state = b"" if self.first == 1 else bytes.fromhex(self.known)

    @property
    def digest(self) -> str:
        """Of the rows so far, in hex."""
        return self._state.hex()

    def begin(self, header: bytes) -> None:
        """A CSV header, which gives the rows their meaning."""
        if self.first == 1:
            self._state = hashlib.sha256(header).digest()

    def is_new(self, octets: bytes) -> bool:
        """Counts the next row; whether it is yet to be done. Raises `BulkDiffers` at the last row done."""
        self.row += 1
        if self.row > self.done or self.first == 1:
            self._state = hashlib.sha256(self._state + octets).digest()
        if self.row == self.done and self.first == 1 and self.known and self.digest != self.known:
            raise self._differs()
        return self.row > self.done

    def end(self) -> None:
        """The body has ended. Raises `BulkDiffers` when it is whole and shorter than what was taken before."""
        if self.first == 1 and 0 < self.row < self.done and self.known:
            raise self._differs()

    def _differs(self) -> BulkDiffers:
        return BulkDiffers(pointer="body", count=self.done, load=self.load)


class RowReader:
    """Turns single rows into rows of a chunk, for one prefix; `values_wanted` is False where rows only name handles."""

    def __init__(self, prefix: str, *, values_wanted: bool = True) -> None:
        self._prefix = prefix
        self._begins = f"{prefix}/"
        self._values_wanted = values_wanted
        self._types: dict[str, bool] = {}

    def json_line(self, chunk: Chunk, row: int, line: bytes) -> None:
        """One line of NDJSON."""
        chunk.octets += len(line)
        # A short line cannot hold a value or record beyond its limit; an escaped NUL is for the full check to refuse.
        if self._values_wanted and len(line) <= VALUE_LONGEST and b"\\u0000" not in line:
            try:
                found = _decode_row(line)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                pass
            else:
                if self._plain(chunk, row, found):
                    return
        try:
            form = msgspec.json.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            chunk.refuse(row, "", [BulkRowForm(format="JSON", reason=str(error))])
            return
        self.full(chunk, row, form)

    def full(self, chunk: Chunk, row: int, form: Any) -> None:
        """A row that has been decoded, by the rules in full."""
        if self._values_wanted:
            identifier, values, faults = check_row(form, prefix=self._prefix)
        else:
            identifier, values, faults = None, [], []
            try:
                handle = form.get("handle") if isinstance(form, dict) else None
                if not isinstance(handle, str):
                    raise HandleRefused(pointer="handle", reason="缺少 handle")
                identifier = read_identifier(handle, prefix=self._prefix)
            except (CodeError, HandleRefused) as fault:
                fault.pointer = "handle"
                faults.append(fault)
        if faults or identifier is None:
            handle = form.get("handle") if isinstance(form, dict) else None
            chunk.refuse(row, _printable(handle) if isinstance(handle, str) else "", faults)
            return
        key = f"{identifier.system.number}:{identifier.canonical}"
        chunk.add(row, key, spelled(identifier), _encode(values).decode())

    def cells(self, chunk: Chunk, row: int, columns: Columns, record: list[str]) -> None:
        """One record of CSV."""
        chunk.octets += sum(map(len, record))
        if len(record) != len(columns.titles):
            reason = f"有 {len(record)} 列，应为 {len(columns.titles)} 列"
            chunk.refuse(row, _printable(record[0]) if record else "", [BulkRowForm(format="CSV", reason=reason)])
            return
        form = columns.form(record)
        if (
            self._values_wanted
            and sum(map(len, record)) <= VALUE_LONGEST // _UTF8_MOST
            and not any("\x00" in cell for cell in record)
        ):
            try:
                found = msgspec.convert(form, _Row)
                if self._plain(chunk, row, found):
                    return
            except (msgspec.ValidationError, UnicodeEncodeError):
                pass
        self.full(chunk, row, form)

    def _plain(self, chunk: Chunk, row: int, found: _Row) -> bool:
        """Take a row of the common shape; False when it needs the full check."""
        if self._are_plain(found.values) and (key := self._plain_key(found.handle)) is not None:
            chunk.add(row, key, found.handle, _encode(found.values).decode())
            return True
        return False

    def _are_plain(self, values: list[_Value]) -> bool:
        """Types neither reserved nor long, and no index twice: what the full rules would let pass."""
        known, before, is_sorted = self._types, 0, True
        for value in values:
            fine = known.get(value.type)
            if fine is None:
                fine = ascii_upper(value.type) not in RESERVED_TYPES and len(value.type.encode()) <= TYPE_LONGEST
                if len(known) < 10_000:
                    known[value.type] = fine
            if not fine:
                return False
            if value.index <= before:
                is_sorted = False
            before = value.index
        if not is_sorted:
            values.sort(key=lambda value: value.index)
            return len({value.index for value in values}) == len(values)
        return True

    def _plain_key(self, handle: str) -> str | None:
        """The row key of a printable ASCII handle spelt under the prefix itself; None for all that needs a closer look."""
        if (
            handle.startswith(self._begins)
            and len(self._begins) < len(handle) <= HANDLE_LONGEST
            and handle.isascii()
            and handle.isprintable()
            and handle[-1] != " "
        ):
            return _HANDLE + handle.upper()
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The header of a CSV body: the place of `handle`, of `ttl` (or -1), and of each value with its index and type."""

    titles: tuple[str, ...]
    handle: int
    ttl: int
    values: tuple[tuple[int, int, str], ...]

    def form(self, record: list[str]) -> dict[str, Any]:
        """A record as the row object it stands for."""
        values: list[dict[str, Any]] = []
        ttl = record[self.ttl].strip() if self.ttl >= 0 else ""
        for place, index, type_ in self.values:
            if record[place]:
                value = {"index": index, "type": type_, "data": {"format": "string", "value": record[place]}}
                if ttl:
                    value["ttl"] = int(ttl) if _is_number(ttl) else ttl
                values.append(value)
        return {"handle": record[self.handle].strip(" \r\n"), "values": values}


def read_columns(titles: list[str], *, values_wanted: bool = True) -> Columns:
    """The columns of a header; raises `BulkRefused` saying which title is wrong."""
    names = tuple(title.strip() for title in titles)
    if names.count("handle") != 1 or names.count("ttl") > 1:
        raise BulkRefused(pointer="header", reason="CSV 首行应有且只有一列 handle，至多一列 ttl")
    values = []
    for place, name in enumerate(names):
        if name in ("handle", "ttl"):
            continue
        index, colon, type_ = name.partition(":")
        if not (colon and _is_number(index) and type_):
            raise BulkRefused(pointer="header", reason=f"列名 {_printable(name)[:40]} 应为 索引:类型，如 1:URL")
        values.append((place, int(index), type_))
    probe = [{"index": index, "type": type_, "data": {"format": "string", "value": ""}} for _, index, type_ in values]
    faults = check_values(probe)[1] if values_wanted else []
    if faults:
        raise BulkRefused(pointer="header", reason=f"列名不正确：{faults[0].message}")
    return Columns(
        titles=names, handle=names.index("handle"), ttl=names.index("ttl") if "ttl" in names else -1, values=tuple(values)
    )


def ndjson_chunks(
    blocks: Iterable[bytes],
    reader: RowReader,
    *,
    first: int,
    done: int,
    known: str = "",
    load: str = "",
    end_is_sure: bool = True,
) -> Iterator[Chunk]:
    """Chunks of an NDJSON body whose first line is row `first`; rows up to `done`, of digest `known`, are passed over.

    Unless its end is sure (length, digest or row count was announced), a last line without line end that is no JSON is
    taken for the torn end of an upload: `BulkLengthMissing`.
    """
    rows = Rows(first=first, done=done, known=known, load=load)
    chunk, given = Chunk(last=max(rows.row, done)), done
    for lines in _lines(blocks, None if end_is_sure else _is_json):
        for line in lines:
            if not rows.is_new(b"\x00" if line is None else line + b"\n"):
                continue
            chunk.last = row = rows.row
            if line is None:
                reason = f"一行超过 {LINE_LONGEST} 字节"
                chunk.refuse(row, "", [BulkRowForm(format="JSON", reason=reason)])
            elif line and not line.isspace():
                reader.json_line(chunk, row, line)
            if len(chunk.lines) + len(chunk.faults) >= CHUNK_ROWS or chunk.octets >= CHUNK_OCTETS:
                chunk.digest = rows.digest
                yield chunk
                chunk, given = Chunk(last=row), row
    rows.end()
    if chunk.last != given:
        chunk.digest = rows.digest
        yield chunk


def csv_chunks(
    blocks: Iterable[bytes],
    reader: RowReader,
    *,
    first: int,
    done: int,
    known: str = "",
    load: str = "",
    values_wanted: bool = True,
    end_is_sure: bool = True,
) -> Iterator[Chunk]:
    """Chunks of a CSV body; the header comes first in every body. Raises `BulkRefused` for a header that will not do.

    Unless its end is sure, the last line has to have a line end: `BulkLengthMissing`.
    """
    records = csv.reader(_text_lines(blocks, end_is_sure), strict=True)
    try:
        header = next(records, None)
    except csv.Error as error:
        raise BulkRefused(pointer="header", reason=f"CSV 首行无法读取：{error}") from None
    if header is None:
        return
    columns = read_columns(header, values_wanted=values_wanted)
    rows = Rows(first=first, done=done, known=known, load=load)
    rows.begin(_octets(header))
    chunk, given = Chunk(last=max(rows.row, done)), done
    while True:
        try:
            record = next(records, None)
        except csv.Error as error:
            record, fault = [], str(error)
        else:
            fault = ""
        if record is None:
            break
        if not record and not fault:
            continue
        if not rows.is_new(_octets(record)):
            continue
        chunk.last = row = rows.row
        if fault:
            chunk.refuse(row, "", [BulkRowForm(format="CSV", reason=fault)])
        else:
            reader.cells(chunk, row, columns, record)
        if len(chunk.lines) + len(chunk.faults) >= CHUNK_ROWS or chunk.octets >= CHUNK_OCTETS:
            chunk.digest = rows.digest
            yield chunk
            chunk, given = Chunk(last=row), row
    rows.end()
    if chunk.last != given:
        chunk.digest = rows.digest
        yield chunk


def _octets(record: list[str]) -> bytes:
    """A CSV record as octets that no other record has."""
    return repr(record).encode("ascii", "backslashreplace")


def _lines(blocks: Iterable[bytes], is_whole: Callable[[bytes], bool] | None = None) -> Iterator[list[bytes | None]]:
    """Lines without their ends, in lists as they arrive; None for a line beyond the limit. A BOM at the start is dropped.

    With `is_whole`, a last line without line end has to pass it; otherwise `BulkLengthMissing`.
    """
    rest, too_long, is_first = b"", False, True
    for block in blocks:
        if is_first and rest + block:
            block, rest = rest + block, b""
            if len(block) < len(_BOM) and _BOM.startswith(block):
                rest = block
                continue
            block, is_first = block.removeprefix(_BOM), False
        parts: list[bytes | None] = list((rest + block if rest else block).split(b"\n"))
        rest = parts.pop() or b""
        if parts and (too_long or len(parts[0] or b"") > LINE_LONGEST):
            parts[0], too_long = None, False
        if too_long or len(rest) > LINE_LONGEST:
            rest, too_long = b"", True
        if parts:
            yield parts
    if is_whole is not None and (too_long or (rest.strip() and not is_whole(rest))):
        raise BulkLengthMissing(pointer="body", expected="以换行结束的正文", received="中断的末行")
    if too_long:
        yield [None]
    elif rest:
        yield [rest]


def _is_json(line: bytes) -> bool:
    """Whether a line is JSON; no true beginning of an object is."""
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _text_lines(blocks: Iterable[bytes], end_is_sure: bool) -> Iterator[str]:
    """Lines with their ends as text; octets that are not UTF-8 become surrogates, which the rules refuse."""
    for lines in _lines(blocks, None if end_is_sure else lambda line: False):
        for line in lines:
            # In place of an over-long line comes a character that no identifier may hold.
            yield "\x00\n" if line is None else line.decode("utf-8", "surrogateescape") + "\n"


def _is_number(text: str) -> bool:
    """Digits, and no more of them than a number on the wire has: `int` fails on thousands."""
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS_MOST


def _printable(text: str) -> str:
    """The text without what a database or a report cannot hold."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "\N{REPLACEMENT CHARACTER}")
