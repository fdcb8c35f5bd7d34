"""The page `docs/benchmarks.md`: a head about the machine, then one block per section, replaced one at a time.

A block begins with `<!-- bench NAME -->` and its `## title`; a run replaces the blocks whose titles it measured and leaves
the others as they are. A block whose benchmark no longer exists goes.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from section import machine

_BLOCK = re.compile(r"^<!-- bench (?P<name>\w+) -->\n+## (?P<title>.+)\n", re.MULTILINE)
_ORDER = ("udp", "streams", "index", "chain", "bulk")

_READING = """\
`make bench` measures and writes this page; `make bench ARGS="index chain"` replaces only what it names, and
`make bench ARGS="index --large"` adds the index of ten million identifiers (15 GB of free disk).

**How to read it.** Trust ratios before absolutes. The two sides of a rate are measured in one run, turn by turn, and the ratio
is the median, over the rounds, of one side's round by the other's next to it: a bad minute hurts both. (What is built once,
such as an index, is measured once for each side, one after the other.) Absolute rates belong to the machine and the minute.
Each block says how quiet the machine was: one busy loop per core, before and after, adds up the gaps in which it did not
run; above 5 % the absolutes of that block are low estimates and its high percentiles partly somebody else's. With many
requests outstanding, p50 and p99 show queueing; latency proper is measured with one outstanding. A line beginning with
"met" or "missed" is a bar; all other figures are information.
"""


def block(name: str, markdown: str, measured: str) -> str:
    """A section as it stands on the page; `measured` is the line about when and how quiet."""
    return f"<!-- bench {name} -->\n{markdown.rstrip()}\n- {measured}\n"


def merged(page: str, blocks: Mapping[tuple[str, str], str], known: Collection[str]) -> str:
    """The page with these blocks, by (benchmark, title), in place of older ones of the same title."""
    found = dict(_split(page)) | dict(blocks)
    kept = sorted((key for key in found if key[0] in known), key=lambda key: (_rank(key[0]), list(found).index(key)))
    return _head() + "\n" + "\n".join(found[key] for key in kept)


def read(path: Path) -> str:
    """The page as it is, "" before the first."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


def stamp() -> str:
    """Now, as the page writes it."""
    return f"{datetime.now(UTC).astimezone(ZoneInfo('Asia/Shanghai')):%Y-%m-%d %H:%M} (UTC+8)"


def _split(page: str) -> list[tuple[tuple[str, str], str]]:
    starts = list(_BLOCK.finditer(page))
    ends = [*(match.start() for match in starts), len(page)][1:]
    return [
        ((match["name"], match["title"]), page[match.start() : end].rstrip() + "\n")
        for match, end in zip(starts, ends, strict=True)
    ]


def _rank(name: str) -> tuple[int, str]:
    return (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)


def _head() -> str:
    octets = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    rows = [
        ("processor", f"{machine().split(', ')[0]}, {os.cpu_count()} cores, {platform.machine()}"),
        ("memory", f"{octets / 2**30:.1f} GiB"),
        ("system", f"{platform.system()} {platform.release()}, {platform.freedesktop_os_release().get('PRETTY_NAME', '')}"),
        ("Python", f"{platform.python_implementation()} {platform.python_version()}, {platform.python_compiler()}"),
        ("last written", stamp()),
    ]
    table = "\n".join(f"| {what} | {value} |" for what, value in rows)
    return f"# Benchmarks\n\n{_READING}\n| machine of the last run | |\n| --- | --- |\n{table}\n"
