"""One PostgreSQL server per run, one database per test process.

The server is embedded, or named by `BIAOJIE_TEST_DATABASE_URL`: an existing server where that role is a superuser. A template
database, named by a hash of everything that shapes it, is migrated once and cloned for every process (xdist worker). fsync is
off here and nowhere else. Without Django installed, what needs it is not collected.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from biaojie.foundation.postgres.cluster import Cluster

HAS_DJANGO = find_spec("django") is not None
NOT_WITHOUT_DJANGO = (
    "site",
    "registry",
    "processes/test_supervisor.py",
    *(f"foundation/{room}" for room in ("records", "accounts", "audit", "workflow", "jobs", "ui")),
)
collect_ignore = [] if HAS_DJANGO else list(NOT_WITHOUT_DJANGO)

sys.path.append(str(Path(__file__).parent / "plugins"))
pytest_plugins = ["outside_programs"]

SERVER_URL = pytest.StashKey[str]()
CLUSTER: pytest.StashKey[Cluster] = pytest.StashKey()
FOLDER = pytest.StashKey[Path]()


class DatabaseServer:
    """Hands the server's address from the controlling process to the workers, and starts it when first asked for."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        if HAS_DJANGO:
            node.workerinput["database_server"] = server_url(node.config)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(DatabaseServer(), "biaojie-database-server")
    if HAS_DJANGO:
        load_settings(config)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    cluster = config.stash.get(CLUSTER, None)
    if cluster is not None:
        cluster.destroy()
    folder = config.stash.get(FOLDER, None)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def node_environment(config: pytest.Config) -> Iterator[None]:
    """The settings of the node the tests are, as environment variables, for as long as they are read."""
    (run_folder(config) / "secret.key").write_text(uuid.uuid4().hex * 2, encoding="utf-8")
    ours = {
        "BIAOJIE_ROLE": "second",
        "BIAOJIE_NODE": "second-test",
        "BIAOJIE_ENVIRONMENT": "test",
        "BIAOJIE_NODE_DIR": str(run_folder(config)),
        "BIAOJIE_DATABASE_URL": "postgresql:///not-yet-cloned",  # `django_db_setup` says which
        "BIAOJIE_ALLOWED_HOSTS": "testserver,127.0.0.1,localhost",
    }
    before = dict(os.environ)
    for name in before:
        if name.startswith("BIAOJIE_"):
            del os.environ[name]
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            del os.environ[name]
        os.environ.update({name: value for name, value in before.items() if name.startswith("BIAOJIE_")})


def load_settings(config: pytest.Config) -> None:
    """Reads Django's settings from an environment of our own, also where pytest-django has loaded them before."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "biaojie.site.settings"
    with node_environment(config):
        from django.conf import settings

        import biaojie.site.settings as module

        module = importlib.reload(module)
        for name in filter(str.isupper, dir(module)):
            setattr(settings, name, getattr(module, name))


def run_folder(config: pytest.Config) -> Path:
    """A folder of this process, removed at its end."""
    if FOLDER not in config.stash:
        config.stash[FOLDER] = Path(tempfile.mkdtemp(prefix="biaojie-test-"))
    return config.stash[FOLDER]


def server_url(config: pytest.Config) -> str:
    """The address of the run's server; starts it in the process that controls the run."""
    handed = getattr(config, "workerinput", {}).get("database_server") or os.environ.get("BIAOJIE_TEST_DATABASE_URL")
    if handed:
        return str(handed)
    if SERVER_URL not in config.stash:
        from biaojie.foundation.postgres.cluster import Cluster

        off = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        cluster = Cluster(run_folder(config) / "pg", settings=off)
        cluster.start()
        config.stash[CLUSTER] = cluster
        config.stash[SERVER_URL] = cluster.dsn()
    return config.stash[SERVER_URL]


def template_name() -> str:
    """Named by everything that shapes the structure."""
    from biaojie.site import schema

    return f"biaojie_template_{schema.digest()}"


@pytest.fixture(scope="session")
def database_server(request: pytest.FixtureRequest) -> str:
    """The address of the run's server, for tests that make databases of their own."""
    return server_url(request.config)


@pytest.fixture(scope="session")
def database_template(database_server: str, django_db_blocker: Any) -> str:
    """The name of the migrated template; `databases.clone(database_server, database_template, name)` copies it."""
    from biaojie.foundation.postgres import databases
    from biaojie.site.migrate import migrate_database

    with django_db_blocker.unblock():
        databases.ensure_template(database_server, template_name(), migrate_database)
    return template_name()


@pytest.fixture(scope="session")
def django_db_setup(request: pytest.FixtureRequest, database_server: str, django_db_blocker: Any) -> Iterator[None]:
    """Points Django at this process's clone of the template."""
    from django.conf import settings
    from django.db import connections

    from biaojie.foundation.postgres import databases, dsn

    template = request.getfixturevalue("database_template")
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    name = f"biaojie_test_{worker}_{uuid.uuid4().hex[:8]}"
    clone = dsn.parse(databases.clone(database_server, template, name)).django()
    # No pool: a test's threads close what they open, and the clone can be dropped at once.
    connections.settings = connections.configure_settings({"default": clone})
    settings.DATABASES = {"default": clone}
    assert connections["default"] is not None  # made, so that it can be replaced
    del connections["default"]
    yield
    with django_db_blocker.unblock():
        for connection in connections.all():
            connection.close()
    databases.drop(database_server, name)


@pytest.fixture(scope="session")
def database_url(django_db_setup: None) -> str:
    """This process's database as a URL, for connections and processes of a test's own."""
    from django.conf import settings

    from biaojie.foundation.postgres.dsn import DatabaseAddress

    row = settings.DATABASES["default"]
    return DatabaseAddress(
        name=row["NAME"], user=row["USER"], password=row["PASSWORD"], host=row["HOST"], port=row["PORT"], options=row["OPTIONS"]
    ).url()


@pytest.fixture(autouse=True, scope="session")
def _flush_append_only_tables() -> None:
    """Lets the flush after a `transactional_db` test empty tables whose triggers refuse it everywhere else."""
    if not HAS_DJANGO:
        return
    from django.db.backends.postgresql.operations import DatabaseOperations

    flush = DatabaseOperations.execute_sql_flush

    def execute_sql_flush(self: Any, sql_list: list[str]) -> None:
        # The queue's own tables are unmanaged models, which a flush leaves as they are.
        queue = "TRUNCATE procrastinate_jobs, procrastinate_workers, procrastinate_events, procrastinate_periodic_defers"
        flush(self, ["SET LOCAL session_replication_role = replica", queue, *sql_list])

    DatabaseOperations.execute_sql_flush = execute_sql_flush
