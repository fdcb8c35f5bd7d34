"""What resolvers counted, as figures of a day: 表3 and 表8 #4–6, 附件2 #1–7.

Resolvers spool one file per process and minute (`resolution.counters`). A file is loaded in one transaction with its name: a
second time it changes nothing, whatever was killed in between. Days are Shanghai days; a file lies within one. Seconds
add up over processes, so that a peak is a peak of the node; they are kept for a time, day rows for ever. Probes and self-checks
(`own`) are counted apart and enter no figure: 表3 #5 counts what came "针对外部请求".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import structlog
from django.db import connection, transaction
from django.db.models import Max, Min, Q, QuerySet, Sum

from biaojie.base import clock
from biaojie.registry.models import Prefix, SpoolFile, UsageDay, UsageSecond, UsageSource
from biaojie.registry.policies import Policy
from biaojie.resolution.counters import OTHER_SOURCES, Spool, Tally, read_spool
from biaojie.resolution.errors import SpoolInvalid

SECONDS_KEPT: Final = Policy(value=40, unit="天", reason="峰值每日上报；留出一个月对账和补报的时间")
FILES_A_RUN: Final = Policy(value=500, unit="个", reason="积压时一次装载的文件数，其余下一分钟继续")

# The column of source addresses holds addresses only; this one stands for those beyond a resolver's limit of different ones.
_OTHERS: Final = "0.0.0.0"  # noqa: S104  # nothing listens here

log = structlog.get_logger(__name__)

_DAY: Final = """
INSERT INTO registry_usageday AS d (prefix, day, own, requests, answered, latency_count, latency_sum_us,
    latency_min_us, latency_min_at, latency_max_us, latency_max_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (prefix, day, own) DO UPDATE SET requests = d.requests + excluded.requests, answered = d.answered + excluded.answered,
    latency_count = d.latency_count + excluded.latency_count, latency_sum_us = d.latency_sum_us + excluded.latency_sum_us,
    latency_min_at = CASE WHEN d.latency_min_us <= excluded.latency_min_us THEN d.latency_min_at
                          ELSE coalesce(excluded.latency_min_at, d.latency_min_at) END,
    latency_min_us = least(d.latency_min_us, excluded.latency_min_us),
    latency_max_at = CASE WHEN d.latency_max_us >= excluded.latency_max_us THEN d.latency_max_at
                          ELSE coalesce(excluded.latency_max_at, d.latency_max_at) END,
    latency_max_us = greatest(d.latency_max_us, excluded.latency_max_us)
"""
_SOURCES: Final = """
INSERT INTO registry_usagesource AS s (prefix, day, ip, requests)
SELECT %s, %s, ip, n FROM unnest(%s::inet[], %s::bigint[]) AS u(ip, n) ORDER BY ip
ON CONFLICT (prefix, day, ip) DO UPDATE SET requests = s.requests + excluded.requests
"""
_SECONDS: Final = """
INSERT INTO registry_usagesecond AS s (prefix, second, requests)
SELECT %s, to_timestamp(second), n FROM unnest(%s::bigint[], %s::bigint[]) AS u(second, n) ORDER BY second
ON CONFLICT (prefix, second) DO UPDATE SET requests = s.requests + excluded.requests
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayFigures:
    """A prefix's day. Latency in ms and moments are None without requests; sources by falling number, `*` the rest."""

    prefix: str
    day: date
    requests: int
    answered: int
    latency_avg_ms: float | None = None
    latency_max_ms: float | None = None
    latency_max_at: datetime | None = None
    latency_min_ms: float | None = None
    latency_min_at: datetime | None = None
    peak_qps: int = 0
    peak_at: datetime | None = None
    sources: tuple[tuple[str, int], ...] = ()


def load_spool(folder: Path) -> int:
    """Load what resolvers have left in the folder, oldest first; gives how many files were new. Loaded files are deleted.

    A file that cannot be read is set aside in `bad/`, so that it stops no other and is not lost.
    """
    loaded = 0
    for path in sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)[: FILES_A_RUN.value]:
        try:
            spool = read_spool(path)
        except SpoolInvalid as error:
            (folder / "bad").mkdir(exist_ok=True)
            path.rename(folder / "bad" / path.name)
            log.error("usage.file_unreadable", file=path.name, error=error.message)
            continue
        loaded += load_file(path.name, spool)
        # After the commit: killed before, the next run finds the name loaded and only deletes.
        path.unlink(missing_ok=True)
    return loaded


