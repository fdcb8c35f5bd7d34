"""An index of a million identifiers (ten million with `--large`): building it from a snapshot, and looking up in it.

Look-ups take turns with an index of 100,000 in one process tied to a core, so that a bad minute hurts both alike. Building and
looking up run in processes of their own, so that their memory is theirs.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from sample import FLAGS, OWNER, PREFIX, REPLY_OCTETS, entries, handle, values_of
from section import HERE, Section, can_compile, compiled, machine, median, pinned, work_folder

from biaojie.base import clock
from biaojie.handle.bodies import ResolutionRequest
from biaojie.handle.messages import encode_message, make_request
from biaojie.handle.values import decode_values
from biaojie.resolution.authority import Authority
from biaojie.resolution.entries import Entry, handle_entry
from biaojie.resolution.fastpath import FastPath
from biaojie.resolution.follower import Follower
from biaojie.resolution.index import Index
from biaojie.resolution.publication import PublicationWriter
from processes import free_port, load, saying_ready

SMALL = 100_000
USUAL = int(os.environ.get("BENCH_INDEX_KEYS", "1000000"))
LARGE = 10_000_000
LARGE_FREE_OCTETS = 15 * 10**9
ROUNDS = max(5, int(os.environ.get("BENCH_ROUNDS", "7")))
SECONDS = float(os.environ.get("BENCH_SECONDS", "1.2"))
LOOK_UPS = 100_000
COLD_LOOK_UPS = 2_000
STRIDE = 7_654_321
"""Prime to every power of ten."""
BAR = 0.4


def run() -> list[Section]:
    """A section for each size; the large one only when asked for, with room on disk, and never in CI."""
    sizes = [USUAL]
    with work_folder() as name:
        folder = Path(name)
        if os.environ.get("BENCH_LARGE") == "1":
            _refuse_without_room(folder)
            sizes.append(LARGE)
        small = folder / "small"
        built = _build(small, SMALL)
        sections = []
        for size in sizes:
            large = folder / f"of-{size}"
            sections.append(_section(size, built, _build(large, size), _look_up(small, large, size), _serve(small, large, size)))
            shutil.rmtree(large)
    return sections


def _refuse_without_room(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if os.environ.get("CI"):
        raise SystemExit("the large index is not for CI")
    if free < LARGE_FREE_OCTETS:
        raise SystemExit(
            f"the large index needs {LARGE_FREE_OCTETS // 10**9} GB of free disk in {folder}; there are {free / 1e9:.1f}"
        )


def _section(
    size: int, small: dict[str, Any], large: dict[str, Any], looked: dict[str, list[list[float]]], served: list[list[float]]
) -> Section:
    ratios = {what: median(b / a for a, b in pairs) for what, pairs in looked.items()}

    def rates(pairs: Sequence[Sequence[float]]) -> list[str]:
        a, b = (median(pair[side] for pair in pairs) for side in (0, 1))
        return [f"{a:,.0f}", f"{b:,.0f}", f"{median(pair[1] / pair[0] for pair in pairs):.2f}"]

    def built(title: str, phase: str) -> list[str]:
        a, b = SMALL / small[phase]["seconds"], size / large[phase]["seconds"]
        return [title, f"{a:,.0f}", f"{b:,.0f}", f"{b / a:.2f}"]

    def peak(title: str, phase: str, key: str) -> list[str]:
        a, b = small[phase][key], large[phase][key]
        return [title, f"{a / 1e6:,.0f}", f"{b / 1e6:,.0f}", f"{b / a:.2f}"]

    rows = [
        ["**random look-ups/s, warm** (`Reader.get_raw`)", *rates(looked["get_raw"])],
        ["answers/s, warm (`FastPath.answer`: request octets in, reply octets out)", *rates(looked["answer"])],
        *([["UDP requests/s, one core, each reply made from the index, counters on", *rates(served)]] if served else []),
        ["random look-ups/s, nothing in the page cache", *rates(looked["cold"])],
        built("snapshot written, entries/s, making up the sample included", "publish"),
        built("index built from the snapshot in key order, entries/s", "follow"),
        built("index built from a snapshot in no order, entries/s", "mixed"),
        peak("snapshot, MB", "publish", "octets"),
        peak("index, MB", "follow", "octets"),
        peak("peak memory of writing the snapshot, MB", "publish", "anonymous"),
        peak("peak memory of building the index, MB", "follow", "anonymous"),
        peak("the same, snapshot in no order, MB", "mixed", "anonymous"),
        peak("the same with the pages of mapped files, MB", "mixed", "resident"),
    ]
    bars = [("random look-ups against the index of 100,000, warm", ratios["get_raw"], f"≥ {BAR}", ratios["get_raw"] >= BAR)]
    return Section(
        title=f"Index of {size:,} identifiers",
        header=("what", f"{SMALL:,}", f"{size:,}", "ratio"),
        rows=rows,
        # The bar is set for ten million; what holds there is only information on the way up.
        bars=bars if size >= LARGE else [],
        remarks=[
            f"Snapshot written in {large['publish']['seconds']:.1f} s, of which {large['publish']['sample_s']:.1f} s go into "
            f"making it up; followed and built in {large['follow']['seconds']:.1f} s, of which {large['follow']['cpu_s']:.1f} s "
            f"are processor time; in no order {large['mixed']['seconds']:.1f} s and {large['mixed']['cpu_s']:.1f} s.",
            f"{large['follow']['octets'] / size:.0f} octets of index for an identifier whose reply has {REPLY_OCTETS}.",
            f"{LOOK_UPS:,} look-ups of random identifiers a round, median of {ROUNDS} interleaved rounds, one thread on one core "
            "by its processor time; warm = every record has been read once by the process; nothing in the page cache = "
            f"{COLD_LOOK_UPS:,} look-ups right after the file's pages were dropped.",
            machine(),
        ],
    )


def _build(folder: Path, count: int) -> dict[str, Any]:
    # The last one stays, to be looked up in.
    return {phase: _child([phase, str(folder), str(count)]) for phase in ("mixed", "publish", "follow")}


def _look_up(small: Path, large: Path, count: int) -> dict[str, list[list[float]]]:
    found: dict[str, list[list[float]]] = _child(["look-up", str(small), str(large), str(count)])
    return found


def _child(arguments: list[str]) -> Any:
    done = subprocess.run(pinned(0, [sys.executable, __file__, *arguments]), check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def _serve(small: Path, large: Path, count: int) -> list[list[float]]:
    """Requests/s of the UDP loop over both indexes in turn, without kept replies; nothing where there is no compiler."""
    if not can_compile():
        return []
    rounds = []
    with contextlib.ExitStack() as started:
        generator = compiled("udp_load", small)
        served = []
        for folder, keys in ((small, SMALL), (large, count)):
            port = free_port()
            started.enter_context(
                saying_ready(pinned(0, [sys.executable, str(HERE / "udp_server.py"), str(folder), str(port), "--keep", "0"]))
            )
            served.append([str(port), str(SECONDS), "256", PREFIX, str(keys), f"{FLAGS:x}", str(REPLY_OCTETS), "1"])
        for number in range(ROUNDS + 2):
            pair = [load([str(generator), *shape])["qps"] for shape in served]
            # The first rounds map the file's pages into the server.
            if number >= 2:
                rounds.append(pair)
    return rounds


# What follows runs in the children.


def _entries(count: int, stride: int = 1) -> Iterator[Entry]:
    """The sample's entries, made faster, with padding of random digits; a `stride` prime to `count` mixes their order."""
    head = entries(1)
    yield next(head)
    yield next(head)
    number, model = b"0" * 7, values_of(0)
    padding = len(decode_values(model)[2].data)
    padding_at = model.rindex(b"x" * padding)
    front, back = model[:padding_at], model[padding_at + padding :]
    assert front.count(number) == 2
    for digits in (b"%07d" % (number * stride % count) for number in range(count)):
        text = blake2b(digits).hexdigest().encode()[:padding].ljust(padding, b"x")
        key = b"\x01" + PREFIX.upper().encode() + digits
        yield handle_entry(key, 1, owner=OWNER, values=front.replace(number, digits) + text + back)


