"""The clock: offset, scale, Shanghai days."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest

from biaojie.base import clock


@pytest.fixture(autouse=True)
def plain_clock() -> Iterator[None]:
    yield
    clock.configure()


def test_now_is_aware_utc_and_the_machines() -> None:
    clock.configure()

    assert clock.now().tzinfo is UTC
    assert abs(clock.time_s() - time.time()) < 1


def test_offset_moves_time() -> None:
    clock.configure(offset_s=86_400)

    assert 86_399 < clock.time_s() - time.time() < 86_401


def test_scale_stretches_time_from_the_common_origin() -> None:
    origin = time.time() - 10
    clock.configure(scale=1000, origin_s=origin)

    passed = clock.time_s() - origin

    assert 10_000 <= passed < 12_000
    assert clock.real_seconds(5000) == 5


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        (datetime(2026, 11, 22, 15, 59, 59, tzinfo=UTC), date(2026, 11, 22)),
        (datetime(2026, 11, 22, 16, 0, 0, tzinfo=UTC), date(2026, 11, 23)),
    ],
)
def test_shanghai_day_turns_at_sixteen_hours_utc(moment: datetime, day: date) -> None:
    assert clock.shanghai_day(moment) == day


def test_day_bounds_enclose_exactly_one_day() -> None:
    start, end = clock.day_bounds(date(2026, 11, 23))

    assert start == datetime(2026, 11, 22, 16, tzinfo=UTC)
    assert (end - start).total_seconds() == 86_400
