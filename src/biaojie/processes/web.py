"""The web process of a node: Django's pages and JSON API under granian's WSGI server.

Granian forks one worker; both are tied to their parents so that a killed supervisor leaves nothing behind (the worker
ties itself when it loads `web_app`).
"""

from __future__ import annotations

from granian import Granian
from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from biaojie.base import settings


def main() -> None:
    """Serve until SIGTERM."""
    current = settings.load()
    host, port = settings.split_address(current.web)
    Granian(
        "biaojie.processes.web_app:application",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=current.web_threads,
        blocking_threads_idle_timeout=300,
        backlog=1024,
        # The bulk endpoints read long bodies; header and keep-alive limits stay those of a public server.
        http1_settings=HTTP1Settings(header_read_timeout=15_000),
        log_access=False,
        log_level=LogLevels(current.log_level),
        respawn_failed_workers=True,
    ).serve()


if __name__ == "__main__":
    main()
