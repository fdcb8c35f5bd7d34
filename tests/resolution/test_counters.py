from __future__ import annotations

import random
import tempfile
import threading
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biaojie.resolution import policy
from biaojie.resolution.counters import Counters, Spool, Tally, day_of, merge_spools, read_spool
from biaojie.resolution.errors import SpoolInvalid

NOON = datetime(2027, 1, 5, 4, 0, tzinfo=UTC).timestamp()
"""12:00 in Shanghai."""
MIDNIGHT = datetime(2027, 1, 5, 16, 0, tzinfo=UTC).timestamp()
"""24:00 of 5 January in Shanghai."""


def flushed(counters: Counters, folder: Path, now_s: float = NOON + 60) -> Spool:
    path = counters.flush(folder, now_s)
    assert path is not None
    return read_spool(path)


class TestCounting:
    def test_flush_writes_the_documented_form(self, tmp_path: Path) -> None:
        counters = Counters(process="udp-0")
        counters.add("88.100.1", "192.0.2.7", True, False, 30.0, now_s=NOON + 0.5)
        counters.add("88.100.1", bytes((192, 0, 2, 7)), True, False, 10.0, 3, now_s=NOON + 0.9)
        counters.add("88.100.1", "2001:db8::1", False, False, 500.0, now_s=NOON + 2)
        counters.add("88.100.1", "127.0.0.1", True, True, 20.0, now_s=NOON + 2)

        path = counters.flush(tmp_path / "spool", NOON + 60)

        assert path is not None
        form = msgspec.json.decode(path.read_bytes())
        second = int(NOON)
        assert form == {
            "form": "biaojie-counters/1",
            "process": "udp-0",
            "start": NOON + 0.5,
            "end": NOON + 60,
            "owners": {
                "88.100.1": {
                    "requests": 5,
                    "answered": 4,
                    "latency": {
                        "count": 5,
                        "sum_us": 560.0,
                        "min_us": 10.0,
                        "min_at": NOON + 0.9,
                        "max_us": 500.0,
                        "max_at": NOON + 2,
                    },
                    "sources": {"192.0.2.7": 4, "2001:db8::1": 1},
                    "seconds": {str(second): 4, str(second + 2): 1},
                }
            },
            "own": {
                "88.100.1": {
                    "requests": 1,
                    "answered": 1,
                    "latency": {
                        "count": 1,
                        "sum_us": 20.0,
                        "min_us": 20.0,
                        "min_at": NOON + 2,
                        "max_us": 20.0,
                        "max_at": NOON + 2,
                    },
                    "sources": {"127.0.0.1": 1},
                    "seconds": {str(second + 2): 1},
                }
            },
        }

    def test_flush_without_requests_writes_nothing(self, tmp_path: Path) -> None:
        counters = Counters(process="udp-0")

        assert counters.flush(tmp_path, NOON) is None
        counters.add("", "192.0.2.7", False, False, 1.0, now_s=NOON)
        assert counters.flush(tmp_path, NOON) is not None
        assert counters.flush(tmp_path, NOON) is None
        assert len(list(tmp_path.iterdir())) == 1

    def test_flush_beyond_midnight_in_shanghai_writes_a_file_for_each_day(self, tmp_path: Path) -> None:
        counters = Counters(process="udp-0")
        counters.add("88", "192.0.2.7", True, False, 1.0, 2, now_s=MIDNIGHT - 0.1)
        counters.add("88", "192.0.2.7", True, False, 1.0, 5, now_s=MIDNIGHT)

        counters.flush(tmp_path, MIDNIGHT + 30)

        spools = sorted((read_spool(path) for path in tmp_path.iterdir()), key=lambda spool: spool.start)
        assert [(spool.day, spool.total().requests) for spool in spools] == [(date(2027, 1, 5), 2), (date(2027, 1, 6), 5)]
        assert spools[0].end < MIDNIGHT <= spools[1].start

    def test_flush_after_midnight_ends_the_old_day_before_it(self, tmp_path: Path) -> None:
        counters = Counters(process="udp-0")
        counters.add("88", "192.0.2.7", True, False, 1.0, now_s=MIDNIGHT - 5)

        spool = flushed(counters, tmp_path, MIDNIGHT + 5)

        assert day_of(spool.end) == day_of(spool.start) == date(2027, 1, 5)

    def test_flush_that_cannot_write_loses_nothing(self, tmp_path: Path) -> None:
        counters = Counters(process="udp-0")
        blocked = tmp_path / "spool"
        blocked.write_text("a file where the folder should be")
        counters.add("88", "192.0.2.7", True, False, 1.0, 2, now_s=NOON)

        with pytest.raises(OSError):
            counters.flush(blocked, NOON + 60)
        counters.add("88", "192.0.2.7", True, False, 1.0, 3, now_s=NOON + 61)
        blocked.unlink()
        counters.flush(blocked, NOON + 120)

        assert merge_spools(map(read_spool, blocked.iterdir())).total().requests == 5

    def test_add_from_forged_addresses_without_end_stays_bounded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(policy, "SOURCES_MAX", policy.Row(10, "", "test"))
        counters = Counters(process="udp-0")

        for number in range(100):
            counters.add("88", number.to_bytes(4, "big"), True, False, 1.0, now_s=NOON)

        sources = flushed(counters, tmp_path).owners["88"].sources
        assert (len(sources), sources["*"], sum(sources.values())) == (11, 90, 100)

    def test_add_by_octets_and_text_of_one_address_adds_up(self, tmp_path: Path) -> None:
        counters = Counters(process="udp-0")

        for source in ("192.0.2.7", bytes((192, 0, 2, 7)), bytes(10) + b"\xff\xff" + bytes((192, 0, 2, 7))):
            counters.add("88", source, True, False, 1.0, now_s=NOON)

        assert flushed(counters, tmp_path).owners["88"].sources == {"192.0.2.7": 3}

    def test_add_by_threads_while_another_flushes_loses_nothing(self, tmp_path: Path) -> None:
        counters = Counters(process="udp-0")

        def count() -> None:
            for number in range(5_000):
                counters.add(f"88.{number % 3}", "192.0.2.7", True, False, 1.0, now_s=NOON + number / 1000)

        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            counters.flush(tmp_path, NOON + 60)
        for thread in threads:
            thread.join()
        counters.flush(tmp_path, NOON + 60)

        total = merge_spools(map(read_spool, tmp_path.iterdir())).total()
        assert (total.requests, sum(total.seconds.values()), total.latency.count) == (20_000, 20_000, 20_000)

    def test_files_of_two_processes_of_one_name_never_share_a_name(self, tmp_path: Path) -> None:
        for _ in range(2):
            counters = Counters(process="udp/0")
            counters.add("88", "192.0.2.7", True, False, 1.0, now_s=NOON)
            counters.flush(tmp_path, NOON + 60)

        assert len(list(tmp_path.glob("udp_0-*.json"))) == 2


