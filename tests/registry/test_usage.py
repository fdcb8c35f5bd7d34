"""Counter files become a day's figures: each once, whatever happens in between; peaks after merging."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from served import make_prefix, member

from biaojie.base import clock
from biaojie.foundation.accounts import tokens
from biaojie.foundation.accounts.operations import create_user
from biaojie.registry import jobs, usage
from biaojie.registry.models import SpoolFile, UsageDay, UsageSecond
from biaojie.registry.usage import DayFigures, day_figures, load_spool
from biaojie.resolution.counters import Counters, read_spool

pytestmark = pytest.mark.django_db

DAY = date(2026, 1, 5)
NOON = datetime(2026, 1, 5, 4, tzinfo=UTC).timestamp()  # 12:00 in Shanghai


def counted(folder: Path, process: str, *requests: tuple[str, str, bool, float, float, int], own: bool = False) -> Path:
    """A file as a resolver writes it, of (owner, source, found, latency µs, second, number)."""
    counters = Counters(process=process)
    for owner, source, found, latency, second, number in requests:
        counters.add(owner, source, found, own, latency, number, now_s=NOON + second)
    path = counters.flush(folder, NOON + 59)
    assert path is not None
    return path


def moment(second: float) -> datetime:
    return datetime.fromtimestamp(NOON + second, UTC)


def test_load_spool_files_of_two_processes_merge_into_one_day(tmp_path: Path) -> None:
    make_prefix("88.100.2")
    counted(tmp_path, "udp", ("88.100.2", "192.0.2.1", True, 200.0, 1, 3), ("88.100.2", "192.0.2.2", False, 900.0, 2, 5))
    counted(tmp_path, "tcp", ("88.100.2", "192.0.2.1", True, 100.0, 1, 4), ("88.100.2", "2001:db8::1", True, 900.0, 9, 1))
    counted(tmp_path, "probe", ("88.100.2", "192.0.2.9", True, 5000.0, 1, 100), own=True)

    assert load_spool(tmp_path) == 3

    assert day_figures("88.100.2", DAY) == DayFigures(
        prefix="88.100.2",
        day=DAY,
        requests=13,
        answered=8,
        latency_avg_ms=(3 * 200 + 5 * 900 + 4 * 100 + 900) / 13 / 1000,
        latency_max_ms=0.9,
        latency_max_at=moment(2),
        latency_min_ms=0.1,
        latency_min_at=moment(1),
        peak_qps=7,
        peak_at=moment(1),
        sources=(("192.0.2.1", 7), ("192.0.2.2", 5), ("2001:db8::1", 1)),
    )
    assert UsageDay.objects.get(own=True).requests == 100
    assert list(tmp_path.glob("*.json")) == []


def test_load_spool_file_that_was_not_deleted_counts_once(tmp_path: Path) -> None:
    path = counted(tmp_path, "udp", ("88.100.2", "192.0.2.1", True, 200.0, 1, 3))
    octets = path.read_bytes()
    load_spool(tmp_path)
    path.write_bytes(octets)

    assert load_spool(tmp_path) == 0

    assert (day_figures("88.100.2", DAY).requests, path.exists(), SpoolFile.objects.count()) == (3, False, 1)


def test_load_file_cut_off_leaves_nothing_and_loads_later(tmp_path: Path) -> None:
    path = counted(tmp_path, "udp", ("88.100.2", "192.0.2.1", True, 200.0, 1, 3))
    spool = read_spool(path)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        usage.load_file(path.name, spool)
        raise ZeroDivisionError

    assert (SpoolFile.objects.count(), UsageDay.objects.count(), load_spool(tmp_path)) == (0, 0, 1)


@pytest.mark.parametrize("damage", [b"", b"{", b'{"form":"other/1","process":"x","start":0,"end":0}'])
def test_load_spool_unreadable_file_set_aside_and_others_loaded(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "a.json").write_bytes(damage)
    (tmp_path / "half.json.part").write_bytes(b"{")
    counted(tmp_path, "udp", ("88.100.2", "192.0.2.1", True, 200.0, 1, 3))

    assert load_spool(tmp_path) == 1

    assert (tmp_path / "bad" / "a.json").read_bytes() == damage
    assert (tmp_path / "half.json.part").exists()


def test_day_figures_of_own_prefix_count_everything_the_node_received(tmp_path: Path) -> None:
    make_prefix("88.100", is_own=True, hosting=1)
    make_prefix("88.100.2")
    counted(
        tmp_path,
        "udp",
        ("88.100", "192.0.2.1", True, 200.0, 1, 1),
        ("88.100.2", "192.0.2.1", True, 100.0, 1, 2),
        ("", "192.0.2.3", False, 100.0, 1, 4),
    )
    load_spool(tmp_path)

    node, hosted = day_figures("88.100", DAY), day_figures("88.100.2", DAY)

    assert (node.requests, node.answered, node.peak_qps, node.sources) == (7, 3, 7, (("192.0.2.3", 4), ("192.0.2.1", 3)))
    assert (hosted.requests, hosted.peak_qps) == (2, 2)


def test_day_figures_with_two_own_prefixes_are_told_apart(tmp_path: Path) -> None:
    for name in ("88.100", "88.1001"):
        make_prefix(name, is_own=True, hosting=1)
    rows = [
        (owner, "192.0.2.1", True, 1.0, 1, n)
        for owner, n in (("88.100", 1), ("88.100.2", 2), ("88.1001", 4), ("88.1001.3", 8), ("", 16))
    ]
    counted(tmp_path, "udp", *rows)
    load_spool(tmp_path)

    assert (day_figures("88.100", DAY).requests, day_figures("88.1001", DAY).requests) == (19, 12)


def test_day_figures_without_requests_have_no_moments() -> None:
    assert day_figures("88.100.2", DAY) == DayFigures(prefix="88.100.2", day=DAY, requests=0, answered=0)


def test_day_figures_more_sources_than_a_resolver_keeps_apart_are_one_row(tmp_path: Path) -> None:
    counted(tmp_path, "udp", ("88.100.2", "*", True, 1.0, 1, 5))

    load_spool(tmp_path)

    assert day_figures("88.100.2", DAY).sources == (("*", 5),)


def test_purge_removes_seconds_past_their_term_and_keeps_days(tmp_path: Path) -> None:
    counted(tmp_path, "udp", ("88.100.2", "192.0.2.1", True, 1.0, 1, 5))
    load_spool(tmp_path)

    kept = usage.purge(moment(0) + timedelta(days=40))
    removed = usage.purge(moment(2) + timedelta(days=40))

    assert (kept, removed, UsageSecond.objects.count(), UsageDay.objects.count()) == (0, 1, 0, 1)


def test_load_usage_job_loads_the_nodes_folder(tmp_path: Path, as_node: Any) -> None:
    as_node("second")
    from django.conf import settings

    counted(settings.NODE.node_dir / "spool", "udp", ("88.100.2", "192.0.2.1", True, 1.0, 1, 5))

    assert jobs.load_usage() == 1


def test_usage_api_gives_figures_to_those_who_may(tmp_path: Path) -> None:
    prefix = make_prefix("88.100.2")
    user = create_user(actor="test", username="li.ent", password="a-long-pass-phrase-7", role="enterprise")
    signed = {"Authorization": f"Bearer {tokens.issue(user)[0]}"}
    counted(tmp_path, "udp", ("88.100.2", "192.0.2.1", True, 1500.0, 1, 5))
    load_spool(tmp_path)

    stranger = Client().get("/api/v1/usage/88.100.2", {"day": "2026-01-05"}, headers=signed)
    member(user, prefix)
    answer = Client().get("/api/v1/usage/88.100.2", {"day": "2026-01-05"}, headers=signed)
    today = Client().get("/api/v1/usage/88.100.2", headers=signed)

    assert stranger.status_code == 403
    data = answer.json()["data"]
    assert (data["requests"], data["peak_qps"], data["latency_avg_ms"]) == (5, 5, 1.5)
    assert data["sources"] == [{"ip": "192.0.2.1", "requests": 5}]
    assert (today.json()["data"]["day"], today.json()["data"]["requests"]) == (clock.shanghai_day().isoformat(), 0)
