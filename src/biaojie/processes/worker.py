"""The worker process of a node: fixed lanes for publishing, planned and queued work. No lane waits for another."""

from __future__ import annotations

import logging
import os
import signal
import threading

import django

from biaojie.base import clock, settings
from biaojie.processes import log_lines
from biaojie.processes.lifeline import tie_to_parent


def main() -> None:
    """Run the lanes until SIGTERM; `worker.ready` in the node's folder says that they run."""
    tie_to_parent()
    current = settings.load()
    clock.configure(offset_s=current.clock_offset_s, scale=current.clock_scale, origin_s=current.clock_origin_s or None)
    django.setup()
    log_lines.configure(current.log_level)
    from biaojie.foundation.jobs import lanes
    from biaojie.site import startup

    startup.check(current)

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    mark = current.node_dir / "worker.ready"
    mark.write_text(f"{os.getpid()}\n", encoding="utf-8")
    try:
        lanes.run(current.role, stop)
    except Exception:
        logging.getLogger(__name__).exception("the worker ends as a whole")
        mark.unlink(missing_ok=True)
        # The lanes' threads would run on without who minds them; the supervisor starts all of it again.
        os._exit(1)
    finally:
        mark.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
