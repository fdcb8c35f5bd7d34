"""The only source of time in the product.

Every process asks here, so that one offset and one scale (settings `clock_offset_s`, `clock_scale`; refused in
environment production) let a whole chain live through months in minutes. Inside, time is aware UTC; days are
counted in `Asia/Shanghai` at the edges. Intervals on the wire and latencies use `time.monotonic` and
`time.perf_counter` directly: they measure the machine, not the calendar.
"""

from __future__ import annotations

import time as _time
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

SHANGHAI = ZoneInfo("Asia/Shanghai")

_offset_s = 0.0
_scale = 1.0
_origin_s = 0.0


def configure(*, offset_s: float = 0.0, scale: float = 1.0, origin_s: float | None = None) -> None:
    """Shift and stretch time for this process: now = origin + (real - origin) * scale + offset.

    `origin_s` is a Unix time all processes of a chain share, so that they agree; it defaults to this moment.
    """
    global _offset_s, _scale, _origin_s
    _offset_s, _scale = offset_s, scale
    _origin_s = _time.time() if origin_s is None else origin_s


def time_s() -> float:
    """Seconds since 1970 by the product's clock."""
    real = _time.time()
    if _scale == 1.0:
        return real + _offset_s
    return _origin_s + (real - _origin_s) * _scale + _offset_s


def now() -> datetime:
    """This moment, aware, in UTC."""
    return datetime.fromtimestamp(time_s(), UTC)


def real_seconds(product_seconds: float) -> float:
    """How long to sleep on the machine until `product_seconds` have passed on the product's clock."""
    return product_seconds / _scale


def shanghai_day(moment: datetime | None = None) -> date:
    """The calendar day (00:00 to 24:00 Asia/Shanghai) that a moment falls on."""
    return (moment or now()).astimezone(SHANGHAI).date()


def day_bounds(day: date) -> tuple[datetime, datetime]:
    """First moment of a Shanghai day and first moment of the next, both in UTC."""
    start = datetime(day.year, day.month, day.day, tzinfo=SHANGHAI)
    after = day + timedelta(days=1)
    return start.astimezone(UTC), datetime(after.year, after.month, after.day, tzinfo=SHANGHAI).astimezone(UTC)