class TestMerging:
    @given(
        st.lists(
            st.tuples(st.integers(0, 3), st.sampled_from(["", "88.1", "88.2"]), st.integers(0, 90), st.integers(1, 900)),
            max_size=40,
        )
    )
    def test_merge_of_any_split_over_processes_equals_counting_in_one(self, rows: list[tuple[int, str, int, int]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            processes = [Counters(process=f"p{number}") for number in range(4)]
            one = Counters(process="one")
            for process, owner, second, latency in rows:
                for counters in (processes[process], one):
                    counters.add(owner, "192.0.2.7", latency % 2 == 0, False, float(latency), now_s=NOON + second)
            for counters in processes:
                counters.flush(Path(folder) / "many", NOON + 90)
            one.flush(Path(folder) / "one", NOON + 90)

            many = merge_spools(map(read_spool, (Path(folder) / "many").glob("*.json")))
            single = merge_spools(map(read_spool, (Path(folder) / "one").glob("*.json")))

        assert {owner: figures(tally) for owner, tally in many.owners.items()} == {
            owner: figures(tally) for owner, tally in single.owners.items()
        }
        assert figures(many.total()) == figures(single.total())

    def test_peak_is_taken_after_merging(self) -> None:
        first = Tally(seconds={"100": 5, "101": 4})
        second = Tally(seconds={"101": 4, "102": 6})

        first.merge(second)

        assert first.peak() == (101, 8)
        assert Tally().peak() == (0, 0)

    @pytest.mark.parametrize("octets", [b"", b"{", b"\xff", b"{}", b'{"form":"x/1","process":"p","start":0,"end":0}'])
    def test_read_of_another_file_raises_spool_invalid(self, tmp_path: Path, octets: bytes) -> None:
        path = tmp_path / "x.json"
        path.write_bytes(octets)

        with pytest.raises(SpoolInvalid):
            read_spool(path)

    def test_day_of_any_moment_is_the_one_files_are_parted_by(self, tmp_path: Path) -> None:
        chance = random.Random(7)
        counters = Counters(process="p")
        expected: Counter[date] = Counter()
        for _ in range(300):
            moment = NOON + chance.randrange(-300_000, 300_000)
            counters.add("88", "192.0.2.7", True, False, 1.0, now_s=moment)
            expected[day_of(moment)] += 1

        counters.flush(tmp_path, NOON + 400_000)

        found: Counter[date] = Counter()
        for path in tmp_path.iterdir():
            spool = read_spool(path)
            assert {day_of(int(second)) for second in spool.total().seconds} == {spool.day}
            found[spool.day] += spool.total().requests
        assert found == expected


def figures(tally: Tally) -> tuple[object, ...]:
    latency = tally.latency
    return (
        tally.requests,
        tally.answered,
        latency.count,
        latency.sum_us,
        latency.min_us,
        latency.max_us,
        tally.sources,
        tally.seconds,
    )
