"""Real servers in throw-away folders. Every cluster made by `new_cluster` is destroyed, and no process of it may survive."""

from __future__ import annotations

import importlib.util
import json
import os
import select
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# `make test-no-web` collects without the driver.
collect_ignore_glob = [] if importlib.util.find_spec("psycopg") else ["test_*.py"]

SOURCE = Path(__file__).parents[3] / "src"
NOBODY = 65534


@pytest.fixture(scope="session")
def shared_root() -> Iterator[Path]:
    """Stands in for /var/lib/biaojie: one for the run, so that the server is copied once."""
    folder = Path(tempfile.mkdtemp(prefix="bjt-root-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every account can step down to (pytest's own are 0700)."""
    folder = Path(tempfile.mkdtemp(prefix="bjt-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def new_cluster(shared_root: Path) -> Iterator[Callable[..., Any]]:
    """Makes `Cluster(directory)` objects and cleans up after all of them."""
    from biaojie.foundation.postgres.cluster import Cluster
    from biaojie.foundation.postgres.leftovers import processes

    made = []

    def make(directory: Path, **options: Any) -> Cluster:
        cluster = Cluster(directory, shared_root=shared_root, **options)
        made.append(cluster)
        return cluster

    yield make

    for cluster in made:
        cluster.stop("immediate")
    for cluster in made:
        if (cluster.directory / "pg.json").exists():
            data = cluster.directory / "pg" / "data"
            cluster._settings["fsync"] = "off"
            cluster.destroy()
            assert processes(data) == []


@pytest.fixture(scope="session")
def server(shared_root: Path) -> Iterator[Any]:
    """One running cluster for the tests that only need a server."""
    from biaojie.foundation.postgres.cluster import Cluster

    folder = Path(tempfile.mkdtemp(prefix="bjt-server-", dir="/tmp"))
    cluster = Cluster(folder / "dir", shared_root=shared_root, settings={"fsync": "off"})
    cluster.start()
    yield cluster
    cluster.destroy()
    shutil.rmtree(folder)


class Launcher:
    """Another Python process that drives a cluster: `body` sees `cluster` and `tell(value)`."""

    def __init__(self, directory: Path, shared_root: Path, body: str, *, uid: int | None = None) -> None:
        program = (
            "import json, os, sys, time\nfrom pathlib import Path\nimport psycopg\n"
            "from biaojie.foundation.postgres.cluster import Cluster\n"
            f"cluster = Cluster(Path({str(directory)!r}), shared_root=Path({str(shared_root)!r}))\n"
            "def tell(value): print(json.dumps(value), flush=True)\n" + body
        )
        paths = os.pathsep.join([str(SOURCE), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
        other = {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}
        self.process = subprocess.Popen(
            [_python_for(uid), "-B", "-c", program],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"},
            cwd="/",
            text=True,
            **other,
        )

    def hear(self, timeout_s: float = 30) -> Any:
        """The next value it tells."""
        assert self.process.stdout is not None and self.process.stderr is not None
        ready, _, _ = select.select([self.process.stdout], [], [], timeout_s)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            self.process.kill()
            pytest.fail(f"the launcher told nothing: {self.process.stderr.read()}")
        return json.loads(line)

    def end(self) -> int:
        """Wait for it; its exit code."""
        _, errors = self.process.communicate(timeout=60)
        if self.process.returncode > 0:
            print(errors)
        return self.process.returncode

    def kill(self) -> None:
        """SIGKILL, and reap."""
        self.process.kill()
        self.process.communicate(timeout=10)


@pytest.fixture
def launch(shared_root: Path) -> Iterator[Callable[..., Launcher]]:
    """Starts launchers, and kills those that are left."""
    made: list[Launcher] = []

    def make(directory: Path, body: str, *, uid: int | None = None) -> Launcher:
        made.append(Launcher(directory, shared_root, body, uid=uid))
        return made[-1]

    yield make
    for launcher in made:
        if launcher.process.poll() is None:
            launcher.kill()
        for stream in (launcher.process.stdout, launcher.process.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture
def until() -> Callable[..., None]:
    """Waits for a condition, fails when it does not come."""

    def wait(condition: Callable[[], object], timeout_s: float = 15) -> None:
        limit = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < limit, "the condition did not come true"
            time.sleep(0.02)

    return wait


def _python_for(uid: int | None) -> str:
    """An interpreter of this version that the account can run: ours may lie under a closed home."""
    if uid is None:
        return sys.executable
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, f"/usr/bin/python{version}", f"/usr/local/bin/python{version}"):
        try:
            subprocess.run([candidate, "-c", "import json, ctypes"], check=True, user=uid, group=uid, extra_groups=[], cwd="/")
        except (OSError, subprocess.CalledProcessError):
            continue
        return candidate
    pytest.skip(f"no python{version} that uid {uid} can run")
