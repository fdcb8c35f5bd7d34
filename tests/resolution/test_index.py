from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biaojie.handle.values import HandleValue, encode_values
from biaojie.resolution import policy
from biaojie.resolution.entries import (
    NOTHING_PUBLIC,
    OWN,
    PRIVATE,
    SITE_KEY,
    Entry,
    RouteContent,
    digest_of,
    handle_entry,
    removal,
    route_entry,
    site_entry,
    zone_entry,
)
from biaojie.resolution.errors import EntryInvalid, IndexBusy, SessionMismatch
from biaojie.resolution.index import Index

KEYS = [b"\x0188.100.1/A", b"\x0188.100.1/B", b"\x0188.100.2/\xe4\xb8\xad", b"\x01" + b"L" * 600, b"\x01" + b"L" * 601]
SECRET = 0x0C


def handle(key: bytes, version: int, text: str = "") -> Entry:
    octets = encode_values([HandleValue(1, "URL", f"{text}{version}".encode())])
    return handle_entry(key, version, owner=key[1:9].decode("utf-8", "replace"), values=octets)


def route(key: bytes, version: int) -> Entry:
    return route_entry(
        key, version, RouteContent("OID", "1.2", key, key + b"\xff", [("4", "192.0.2.1", "HTTP", version)], "88.100")
    )


class TestApply:
    def test_apply_of_each_kind_is_found_by_a_reader(self, index: Index) -> None:
        index.apply(
            [
                handle(KEYS[0], 3),
                zone_entry(b"88.100.1", 1, owner="88.100.1", refer=""),
                route(b"\x021.2", 5),
                site_entry(b"\0\1site", 2),
            ],
            session="s",
            serial=4,
        )

        with index.reader() as reader:
            record = reader.get_handle(KEYS[0])
            assert record is not None
            assert (record.flags, record.version, reader.owner(record.owner_id)) == (0, 3, "88.100.1")
            assert record.public == record.all_values == encode_values([HandleValue(1, "URL", b"3")])
            assert reader.get_handle(KEYS[1]) is None
            zone = reader.zone_of(b"88.100.1")
            assert zone is not None and zone.owner == "88.100.1"
            found = reader.best_route(2, b"\x021.2.3")
            assert found is not None and found.addresses == [("4", "192.0.2.1", "HTTP", 5)]
            assert reader.site == b"\0\1site"
            assert (reader.state.session, reader.state.serial) == ("s", 4)

    def test_apply_of_values_by_their_rights_sets_the_flags(self, index: Index) -> None:
        shown, secret = HandleValue(1, "URL", b"u"), HandleValue(2, "HS_SECKEY", b"k", permissions=SECRET)
        cases = {
            b"\1a": ([shown], False, 0, [shown]),
            b"\1b": ([shown, secret], False, PRIVATE, [shown]),
            b"\1c": ([secret], True, PRIVATE | NOTHING_PUBLIC | OWN, []),
            b"\1d": ([], False, NOTHING_PUBLIC, []),
        }

        index.apply(
            [handle_entry(key, 1, owner="o", values=encode_values(row[0]), own=row[1]) for key, row in cases.items()],
            session="s",
            serial=1,
        )

        with index.reader() as reader:
            for key, (values, _, flags, public) in cases.items():
                record = reader.get_handle(key)
                assert record is not None
                assert (record.flags, record.public, record.all_values) == (flags, encode_values(public), encode_values(values))

    def test_apply_of_a_smaller_version_changes_nothing(self, index: Index) -> None:
        index.apply([handle(KEYS[0], 5), zone_entry(b"88", 5, owner="new")], session="s", serial=1)

        done = index.apply(
            [handle(KEYS[0], 4), removal("handle", KEYS[0], 3), zone_entry(b"88", 4, owner="old")], session="s", serial=2
        )

        with index.reader() as reader:
            record, zone = reader.get_handle(KEYS[0]), reader.zone_of(b"88")
            assert record is not None and record.version == 5
            assert zone is not None and zone.owner == "new"
        assert (done, index.serial) == (0, 2)

    def test_apply_of_a_serial_already_reached_changes_nothing(self, index: Index) -> None:
        index.apply([handle(KEYS[0], 1)], session="s", serial=5)

        done = index.apply([handle(KEYS[1], 1)], session="s", serial=5)

        assert (done, index.serial, len(list(index.items()))) == (0, 5, 1)

    def test_apply_of_another_session_is_refused(self, index: Index) -> None:
        index.apply([handle(KEYS[0], 1)], session="s", serial=5)

        with pytest.raises(SessionMismatch):
            index.apply([handle(KEYS[1], 1)], session="t", serial=6)

        assert (index.session, index.serial) == ("s", 5)

    def test_apply_that_fails_in_the_middle_leaves_the_index_unchanged(self, index: Index) -> None:
        index.apply([handle(KEYS[0], 1)], session="s", serial=1)
        before = index.digest()
        broken = handle_entry(KEYS[2], 1, owner="new owner", values=b"\0\0\0\7")

        with pytest.raises(EntryInvalid):
            index.apply([handle(KEYS[1], 1), removal("handle", KEYS[0], 2), broken], session="s", serial=2)

        assert (index.digest(), index.serial) == (before, 1)

    def test_apply_of_zones_and_routes_is_seen_by_a_renewed_reader_only(self, index: Index) -> None:
        with index.reader() as reader:
            index.apply([zone_entry(b"88", 1, owner="x")], session="s", serial=1)

            assert reader.zone_of(b"88") is None
            reader.renew()
            assert reader.zone_of(b"88") is not None
            index.apply([removal("zone", b"88", 2)], session="s", serial=2)
            reader.renew()
            assert reader.zone_of(b"88") is None


