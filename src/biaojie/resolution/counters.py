"""What was asked and answered: counted in memory, spooled to files each minute, merged by whoever reports.

Per owner (the prefix a question is counted for; "" for what is not ours): requests, those answered with content,
latency, totals per source address and requests per second. Probe identifiers of our own stand apart, in the same shape.
Seconds add up over processes and hosts; a peak is taken after merging, never as the greatest of several peaks. Two
Shanghai days never share a file, so that a day (00:00 to 24:00) is the sum of its files.
"""

from __future__ import annotations

import ipaddress
import os
import re
import threading
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

import msgspec

from biaojie.base import clock
from biaojie.resolution import policy
from biaojie.resolution.container import sync_folder
from biaojie.resolution.errors import SpoolInvalid

FORM: Final = "biaojie-counters/1"
OTHER_SOURCES: Final = "*"
"""Where requests are counted whose address came after the limit of different ones was reached."""


class Latency(msgspec.Struct):
    """Microseconds; `min_at` and `max_at` are Unix seconds of the first time the extreme was met."""

    count: int = 0
    sum_us: float = 0.0
    min_us: float = 0.0
    min_at: float = 0.0
    max_us: float = 0.0
    max_at: float = 0.0

    def add(self, latency_us: float, number: int, at: float) -> None:
        """Count `number` requests of this latency."""
        if not self.count or latency_us < self.min_us:
            self.min_us, self.min_at = latency_us, at
        if not self.count or latency_us > self.max_us:
            self.max_us, self.max_at = latency_us, at
        self.count += number
        self.sum_us += latency_us * number

    def merge(self, other: Latency) -> None:
        """Add another's figures."""
        if not other.count:
            return
        if not self.count or other.min_us < self.min_us:
            self.min_us, self.min_at = other.min_us, other.min_at
        if not self.count or other.max_us > self.max_us:
            self.max_us, self.max_at = other.max_us, other.max_at
        self.count += other.count
        self.sum_us += other.sum_us

    @property
    def average_us(self) -> float:
        """Mean, 0 without requests."""
        return self.sum_us / self.count if self.count else 0.0


class Tally(msgspec.Struct):
    """What was counted for one owner; `seconds` has Unix seconds as text, as JSON keys are."""

    requests: int = 0
    answered: int = 0
    latency: Latency = msgspec.field(default_factory=Latency)
    sources: dict[str, int] = {}
    seconds: dict[str, int] = {}

    def merge(self, other: Tally) -> None:
        """Add another's figures."""
        self.requests += other.requests
        self.answered += other.answered
        self.latency.merge(other.latency)
        for mine, theirs in ((self.sources, other.sources), (self.seconds, other.seconds)):
            for key, number in theirs.items():
                mine[key] = mine.get(key, 0) + number

    def peak(self) -> tuple[int, int]:
        """`(Unix second, requests in it)` of the busiest second, the earliest of equal ones; (0, 0) without requests."""
        rows = ((int(second), number) for second, number in self.seconds.items())
        return max(rows, key=lambda row: (row[1], -row[0]), default=(0, 0))


class Spool(msgspec.Struct):
    """One spool file, or several merged: external requests by owner, and our own probe identifiers by owner."""

    form: str
    process: str
    start: float
    end: float
    owners: dict[str, Tally] = {}
    own: dict[str, Tally] = {}

    @property
    def day(self) -> date:
        """The Shanghai day all of it falls on (of a single file)."""
        return day_of(self.start)

    def total(self) -> Tally:
        """External requests of all owners together: the node's own figures (表3)."""
        total = Tally()
        for tally in self.owners.values():
            total.merge(tally)
        return total


class _Running:
    """One owner's figures while counting; addresses are octets or text, as they come."""

    __slots__ = ("answered", "latency", "requests", "seconds", "sources")

    def __init__(self) -> None:
        self.requests = 0
        self.answered = 0
        self.latency = Latency()
        self.sources: dict[bytes | str, int] = {}
        self.seconds: dict[int, int] = {}


class _Period:
    """What is counted between two flushes, within one Shanghai day."""

    __slots__ = ("day", "last", "rows", "start")

    def __init__(self, now_s: float) -> None:
        self.start = self.last = now_s
        self.day = _day_number(now_s)
        self.rows: dict[tuple[str, bool], _Running] = {}


