"""The threads of a worker process: one for each lane's queue and one for each loop attached to a lane.

A lane that fails starts again after a pause; it never takes another lane, or the process, with it. Each queue runs one job
at a time on one thread with one Django connection, beside a connection of its own for fetching and LISTEN.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from django.db import close_old_connections
from procrastinate.contrib.django import DjangoApp, app
from procrastinate.contrib.django.utils import connector_params
from procrastinate.psycopg_connector import PsycopgConnector

from biaojie.base.roles import NODE_ROLES
from biaojie.foundation.jobs import planner
from biaojie.foundation.jobs.errors import UnknownLane
from biaojie.foundation.jobs.lane_rows import LANES
from biaojie.foundation.jobs.sweep import sweep_stalled

log = logging.getLogger(__name__)

SWEEP_EVERY_S = 30.0
GRACE_S = 20.0
_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 5.0)

ALL_ROLES = frozenset(code for code, row in NODE_ROLES.items() if row.has_database) | {"escrow"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """Something that runs all the time in a lane, such as the publisher: `run(stop)` returns soon after `stop` is set."""

    lane: str
    name: str
    run: Callable[[threading.Event], None]
    roles: frozenset[str] = ALL_ROLES


LOOPS: dict[str, Loop] = {}


def attach(loop: Loop) -> None:
    """Adds a loop; chapters do so in `AppConfig.ready()`. Raises UnknownLane, ValueError for a name taken by another."""
    if loop.lane not in LANES:
        raise UnknownLane(lane=loop.lane)
    if LOOPS.setdefault(loop.name, loop) != loop:
        raise ValueError(f"loop {loop.name} is attached twice")


class Lanes:
    """All lanes of one worker process of `role`: `start()`, then `join()` once `stop` is set."""

    def __init__(self, role: str, stop: threading.Event) -> None:
        self.role = role
        self.stop = stop
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Starts every thread; returns at once."""
        work: dict[str, Callable[[], None]] = {
            f"lane-{lane.name}": lambda lane=lane.name: asyncio.run(_work(lane, self.stop))  # type: ignore[misc]  # a default binds the row
            for lane in LANES.values()
            if lane.has_queue
        }
        work["lane-planner"] = lambda: planner.run(self.role, self.stop)
        for loop in LOOPS.values():
            if self.role in loop.roles:
                work[f"lane-{loop.lane}-{loop.name}"] = lambda loop=loop: loop.run(self.stop)  # type: ignore[misc]  # as above
        self._threads = [threading.Thread(target=self._keep, args=(name, run), name=name) for name, run in work.items()]
        for thread in self._threads:
            thread.start()

    def join(self, timeout_s: float = GRACE_S + 5) -> list[str]:
        """Waits for all; gives the names of those still busy."""
        for thread in self._threads:
            thread.join(timeout_s)
        return [thread.name for thread in self._threads if thread.is_alive()]

    def _keep(self, name: str, run: Callable[[], None]) -> None:
        failures = 0
        while not self.stop.is_set():
            try:
                run()
                failures = 0
            except Exception:
                log.exception("%s failed and starts again", name)
                failures += 1
            finally:
                close_old_connections()
            self.stop.wait(_PAUSES_S[min(failures, len(_PAUSES_S) - 1)])


def run(role: str, stop_event: threading.Event) -> None:
    """What a worker process does until `stop_event` is set: all lanes, and here the sweep for jobs of dead workers.

    Running jobs get `GRACE_S` to end; what does not end is found by the next worker's sweep.
    """
    lanes = Lanes(role, stop_event)
    lanes.start()
    while not stop_event.is_set():
        try:
            sweep_stalled()
        except Exception:
            # Whatever it is (procrastinate words a lost database its own way): without this thread nobody would sweep,
            # and the lanes would go on without an end.
            log.exception("sweep failed")
        finally:
            close_old_connections()
        stop_event.wait(SWEEP_EVERY_S)
    busy = lanes.join()
    if busy:
        log.warning("still busy at the end: %s", ", ".join(busy))


async def _work(lane: str, stop: threading.Event) -> None:
    """Takes the jobs of one queue until `stop`."""
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"lane-{lane}-job")
    asyncio.get_running_loop().set_default_executor(executor)
    # procrastinate's own app of this lane: the same tasks, other connections.
    own = DjangoApp(connector=PsycopgConnector(kwargs=connector_params(), min_size=1, max_size=3))
    own.tasks.update(app.tasks)
    async with own.open_async():
        worker = asyncio.create_task(
            own.run_worker_async(
                queues=[lane],
                name=f"lane-{lane}",
                concurrency=1,
                install_signal_handlers=False,
                shutdown_graceful_timeout=GRACE_S,
            )
        )
        while not stop.is_set() and not worker.done():
            await asyncio.sleep(0.1)
        if not worker.done():
            worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await worker
    # The job thread's Django connection goes with the thread.
    executor.submit(close_old_connections).result(5)
    executor.shutdown(wait=False)