def _publish(folder: Path, count: int) -> dict[str, float]:
    part = min(count, SMALL)
    began_s = time.perf_counter()
    for _ in _entries(part):
        pass
    sample_s = (time.perf_counter() - began_s) * count / part
    with _peaks() as peaks:
        began_s = time.perf_counter()
        PublicationWriter(folder / "publication", node="bench").start(_entries(count), 1)
        seconds = time.perf_counter() - began_s
    return {"seconds": seconds, "sample_s": sample_s, "octets": _octets(folder / "publication"), **peaks}


def _mixed(folder: Path, count: int) -> dict[str, float]:
    apart = folder / "mixed"
    PublicationWriter(apart / "publication", node="bench").start(_entries(count, STRIDE), 1)
    result = _follow(apart, count)
    shutil.rmtree(apart)
    return result


def _follow(folder: Path, count: int) -> dict[str, float]:
    index = Index.open(folder / "index")
    with _peaks() as peaks:
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        follower = Follower(folder / "publication", index)
        report = follower.poll()
        seconds, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    assert report.serial == 1 and report.problem is None and report.entries == count + 2, report
    follower.close()
    index.close()
    shutil.rmtree(folder / "publication")
    return {"seconds": seconds, "cpu_s": cpu_s, "octets": _octets(folder / "index"), **peaks}