changes = st.lists(
    st.tuples(st.sampled_from(["handle", "zone", "route", "site"]), st.integers(0, 4), st.integers(0, 2), st.booleans()),
    max_size=30,
)


def history(rows: list[tuple[str, int, int, bool]]) -> tuple[list[list[Entry]], list[Entry]]:
    """Batches of changes with growing versions, and what is live after them."""
    live: dict[tuple[str, bytes], Entry] = {}
    batches: list[list[Entry]] = [[]]
    for version, (kind, key_number, batch, removes) in enumerate(rows, start=1):
        key = KEYS[key_number] if kind == "handle" else SITE_KEY if kind == "site" else b"\x02%d" % key_number
        if removes:
            entry = removal(kind, key, version)
            live.pop((kind, key), None)
        else:
            entry = {
                "handle": lambda key=key, version=version: handle(key, version),
                "zone": lambda key=key, version=version: zone_entry(key, version, owner=f"o{version}"),
                "route": lambda key=key, version=version: route(key, version),
                "site": lambda key=key, version=version: site_entry(b"%d" % version, version),
            }[kind]()
            live[(kind, key)] = entry
        if batch == 0:
            batches.append([])
        batches[-1].append(entry)
    return batches, list(live.values())


@settings(max_examples=40, deadline=None)
@given(changes)
def test_index_after_any_history_equals_the_last_state(rows: list[tuple[str, int, int, bool]]) -> None:
    batches, live = history(rows)
    with tempfile.TemporaryDirectory() as folder, Index.open(folder) as index:
        for serial, batch in enumerate(batches, start=1):
            index.apply(batch, session="s", serial=serial)

        assert index.digest() == digest_of(live)


