"""A labelled hex dump of a whole message, for people who look at the wire.

The labels come from the same layouts that read and write messages. Octets that cannot be read are shown as they are, after the
fields that could, with the reason; so a dump never fails, whatever the input.
"""

from __future__ import annotations

from typing import Any

from biaojie.handle.credentials import CREDENTIAL
from biaojie.handle.errors import DecodeError
from biaojie.handle.layout import Layout, Reader, Trace, TraceRow
from biaojie.handle.messages import read_message
from biaojie.handle.system_values import system_type

OCTETS_PER_LINE = 16
MAX_LINES = 64
"""Lines of octets shown for one field; the rest is counted."""
MAX_ROWS = 20_000


def dump(data: bytes) -> str:
    """The dump as text: offset in hex, octets, label and value; the last line names the error, if there is one."""
    trace = Trace()
    reader = Reader(data, trace=trace)
    error = problem(data)
    try:
        message = read_message(reader, clip=True)
        if message.credential:
            _inside(trace, data, reader.pos - len(message.credential), len(message.credential), CREDENTIAL)
    except DecodeError as fault:
        error = error or fault
    rows = sorted(_with_meaning(trace.rows, data), key=lambda row: row.offset)
    lines = [line for row in rows[:MAX_ROWS] for line in _lines(row, data)]
    if len(rows) > MAX_ROWS:
        lines.append(f"… 还有 {len(rows) - MAX_ROWS} 个字段未显示")
    covered = max((row.offset + row.length for row in rows), default=0)
    if covered < len(data):
        label = "未能解析的字节" if error else "报文之后的字节"
        lines += _lines(TraceRow(covered, len(data) - covered, label, f"{len(data) - covered} 字节", 0), data)
    if error:
        lines.append(f"错误 {error}")
    return "\n".join(lines) + "\n"


def problem(data: bytes) -> DecodeError | None:
    """Why the message cannot be read; None when it can."""
    try:
        read_message(Reader(data))
    except DecodeError as error:
        return error
    return None


def _with_meaning(rows: list[TraceRow], data: bytes) -> list[TraceRow]:
    """The rows, and below the data of a system type the fields of that data."""
    out: list[TraceRow] = []
    type_ = ""
    for row in rows:
        out.append(row)
        name = row.label.split(" ", 1)[0]
        if name == "type":
            type_ = row.text.strip('"')
        elif name == "data":
            system = system_type(type_)
            if system is not None and system.layout is not None and row.length > 4:
                below = Trace()
                below.depth = row.depth
                _inside(below, data, row.offset + 4, row.length - 4, system.layout)
                out += below.rows
    return out


def _inside(trace: Trace, data: bytes, start: int, length: int, layout: Layout[Any]) -> None:
    """Adds the fields of a structure that lies in the octets of another field; as far as it can be read."""
    try:
        layout.trace(Reader(data, start, start + length, trace=trace), layout.name)
    except DecodeError as error:
        trace.add(start + length, 0, layout.name, error.message)


def _lines(row: TraceRow, data: bytes) -> list[str]:
    octets = data[row.offset : row.offset + row.length]
    text = f"{'  ' * row.depth}{row.label}: {row.text}"
    if not octets:
        return [f"{row.offset:06x}  {'':{OCTETS_PER_LINE * 3 - 1}}  {text}"]
    lines = []
    for start in range(0, len(octets), OCTETS_PER_LINE):
        if start // OCTETS_PER_LINE == MAX_LINES:
            lines.append(f"{row.offset + start:06x}  … 还有 {len(octets) - start} 字节")
            break
        shown = octets[start : start + OCTETS_PER_LINE].hex(" ")
        note = text if start == 0 else ""
        lines.append(f"{row.offset + start:06x}  {shown:{OCTETS_PER_LINE * 3 - 1}}  {note}".rstrip())
    return lines
