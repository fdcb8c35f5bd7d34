"""Everything that can be killed is killed: the launcher, the server, both; and the next start puts it right."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from biaojie.foundation.postgres import errors
from biaojie.foundation.postgres.cluster import Cluster
from biaojie.foundation.postgres.leftovers import main_pid, processes

pytestmark = pytest.mark.web
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
NOBODY = 65534
MakeCluster = Callable[..., Cluster]
START_AND_STAY = "cluster.start()\ntell(cluster.pid())\ntime.sleep(300)"
# A server without the death signal: what is left where the kernel does not deliver it.
START_DETACHED = """
import subprocess
argv, keywords = cluster.command()
del keywords["preexec_fn"]
process = subprocess.Popen(argv, **keywords)
cluster.wait_ready(20)
tell(process.pid)
time.sleep(300)
"""


def ask(cluster: Cluster, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(cluster.dsn(), autocommit=True) as connection:
        return connection.execute(query).fetchall()


def fill(cluster: Cluster) -> None:
    with psycopg.connect(cluster.dsn()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")


def test_acknowledged_commits_survive_sigkill_of_the_server(tmp_path: Path, new_cluster: MakeCluster) -> None:
    cluster = new_cluster(tmp_path / "dir")
    cluster.start()
    fill(cluster)
    assert cluster.process is not None
    acknowledged = 0
    with psycopg.connect(cluster.dsn(), autocommit=True) as connection:
        killer = threading.Timer(0.2, cluster.process.kill)
        killer.start()
        with pytest.raises(psycopg.OperationalError):
            for number in range(1_000_000):
                connection.execute("INSERT INTO kept VALUES (%s)", (5000 + number,))
                acknowledged += 1
        killer.join()

    cluster.start()

    found = ask(cluster, "SELECT count(*) FROM kept WHERE n >= 5000")[0][0]
    assert acknowledged > 0
    assert found in (acknowledged, acknowledged + 1)
    assert ask(cluster, "SELECT count(*) FROM kept WHERE n <= 1000") == [(1000,)]


def test_server_that_is_an_unreaped_zombie_does_not_block_the_next(tmp_path: Path, new_cluster: MakeCluster) -> None:
    cluster = new_cluster(tmp_path / "dir")
    argv, keywords = cluster.command()
    first = subprocess.Popen(argv, **keywords)
    cluster.wait_ready(20, process=first)
    os.kill(first.pid, signal.SIGKILL)  # nobody waits for it: its pid stays

    argv, keywords = cluster.command()
    second = subprocess.Popen(argv, **keywords)
    cluster.wait_ready(20, process=second)

    assert Path(f"/proc/{first.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    assert cluster.pid() == second.pid
    first.wait()
    cluster.stop()
    second.wait()


def test_sigkill_of_the_launcher_ends_its_server(
    tmp_path: Path, new_cluster: MakeCluster, launch: Callable[..., Any], until: Any
) -> None:
    launcher = launch(tmp_path / "dir", START_AND_STAY)
    pid = launcher.hear()
    data = tmp_path / "dir" / "pg" / "data"
    assert main_pid(data) == pid

    launcher.kill()

    until(lambda: processes(data) == [])
    new_cluster(tmp_path / "dir")


@needs_root
def test_sigkill_of_an_ordinary_users_launcher_ends_its_server(open_folder: Path, launch: Callable[..., Any], until: Any) -> None:
    os.chown(open_folder, NOBODY, NOBODY)
    launcher = launch(open_folder / "dir", START_AND_STAY, uid=NOBODY)
    launcher.hear()

    launcher.kill()

    until(lambda: processes(open_folder / "dir" / "pg" / "data") == [])


def test_start_right_after_sigkill_of_the_launcher_succeeds(
    tmp_path: Path, new_cluster: MakeCluster, launch: Callable[..., Any]
) -> None:
    launcher = launch(tmp_path / "dir", START_AND_STAY)
    first = launcher.hear()
    cluster = new_cluster(tmp_path / "dir")

    launcher.kill()
    cluster.start()

    mains = [row.pid for row in processes(tmp_path / "dir" / "pg" / "data") if row.is_main]
    assert mains[0] == cluster.pid() != first
    assert ask(cluster, "SELECT 1") == [(1,)]


def test_server_that_survived_its_launcher_is_stopped_by_the_next_start(
    tmp_path: Path, new_cluster: MakeCluster, launch: Callable[..., Any]
) -> None:
    launcher = launch(tmp_path / "dir", START_DETACHED)
    survivor = launcher.hear()
    launcher.kill()
    data = tmp_path / "dir" / "pg" / "data"
    time.sleep(0.3)
    assert main_pid(data) == survivor
    cluster = new_cluster(tmp_path / "dir")
    fill(cluster)

    cluster.start()

    assert survivor not in [row.pid for row in processes(data)]
    assert cluster.pid() == (cluster.process.pid if cluster.process else None)
    assert ask(cluster, "SELECT count(*) FROM kept") == [(1000,)]


def test_server_parts_that_survived_their_postmaster_are_ended_by_the_next_start(
    tmp_path: Path, new_cluster: MakeCluster
) -> None:
    cluster = new_cluster(tmp_path / "dir")
    cluster.start()
    connection = psycopg.connect(cluster.dsn(), autocommit=True)
    backend = connection.info.backend_pid
    # Deep in a computation a backend does not notice that its postmaster is gone.
    busy = threading.Thread(target=_compute, args=(connection,))
    busy.start()
    time.sleep(0.3)
    assert cluster.process is not None
    cluster.process.kill()
    cluster.process.wait()
    assert backend in [row.pid for row in processes(tmp_path / "dir" / "pg" / "data")]

    cluster.start()

    busy.join(10)
    connection.close()
    assert backend not in [row.pid for row in processes(tmp_path / "dir" / "pg" / "data")]
    assert ask(cluster, "SELECT 1") == [(1,)]


def _compute(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT count(*) FROM generate_series(1, 2000000000) a")


def test_pid_file_that_names_a_stranger_does_not_block_the_start(tmp_path: Path, new_cluster: MakeCluster) -> None:
    cluster = new_cluster(tmp_path / "dir")
    cluster.start()
    pid_file = tmp_path / "dir" / "pg" / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    assert cluster.process is not None
    cluster.process.kill()
    cluster.process.wait()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        # As after a reboot: the same number, another process.
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")

        cluster.start()

        alive = stranger.poll() is None
        stranger.kill()
    assert alive
    assert ask(cluster, "SELECT 1") == [(1,)]


def test_second_launcher_is_refused_and_told_the_pid_of_the_first(
    tmp_path: Path, new_cluster: MakeCluster, launch: Callable[..., Any]
) -> None:
    launcher = launch(tmp_path / "dir", START_AND_STAY)
    server = launcher.hear()
    cluster = new_cluster(tmp_path / "dir")

    with pytest.raises(errors.AlreadyRunning) as caught:
        cluster.start()

    assert caught.value.data["pid"] == str(launcher.process.pid)
    assert cluster.pid() == server
    assert ask(cluster, "SELECT 1") == [(1,)]


def test_two_launchers_of_a_new_folder_at_once_make_one_cluster(
    tmp_path: Path, new_cluster: MakeCluster, launch: Callable[..., Any]
) -> None:
    body = (
        "from biaojie.foundation.postgres.errors import AlreadyRunning\n"
        "try:\n    cluster.start()\nexcept AlreadyRunning as problem:\n    tell(['refused', int(problem.data['pid'])])\n"
        "else:\n    tell(['runs', os.getpid()])\ntime.sleep(300)"
    )
    launchers = [launch(tmp_path / "dir", body) for _ in range(2)]

    told = sorted(launcher.hear() for launcher in launchers)

    assert [word for word, _ in told] == ["refused", "runs"]
    assert told[0][1] == told[1][1]
    for launcher in launchers:
        launcher.kill()
    new_cluster(tmp_path / "dir")


def test_recovery_that_takes_long_is_told_from_silence_and_waited_for(open_folder: Path, new_cluster: MakeCluster) -> None:
    # Archive recovery asks a command for each file: one that dawdles makes a recovery as long as we like.
    flag = open_folder / "asked"
    open_folder.chmod(0o777)
    cluster = new_cluster(
        open_folder / "dir", settings={"restore_command": f"test -e {flag} || {{ touch {flag}; sleep 3; }}; false"}
    )
    cluster.start()
    fill(cluster)
    cluster.stop("immediate")
    _signal_recovery(open_folder / "dir" / "pg" / "data")

    with pytest.raises(errors.StillRecovering) as caught:
        cluster.start(timeout_s=1)
    pid = cluster.pid()
    cluster.wait_ready(30)

    assert caught.value.code == "PG-113"
    assert cluster.pid() == pid
    assert ask(cluster, "SELECT count(*) FROM kept") == [(1000,)]


@pytest.mark.long
def test_recovery_longer_than_ten_seconds_is_waited_for_by_start(open_folder: Path, new_cluster: MakeCluster) -> None:
    flag = open_folder / "asked"
    open_folder.chmod(0o777)
    cluster = new_cluster(
        open_folder / "dir", settings={"restore_command": f"test -e {flag} || {{ touch {flag}; sleep 12; }}; false"}
    )
    cluster.start()
    fill(cluster)
    cluster.stop("immediate")
    _signal_recovery(open_folder / "dir" / "pg" / "data")

    began = time.monotonic()
    cluster.start()

    assert time.monotonic() - began > 11
    assert ask(cluster, "SELECT count(*) FROM kept") == [(1000,)]


def _signal_recovery(data: Path) -> None:
    owner = data.stat()
    (data / "recovery.signal").touch()
    os.chown(data / "recovery.signal", owner.st_uid, owner.st_gid)


def test_server_that_never_answers_is_ended_and_reported(tmp_path: Path, new_cluster: MakeCluster, until: Any) -> None:
    cluster = new_cluster(tmp_path / "dir")
    cluster.start()
    pid = cluster.pid()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)  # accepts connections into its queue, answers none

    with pytest.raises(errors.NotReady) as caught:
        cluster.wait_ready(1)
    began = time.monotonic()
    cluster.stop("fast", timeout_s=0.5)

    assert caught.value.code == "PG-112"
    assert time.monotonic() - began < 12
    until(lambda: processes(tmp_path / "dir" / "pg" / "data") == [])


def test_stop_fast_disconnects_idle_clients(tmp_path: Path, new_cluster: MakeCluster) -> None:
    cluster = new_cluster(tmp_path / "dir")
    cluster.start()
    connection = psycopg.connect(cluster.dsn())

    began = time.monotonic()
    cluster.stop("fast")

    assert time.monotonic() - began < 5
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    connection.close()


def test_stop_without_a_start_does_nothing(tmp_path: Path, new_cluster: MakeCluster) -> None:
    cluster = new_cluster(tmp_path / "dir")

    cluster.stop()

    assert not (tmp_path / "dir").exists()
