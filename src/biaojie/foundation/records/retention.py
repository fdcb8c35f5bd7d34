"""The declared channels, and how long journal rows are kept.

A change set leaves when every channel it is stamped in has acknowledged it *and* the longest of their terms has passed.
Channels are rows; a chapter that brings a reader adds its row in `AppConfig.ready()`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction

from biaojie.base import clock


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelRow:
    """A channel: what reads it and how long its change sets are kept after they were written."""

    name: str
    title: str
    keep: timedelta


CHANNELS: dict[str, ChannelRow] = {}

# 等保 2.0, 8.1.4.3: logs are kept for at least six months; identifier history is read from the journal.
SIX_MONTHS = timedelta(days=184)
CHUNK = 1000


def declare(row: ChannelRow) -> None:
    """Adds a channel; declaring the same row twice is harmless."""
    if CHANNELS.setdefault(row.name, row) != row:
        raise ValueError(f"channel {row.name} is declared twice")


declare(ChannelRow(name="publication", title="发布", keep=SIX_MONTHS))


def prune(now: datetime | None = None) -> int:
    """Removes what may leave, in transactions of `CHUNK` change sets; gives how many sets went. Repeatable."""
    now = now or clock.now()
    total = 0
    while True:
        removed = _prune_chunk(now)
        total += removed
        if removed < CHUNK:
            return total


def _prune_chunk(now: datetime) -> int:
    terms = [(row.name, now - row.keep) for row in CHANNELS.values()]
    oldest_term = now - max(row.keep for row in CHANNELS.values())
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL biaojie.pruning = 'on'")
        cursor.execute(
            """
            WITH term AS (SELECT * FROM unnest(%s::text[], %s::timestamptz[]) AS t(name, before))
            SELECT s.id FROM records_changeset s
            WHERE s.at < (SELECT max(before) FROM term)
              AND NOT EXISTS (
                SELECT 1 FROM records_stamp p
                LEFT JOIN records_channel c ON c.name = p.channel
                LEFT JOIN term t ON t.name = p.channel
                WHERE p.change_set_id = s.id
                  AND (p.serial IS NULL OR p.serial > coalesce(c.acknowledged, 0) OR s.at >= coalesce(t.before, %s)))
              AND (s.at < %s OR EXISTS (SELECT 1 FROM records_stamp p WHERE p.change_set_id = s.id))
            ORDER BY s.id LIMIT %s
            """,
            [[name for name, _ in terms], [before for _, before in terms], oldest_term, oldest_term, CHUNK],
        )
        ids = [row[0] for row in cursor.fetchall()]
        # Changes first: the guard of each table looks at the stamps, which go last but one.
        cursor.execute("DELETE FROM records_change WHERE change_set_id = ANY(%s)", [ids])
        cursor.execute("DELETE FROM records_stamp WHERE change_set_id = ANY(%s)", [ids])
        cursor.execute("DELETE FROM records_changeset WHERE id = ANY(%s)", [ids])
    return len(ids)
