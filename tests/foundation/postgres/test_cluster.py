"""The embedded server in its ordinary life: made, started, asked, stopped, started again; and what it refuses."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from biaojie.foundation.postgres import errors
from biaojie.foundation.postgres.cluster import Cluster
from biaojie.foundation.postgres.leftovers import processes

pytestmark = pytest.mark.web
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
NOBODY = 65534
MakeCluster = Callable[..., Cluster]

ORDINARY_LIFE = """
cluster.start()
with psycopg.connect(cluster.dsn()) as connection:
    connection.execute("CREATE TABLE kept (n int)")
    connection.execute("INSERT INTO kept VALUES (7)")
cluster.stop()
cluster.start()
with psycopg.connect(cluster.dsn()) as connection:
    rows = connection.execute("SELECT n FROM kept").fetchall()
pid = cluster.pid()
tell({"rows": rows, "server_uid": os.stat(f"/proc/{pid}").st_uid, "is_link": (cluster.directory / "pg").is_symlink()})
cluster.stop()
tell(cluster.pid())
"""


def ask(cluster: Cluster, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(cluster.dsn(), autocommit=True) as connection:
        return connection.execute(query).fetchall()


def setting(cluster: Cluster, name: str) -> str:
    return ask(cluster, f"SELECT current_setting('{name}')")[0][0]


def test_start_in_a_new_folder_answers_and_keeps_data_over_a_restart(tmp_path: Path, new_cluster: MakeCluster) -> None:
    cluster = new_cluster(tmp_path / "dir")
    cluster.start()
    with psycopg.connect(cluster.dsn()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT '标识'::text AS word")

    cluster.stop()
    cluster.start()

    assert ask(cluster, "SELECT word, upper('ä') FROM kept") == [("标识", "Ä")]
    assert ask(cluster, "SELECT datlocprovider, pg_encoding_to_char(encoding) FROM pg_database LIMIT 1") == [("b", "UTF8")]


def test_start_of_an_existing_cluster_takes_less_than_a_second(tmp_path: Path, new_cluster: MakeCluster) -> None:
    cluster = new_cluster(tmp_path / "dir")
    cluster.start()
    cluster.stop()

    began = time.monotonic()
    cluster.start()
    took_s = time.monotonic() - began

    assert took_s < 1.0


def test_server_listens_on_a_private_socket_only_with_durable_settings(tmp_path: Path, new_cluster: MakeCluster) -> None:
    cluster = new_cluster(tmp_path / "dir")
    cluster.start()
    place = cluster._place
    assert place is not None

    names = ("listen_addresses", "fsync", "max_connections", "shared_buffers", "autovacuum", "full_page_writes")
    found = {name: setting(cluster, name) for name in names}

    assert found == {
        "listen_addresses": "",
        "fsync": "on",
        "max_connections": "200",
        "shared_buffers": "64MB",
        "autovacuum": "on",
        "full_page_writes": "on",
    }
    assert stat.S_IMODE(place.sockets.stat().st_mode) == 0o700
    assert stat.S_IMODE(place.home.stat().st_mode) == 0o700
    assert stat.S_ISSOCK((place.sockets / ".s.PGSQL.5432").stat().st_mode)


def test_server_log_goes_to_a_daily_file(tmp_path: Path, new_cluster: MakeCluster) -> None:
    cluster = new_cluster(tmp_path / "dir")
    cluster.start()
    with pytest.raises(psycopg.errors.UndefinedTable):
        ask(cluster, "SELECT * FROM no_such_table")

    cluster.stop()

    logs = list((cluster.directory / "pg" / "log").glob("postgresql-*.log"))
    assert len(logs) == 1
    assert "no_such_table" in logs[0].read_text()


def test_settings_argument_overrides_for_one_run_only(tmp_path: Path, shared_root: Path, new_cluster: MakeCluster) -> None:
    first = new_cluster(tmp_path / "dir", settings={"fsync": "off", "work_mem": "7MB"})
    first.start()
    quick = (setting(first, "fsync"), setting(first, "work_mem"))
    first.stop()

    with Cluster(tmp_path / "dir", shared_root=shared_root) as second:
        normal = (setting(second, "fsync"), setting(second, "work_mem"))

    assert quick == ("off", "7MB")
    assert normal == ("on", "4MB")


@needs_root
def test_server_started_by_root_runs_as_an_existing_unprivileged_account(open_folder: Path, new_cluster: MakeCluster) -> None:
    accounts_before = Path("/etc/passwd").read_bytes()
    directory = open_folder / "dir"
    directory.mkdir(mode=0o755)
    cluster = new_cluster(directory)
    cluster.start()

    uids = {Path(f"/proc/{row.pid}").stat().st_uid for row in processes(directory / "pg" / "data")}

    assert len(uids) == 1
    assert 0 not in uids
    assert not (directory / "pg").is_symlink()
    assert directory.stat().st_uid == 0
    assert Path("/etc/passwd").read_bytes() == accounts_before


@needs_root
def test_folder_under_a_closed_home_gets_its_cluster_elsewhere_and_keeps_parents_modes(
    tmp_path: Path, shared_root: Path, new_cluster: MakeCluster
) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    modes = {folder: folder.stat().st_mode for folder in home.parents}
    cluster = new_cluster(home / "dir")
    cluster.start()

    where = (home / "dir" / "pg").resolve()

    assert where.parent == shared_root
    assert stat.S_IMODE(where.stat().st_mode) == 0o700
    assert ask(cluster, "SELECT 1") == [(1,)]
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert {folder: folder.stat().st_mode for folder in home.parents} == modes


@needs_root
def test_cluster_whose_path_was_closed_later_moves_out_with_its_data(
    open_folder: Path, shared_root: Path, new_cluster: MakeCluster
) -> None:
    directory = open_folder / "dir"
    directory.mkdir(mode=0o755)
    cluster = new_cluster(directory)
    cluster.start()
    with psycopg.connect(cluster.dsn()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 5 AS n")
    cluster.stop()

    directory.chmod(0o700)
    cluster.start()

    assert (directory / "pg").resolve().parent == shared_root
    assert ask(cluster, "SELECT n FROM kept") == [(5,)]


@needs_root
def test_ordinary_user_runs_everything_as_itself(open_folder: Path, launch: Callable[..., Any]) -> None:
    os.chown(open_folder, NOBODY, NOBODY)
    launcher = launch(open_folder / "dir", ORDINARY_LIFE, uid=NOBODY)

    told = launcher.hear()
    pid_after = launcher.hear()

    assert told == {"rows": [[7]], "server_uid": NOBODY, "is_link": False}
    assert pid_after is None
    assert launcher.end() == 0


@needs_root
def test_ordinary_user_in_an_unwritable_folder_gets_a_coded_error(open_folder: Path, launch: Callable[..., Any]) -> None:
    body = "try:\n    cluster.start()\nexcept Exception as problem:\n    tell([problem.code, str(problem)])"
    launcher = launch(open_folder / "dir", body, uid=NOBODY)

    code, message = launcher.hear()

    assert code == "PG-104"
    assert str(open_folder / "dir") in message


@needs_root
def test_ordinary_user_on_a_folder_of_root_is_told_who_owns_it(
    open_folder: Path, new_cluster: MakeCluster, launch: Callable[..., Any]
) -> None:
    directory = open_folder / "dir"
    directory.mkdir(mode=0o755)
    new_cluster(directory).initialise()
    owner = (directory / "pg").stat().st_uid
    (directory / "pg.json").chmod(0o644)
    (directory / "pg.lock").unlink()
    os.chown(directory, NOBODY, NOBODY)
    body = "try:\n    cluster.start()\nexcept Exception as problem:\n    tell([problem.code, problem.data['owner']])"

    told = launch(directory, body, uid=NOBODY).hear()

    expected = [] if owner == NOBODY else ["PG-110", pwd.getpwuid(owner).pw_name]
    assert told == expected


@needs_root
def test_root_on_the_folder_of_an_ordinary_user_runs_the_server_as_its_owner(
    open_folder: Path, launch: Callable[..., Any], new_cluster: MakeCluster
) -> None:
    os.chown(open_folder, NOBODY, NOBODY)
    launch(open_folder / "dir", "cluster.start()\ncluster.stop()\ntell(1)", uid=NOBODY).hear()
    (open_folder / "dir").chmod(0o755)

    cluster = new_cluster(open_folder / "dir")
    cluster.start()

    pid = cluster.pid()
    assert Path(f"/proc/{pid}").stat().st_uid == NOBODY


def test_long_folder_path_gets_a_short_socket_that_later_starts_reuse(open_folder: Path, new_cluster: MakeCluster) -> None:
    deep = open_folder / ("长" * 20) / ("d" * 80)
    deep.mkdir(parents=True)
    cluster = new_cluster(deep)
    cluster.start()
    first = cluster.dsn()
    cluster.stop()

    cluster.start()

    assert ask(cluster, "SELECT 1") == [(1,)]
    assert cluster.dsn() == first
    assert cluster._place is not None
    assert len(os.fsencode(cluster._place.sockets / ".s.PGSQL.5432")) <= 107
    assert stat.S_IMODE(cluster._place.sockets.stat().st_mode) == 0o700


def test_path_beyond_what_the_server_can_hold_is_refused(open_folder: Path, new_cluster: MakeCluster) -> None:
    deep = open_folder.joinpath(*["d" * 200] * 5)
    deep.mkdir(parents=True)

    with pytest.raises(errors.PathTooLong) as caught:
        new_cluster(deep).start()

    assert caught.value.code == "PG-106"


def test_folder_name_that_the_file_system_refuses_is_a_coded_error(tmp_path: Path, shared_root: Path) -> None:
    with pytest.raises(errors.PathTooLong):
        Cluster(tmp_path / ("d" * 300), shared_root=shared_root).start()


def test_data_of_another_major_version_is_refused_and_left_alone(tmp_path: Path, new_cluster: MakeCluster) -> None:
    cluster = new_cluster(tmp_path / "dir")
    cluster.initialise()
    cluster.release()
    version = tmp_path / "dir" / "pg" / "data" / "PG_VERSION"
    version.write_text("14\n")

    with pytest.raises(errors.VersionMismatch) as caught:
        cluster.start()

    assert (caught.value.data["found"], caught.value.data["expected"]) == ("14", 18)
    assert cluster.pid() is None
    version.write_text("18\n")


def test_interrupted_initdb_is_begun_afresh(tmp_path: Path, new_cluster: MakeCluster) -> None:
    cluster = new_cluster(tmp_path / "dir")
    cluster.initialise()
    home = (tmp_path / "dir" / "pg").resolve()
    (home / "data").rename(home / "data.partial")
    (home / "data.partial" / "PG_VERSION").unlink()
    cluster.release()

    cluster.start()

    assert ask(cluster, "SELECT 1") == [(1,)]
    assert not (home / "data.partial").exists()


def test_setting_the_server_does_not_know_is_reported_with_its_words(tmp_path: Path, new_cluster: MakeCluster) -> None:
    cluster = new_cluster(tmp_path / "dir", settings={"no_such_setting": "1"})

    with pytest.raises(errors.StartFailed) as caught:
        cluster.start()

    assert "no_such_setting" in caught.value.message
    cluster._settings.clear()


def test_moved_folder_is_recognised(tmp_path: Path, new_cluster: MakeCluster) -> None:
    cluster = new_cluster(tmp_path / "before")
    cluster.start()
    with psycopg.connect(cluster.dsn()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 9 AS n")
    cluster.stop()
    (tmp_path / "before").rename(tmp_path / "after")

    moved = new_cluster(tmp_path / "after")
    moved.start()

    assert ask(moved, "SELECT n FROM kept") == [(9,)]


@needs_root
def test_copied_folder_whose_cluster_is_outside_is_refused(tmp_path: Path, new_cluster: MakeCluster) -> None:
    cluster = new_cluster(tmp_path / "one")
    cluster.start()
    shutil.copytree(tmp_path / "one", tmp_path / "two", symlinks=True)

    with pytest.raises(errors.CopiedFolder) as caught:
        Cluster(tmp_path / "two", shared_root=cluster._shared_root).start()

    assert caught.value.data["original"] == str(tmp_path / "one")
    assert ask(cluster, "SELECT 1") == [(1,)]


@needs_root
def test_new_folder_at_the_path_of_a_moved_one_gets_a_cluster_of_its_own(tmp_path: Path, new_cluster: MakeCluster) -> None:
    first = new_cluster(tmp_path / "dir")
    first.start()
    with psycopg.connect(first.dsn()) as connection:
        connection.execute("CREATE TABLE kept (n int)")
    first.stop()
    (tmp_path / "dir").rename(tmp_path / "old")

    second = new_cluster(tmp_path / "dir")
    second.start()

    assert ask(second, "SELECT count(*) FROM pg_tables WHERE tablename = 'kept'") == [(0,)]
    first.directory = tmp_path / "old"


@needs_root
def test_folder_whose_outside_cluster_is_gone_says_so(tmp_path: Path, new_cluster: MakeCluster) -> None:
    cluster = new_cluster(tmp_path / "dir")
    cluster.initialise()
    cluster.release()
    home = (tmp_path / "dir" / "pg").resolve()
    home.rename(home.with_name(f"{home.name}.away"))

    with pytest.raises(errors.ClusterLost):
        cluster.start()

    home.with_name(f"{home.name}.away").rename(home)


def test_dsn_before_the_first_start_says_that_there_is_no_database(tmp_path: Path, new_cluster: MakeCluster) -> None:
    with pytest.raises(errors.NotInitialised):
        new_cluster(tmp_path).dsn()


def test_dsn_of_another_process_needs_no_hold(tmp_path: Path, new_cluster: MakeCluster, launch: Callable[..., Any]) -> None:
    cluster = new_cluster(tmp_path / "dir")
    cluster.start()
    body = "with psycopg.connect(cluster.dsn()) as c: tell([c.execute('SELECT 41+1').fetchone()[0], cluster.pid()])"

    told = launch(tmp_path / "dir", body).hear()

    assert told == [42, cluster.pid()]


def test_environment_of_the_caller_does_not_steer_the_server(
    tmp_path: Path, new_cluster: MakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PGDATA": "/nowhere", "PGPORT": "1", "PGHOST": "nowhere.invalid", "LANG": "zh_CN.UTF-8"}.items():
        monkeypatch.setenv(name, value)
    cluster = new_cluster(tmp_path / "dir")

    cluster.start()

    assert ask(cluster, "SELECT 1") == [(1,)]


def test_command_run_by_a_supervisor_gives_a_foreground_server(tmp_path: Path, new_cluster: MakeCluster) -> None:
    cluster = new_cluster(tmp_path / "dir")

    argv, keywords = cluster.command()
    process = subprocess.Popen(argv, **keywords)
    cluster.wait_ready(20, process=process)
    pid = cluster.pid()
    cluster.stop()

    assert pid == process.pid
    assert process.wait(5) == 0


def test_server_of_a_supervisor_that_gives_up_is_noticed_without_its_handle(tmp_path: Path, new_cluster: MakeCluster) -> None:
    cluster = new_cluster(tmp_path / "dir", settings={"no_such_setting": "1"})
    argv, keywords = cluster.command()
    process = subprocess.Popen(argv, **keywords)

    with pytest.raises(errors.StartFailed) as caught:
        cluster.wait_ready(60)

    assert "no_such_setting" in caught.value.message
    assert process.wait(1) == 1
    cluster._settings.clear()


def test_destroy_removes_every_trace_but_the_lock(tmp_path: Path, shared_root: Path) -> None:
    before = set(shared_root.glob("[0-9a-f]*"))
    cluster = Cluster(tmp_path / "dir", shared_root=shared_root)
    cluster.start()

    cluster.destroy()

    assert [path.name for path in (tmp_path / "dir").iterdir()] == ["pg.lock"]
    assert set(shared_root.glob("[0-9a-f]*")) == before


@needs_root
def test_full_disk_is_reported_before_and_after_the_cluster_is_made(open_folder: Path, new_cluster: MakeCluster) -> None:
    disk = open_folder / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=180m,mode=755", "none", disk], capture_output=True).returncode != 0:
        pytest.skip("may not mount here")
    try:
        directory = disk / "dir"
        directory.mkdir(mode=0o755)
        (disk / "filler").write_bytes(bytes(80 << 20))
        cluster = new_cluster(directory)
        with pytest.raises(errors.DiskFull) as small:
            cluster.start()
        (disk / "filler").unlink()
        cluster.start()
        cluster.stop()
        with (disk / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space"):
            while True:
                filler.write(bytes(4096))
        with pytest.raises(errors.DiskFull) as full:
            cluster.start()
        (disk / "filler").unlink()
        cluster.start()
        answer = ask(cluster, "SELECT 1")
        cluster.destroy()
    finally:
        cluster.stop("immediate")
        subprocess.run(["umount", disk], check=True)

    assert "128 MB" in small.value.message
    assert full.value.code == "PG-105"
    assert answer == [(1,)]
