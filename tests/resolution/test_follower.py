from __future__ import annotations

import contextlib
import random
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biaojie.resolution import policy
from biaojie.resolution.entries import Entry, digest_of, removal
from biaojie.resolution.follower import Follower
from biaojie.resolution.index import Index
from biaojie.resolution.publication import PublicationWriter

MakeItem = Callable[..., Entry]


class Registry:
    """A small registry that publishes what it changes, and knows what is live."""

    def __init__(self, folder: Path, make_item: MakeItem) -> None:
        self.writer = PublicationWriter(folder, node="second-88.100")
        self.live: dict[bytes, Entry] = {}
        self.serial = 0
        self._make_item = make_item
        self.writer.start([], 0)

    def change(self, *names: str, remove: bool = False) -> None:
        """Put or remove some names under one serial."""
        self.serial += 1
        changes = []
        for name in names:
            entry = self._make_item(f"88.100.1/{name}", self.serial)
            if remove:
                entry = removal("handle", entry.key, self.serial)
                self.live.pop(entry.key, None)
            else:
                self.live[entry.key] = entry
            changes.append(entry)
        self.writer.append(changes, from_serial=self.serial - 1, to_serial=self.serial)

    def snapshot(self) -> None:
        self.writer.snapshot(sorted(self.live.values(), key=lambda entry: entry.key), self.serial)

    def restart(self) -> None:
        self.writer.start(self.live.values(), self.serial)

    @property
    def digest(self) -> str:
        return digest_of(self.live.values())

    def file_of(self, number: int) -> Path:
        """The newest deltas' files, -1 the newest."""
        manifest = self.writer.manifest()
        assert manifest is not None
        return self.writer.folder / manifest.deltas[number].file


@pytest.fixture
def registry(tmp_path: Path, make_item: MakeItem) -> Registry:
    return Registry(tmp_path / "publication", make_item)


@pytest.fixture
def follower(registry: Registry, index: Index) -> Iterator[Follower]:
    made = Follower(registry.writer.folder, index)
    yield made
    made.close()


class Quiet(SimpleHTTPRequestHandler):
    """A file server as any web server is one: ETag from time and size, 304 on a match."""

    asked: list[tuple[str, int]]

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def send_head(self):  # type: ignore[no-untyped-def]
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.asked.append((path.name, 404))
            self.send_error(404)
            return None
        stat = path.stat()
        etag = f'"{stat.st_mtime_ns}-{stat.st_size}-{stat.st_ino}"'
        if self.headers.get("If-None-Match") == etag:
            self.asked.append((path.name, 304))
            self.send_response(304)
            self.end_headers()
            return None
        self.asked.append((path.name, 200))
        self.send_response(200)
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(stat.st_size))
        self.end_headers()
        return path.open("rb")


