"""When something is due, in Shanghai days."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from biaojie.foundation.jobs.cadence import parse
from biaojie.foundation.jobs.errors import BadCadence


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("cadence", "after", "until", "due"),
    [
        ("daily 01:30", "2026-11-22T17:29", "2026-11-22T17:31", "2026-11-22T17:30"),
        ("daily 01:30", "2026-11-22T17:30", "2026-11-23T17:29", None),
        ("daily 01:30", "2026-11-01T00:00", "2026-11-22T20:00", "2026-11-22T17:30"),
        ("monthly 1 01:00", "2026-10-31T16:00", "2026-10-31T17:00", "2026-10-31T17:00"),
        ("monthly 31 01:00", "2027-02-01T00:00", "2027-03-01T00:00", "2027-02-27T17:00"),
        ("weekly 1 02:00", "2026-11-16T00:00", "2026-11-23T00:00", "2026-11-22T18:00"),
        ("every 15 minutes", "2026-11-23T00:00", "2026-11-23T00:44", "2026-11-23T00:30"),
        ("every 15 minutes", "2026-11-23T00:30", "2026-11-23T00:44", None),
        ("every 6 hours", "2026-11-22T15:00", "2026-11-22T16:00", "2026-11-22T16:00"),
    ],
)
def test_last_due_latest_moment_after_and_until(cadence: str, after: str, until: str, due: str | None) -> None:
    found = parse(cadence).last_due(utc(after), utc(until))

    assert found == (utc(due) if due else None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hourly",
        "every 0 minutes",
        "every 7 minutes",
        "every 25 hours",
        "daily 24:00",
        "daily 1 01:00",
        "weekly 8 01:00",
        "monthly 01:00",
    ],
)
def test_parse_cadence_that_makes_no_sense_refused(text: str) -> None:
    with pytest.raises(BadCadence):
        parse(text)