class TestRebuild:
    def test_rebuild_replaces_everything_and_keeps_one_generation(self, index: Index) -> None:
        index.apply([handle(KEYS[0], 9), zone_entry(b"88", 1, owner="x"), site_entry(b"old", 1)], session="s", serial=1)
        entries = [handle(KEYS[2], 1), zone_entry(b"86", 1, owner="y")]

        built = index.rebuild(entries, session="t", serial=7)

        assert (built.handles, built.others) == (1, 1)
        assert index.digest() == digest_of(entries)
        assert (index.session, index.serial) == ("t", 7)
        assert len(list(index.folder.glob("gen-*"))) == 1

    @pytest.mark.parametrize("order", ["sorted", "reversed", "random", "late"])
    def test_rebuild_in_any_order_with_small_runs_equals_the_entries(
        self, index: Index, monkeypatch: pytest.MonkeyPatch, order: str
    ) -> None:
        monkeypatch.setattr(policy, "RUN_RECORDS", policy.Row(100, "records", "test"))
        entries = [handle(b"\x0188.100.1/%04d" % number, 1) for number in range(950)]
        given_entries = list(entries)
        if order == "reversed":
            given_entries.reverse()
        elif order == "random":
            random.Random(5).shuffle(given_entries)
        elif order == "late":
            given_entries = entries[100:] + entries[:100]

        built = index.rebuild(given_entries, session="s", serial=1)

        assert built.handles == 950
        assert (built.spilled > 0) == (order != "sorted")
        assert index.digest() == digest_of(entries)
        assert not list(index.folder.rglob("*.tmp"))

    @pytest.mark.parametrize("distance", [0, 150, 450])
    def test_rebuild_with_a_key_given_twice_keeps_the_higher_version(
        self, index: Index, monkeypatch: pytest.MonkeyPatch, distance: int
    ) -> None:
        monkeypatch.setattr(policy, "RUN_RECORDS", policy.Row(100, "records", "test"))
        entries = [handle(b"\x0188.100.1/%04d" % number, 5) for number in range(500)]
        older, newer = handle(b"\x0188.100.1/0000", 4), handle(b"\x0188.100.1/0001", 6)

        index.rebuild([*entries[: distance + 2], older, newer, *entries[distance + 2 :]], session="s", serial=1)

        assert index.digest() == digest_of([entries[0], newer, *entries[2:]])

    def test_rebuild_with_a_removal_or_a_fault_leaves_the_live_generation(self, index: Index) -> None:
        index.apply([handle(KEYS[0], 1)], session="s", serial=1)
        before = index.digest()

        def failing() -> Iterator[Entry]:
            yield handle(KEYS[1], 1)
            raise OSError("source went away")

        with pytest.raises(OSError):
            index.rebuild(failing(), session="t", serial=2)
        with pytest.raises(EntryInvalid):
            index.rebuild([removal("handle", KEYS[1], 1)], session="t", serial=2)

        assert (index.digest(), index.session) == (before, "s")
        assert len(list(index.folder.glob("gen-*"))) == 1

    def test_rebuild_into_a_map_too_small_grows_it(self, tmp_path: Path) -> None:
        entries = [handle(b"\x0188.100.1/%06d" % number, 1, "x" * 300) for number in range(3_000)]

        with Index.open(tmp_path, map_octets=256 << 10) as index:
            index.rebuild(entries, session="s", serial=1)

            assert index.digest() == digest_of(entries)

    def test_reader_made_before_a_rebuild_moves_over_when_renewed(self, index: Index) -> None:
        index.apply([handle(KEYS[0], 1)], session="s", serial=1)
        with index.reader() as reader:
            index.rebuild([handle(KEYS[1], 1)], session="t", serial=1)

            assert reader.get_handle(KEYS[0]) is not None
            reader.renew()
            assert reader.get_handle(KEYS[0]) is None
            assert reader.get_handle(KEYS[1]) is not None

    def test_rebuild_of_100_000_records_prints_its_rate(self, index: Index, capsys: pytest.CaptureFixture[str]) -> None:
        values = encode_values([HandleValue(n, "URL", b"https://id.example.org/item-%d" % n) for n in (1, 2, 3)])
        entries = [handle_entry(b"\x0188.100.1/%07d" % n, 1, owner="88.100.1", values=values) for n in range(100_000)]
        started = time.perf_counter()

        built = index.rebuild(entries, session="s", serial=1)

        with capsys.disabled():
            print(f" [{built.handles / (time.perf_counter() - started):,.0f} records/s]", end="")  # a figure to read
        assert built.handles == 100_000


