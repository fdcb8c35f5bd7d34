"""docs/failure-scenarios.md, with SIGKILL: of every process of every node at any moment under load, and of the supervisor.

Nothing acknowledged is lost, the resolver answers again soon (measured and printed; the aim is 5 s), the index equals the
registry. Times are asserted only far beyond the aim, because test machines are shared.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from chain_load import Asking, Registering
from running_chain import Chain, children_of, processes_of, pss_by_process, wait_for_none, wait_until

from biaojie.client.blocking import BlockingClient

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

AIM_S, TOO_LONG_S = 5.0, 60.0
SEED, ROUNDS = 20261, 3
BOUNDED_S, BOUNDED_KILLS = 30.0, 6
"""The bounded part kills for so long, and at least so often."""
PUBLIC = {"top": "0.NA/88.100", "second": "0.NA/88.100.1"}
"""What a node above the enterprise always answers."""


@dataclass(frozen=True, slots=True)
class Victim:
    """A process to be killed; `part` says which of it, where a process is several."""

    name: str
    part: str = "main"

    def pids(self, chain: Chain) -> list[int]:
        """The live process ids it may be found at."""
        main = chain.status()[self.name]
        if main is None or self.part == "main":
            return [main] if main is not None else []
        below = children_of(main)
        if self.part == "backend":
            return [pid for pid in below if b"biaojie_" in _command(pid)]
        return below


def victims() -> list[Victim]:
    rows = [Victim("database/postgres"), Victim("database/postgres", "backend"), Victim("recursive/recursor")]
    for node in ("top", "second", "enterprise"):
        rows += [Victim(f"{node}/web"), Victim(f"{node}/web", "child"), Victim(f"{node}/worker"), Victim(f"{node}/resolver")]
    return rows


@pytest.fixture(scope="module")
def asking(chain: Chain) -> Iterator[Asking]:
    with BlockingClient() as client:
        yield Asking(chain, client)


@pytest.fixture
def unbounded(bounded: bool) -> None:
    """What the bounded part leaves out."""
    if bounded:
        pytest.skip("not in the bounded part")


@pytest.fixture(autouse=True)
def _healthy_before_and_after(request: pytest.FixtureRequest) -> Iterator[None]:
    if "unbounded" in request.fixturenames:
        request.getfixturevalue("unbounded")
    chain: Chain = request.getfixturevalue("chain")
    if chain.process is None or chain.process.poll() is not None:
        chain.up()  # a test before this one failed halfway
    wait_healthy(chain)
    yield
    wait_healthy(chain)


def test_kill_of_any_process_under_load_loses_nothing(
    chain: Chain, asking: Asking, bounded: bool, tell: Callable[[str], None]
) -> None:
    chance = random.Random(SEED)
    plan = [victim for _ in range(1 if bounded else ROUNDS) for victim in chance.sample(victims(), len(victims()))]
    known = chain.api("enterprise", "operator").register(f"88.100.1/known-{time.time_ns()}")["identifier"]
    chain.wait_found(known, node="enterprise")
    slow, begun = [], time.monotonic()

    with Registering(chain, f"kill-{time.time_ns()}") as work:
        for number, victim in enumerate(plan):
            if bounded and number >= BOUNDED_KILLS and time.monotonic() - begun > BOUNDED_S:
                plan = plan[:number]
                break
            time.sleep(chance.random())
            pids = victim.pids(chain)
            if not pids:
                assert wait_until(lambda: victim.pids(chain), TOO_LONG_S, pause_s=0.2) is not None, victim  # noqa: B023
                pids = victim.pids(chain)
            acknowledged = len(work.held)
            killed = time.monotonic()
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(pids), signal.SIGKILL)
            node = victim.name.partition("/")[0]
            asked = node if node in PUBLIC else "enterprise"
            resolves = wait_until(lambda: asking.answers(PUBLIC.get(asked, known), asked), TOO_LONG_S)  # noqa: B023
            recursive = wait_until(lambda: asking.answers(known, "recursive"), TOO_LONG_S)
            registers = wait_until(lambda: len(work.held) > acknowledged + 1, TOO_LONG_S)  # noqa: B023
            registers_s = time.monotonic() - killed
            newest = next(reversed(list(work.held)))
            publishes = wait_until(lambda: newest not in work.held or asking.answers(newest, "enterprise"), TOO_LONG_S)  # noqa: B023
            published_s = time.monotonic() - killed
            assert None not in (resolves, recursive, registers, publishes), f"{victim}\n{chain.logs()}"
            assert resolves is not None and recursive is not None
            tell(
                f"{victim.name:<20} {victim.part:<8} killed: {asked} answers after {resolves:5.2f} s, "
                f"recursive after {resolves + recursive:5.2f} s, registers after {registers_s:5.2f} s, publishes after {published_s:5.2f} s"
            )
            if resolves > AIM_S:
                slow.append((victim, round(resolves, 1)))
    wait_healthy(chain)
    wrong = asking.wrong(work)

    chain.doctor()
    count = len(work.held) + len(work.deleted)
    tell(f"{len(plan)} kills, {count} changes acknowledged, {work.refused} refused; beyond {AIM_S:g} s: {slow or 'none'}")
    assert wrong == {}
    assert count > len(plan)


def test_kill_of_the_supervisor_ends_everything_and_the_next_up_recovers(
    chain: Chain, asking: Asking, bounded: bool, tell: Callable[[str], None]
) -> None:
    base = (chain.directory / "ports.json").read_text()
    for _ in range(1 if bounded else 3):
        known = chain.api("enterprise", "operator").register(f"88.100.1/before-{time.time_ns()}")["identifier"]
        with Registering(chain, f"supervisor-{time.time_ns()}") as work:
            assert wait_until(lambda: len(work.held) > 20, 60) is not None
            process = chain.process
            assert process is not None
            killed = time.monotonic()
            process.kill()
            left = wait_for_none(chain.directory, 30)
            ended_s = time.monotonic() - killed
        assert left == [], f"after {ended_s:.1f} s there is still {left}"
        chain.wait_ended()

        chain.launch()
        begun = time.monotonic()
        answers = wait_until(lambda: asking.answers(known, "enterprise"), 240)  # noqa: B023
        chain.wait_ready()
        wrong = asking.wrong(work)

        chain.doctor()
        tell(
            f"supervisor killed: all ended after {ended_s:.2f} s; next `up`: enterprise answers after {answers:.1f} s, "
            f"ready after {chain.started_s:.1f} s; {len(work.held)} acknowledged, from launch {time.monotonic() - begun:.1f} s"
        )
        assert answers is not None
        assert wrong == {}
        assert (chain.directory / "ports.json").read_text() == base


def test_stop_of_a_process_keeps_it_down_until_start(chain: Chain, asking: Asking, tell: Callable[[str], None]) -> None:
    before = chain.status()

    stopped = chain.command("stop", "enterprise", "resolver")
    time.sleep(4)
    down = chain.status()
    answered_while_down = asking.answers("88.100.1/anything", "enterprise")
    started = chain.command("start", "enterprise", "resolver")
    up = chain.status()

    assert (stopped.returncode, started.returncode) == (0, 0)
    assert down["enterprise/resolver"] is None and not answered_while_down
    assert {name: pid for name, pid in down.items() if name != "enterprise/resolver"} == {
        name: pid for name, pid in before.items() if name != "enterprise/resolver"
    }
    assert up["enterprise/resolver"] not in (None, before["enterprise/resolver"])


@pytest.mark.usefixtures("unbounded")
def test_stop_of_a_node_keeps_all_of_it_down_until_start(chain: Chain) -> None:
    assert chain.command("stop", "second").returncode == 0
    time.sleep(3)
    down = chain.status()
    again = chain.command("stop", "second")
    assert chain.command("start", "second").returncode == 0

    assert {name for name, pid in down.items() if pid is None} == {"second/web", "second/worker", "second/resolver"}
    assert again.returncode == 0
    wait_healthy(chain)


@pytest.mark.usefixtures("unbounded")
def test_chain_that_is_told_to_end_ends_at_once_and_starts_again(chain: Chain, tell: Callable[[str], None]) -> None:
    begun = time.monotonic()
    chain.down()  # asserts that nothing is left
    took_s = time.monotonic() - begun

    done = chain.command("down")
    chain.up()

    tell(f"`down` took {took_s:.1f} s, the next `up` {chain.started_s:.1f} s to `ready`")
    assert done.returncode == 1 and done.stderr.startswith("[PROC-103]")


@pytest.mark.usefixtures("unbounded")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_to_the_supervisor_ends_everything_in_order(chain: Chain, number: signal.Signals) -> None:
    process = chain.process
    assert process is not None

    process.send_signal(number)
    status = chain.wait_ended()
    left = wait_for_none(chain.directory, 10)
    chain.up()

    assert status == 0
    assert left == []


@pytest.mark.usefixtures("unbounded")
def test_index_folder_that_is_lost_is_built_again(chain: Chain, asking: Asking) -> None:
    known = chain.api("enterprise", "operator").register(f"88.100.1/lost-index-{time.time_ns()}")["identifier"]
    chain.wait_found(known, node="enterprise")
    assert chain.command("stop", "enterprise", "resolver").returncode == 0

    _remove(chain.directory / "enterprise" / "index")
    assert chain.command("start", "enterprise", "resolver").returncode == 0

    assert wait_until(lambda: asking.answers(known, "enterprise"), 120) is not None
    chain.doctor()


@pytest.mark.usefixtures("unbounded")
def test_publication_folder_that_is_lost_is_written_again(chain: Chain, asking: Asking) -> None:
    known = chain.api("enterprise", "operator").register(f"88.100.1/lost-publication-{time.time_ns()}")["identifier"]
    chain.wait_found(known, node="enterprise")
    assert chain.command("stop", "enterprise").returncode == 0

    _remove(chain.directory / "enterprise" / "publication")
    assert chain.command("start", "enterprise").returncode == 0
    wait_healthy(chain)
    later = chain.api("enterprise", "operator").register(f"88.100.1/after-lost-publication-{time.time_ns()}")["identifier"]

    assert wait_until(lambda: asking.answers(known, "enterprise") and asking.answers(later, "enterprise"), 120) is not None
    chain.doctor()


@pytest.mark.usefixtures("unbounded")
def test_memory_a_minute_after_ready_is_told(chain: Chain, tell: Callable[[str], None]) -> None:
    time.sleep(60)
    sizes = pss_by_process(chain.directory)

    tell(f"PSS of {len(sizes)} processes: {sum(sizes.values()) / 2**20:.0f} MB")
    for name, size in sorted(sizes.items(), key=lambda item: -item[1])[:14]:
        tell(f"  {size / 2**20:6.1f} MB  {name}")
    assert len(sizes) >= 11


@pytest.mark.usefixtures("unbounded")
def test_blocks_of_ports_that_are_taken_are_passed_over(chain: Chain, tmp_path: Path) -> None:
    """The chain under test lies in a block; another, which names none, goes on by a hundred from the first to a free one."""
    other = Chain(tmp_path / "other", options=("--no-demo",))
    with other:
        bases = [_base(chain), _base(other)]

    assert bases[0] != bases[1]
    assert all((base - 18000) % 100 == 0 for base in bases)


def wait_healthy(chain: Chain) -> None:
    """Wait until every process runs and every node says that it is well."""
    urls = {f"{row[key]}/healthz" for row in chain.nodes.values() for key in ("http", "handle_http")}

    def is_healthy() -> bool:
        try:
            answered = all(httpx2.get(url, timeout=5.0, trust_env=False).status_code == 200 for url in urls)
        except httpx2.HTTPError:
            return False
        return answered and None not in chain.status().values() and _workers_ready(chain)

    assert wait_until(is_healthy, 120, pause_s=0.3) is not None, (
        f"{chain.status()}\n{processes_of(chain.directory)}\n{chain.logs()}"
    )


def _workers_ready(chain: Chain) -> bool:
    return all((chain.directory / node / "worker.ready").exists() for node in ("top", "second", "enterprise"))


def _base(chain: Chain) -> int:
    return int((chain.directory / "ports.json").read_text().split(":")[1].strip(" }\n"))


def _command(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _remove(folder: Path) -> None:
    """The folder goes away as a whole, as when somebody removes it."""
    shutil.rmtree(folder)
