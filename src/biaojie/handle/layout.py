"""One declaration per wire structure, from which packing, reading, labelled dumps and the reference page come.

A `Layout` lists named fields; each field has a `Kind` (in `kinds`). The same rows pack an object to bytes, read it back
from a bounded `Reader`, and, when the reader carries a trace, tell which octets mean what. A layout is itself a kind, so
structures nest. It knows nothing of any one structure: those are declared beside the values they describe.

All integers are big-endian (RFC 3651 §4, RFC 3652 §2.1). Every length is compared with the octets that remain and with a
limit before anything is allocated; whatever the input, reading ends in a value or a `DecodeError`. Structures nest only as
deep as they are declared, so no input can drive recursion.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar

from biaojie.handle.errors import EncodeError, HandleError, LimitExceeded, Truncated

MAX_ARRAY = 1_048_576
MAX_MESSAGE = 262_144
MAX_HANDLE = 2_048
MAX_VALUES = 2_048

T = TypeVar("T")


class TraceRow(NamedTuple):
    """One labelled run of octets: where, how long, its name, its value as text, and how deep it is nested."""

    offset: int
    length: int
    label: str
    text: str
    depth: int


class Trace:
    """Collects rows while a reader runs; `depth` follows the nesting of structures."""

    __slots__ = ("depth", "rows")

    def __init__(self) -> None:
        self.rows: list[TraceRow] = []
        self.depth = 0

    def add(self, offset: int, length: int, label: str, text: str) -> None:
        self.rows.append(TraceRow(offset, length, label, text, self.depth))


class Reader:
    """A cursor over octets `pos` to `end`; offsets are those of `data`, so that pointers name real octets."""

    __slots__ = ("data", "end", "pos", "trace")

    def __init__(self, data: bytes, pos: int = 0, end: int | None = None, *, trace: Trace | None = None) -> None:
        self.data = data
        self.pos = pos
        self.end = len(data) if end is None else end
        self.trace = trace

    @property
    def remaining(self) -> int:
        return self.end - self.pos

    def take(self, count: int, field: str) -> bytes:
        """The next `count` octets; `Truncated` when they are not there."""
        start = self.pos
        stop = start + count
        if count < 0 or stop > self.end:
            raise self.truncated(field, count)
        self.pos = stop
        return self.data[start:stop]

    def length(self, field: str, limit: int) -> int:
        """A four-octet length or count: signed on the wire, so that a negative one is refused here."""
        start = self.pos
        if start + 4 > self.end:
            raise self.truncated(field, 4)
        value = int.from_bytes(self.data[start : start + 4], "big")
        if value > limit:
            raise LimitExceeded(pointer=str(start), field=field, actual=value, limit=limit)
        self.pos = start + 4
        return value

    def truncated(self, field: str, needed: int) -> Truncated:
        return Truncated(pointer=str(self.pos), field=field, needed=needed, remaining=self.end - self.pos)


class Kind:
    """How one field lies on the wire. `code` is its struct code when its size is fixed and it is a plain number."""

    name = ""
    code = ""
    min_size = 0

    def write(self, value: Any, out: bytearray, field: str) -> None:
        raise NotImplementedError

    def read(self, reader: Reader, field: str) -> Any:
        raise NotImplementedError

    def text(self, value: Any) -> str:
        """The value as a person reads it in a dump."""
        return str(value)

    def trace(self, reader: Reader, label: str) -> Any:
        """Like `read`, and tells the reader's trace what was read."""
        start = reader.pos
        value = self.read(reader, label)
        if reader.trace is not None:
            reader.trace.add(start, reader.pos - start, label, self.text(value))
        return value

    def parts(self) -> tuple[str, ...] | None:
        """Attribute names when one field of the wire fills several attributes; None for the ordinary one to one."""
        return None


class Field(NamedTuple):
    """One row of a layout: attribute name ("" when nothing is kept), kind, Chinese title."""

    name: str
    kind: Kind
    title: str = ""

    @property
    def label(self) -> str:
        return f"{self.name} {self.title}".strip()


class _Fixed:
    """A run of neighbouring fixed-size fields, read and written by one struct."""

    __slots__ = ("attributes", "field", "raw", "split", "struct")

    def __init__(self, fields: list[Field]) -> None:
        self.struct = struct.Struct(">" + "".join(field.kind.code for field in fields))
        self.field = fields[0].label
        kept = [field for field in fields if field.name]
        self.attributes = [name for field in kept for name in (field.kind.parts() or (field.name,))]
        # A number that holds several attributes needs taking apart; most runs have none.
        self.split = [field.kind for field in kept] if any(field.kind.parts() for field in kept) else None

    def write(self, values: tuple[Any, ...], out: bytearray) -> None:
        if self.split is None:
            out += self.struct.pack(*values)
            return
        numbers: list[int] = []
        position = 0
        for kind in self.split:
            width = len(kind.parts() or (None,))
            chunk = values[position : position + width]
            numbers.append(kind.join(chunk) if isinstance(kind, Splitting) else chunk[0])
            position += width
        out += self.struct.pack(*numbers)

    def read(self, reader: Reader, values: list[Any]) -> None:
        start = reader.pos
        stop = start + self.struct.size
        if stop > reader.end:
            raise reader.truncated(self.field, self.struct.size)
        numbers = self.struct.unpack_from(reader.data, start)
        reader.pos = stop
        if self.split is None:
            values += numbers
            return
        for kind, number in zip(self.split, numbers, strict=True):
            if isinstance(kind, Splitting):
                values += kind.split(number)
            else:
                values.append(number)