class TestOpening:
    def test_open_again_in_one_process_shares_the_environment(self, index: Index) -> None:
        index.apply([handle(KEYS[0], 1)], session="s", serial=1)

        with Index.open(index.folder) as second:
            assert second.environment is index.environment
            assert second.serial == 1

    def test_open_after_close_finds_what_was_written(self, tmp_path: Path) -> None:
        with Index.open(tmp_path) as index:
            index.apply([handle(KEYS[0], 1)], session="s", serial=3)

        with Index.open(tmp_path) as index:
            assert (index.session, index.serial, index.recovered) == ("s", 3, None)

    def test_reader_of_a_closed_index_is_refused(self, tmp_path: Path) -> None:
        index = Index.open(tmp_path)
        index.close()
        index.close()

        with pytest.raises(IndexBusy):
            index.reader()

    @pytest.mark.parametrize("damage", ["garbage", "missing", "folder"])
    def test_open_of_an_unusable_generation_begins_an_empty_one(self, tmp_path: Path, damage: str) -> None:
        with Index.open(tmp_path) as index:
            index.apply([handle(KEYS[0], 1)], session="s", serial=3)
            data = index.environment.path / "data.mdb"
        if damage == "garbage":
            data.write_bytes(b"garbage" * 4096)
        elif damage == "missing":
            data.unlink()
        else:
            (tmp_path / "current").write_text("gen-999999")

        with Index.open(tmp_path) as index:
            assert (index.session, index.serial, list(index.items())) == ("", 0, [])
            assert index.recovered

    def test_two_writers_of_one_folder_the_second_is_refused_until_the_first_ends(self, index: Index) -> None:
        index.apply([handle(KEYS[0], 1)], session="s", serial=1)
        code = (
            "import sys; from biaojie.resolution.index import Index; from biaojie.resolution.errors import IndexBusy\n"
            "index = Index.open(sys.argv[1])\n"
            "try: index.apply([], session='s', serial=2)\n"
            "except IndexBusy as error: print(error.code, index.serial)"
        )

        ended = subprocess.run([sys.executable, "-c", code, str(index.folder)], capture_output=True, text=True, check=True)

        assert ended.stdout.split() == ["RES-142", "1"]


READER = """
import sys, time
from biaojie.resolution.index import Index
index = Index.open(sys.argv[1])
reader = index.reader()
print("ready", flush=True)
deadline = time.monotonic() + 60
seen = 0
while seen < int(sys.argv[2]) and time.monotonic() < deadline:
    reader.renew()
    assert reader.state.serial >= seen, "serials only grow"
    seen = reader.state.serial
    for number in range(seen * 200):
        assert reader.get_handle(b"\\x0188.100.1/%06d" % number) is not None, (seen, number)
    reader.release()
    time.sleep(0.001)
print(seen, reader.environment.env.info()["map_size"], flush=True)
"""


