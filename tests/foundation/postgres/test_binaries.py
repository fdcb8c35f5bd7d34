"""The server programs: found without running the wheel's code, copied where their path is closed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from biaojie.foundation.postgres import binaries
from biaojie.foundation.postgres.account import server_account
from biaojie.foundation.postgres.errors import BinariesMissing, BinariesUnusable, UnsafeFolder

pytestmark = pytest.mark.web
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")


@pytest.fixture
def closed_installation(tmp_path: Path) -> binaries.Binaries:
    """The programs as they lie in an environment under a 0700 home."""
    found = binaries.find()
    packages = tmp_path / "home" / "env"
    (tmp_path / "home").mkdir(mode=0o700)
    target = packages / binaries.PACKAGE / found.folder.name
    shutil.copytree(found.folder, target, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a"))
    libraries = f"{binaries.PACKAGE}.libs"
    shutil.copytree(found.folder.parent.parent / libraries, packages / libraries, symlinks=True)
    return binaries.at(target, build=found.build)


def test_find_gives_version_18_and_its_tools_without_importing_the_package() -> None:
    found = binaries.find()

    assert found.major == 18
    for tool in ("postgres", "initdb", "pg_dump", "pg_restore", "psql"):
        assert os.access(found.tool(tool), os.X_OK)
    assert binaries.PACKAGE not in sys.modules


def test_find_without_the_wheel_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "PACKAGE", "no_such_package_anywhere")

    with pytest.raises(BinariesMissing) as caught:
        binaries.find()

    assert "biaojie[web]" in caught.value.message


def test_at_a_program_that_does_not_run_is_unusable(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "postgres").write_text("not a program")

    with pytest.raises(BinariesUnusable):
        binaries.at(tmp_path, build="1")


@needs_root
def test_usable_programs_in_an_open_path_are_used_where_they_are(open_folder: Path) -> None:
    found = binaries.find()
    account = server_account()
    if not account.reaches(found.folder):
        pytest.skip("this environment's own path is closed")

    assert binaries.usable(found, account, shared_root=open_folder) == found
    assert list(open_folder.iterdir()) == []


@needs_root
def test_server_under_a_closed_home_is_copied_once_and_runs(
    closed_installation: binaries.Binaries, tmp_path: Path, open_folder: Path, new_cluster: Callable[..., Any]
) -> None:
    cluster = new_cluster(tmp_path / "dir", binaries=closed_installation)
    cluster._shared_root = open_folder

    cluster.start()

    copies = list(open_folder.glob("pg-*"))
    assert [copy.name for copy in copies] == [f"pg-{closed_installation.version}-{closed_installation.build}"]
    assert Path(f"/proc/{cluster.pid()}/exe").readlink().is_relative_to(copies[0])
    with psycopg.connect(cluster.dsn()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert (tmp_path / "home").stat().st_mode & 0o777 == 0o700
    dump = subprocess.run([cluster.tool("pg_dump"), "--schema-only", cluster.dsn()], capture_output=True, text=True)
    assert "PostgreSQL database dump complete" in dump.stdout
    cluster.destroy()


@needs_root
def test_copies_made_at_once_and_after_a_crash_are_one_complete_copy(
    closed_installation: binaries.Binaries, open_folder: Path
) -> None:
    account = server_account()
    name = f"pg-{closed_installation.version}-{closed_installation.build}"
    (open_folder / f"{name}.partial-crashed").mkdir()
    (open_folder / name).mkdir()  # without its marker: not to be trusted
    found: list[binaries.Binaries] = []

    def copy() -> None:
        found.append(binaries.usable(closed_installation, account, shared_root=open_folder))

    threads = [threading.Thread(target=copy) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 3
    assert len(set(found)) == 1
    assert sorted(path.name for path in open_folder.iterdir()) == ["copy.lock", name]
    assert found[0].works_for(account)


@needs_root
def test_shared_root_that_others_may_write_is_refused(closed_installation: binaries.Binaries, open_folder: Path) -> None:
    open_folder.chmod(0o777)

    with pytest.raises(UnsafeFolder):
        binaries.usable(closed_installation, server_account(), shared_root=open_folder)
