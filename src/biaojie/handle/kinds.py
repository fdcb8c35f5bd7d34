"""The kinds of field that occur on the Handle wire (RFC 3651 §4, RFC 3652 §2.1).

Numbers are big-endian; `Blob` and `Text` carry a four-octet length, `ListOf` a four-octet count. Text is UTF-8; octets that
are not valid UTF-8 are kept as surrogate escapes (`os.fsdecode` does the same), so that every string read is written back
octet for octet, and `readable` shows it.
"""

from __future__ import annotations

import struct
from typing import Any

from biaojie.handle.errors import EncodeError, LimitExceeded
from biaojie.handle.layout import MAX_ARRAY, MAX_HANDLE, Kind, Reader, Splitting


def readable(text: str) -> str:
    r"""The text with octets that were not valid UTF-8 shown as `\xNN`; safe to print and to encode."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class Number(Kind):
    """A big-endian integer; signed where a negative number has a meaning (indexes)."""

    def __init__(self, name: str, code: str, *, hexadecimal: bool = False) -> None:
        self.name = name
        self.code = code
        self._struct = struct.Struct(">" + code)
        self._digits = 2 * self._struct.size if hexadecimal else 0
        self.min_size = self._struct.size

    def write(self, value: Any, out: bytearray, field: str) -> None:
        try:
            out += self._struct.pack(value)
        except struct.error as error:
            raise EncodeError(field=field, reason=str(error)) from error

    def read(self, reader: Reader, field: str) -> int:
        number: int = self._struct.unpack(reader.take(self._struct.size, field))[0]
        return number

    def text(self, value: Any) -> str:
        return f"0x{value:0{self._digits}x}" if self._digits else str(value)


class Named(Number):
    """A number whose meaning a code table knows; `names` maps it to words for dumps."""

    def __init__(self, name: str, code: str, names: dict[int, str]) -> None:
        super().__init__(name, code)
        self.names = names

    def text(self, value: Any) -> str:
        return f"{value} {self.names.get(int(value), '（未登记）')}"


class Flags(Number):
    """A number of independent bits; the bits a table knows are named in dumps, unknown ones are kept."""

    def __init__(self, name: str, code: str, names: dict[int, str]) -> None:
        super().__init__(name, code, hexadecimal=True)
        self.names = names

    def text(self, value: Any) -> str:
        known = [name for bit, name in self.names.items() if value & bit]
        return " ".join([super().text(value), "|".join(known)]).strip()


class Bits(Splitting):
    """One number holding several attributes, most significant first: `(name, width)`; width 1 is a bool.

    A name of "" marks bits that are ignored on reading and written as 0.
    """

    def __init__(self, name: str, code: str, *parts: tuple[str, int]) -> None:
        self.name = name
        self.code = code
        self.min_size = struct.calcsize(">" + code)
        self._rows: list[tuple[str, int, int]] = []
        shift = 8 * self.min_size
        for part, width in parts:
            shift -= width
            if part:
                self._rows.append((part, shift, (1 << width) - 1))
        self._names = tuple(part for part, _, _ in self._rows)

    def parts(self) -> tuple[str, ...]:
        return self._names

    def split(self, number: int) -> tuple[Any, ...]:
        return tuple(bool(number >> shift & 1) if mask == 1 else number >> shift & mask for _, shift, mask in self._rows)

    def join(self, values: tuple[Any, ...]) -> int:
        number = 0
        for (name, shift, mask), value in zip(self._rows, values, strict=True):
            if not 0 <= int(value) <= mask:
                raise EncodeError(field=name, reason=f"{value} > {mask}")
            number |= int(value) << shift
        return number

    def read(self, reader: Reader, field: str) -> tuple[Any, ...]:
        return self.split(int.from_bytes(reader.take(self.min_size, field), "big"))

    def text(self, value: Any) -> str:
        return " ".join(f"{name}={int(part)}" for name, part in zip(self._names, value, strict=True))


class Reserved(Kind):
    """Octets without meaning: written as 0, ignored on reading. Its field has the name ""."""

    name = "reserved"

    def __init__(self, count: int) -> None:
        self.count = count
        self.code = f"{count}x"
        self.min_size = count

    def read(self, reader: Reader, field: str) -> bytes:
        return reader.take(self.count, field)

    def text(self, value: Any) -> str:
        return "保留"


class Padding(Kind):
    """Zero octets some software writes at the end of a structure; read only as far as they are there."""

    name = "padding"

    def __init__(self, count: int) -> None:
        self.count = count

    def write(self, value: Any, out: bytearray, field: str) -> None:
        out += bytes(self.count)

    def read(self, reader: Reader, field: str) -> bytes:
        return reader.take(min(self.count, reader.remaining), field)

    def text(self, value: Any) -> str:
        return "填充"


class Raw(Kind):
    """A fixed number of octets, without a length."""

    def __init__(self, count: int) -> None:
        self.name = f"octet[{count}]"
        self.count = count
        self.min_size = count

    def write(self, value: Any, out: bytearray, field: str) -> None:
        if len(value) != self.count:
            raise EncodeError(field=field, reason=f"{len(value)} != {self.count}")
        out += value

    def read(self, reader: Reader, field: str) -> bytes:
        return reader.take(self.count, field)

    def text(self, value: Any) -> str:
        return str(value.hex())


class Rest(Kind):
    """All octets that remain."""

    name = "octet[…]"

    def write(self, value: Any, out: bytearray, field: str) -> None:
        out += value

    def read(self, reader: Reader, field: str) -> bytes:
        return reader.take(reader.remaining, field)

    def text(self, value: Any) -> str:
        return f"{len(value)} 字节"


class Blob(Kind):
    """A four-octet length and that many octets."""

    min_size = 4

    def __init__(self, limit: int = MAX_ARRAY) -> None:
        self.limit = limit
        self.name = "bytes" if limit == MAX_ARRAY else f"bytes ≤ {limit}"

    def write(self, value: Any, out: bytearray, field: str) -> None:
        size = len(value)
        if size > self.limit:
            raise EncodeError(field=field, reason=f"{size} > {self.limit}")
        out += size.to_bytes(4, "big")
        out += value

    def read(self, reader: Reader, field: str) -> bytes:
        return reader.take(reader.length(field, self.limit), field)

    def text(self, value: Any) -> str:
        shown = value[:32].hex() + ("…" if len(value) > 32 else "")
        return f"[{len(value)}] {shown}"


class Text(Kind):
    """A four-octet length and that many octets of UTF-8."""

    min_size = 4

    def __init__(self, limit: int = MAX_ARRAY) -> None:
        self.limit = limit
        self.name = "string" if limit == MAX_ARRAY else f"string ≤ {limit}"

    def write(self, value: Any, out: bytearray, field: str) -> None:
        raw = value.encode("utf-8", "surrogateescape")
        size = len(raw)
        if size > self.limit:
            raise EncodeError(field=field, reason=f"{size} > {self.limit}")
        out += size.to_bytes(4, "big")
        out += raw

    def read(self, reader: Reader, field: str) -> str:
        start = reader.pos
        data = reader.data
        if start + 4 > reader.end:
            raise reader.truncated(field, 4)
        size = int.from_bytes(data[start : start + 4], "big")
        if size > self.limit:
            raise LimitExceeded(pointer=str(start), field=field, actual=size, limit=self.limit)
        start += 4
        stop = start + size
        if stop > reader.end:
            raise reader.truncated(field, size)
        reader.pos = stop
        return data[start:stop].decode("utf-8", "surrogateescape")

    def text(self, value: Any) -> str:
        return f'"{readable(value)}"'


class ListOf(Kind):
    """A four-octet count and that many items, read as a tuple.

    The count is refused unless the octets that remain could hold that many of the smallest item.
    """

    min_size = 4

    def __init__(self, item: Kind, limit: int = MAX_ARRAY) -> None:
        self.item = item
        self.limit = limit
        self.name = f"list<{item.name}>" if limit == MAX_ARRAY else f"list<{item.name}> ≤ {limit}"
        self._many = struct.calcsize(">" + item.code) if len(item.code) == 1 else 0

    def write(self, value: Any, out: bytearray, field: str) -> None:
        if len(value) > self.limit:
            raise EncodeError(field=field, reason=f"{len(value)} > {self.limit}")
        out += len(value).to_bytes(4, "big")
        for item in value:
            self.item.write(item, out, field)

    def count(self, reader: Reader, field: str) -> int:
        start = reader.pos
        count = reader.length(field, self.limit)
        if count * self.item.min_size > reader.end - reader.pos:
            needed = count * self.item.min_size
            reader.pos = start
            raise reader.truncated(field, needed + 4)
        return count

    def read(self, reader: Reader, field: str) -> tuple[Any, ...]:
        count = self.count(reader, field)
        if not count:
            return ()
        if self._many:
            return struct.unpack(f">{count}{self.item.code}", reader.take(count * self._many, field))
        read = self.item.read
        return tuple([read(reader, field) for _ in range(count)])

    def trace(self, reader: Reader, label: str) -> tuple[Any, ...]:
        trace = reader.trace
        if trace is None:
            return self.read(reader, label)
        start = reader.pos
        # A dump goes as far as it can: what a count promises in vain shows at the item that is missing.
        count = reader.length(label, self.limit)
        trace.add(start, 4, label, f"{count} 项")
        trace.depth += 1
        name = label.split(" ", 1)[0]
        try:
            return tuple([self.item.trace(reader, f"{name}[{position}]") for position in range(count)])
        finally:
            trace.depth -= 1


class Maybe(Kind):
    """A field that may be missing at the end of a structure.

    Missing reads as `default`; `default` is written only when `always` (the form we send is the full one).
    """

    def __init__(self, inner: Kind, default: Any, *, always: bool = False) -> None:
        self.inner = inner
        self.default = default
        self.always = always
        self.name = f"{inner.name}?"

    def write(self, value: Any, out: bytearray, field: str) -> None:
        if value is not None and (self.always or value != self.default):
            self.inner.write(value, out, field)

    def read(self, reader: Reader, field: str) -> Any:
        return self.inner.read(reader, field) if reader.remaining >= max(1, self.inner.min_size) else self.default

    def trace(self, reader: Reader, label: str) -> Any:
        return self.inner.trace(reader, label) if reader.remaining >= max(1, self.inner.min_size) else self.default

    def text(self, value: Any) -> str:
        return self.inner.text(value)


U8 = Number("int1", "B")
U16 = Number("int2", "H")
U32 = Number("int4", "I")
I32 = Number("int4 signed", "i")
HEX32 = Number("int4", "I", hexadecimal=True)
BYTES = Blob()
STRING = Text()
HANDLE = Text(MAX_HANDLE)