class TestProcesses:
    def test_readers_in_other_processes_survive_growth_and_swap(self, tmp_path: Path) -> None:
        with Index.open(tmp_path, map_octets=128 << 10) as index:
            small = index.environment.env.info()["map_size"]
            readers = [
                subprocess.Popen([sys.executable, "-c", READER, str(tmp_path), "21"], stdout=subprocess.PIPE, text=True)
                for _ in range(2)
            ]
            for process in readers:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
            every: list[Entry] = []

            for serial in range(1, 21):
                batch = [handle(b"\x0188.100.1/%06d" % n, 1, "x" * 200) for n in range((serial - 1) * 200, serial * 200)]
                every += batch
                index.apply(iter(batch), session="s", serial=serial)
                time.sleep(0.01)
            grown = index.environment.env.info()["map_size"]
            more = [handle(b"\x0188.100.1/%06d" % n, 1) for n in range(4_000, 4_200)]
            index.rebuild([*every, *more], session="s", serial=21)

            for process in readers:
                output, _ = process.communicate(timeout=60)
                assert process.returncode == 0
                assert output.split()[0] == "21"
            assert grown > small

    def test_slots_of_killed_readers_are_cleared(self, index: Index) -> None:
        index.apply([handle(KEYS[0], 1)], session="s", serial=1)
        code = (
            "import sys, time; from biaojie.resolution.index import Index\n"
            "index = Index.open(sys.argv[1]); reader = index.reader(); print('ready', flush=True); time.sleep(60)"
        )
        process = subprocess.Popen([sys.executable, "-c", code, str(index.folder)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        assert index.clear_stale_readers() == 0

        process.send_signal(signal.SIGKILL)
        process.communicate()

        assert index.clear_stale_readers() == 1

    def test_writer_killed_at_any_moment_leaves_an_index_at_a_whole_serial(self, tmp_path: Path) -> None:
        code = (
            "import sys; from biaojie.resolution.index import Index\n"
            "from biaojie.resolution.entries import handle_entry\n"
            "index = Index.open(sys.argv[1]); serial = index.serial\n"
            "print('ready', flush=True)\n"
            "while True:\n"
            "    serial += 1\n"
            "    rows = [handle_entry(b'\\1%04d' % n, serial, owner='o', values=bytes(4)) for n in range(200)]\n"
            "    if serial % 5: index.apply(rows, session='s', serial=serial)\n"
            "    else: index.rebuild(rows, session='s', serial=serial)\n"
        )
        for wait_ms in (5, 20, 45, 80):
            process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(wait_ms / 1000)
            process.send_signal(signal.SIGKILL)
            process.communicate()

            with Index.open(tmp_path) as index:
                assert index.recovered is None
                assert {entry.version for entry in index.items()} <= {index.serial}


class TestThreads:
    def test_growth_beside_reading_threads_waits_for_their_pause(self, tmp_path: Path) -> None:
        failures: list[BaseException] = []
        stop = threading.Event()

        def read(index: Index) -> None:
            try:
                with index.reader() as reader:
                    while not stop.is_set():
                        reader.renew()
                        for number in range(min(50, reader.state.serial)):
                            assert reader.get_handle(b"\x0188.100.1/%06d" % number) is not None
                        reader.release()
            except BaseException as error:
                failures.append(error)

        with Index.open(tmp_path, map_octets=128 << 10) as index:
            threads = [threading.Thread(target=read, args=(index,)) for _ in range(3)]
            for thread in threads:
                thread.start()
            for serial in range(1, 101):
                index.apply([handle(b"\x0188.100.1/%06d" % (serial - 1), 1, "x" * 5_000)], session="s", serial=serial)
                if serial % 25 == 0:
                    index.rebuild(list(index.items()), session="s", serial=serial)
            stop.set()
            for thread in threads:
                thread.join()

            assert failures == []
            assert index.serial == 100

    def test_reading_goes_on_while_a_rebuild_takes_its_time(self, index: Index) -> None:
        index.apply([handle(KEYS[0], 1)], session="s", serial=1)
        begun, finish = threading.Event(), threading.Event()

        def slow() -> Iterator[Entry]:
            yield handle(KEYS[1], 1)
            begun.set()
            finish.wait(30)
            yield handle(KEYS[2], 1)

        thread = threading.Thread(target=index.rebuild, args=(slow(),), kwargs={"session": "t", "serial": 1})
        thread.start()
        begun.wait(30)
        with index.reader() as reader:
            index.refresh(now=True)
            reader.renew()
            found_meanwhile = reader.get_handle(KEYS[0]) is not None
            finish.set()
            thread.join()
            reader.renew()

            assert found_meanwhile
            assert (reader.state.session, reader.get_handle(KEYS[0])) == ("t", None)

    def test_growth_with_a_reader_that_never_pauses_is_refused_and_can_be_repeated(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(policy, "GROW_WAIT_MS", policy.Row(20, "ms", "test"))
        big = [handle(b"\x0188.100.1/%06d" % number, 1, "x" * 5_000) for number in range(100)]
        with Index.open(tmp_path, map_octets=128 << 10) as index, index.reader() as reader:
            with pytest.raises(IndexBusy):
                index.apply(big, session="s", serial=1)
            assert index.serial == 0

            reader.release()
            index.apply(big, session="s", serial=1)

            assert index.digest() == digest_of(big)