def load_file(name: str, spool: Spool) -> bool:
    """Add one file's counts; False when it was loaded before."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO registry_spoolfile (name, loaded_at) VALUES (%s, %s) ON CONFLICT DO NOTHING", [name, clock.now()]
        )
        if not cursor.rowcount:
            return False
        for owner, tally in sorted(spool.owners.items()):
            _add_day(cursor, owner, spool.day, tally, own=False)
            ips = [_OTHERS if ip == OTHER_SOURCES else ip for ip in tally.sources]
            cursor.execute(_SOURCES, [owner, spool.day, ips, list(tally.sources.values())])
            cursor.execute(_SECONDS, [owner, [int(second) for second in tally.seconds], list(tally.seconds.values())])
        for owner, tally in sorted(spool.own.items()):
            _add_day(cursor, owner, spool.day, tally, own=True)
    return True


def day_figures(prefix: str, day: date) -> DayFigures:
    """The figures of a prefix. For the node's own prefix they are the node's: everything its resolution service received,
    hosted prefixes included (表3 #4 "二级节点系统解析服务接收到的查询次数"); with several own prefixes, what lies under each."""
    rows = _of(UsageDay.objects.filter(day=day, own=False), prefix)
    total = rows.aggregate(
        requests=Sum("requests"), answered=Sum("answered"), count=Sum("latency_count"), sum_us=Sum("latency_sum_us"),
        low=Min("latency_min_us"), high=Max("latency_max_us"),
    )  # fmt: skip
    if not total["requests"]:
        return DayFigures(prefix=prefix, day=day, requests=0, answered=0)
    lowest = rows.filter(latency_min_us=total["low"]).order_by("latency_min_at").first()
    highest = rows.filter(latency_max_us=total["high"]).order_by("latency_max_at").first()
    begin, end = clock.day_bounds(day)
    seconds = _of(UsageSecond.objects.filter(second__gte=begin, second__lt=end), prefix)
    peak = seconds.values("second").annotate(total=Sum("requests")).order_by("-total", "second").first()
    sources = _of(UsageSource.objects.filter(day=day), prefix).values("ip").annotate(total=Sum("requests"))
    return DayFigures(
        prefix=prefix,
        day=day,
        requests=total["requests"],
        answered=total["answered"],
        latency_avg_ms=total["sum_us"] / total["count"] / 1000 if total["count"] else None,
        latency_max_ms=_ms(total["high"]),
        latency_max_at=highest.latency_max_at if highest else None,
        latency_min_ms=_ms(total["low"]),
        latency_min_at=lowest.latency_min_at if lowest else None,
        peak_qps=peak["total"] if peak else 0,
        peak_at=peak["second"] if peak else None,
        sources=tuple(
            (OTHER_SOURCES if row["ip"] == _OTHERS else row["ip"], row["total"]) for row in sources.order_by("-total", "ip")
        ),
    )


def purge(now: datetime | None = None) -> int:
    """Remove seconds and file names older than their term; gives how many seconds."""
    before = (now or clock.now()) - timedelta(days=SECONDS_KEPT.value)
    removed, _ = UsageSecond.objects.filter(second__lt=before).delete()
    SpoolFile.objects.filter(loaded_at__lt=before).delete()
    return removed


def _of(rows: QuerySet[Any], prefix: str) -> QuerySet[Any]:
    """The rows that count for a prefix; requests for what is not ours ("") count for the node's first own prefix."""
    own = list(Prefix.objects.filter(is_own=True).exclude(name__startswith="0.").order_by("id").values_list("name", flat=True))
    if prefix not in own:
        return rows.filter(prefix=prefix)
    if len(own) == 1:
        return rows
    under = Q(prefix=prefix) | Q(prefix__startswith=f"{prefix}.")
    return rows.filter(under | Q(prefix="") if prefix == own[0] else under)


def _add_day(cursor: Any, owner: str, day: date, tally: Tally, *, own: bool) -> None:
    latency = tally.latency
    extremes: Sequence[object] = (None, None, None, None)
    if latency.count:
        extremes = (round(latency.min_us), _moment(latency.min_at), round(latency.max_us), _moment(latency.max_at))
    row = [owner, day, own, tally.requests, tally.answered, latency.count, round(latency.sum_us), *extremes]
    cursor.execute(_DAY, row)


def _moment(unix_s: float) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)


def _ms(us: int | None) -> float | None:
    return None if us is None else us / 1000
