"""Brings one database up to date: `python -m biaojie.site.migrate [DATABASE_URL]`.

The supervisor migrates one template this way and clones it (`foundation.postgres.databases`). Without an argument the node's own
database is migrated.
"""

from __future__ import annotations

import os
import sys

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connections

from biaojie.foundation.postgres import dsn as addresses


def migrate_database(dsn: str, *, verbosity: int = 0) -> None:
    """Applies every migration to the database at `dsn`; repeatable. Concurrent calls wait for one another."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "biaojie.site.settings")
    if not settings.configured:
        # Settings refuse to load without a database; the one to migrate serves.
        os.environ.setdefault("BIAOJIE_DATABASE_URL", dsn)
    django.setup()
    # An alias of its own: whatever the process does with its node's database goes on undisturbed.
    row = {**connections.settings["default"], **addresses.parse(dsn).django(), "CONN_MAX_AGE": 0}
    connections.databases["migration"] = row
    connection = connections["migration"]
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(hashtext('biaojie.migrate'))")
        call_command("migrate", database="migration", interactive=False, verbosity=verbosity)
    finally:
        connection.close()
        del connections["migration"]
        del connections.databases["migration"]


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "biaojie.site.settings")
    if len(sys.argv) > 1:
        os.environ["BIAOJIE_DATABASE_URL"] = sys.argv[1]
    django.setup()
    migrate_database(settings.NODE.database_url, verbosity=1)
