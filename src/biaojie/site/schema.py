"""A name for the structure of the database: changes exactly when a migration or what it is made of changes. No Django."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent

# Modules outside migrations/ whose text becomes triggers and constraints.
SHAPING = frozenset({"triggers.py", "append_only.py", "guard.py", "workflows.py"})


def digest() -> str:
    """16 hexadecimal digits over every migration, the modules that shape triggers, and the apps that bring their own."""
    found = hashlib.sha256()
    for path in sorted(SOURCE.rglob("*.py")):
        if "migrations" in path.parts or path.name in SHAPING:
            found.update(path.relative_to(SOURCE).as_posix().encode() + b"\0" + path.read_bytes())
    for distribution in ("django", "procrastinate"):
        found.update(version(distribution).encode())
    return found.hexdigest()[:16]