@contextlib.contextmanager
def served(folder: Path) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    asked: list[tuple[str, int]] = []
    handler = type("Handler", (Quiet,), {"asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class TestFolder:
    def test_poll_before_anything_is_published_waits(self, tmp_path: Path, index: Index) -> None:
        report = Follower(tmp_path / "nowhere", index).poll()

        assert report.how == "waiting"
        assert report.problem is not None and report.problem.code == "RES-132"

    def test_poll_takes_the_snapshot_then_deltas_then_nothing(self, registry: Registry, follower: Follower, index: Index) -> None:
        registry.change("1", "2")
        first = follower.poll()
        registry.change("3")
        registry.change("1", remove=True)
        second = follower.poll()
        third = follower.poll()

        assert [(report.how, report.serial, report.problem, report.healed) for report in (first, second, third)] == [
            ("snapshot", 1, None, None),
            ("deltas", 3, None, None),
            ("unchanged", 3, None, None),
        ]
        assert (second.entries, index.digest()) == (2, registry.digest)
        assert follower.tally == {"polls": 3, "deltas": 3, "snapshots": 1, "entries": 4, "healed": 0, "problems": 0}

    def test_poll_far_behind_heals_from_the_snapshot_and_says_so(
        self, registry: Registry, follower: Follower, index: Index, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(policy, "DELTAS_KEPT", policy.Row(1, "deltas", "test"))
        follower.poll()
        for number in range(5):
            registry.change(str(number))
        registry.snapshot()

        report = follower.poll()

        assert report.how == "snapshot"
        assert report.healed is not None and report.healed.code == "RES-133"
        assert (report.serial, index.digest()) == (5, registry.digest)

    def test_poll_just_behind_a_new_snapshot_needs_only_the_delta(
        self, registry: Registry, follower: Follower, index: Index
    ) -> None:
        follower.poll()
        registry.change("1")
        registry.snapshot()

        report = follower.poll()

        assert (report.how, report.healed) == ("deltas", None)
        assert index.digest() == registry.digest

    def test_poll_after_a_new_session_starts_over(self, registry: Registry, follower: Follower, index: Index) -> None:
        registry.change("1", "2")
        follower.poll()
        registry.live.popitem()
        registry.restart()

        report = follower.poll()

        assert (report.how, report.healed, report.problem) == ("snapshot", None, None)
        assert index.digest() == registry.digest

    def test_poll_after_the_source_went_back_follows_it(self, registry: Registry, follower: Follower, index: Index) -> None:
        registry.change("1")
        shutil.copytree(registry.writer.folder, registry.writer.folder.parent / "backup")
        registry.change("2")
        follower.poll()
        shutil.rmtree(registry.writer.folder)
        (registry.writer.folder.parent / "backup").rename(registry.writer.folder)

        report = follower.poll()

        assert report.healed is not None and report.healed.code == "RES-133"
        assert (report.serial, len(list(index.items()))) == (1, 1)

    @pytest.mark.parametrize("damage", ["missing", "flipped", "cut", "other"])
    def test_poll_with_a_damaged_delta_keeps_serving_and_heals_with_the_next_snapshot(
        self, registry: Registry, index: Index, damage: str
    ) -> None:
        now = [0.0]
        follower = Follower(registry.writer.folder, index, monotonic=lambda: now[0])
        registry.change("1")
        follower.poll()
        before = registry.digest
        registry.change("2")
        file = registry.file_of(-1)
        octets = bytearray(file.read_bytes())
        if damage == "missing":
            file.unlink()
        elif damage == "flipped":
            octets[-20] ^= 4
            file.write_bytes(octets)
        elif damage == "cut":
            file.write_bytes(octets[:-5])
        else:
            file.write_bytes(registry.file_of(0).read_bytes())
        registry.change("3")

        report = follower.poll()
        served_meanwhile = index.digest()
        registry.snapshot()
        healed = follower.poll()

        assert report.problem is not None and report.serial == 1 and served_meanwhile == before
        assert healed.healed is not None and healed.problem is None
        assert (healed.how, healed.serial, index.digest()) == ("snapshot", 3, registry.digest)
        assert (follower.tally["healed"], follower.tally["problems"]) == (1, 1)

    def test_poll_with_a_damaged_snapshot_keeps_serving_and_pauses_between_attempts(
        self, registry: Registry, index: Index
    ) -> None:
        now = [0.0]
        follower = Follower(registry.writer.folder, index, monotonic=lambda: now[0])
        registry.change("1")
        follower.poll()
        registry.restart()
        manifest = registry.writer.manifest()
        assert manifest is not None
        file = registry.writer.folder / manifest.snapshot.file
        good = file.read_bytes()
        file.write_bytes(good[:-1])

        first = follower.poll()
        at_once = follower.poll()
        file.write_bytes(good)
        still_pausing = follower.poll()
        now[0] = 1.1
        later = follower.poll()

        assert first.problem is not None and first.serial == 1
        assert [report.how for report in (at_once, still_pausing, later)] == ["waiting", "waiting", "snapshot"]
        assert index.digest() == registry.digest

    def test_poll_with_an_unreadable_manifest_says_so_and_recovers(
        self, registry: Registry, follower: Follower, index: Index
    ) -> None:
        registry.change("1")
        follower.poll()
        place = registry.writer.folder / "manifest.json"
        good = place.read_bytes()
        place.write_bytes(good[:-10])

        broken = follower.poll()
        place.write_bytes(good)
        again = follower.poll()

        assert broken.problem is not None and broken.problem.code == "RES-131"
        assert (again.how, again.problem, again.serial) == ("unchanged", None, 1)

    def test_poll_whose_delta_outgrows_the_map_grows_it(self, tmp_path: Path, registry: Registry) -> None:
        with Index.open(tmp_path / "small", map_octets=128 << 10) as index:
            follower = Follower(registry.writer.folder, index)
            follower.poll()
            registry.change(*(f"{'x' * 300}{number}" for number in range(2_000)))

            report = follower.poll()

            assert (report.how, report.problem) == ("deltas", None)
            assert index.digest() == registry.digest


class TestHttp:
    def test_poll_over_http_equals_the_writer_and_asks_conditionally(self, registry: Registry, index: Index) -> None:
        registry.change("1", "2")
        with served(registry.writer.folder) as (url, asked):
            follower = Follower(url, index)
            follower.poll()
            registry.change("3")
            report = follower.poll()
            del asked[:]
            unchanged = follower.poll()
            follower.close()

        assert (report.how, report.problem, unchanged.how) == ("deltas", None, "unchanged")
        assert asked == [("manifest.json", 304)]
        assert index.digest() == registry.digest
        assert list((index.folder / "incoming").iterdir()) == []

    def test_poll_over_http_with_a_file_missing_or_changed_heals_from_the_snapshot(
        self, registry: Registry, index: Index
    ) -> None:
        with served(registry.writer.folder) as (url, _):
            follower = Follower(url, index)
            follower.poll()
            registry.change("1")
            registry.change("2")
            file = registry.file_of(0)
            file.write_bytes(file.read_bytes() + b"longer than the manifest says")
            registry.snapshot()
            changed = follower.poll()
            registry.change("3")
            registry.file_of(-1).unlink()
            registry.snapshot()
            missing = follower.poll()
            follower.close()

        assert changed.healed is not None and changed.healed.code == "RES-134"
        assert missing.healed is not None and missing.healed.code == "RES-135"
        assert index.digest() == registry.digest

    def test_poll_of_a_source_that_is_away_keeps_serving(self, registry: Registry, index: Index) -> None:
        registry.change("1")
        with served(registry.writer.folder) as (url, _):
            follower = Follower(url, index)
            follower.poll()
        report = follower.poll()
        follower.close()

        assert report.problem is not None and report.problem.code == "RES-135"
        assert (report.serial, index.digest()) == (1, registry.digest)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.lists(st.integers(0, 8).map(str), min_size=1, max_size=3)),
        st.tuples(st.just("remove"), st.lists(st.integers(0, 8).map(str), min_size=1, max_size=3)),
        st.tuples(st.sampled_from(["poll", "snapshot", "restart", "damage", "lose", "reopen", "wipe"]), st.just([])),
    ),
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(steps, st.integers(0, 1000))
def test_follower_after_any_gaps_damage_and_restarts_equals_the_writer(
    make_item: MakeItem, plan: list[tuple[str, list[str]]], seed: int
) -> None:
    chance = random.Random(seed)
    now = [0.0]
    with tempfile.TemporaryDirectory() as folder:
        registry = Registry(Path(folder) / "publication", make_item)
        place = Path(folder) / "index"
        index = Index.open(place)
        follower = Follower(registry.writer.folder, index, monotonic=lambda: now[0])
        for verb, names in plan:
            now[0] += 100
            if verb in ("put", "remove"):
                registry.change(*dict.fromkeys(names), remove=verb == "remove")
            elif verb == "poll":
                before = index.state
                report = follower.poll()
                assert report.session != before.session or report.serial >= before.serial
            elif verb == "snapshot":
                registry.snapshot()
            elif verb == "restart":
                registry.restart()
            elif verb in ("damage", "lose"):
                files = sorted(registry.writer.folder.glob("*.bjp"))
                if not files:
                    continue  # every one is lost already
                file = chance.choice(files)
                octets = bytearray(file.read_bytes())
                octets[chance.randrange(len(octets))] ^= 1 << chance.randrange(8)
                file.unlink()
                if verb == "damage":
                    file.write_bytes(octets)
            else:
                index.close()
                if verb == "wipe":
                    shutil.rmtree(place)
                index = Index.open(place)
                follower = Follower(registry.writer.folder, index, monotonic=lambda: now[0])
        registry.change("last")
        registry.snapshot()
        now[0] += 100

        report = follower.poll()

        assert report.problem is None
        assert (report.serial, index.digest()) == (registry.serial, registry.digest)
        index.close()
