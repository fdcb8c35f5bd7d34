"""Asking for work, planning it, doing it in lanes, and finding what a dead worker left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.db import connection, transaction
from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateJob
from procrastinate.exceptions import ConnectorException

from biaojie.foundation.jobs import lanes, planner, schedule
from biaojie.foundation.jobs.errors import UnknownLane, UnknownTask
from biaojie.foundation.jobs.models import ScheduleState
from biaojie.foundation.jobs.queue import enqueue, task
from biaojie.foundation.jobs.schedule import SCHEDULE, ScheduleRow
from biaojie.foundation.jobs.sweep import sweep_stalled

pytestmark = pytest.mark.django_db(transaction=True)

DONE: list[object] = []
HOLD = threading.Event()


@pytest.fixture(autouse=True)
def _tasks() -> Iterator[None]:
    known = set(app.tasks)

    @task("test.note")
    def note(what: str = "", due_at: str = "") -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        DONE.append((what or due_at, threading.current_thread().name.rsplit("_", 1)[0]))

    @task("test.cut", attempts=1)
    def cut() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    @task("test.hold", lane="bulk", attempts=1)
    def hold() -> None:
        HOLD.wait(20)

    DONE.clear()
    HOLD.clear()
    yield
    HOLD.set()
    for name in set(app.tasks) - known:
        del app.tasks[name]


@pytest.fixture
def running() -> Iterator[lanes.Lanes]:
    stop = threading.Event()
    found = lanes.Lanes("second", stop)
    found.start()
    yield found
    HOLD.set()
    stop.set()
    assert found.join() == []


def until(condition: Callable[[], bool], limit_s: float = 10) -> bool:
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_enqueue_in_a_transaction_that_fails_asks_for_nothing() -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        enqueue("test.note", what="a")
        raise ZeroDivisionError

    assert ProcrastinateJob.objects.count() == 0


def test_enqueue_once_second_waiting_job_not_made_and_transaction_goes_on() -> None:
    with transaction.atomic():
        first = enqueue("test.note", once="k", what="a")
        second = enqueue("test.note", once="k", what="b")
        enqueue("test.note", what="c")

    assert first is not None
    assert second is None
    assert [job.args["what"] for job in ProcrastinateJob.objects.order_by("id")] == ["a", "c"]


def test_enqueue_unknown_task_or_lane_refused() -> None:
    with pytest.raises(UnknownTask):
        enqueue("test.nothing")
    with pytest.raises(UnknownLane):
        enqueue("test.note", lane="fast")


def test_lanes_job_done_while_the_bulk_lane_is_busy(running: lanes.Lanes) -> None:
    enqueue("test.hold")
    assert until(lambda: ProcrastinateJob.objects.filter(task_name="test.hold", status="doing").exists())

    for lane in ("realtime", "default"):
        enqueue("test.note", lane=lane, what=lane)

    assert until(lambda: len(DONE) == 2)
    assert sorted(map(str, DONE)) == sorted(str((lane, f"lane-{lane}-job")) for lane in ("realtime", "default"))


def test_lanes_job_whose_connection_is_cut_off_fails_alone(running: lanes.Lanes) -> None:
    enqueue("test.cut")
    assert until(lambda: ProcrastinateJob.objects.filter(task_name="test.cut", status="failed").exists())

    enqueue("test.note", what="after")

    assert until(lambda: ProcrastinateJob.objects.filter(task_name="test.note", status="succeeded").exists())


def test_run_sweep_that_fails_is_tried_again_and_the_worker_ends_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    sweeps: list[int] = []

    def broken() -> list[int]:
        sweeps.append(1)
        raise ConnectorException

    monkeypatch.setattr(lanes, "sweep_stalled", broken)
    monkeypatch.setattr(lanes, "SWEEP_EVERY_S", 0.05)
    stop = threading.Event()
    worker = threading.Thread(target=lanes.run, args=("second", stop))
    worker.start()
    went_on = until(lambda: len(sweeps) > 1)
    stop.set()
    worker.join(30)

    assert (went_on, worker.is_alive()) == (True, False)


def test_lanes_attached_loop_that_fails_starts_again() -> None:
    calls: list[int] = []
    stop = threading.Event()

    def fragile(stop: threading.Event) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError
        stop.wait()

    lanes.attach(lanes.Loop(lane="publish", name="test-fragile", run=fragile))
    found = lanes.Lanes("second", stop)
    try:
        found.start()
        is_back = until(lambda: len(calls) == 2)
    finally:
        del lanes.LOOPS["test-fragile"]
        stop.set()
        left = found.join()

    assert (is_back, left) == (True, [])


def test_sweep_job_of_a_dead_worker_asked_for_again_live_one_left_alone(database_url: str) -> None:
    enqueue("test.note", what="orphan")
    enqueue("test.note", what="live")
    with psycopg.connect(database_url) as other:
        other.execute("INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '2 minutes'), (now())")
        other.execute(
            "UPDATE procrastinate_jobs SET status = 'doing', worker_id = (SELECT id FROM procrastinate_workers "
            "WHERE (last_heartbeat < now() - interval '1 minute') = (args->>'what' = 'orphan'))"
        )

    swept = sweep_stalled()

    found = {job.args["what"]: job.status for job in ProcrastinateJob.objects.all()}
    assert found == {"orphan": "todo", "live": "doing"}
    assert swept == [ProcrastinateJob.objects.get(args__what="orphan").id]


def test_run_job_left_by_a_dead_worker_done_by_the_next_and_stop_ends_all(database_url: str) -> None:
    enqueue("test.note", what="orphan")
    with psycopg.connect(database_url) as other:
        other.execute("INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '2 minutes')")
        other.execute("UPDATE procrastinate_jobs SET status = 'doing', worker_id = (SELECT max(id) FROM procrastinate_workers)")
    stop = threading.Event()
    worker = threading.Thread(target=lanes.run, args=("second", stop))
    worker.start()

    is_done = until(lambda: bool(DONE))
    stop.set()
    worker.join(30)

    assert (is_done, worker.is_alive()) == (True, False)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("lane-")] == []


@pytest.fixture
def nightly() -> Iterator[ScheduleRow]:
    others = dict(SCHEDULE)
    SCHEDULE.clear()
    row = ScheduleRow(name="nightly", title="每夜", task="test.note", cadence="daily 01:00", roles=frozenset({"second"}))
    schedule.declare(row)
    yield row
    SCHEDULE.clear()
    SCHEDULE.update(others)


START = datetime(2026, 11, 20, 4, tzinfo=UTC)


def test_plan_missed_nights_made_up_for_by_one_job_of_the_latest(nightly: ScheduleRow) -> None:
    first = planner.plan("second", START)
    quiet = planner.plan("second", START + timedelta(hours=1))
    late = planner.plan("second", START + timedelta(days=4))
    again = planner.plan("second", START + timedelta(days=4))

    assert (first, quiet, late, again) == ([], [], ["nightly"], [])
    assert [job.args for job in ProcrastinateJob.objects.all()] == [{"due_at": "2026-11-23T17:00:00+00:00"}]


def test_plan_other_role_paused_row_or_own_cadence_respected(nightly: ScheduleRow) -> None:
    planner.plan("second", START)
    ScheduleState.objects.update(is_paused=True)
    paused = planner.plan("second", START + timedelta(days=1))
    ScheduleState.objects.update(is_paused=False, cadence="every 1 hours")
    hourly = planner.plan("second", START + timedelta(days=1, hours=1))
    other = planner.plan("top", START + timedelta(days=9))

    assert (paused, hourly, other) == ([], ["nightly"], [])


def test_plan_every_declared_row_names_a_registered_task() -> None:
    assert {row.task for row in SCHEDULE.values()} <= set(app.tasks)
