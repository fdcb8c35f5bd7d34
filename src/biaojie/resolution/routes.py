"""Routes in memory: which published interval covers a routing key most narrowly.

Intervals of one code system nest (overlaps between owners are refused at registration), so the covering interval that
begins last is the narrowest; where two begin together, the one that ends first is. Intervals that cross each other, if
they ever come, are ordered by the same rule.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from biaojie.resolution.entries import RouteContent


class RouteTable:
    """The routes of one revision of an index, ready for look-up; building sorts, a look-up takes O(log n) and its depth."""

    def __init__(self, routes: Iterable[tuple[int, RouteContent]]) -> None:
        """`routes` are `(system number, route)` in any order."""
        systems: dict[int, list[RouteContent]] = {}
        for number, route in routes:
            systems.setdefault(number, []).append(route)
        self._systems = {number: _Intervals(rows) for number, rows in systems.items()}

    def find(self, system_number: int, routing: bytes) -> RouteContent | None:
        """The narrowest route of this system whose interval `low <= routing < high` holds."""
        intervals = self._systems.get(system_number)
        return intervals.find(routing) if intervals else None


class _Intervals:
    def __init__(self, rows: list[RouteContent]) -> None:
        rows.sort(key=lambda row: row.high, reverse=True)
        rows.sort(key=lambda row: row.low)
        self._rows = rows
        self._lows = [row.low for row in rows]
        # For each row the nearest earlier one that reaches further: all between them end before it does.
        self._wider: list[int] = []
        for number, row in enumerate(rows):
            before = number - 1
            while before >= 0 and rows[before].high <= row.high:
                before = self._wider[before]
            self._wider.append(before)

    def find(self, routing: bytes) -> RouteContent | None:
        number = bisect_right(self._lows, routing) - 1
        while number >= 0 and self._rows[number].high <= routing:
            number = self._wider[number]
        return self._rows[number] if number >= 0 else None
