"""A resolution on the terminal: verdict, values, and the path when there is one. Text from outside is never markup."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from biaojie.client.resolver import Resolution
from biaojie.handle.codes import response_title
from biaojie.handle.json_form import iso_time, value_to_json
from biaojie.handle.values import TTL_ABSOLUTE, HandleValue
from biaojie.resolution.questions import Step


def show(found: Resolution, console: Console | None = None) -> None:
    """Print a resolution; failed tries stay in the path, marked 失败."""
    out = Console(highlight=False, width=None if sys.stdout.isatty() else 160) if console is None else console
    title = response_title(found.response_code).partition(" ")[2]
    mark, style = {0: ("✓", "green"), 1: ("△", "yellow")}.get(found.exit_status, ("✕", "red"))
    verdict = Text(f"{mark} {_printable(found.identifier)}  {title}（{found.response_code}）", style=style)
    out.print(verdict)
    answered = f"由 {found.endpoint} 应答" + ("（权威）" if found.authoritative else "")
    if found.node and found.exit_status in (0, 1):  # else it names the last node of a path that led nowhere
        answered += f"，来自{_printable(found.node)}"
    out.print(Text(f"  {answered}，{found.octets:,} 字节，用时 {found.elapsed_ms:.1f} 毫秒", style="dim"))
    if found.message:
        out.print(Text(f"  {_printable(found.message)}"))
    if found.aliases:
        out.print(Text(f"  按别名转到：{_printable(' → '.join(found.aliases))}"))
    if found.values:
        out.print(_values(found.values))
    if found.steps:
        out.print(Text("解析路径", style="bold"))
        out.print(_path(found.steps))


def _values(values: tuple[HandleValue, ...]) -> Table:
    table = Table(box=None, pad_edge=True)
    table.add_column("索引", justify="right")
    table.add_column("类型")
    table.add_column("值", overflow="fold")
    table.add_column("TTL", justify="right")
    for value in values:
        ttl = iso_time(value.ttl) if value.ttl_type == TTL_ABSOLUTE else str(value.ttl)
        table.add_row(str(value.index), Text(_printable(value.readable_type)), Text(_shown(value)), ttl)
    return table


def _shown(value: HandleValue) -> str:
    data = value_to_json(value)["data"]
    if data["format"] == "string":
        return _printable(str(data["value"]))
    if data["format"] == "site":
        servers = data["value"]["servers"]
        return "\n".join(f"{s['address']} {i['protocol']} {i['port']}" for s in servers for i in s["interfaces"])
    if data["format"] == "admin":
        return _printable(f"{data['value']['index']}:{data['value']['handle']} {data['value']['permissions']}")
    return f"[{data['format']}] {len(value.data)} 字节"


def _printable(text: str) -> str:
    """Text from outside without control characters, which the terminal would obey."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _path(steps: tuple[Step, ...]) -> Table:
    table = Table(box=None, pad_edge=True)
    table.add_column("步", justify="right")
    for heading in ("节点", "做了什么", "地址", "响应"):
        table.add_column(heading, overflow="fold")
    table.add_column("用时", justify="right")
    for number, step in enumerate(steps, start=1):
        reply = f"失败：{step.error}" if step.error else "" if step.response_code is None else str(step.response_code)
        what = step.reason + (f"，{step.note}" if step.note else "")
        address = _printable(f"{step.protocol.upper()} {step.address}") if step.protocol else ""
        elapsed = f"{step.elapsed_ms:.1f} 毫秒" if step.protocol else ""
        style = "red" if step.error else ""
        table.add_row(
            str(number),
            Text(_printable(step.node)),
            Text(_printable(what)),
            Text(address),
            Text(_printable(reply)),
            elapsed,
            style=style,
        )
    return table