def _compare(small: Path, large: Path, count: int) -> dict[str, list[list[float]]]:
    found: dict[str, list[list[float]]] = {"get_raw": [], "answer": [], "cold": []}
    shapes = ((small, SMALL), (large, count))
    for _ in range(3):
        found["cold"].append([_cold(folder, size) for folder, size in shapes])
    gc.disable()
    with contextlib.ExitStack() as held:
        sides = [held.enter_context(_Side(folder, size)) for folder, size in shapes]
        for number in range(ROUNDS + 1):
            turn = [(side.look_ups(), side.answers()) for side in sides]
            if number:
                found["get_raw"].append([row[0] for row in turn])
                found["answer"].append([row[1] for row in turn])
    return found


class _Side:
    """One index, warm: every record read once through this process's map."""

    def __init__(self, folder: Path, size: int) -> None:
        self._size = size
        self._index = Index.open(folder / "index")
        _read_through(folder / "index")
        self._authority = Authority(self._index)
        self._path = FastPath(self._authority)
        reader = self._authority.reader
        reader.renew()
        with reader.txn.cursor(reader.environment.handles) as cursor:
            assert sum(1 for _ in cursor) == size
        reader.release()

    def __enter__(self) -> _Side:
        return self

    def __exit__(self, *_: object) -> None:
        self._authority.close()
        self._index.close()

    def look_ups(self) -> float:
        """Look-ups a second, of random identifiers that are there."""
        self._authority.renew()
        keys = [b"\x01" + name.upper().encode() for name in _names(self._size, LOOK_UPS)]
        rate = _rate(self._authority.reader.get_raw, keys)
        self._authority.release()
        return rate

    def answers(self) -> float:
        """Answers a second, to random requests."""
        self._authority.renew()
        answer = self._path.bind(clock.time_s())
        model = encode_message(make_request(ResolutionRequest(handle(0)), request_id=1, op_flags=FLAGS))
        at = model.index(PREFIX.encode())
        requests = [model[:at] + name.encode() + model[at + len(name) :] for name in _names(self._size, LOOK_UPS)]
        reply = answer(requests[0])
        assert reply is not None and len(reply[0]) == REPLY_OCTETS and reply[1] == OWNER, reply
        rate = _rate(answer, requests)
        self._authority.release()
        return rate


def _cold(folder: Path, size: int) -> float:
    for path in (folder / "index").rglob("data.mdb"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    keys = [b"\x01" + name.upper().encode() for name in _names(size, COLD_LOOK_UPS)]
    with Index.open(folder / "index") as index, index.reader() as reader:
        # Waiting for the disk is not processor time.
        return _rate(reader.get_raw, keys, time.perf_counter)


def _rate(ask: Callable[[bytes], object], questions: Sequence[bytes], clock_s: Callable[[], float] = time.thread_time) -> float:
    missing = 0
    began_s = clock_s()
    for question in questions:
        if ask(question) is None:
            missing += 1
    took_s = clock_s() - began_s
    assert not missing, missing
    return len(questions) / took_s


def _names(size: int, count: int) -> list[str]:
    return [handle(number) for number in random.choices(range(size), k=count)]


def _read_through(folder: Path) -> None:
    for path in folder.rglob("data.mdb"):
        with path.open("rb", buffering=0) as file:
            while file.read(4 << 20):
                pass


def _octets(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


@contextlib.contextmanager
def _peaks() -> Iterator[dict[str, float]]:
    """Fills in, at the end, the highest anonymous and resident memory of this process meanwhile, in octets."""
    peaks = {"anonymous": 0.0, "resident": 0.0}
    ended = threading.Event()

    def watch() -> None:
        while True:
            rows = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
            peaks["anonymous"] = max(peaks["anonymous"], int(rows["RssAnon"].split()[0]) * 1024)
            peaks["resident"] = max(peaks["resident"], int(rows["VmRSS"].split()[0]) * 1024)
            if ended.wait(0.02):
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peaks
    finally:
        ended.set()
        watcher.join()


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("action", choices=("publish", "mixed", "follow", "look-up"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("rest", nargs="+")
    options = parser.parse_args()
    if options.action == "look-up":
        result: object = _compare(options.folder, Path(options.rest[0]), int(options.rest[1]))
    else:
        result = {"publish": _publish, "mixed": _mixed, "follow": _follow}[options.action](options.folder, int(options.rest[0]))
    print(json.dumps(result))


if __name__ == "__main__":
    _main()