class Splitting(Kind):
    """A kind whose one number on the wire is several attributes of the object."""

    def split(self, number: int) -> tuple[Any, ...]:
        raise NotImplementedError

    def join(self, values: tuple[Any, ...]) -> int:
        raise NotImplementedError


class _Single:
    """One field of varying size."""

    __slots__ = ("attributes", "kind", "label")

    def __init__(self, field: Field) -> None:
        self.kind = field.kind
        self.label = field.label
        self.attributes = [field.name] if field.name else []

    def write(self, values: tuple[Any, ...], out: bytearray) -> None:
        self.kind.write(values[0] if values else None, out, self.label)

    def read(self, reader: Reader, values: list[Any]) -> None:
        value = self.kind.read(reader, self.label)
        if self.attributes:
            values.append(value)


class FieldRow(NamedTuple):
    """One row of a layout's description: offset while it is fixed, size in octets, name, kind, title."""

    offset: str
    size: str
    name: str
    kind: str
    title: str


class Layout(Kind, Generic[T]):
    """A named structure: its fields in wire order and how its object is built (positionally, in field order)."""

    def __init__(self, name: str, build: Callable[..., T], *fields: Field, title: str = "", source: str = "") -> None:
        self.name = name
        self.build = build
        self.fields = fields
        self.title = title
        self.source = source
        self.min_size = sum(field.kind.min_size for field in fields)
        self._segments = _compile(fields)
        self._writers = [(segment, _getter(segment.attributes)) for segment in self._segments]
        self._readers = [segment.read for segment in self._segments]

    def pack(self, value: T) -> bytes:
        """The structure as octets; `EncodeError` when a field does not fit the wire."""
        out = bytearray()
        self.write(value, out, self.name)
        return bytes(out)

    def write(self, value: Any, out: bytearray, field: str) -> None:
        try:
            for segment, getter in self._writers:
                segment.write(getter(value), out)
        except HandleError:
            raise
        except (struct.error, AttributeError, TypeError, ValueError, OverflowError) as error:
            raise EncodeError(field=field or self.name, reason=str(error)) from error

    def unpack(self, reader: Reader) -> T:
        """The next structure of the reader; `DecodeError` for anything malformed. Octets behind it stay unread."""
        if reader.trace is not None:
            return self._traced(reader)
        values: list[Any] = []
        for read in self._readers:
            read(reader, values)
        return self.build(*values)

    def read(self, reader: Reader, field: str) -> T:
        return self.unpack(reader)

    def trace(self, reader: Reader, label: str) -> T:
        if reader.trace is None:
            return self.unpack(reader)
        reader.trace.add(reader.pos, 0, label, self.title or self.name)
        reader.trace.depth += 1
        try:
            return self._traced(reader)
        finally:
            reader.trace.depth -= 1

    def describe(self) -> list[FieldRow]:
        """The rows of the reference page; an offset is given for as long as every field before has a fixed size."""
        rows = []
        offset: int | None = 0
        for field in self.fields:
            size = struct.calcsize(">" + field.kind.code) if field.kind.code else None
            shown = "+" if offset is None else str(offset)
            rows.append(FieldRow(shown, "…" if size is None else str(size), field.name, field.kind.name, field.title))
            offset = None if offset is None or size is None else offset + size
        return rows

    def _traced(self, reader: Reader) -> T:
        values: list[Any] = []
        for field in self.fields:
            value = field.kind.trace(reader, field.label)
            if not field.name:
                continue
            if field.kind.parts() is None:
                values.append(value)
            else:
                values += value
        return self.build(*values)


def _compile(fields: tuple[Field, ...]) -> list[_Fixed | _Single]:
    segments: list[_Fixed | _Single] = []
    run: list[Field] = []
    for field in fields:
        if field.kind.code:
            run.append(field)
            continue
        if run:
            segments.append(_Fixed(run))
            run = []
        segments.append(_Single(field))
    if run:
        segments.append(_Fixed(run))
    return segments


def _getter(attributes: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    if not attributes:
        return lambda value: ()
    if len(attributes) == 1:
        single = attrgetter(attributes[0])
        return lambda value: (single(value),)
    return attrgetter(*attributes)
