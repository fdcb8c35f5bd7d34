"""How often something is due, as a text an operator can read, counted in Asia/Shanghai. Pure.

`every 5 minutes`, `every 2 hours` (from midnight Shanghai), `daily 01:30`, `weekly 1 02:00` (1 = Monday … 7),
`monthly 1 01:00` (a day past the month's end means its last day).
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from biaojie.base.clock import SHANGHAI
from biaojie.foundation.jobs.errors import BadCadence

_FORMS = re.compile(
    r"every (?P<n>[1-9][0-9]*) (?P<unit>minute|hour)s?"
    r"|(?P<word>daily|weekly|monthly)(?: (?P<day>[1-9][0-9]?))? (?P<h>[0-9]{2}):(?P<m>[0-9]{2})"
)
_MINUTES_A_DAY = 24 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Cadence:
    """`every_minutes` counts from each Shanghai midnight; otherwise `at` on each day, weekday or day of the month."""

    text: str
    every_minutes: int = 0
    at: time = time(0)
    weekday: int = 0
    month_day: int = 0

    def last_due(self, after: datetime, until: datetime) -> datetime | None:
        """The latest due moment in `(after, until]`, in UTC; None if there is none. Looks back over any gap."""
        day = until.astimezone(SHANGHAI).date()
        first = after.astimezone(SHANGHAI).date()
        while day >= first:
            for moment in reversed(self._moments(day)):
                if after < moment <= until:
                    return moment.astimezone(after.tzinfo)
            day -= timedelta(days=1)
        return None

    def _moments(self, day: date) -> list[datetime]:
        if self.every_minutes:
            minutes = range(0, _MINUTES_A_DAY, self.every_minutes)
            return [datetime.combine(day, time(n // 60, n % 60), SHANGHAI) for n in minutes]
        if self.weekday and day.isoweekday() != self.weekday:
            return []
        if self.month_day and day.day != min(self.month_day, calendar.monthrange(day.year, day.month)[1]):
            return []
        return [datetime.combine(day, self.at, SHANGHAI)]


def parse(text: str) -> Cadence:
    """Reads a cadence. Raises BadCadence."""
    found = _FORMS.fullmatch(text.strip())
    if found is None:
        raise BadCadence(cadence=text)
    if found["n"]:
        minutes = int(found["n"]) * (60 if found["unit"] == "hour" else 1)
        # Otherwise the last stretch of a day would be shorter than the others.
        if minutes > _MINUTES_A_DAY or _MINUTES_A_DAY % minutes:
            raise BadCadence(cadence=text)
        return Cadence(text=text, every_minutes=minutes)
    word, day = found["word"], int(found["day"] or 0)
    is_day_right = {"daily": day == 0, "weekly": 1 <= day <= 7, "monthly": 1 <= day <= 31}[word]
    if not is_day_right or int(found["h"]) > 23 or int(found["m"]) > 59:
        raise BadCadence(cadence=text)
    at = time(int(found["h"]), int(found["m"]))
    return Cadence(text=text, at=at, weekday=day if word == "weekly" else 0, month_day=day if word == "monthly" else 0)