class Counters:
    """Counts for one process; threads may share it."""

    def __init__(self, *, process: str) -> None:
        """`process` names the process in file names and rows; letters, digits, `.`, `_`, `-`."""
        self.process = re.sub(r"[^0-9A-Za-z._-]", "_", process)
        self._lock = threading.Lock()
        self._period: _Period | None = None
        self._sealed: list[_Period] = []
        self._number = 0

    def add(
        self,
        owner: str,
        source_ip: str | bytes,
        found: bool,
        own: bool,
        latency_us: float,
        n: int = 1,
        *,
        now_s: float | None = None,
    ) -> None:
        """Count `n` requests of one kind at `now_s` (the product's clock when None).

        `source_ip` is text or 4 or 16 octets; `latency_us` is that of one request (their mean, if there are several).
        """
        moment = clock.time_s() if now_s is None else now_s
        with self._lock:
            period = self._period
            if period is None or period.day != _day_number(moment):
                if period is not None:
                    self._sealed.append(period)
                period = self._period = _Period(moment)
            period.last = moment
            row = period.rows.get((owner, own))
            if row is None:
                row = period.rows[(owner, own)] = _Running()
            row.requests += n
            if found:
                row.answered += n
            second = int(moment)
            row.seconds[second] = row.seconds.get(second, 0) + n
            sources = row.sources
            if source_ip in sources:
                sources[source_ip] += n
            elif len(sources) < policy.SOURCES_MAX.value:
                sources[source_ip] = n
            else:
                sources[OTHER_SOURCES] = sources.get(OTHER_SOURCES, 0) + n
            row.latency.add(latency_us, n, moment)

    def flush(self, folder: Path | str, now: float | datetime) -> Path | None:
        """Write what was counted to a new file (one per day, if midnight passed) and begin anew; None without requests.

        The file appears whole or not at all. When it cannot be written (OSError) nothing is lost: it stays counted.
        """
        now_s = now.timestamp() if isinstance(now, datetime) else now
        with self._lock:
            periods = self._sealed + ([self._period] if self._period is not None else [])
            self._sealed, self._period = [], None
        path = None
        for number, period in enumerate(periods):
            end = now_s if _day_number(now_s) == period.day else period.last
            try:
                path = self._write(Path(folder), self._spool(period, max(end, period.last)))
            except OSError:
                with self._lock:
                    self._sealed = periods[number:] + self._sealed
                raise
        return path

    def _spool(self, period: _Period, end: float) -> Spool:
        spool = Spool(FORM, self.process, period.start, end)
        for (owner, own), row in period.rows.items():
            tally = Tally(row.requests, row.answered, row.latency)
            for source, number in row.sources.items():
                address = _address(source)
                tally.sources[address] = tally.sources.get(address, 0) + number
            tally.seconds.update((str(second), number) for second, number in row.seconds.items())
            (spool.own if own else spool.owners)[owner] = tally
        return spool

    def _write(self, folder: Path, spool: Spool) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        self._number += 1
        # The worker loads a name once: process, moment and number together never come twice, nor over a restart.
        name = f"{self.process}-{int(spool.start * 1000)}-{os.getpid()}-{self._number}-{os.urandom(4).hex()}.json"
        part = folder / f"{name}.part"
        try:
            with part.open("wb") as stream:
                stream.write(msgspec.json.encode(spool))
                stream.flush()
                os.fsync(stream.fileno())
            part.rename(folder / name)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        sync_folder(folder)
        return folder / name


def read_spool(path: Path) -> Spool:
    """The spool in a file; raises `SpoolInvalid`."""
    try:
        spool = msgspec.json.decode(path.read_bytes(), type=Spool)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise SpoolInvalid(file=path.name, reason=str(error)) from None
    if spool.form != FORM:
        raise SpoolInvalid(file=path.name, reason=f"不认识的格式 {spool.form[:40]}")
    return spool


def merge_spools(spools: Iterable[Spool]) -> Spool:
    """One spool that says what all say together; `process` is "" and start and end span them all."""
    merged = Spool(FORM, "", 0.0, 0.0)
    for number, spool in enumerate(spools):
        merged.start = spool.start if not number else min(merged.start, spool.start)
        merged.end = max(merged.end, spool.end)
        for mine, theirs in ((merged.owners, spool.owners), (merged.own, spool.own)):
            for owner, tally in theirs.items():
                mine.setdefault(owner, Tally()).merge(tally)
    return merged


def day_of(unix_s: float) -> date:
    """The Shanghai day (00:00 to 24:00) a moment falls on."""
    return clock.shanghai_day(datetime.fromtimestamp(unix_s, UTC))


def _day_number(unix_s: float) -> int:
    # Shanghai has been UTC+8 without summer time since 1991; `day_of` is the calendar's word, this one is cheap.
    return int(unix_s + 28_800) // 86_400


def _address(source: bytes | str) -> str:
    if isinstance(source, str):
        return source
    if len(source) not in (4, 16):
        return OTHER_SOURCES
    address = ipaddress.ip_address(source)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)
