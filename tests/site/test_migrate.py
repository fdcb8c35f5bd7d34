"""Migrations are complete, and one call applies them to any database."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

import psycopg
import pytest
from django.core.management import call_command

from biaojie.foundation.postgres import databases
from biaojie.site.migrate import migrate_database


@pytest.mark.django_db
def test_migrations_of_all_apps_match_their_models() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=1)


def test_migrate_database_empty_database_gets_every_table_and_may_run_twice(database_server: str, django_db_blocker) -> None:
    name = f"migrate_{uuid.uuid4().hex[:8]}"
    databases.create_database(database_server, name)
    url = databases.dsn.parse(database_server).with_name(name).url()

    with django_db_blocker.unblock():
        migrate_database(url)
        migrate_database(url)

    with psycopg.connect(url) as connection:
        tables = {row[0] for row in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    databases.drop(database_server, name)
    assert {"records_stamp", "accounts_user", "audit_auditrecord", "workflow_workflowstep", "procrastinate_jobs"} <= tables


def test_migrate_as_a_command_with_nothing_but_an_address_makes_a_template(database_server: str, tmp_path: Path) -> None:
    name = f"migrate_{uuid.uuid4().hex[:8]}"
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("BIAOJIE_", "DJANGO_"))}

    def prepare(url: str) -> None:
        command = [sys.executable, "-m", "biaojie.site.migrate", url]
        subprocess.run(command, env=environment, cwd=tmp_path, check=True, capture_output=True, timeout=60)

    is_made = databases.ensure_template(database_server, name, prepare)

    url = databases.clone(database_server, name, f"{name}_clone")
    with psycopg.connect(url) as connection:
        applied = connection.execute("SELECT count(*) FROM django_migrations WHERE app = 'records'").fetchone()
    databases.drop(database_server, f"{name}_clone")
    databases.drop(database_server, name)
    assert is_made
    assert applied is not None
    assert applied[0] >= 1
