"""Prepares one node's database before its processes start: structure, identity, staff, and the root at the top.

Run as `python -m biaojie.processes.prepare` with the node's settings; reads `{"title", "prefixes", "users"}` as JSON
from standard input. Every step may be repeated.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import django

from biaojie.base import settings
from biaojie.site.migrate import migrate_database


def main() -> None:
    """Bring the database named by the settings to the state in which the node's processes can start."""
    wanted: dict[str, Any] = json.load(sys.stdin)
    django.setup()
    current = settings.load()
    migrate_database(current.database_url)
    from biaojie.foundation.accounts import operations as accounts
    from biaojie.foundation.accounts.models import User
    from biaojie.foundation.nodes import operations as nodes

    own = wanted["prefixes"] if current.role == "top" else ()  # the others adopt theirs when they enrol
    nodes.establish(settings=current, title=wanted["title"], prefixes=own)
    for user in wanted["users"]:
        if not User.objects.filter(username=user["username"]).exists():
            accounts.create_user(
                actor="system:prepare",
                username=user["username"],
                password=user["password"],
                role=user["role"],
                display_name=user["title"],
            )
    if current.role == "top":
        from biaojie.registry import operations as registry

        octets = registry.found_root(actor="system:prepare")
        # Recursors read it again when it changes: replaced in one step, never half written.
        fresh = current.bootstrap.with_name(f".{current.bootstrap.name}.new")
        fresh.write_bytes(octets)
        fresh.replace(current.bootstrap)


if __name__ == "__main__":
    main()
