"""What the registry does by itself: publish, follow the parent's verdicts, finish routing changes."""

from __future__ import annotations

import threading

from django.conf import settings

from biaojie.foundation.jobs.queue import task
from biaojie.foundation.nodes.errors import NotEstablished
from biaojie.foundation.nodes.operations import this_node
from biaojie.registry import operations, operations_routes, operations_routing, usage
from biaojie.registry.publisher import Publisher


def publish(stop: threading.Event) -> None:
    """The loop of the publish lane: the journal becomes files that resolvers follow."""
    node = settings.NODE
    Publisher(node.node_dir / "publication", node=node.node).run(stop)


@task("registry.sync_verdicts", lane="realtime", attempts=1)
def sync_verdicts(due_at: str = "") -> int:
    """Asks the parent what has become of our applications, own prefixes and claims of routes; gives how many moved."""
    try:
        this_node()
    except NotEstablished:
        return 0
    return operations.sync_verdicts() + operations_routes.sync_claims()


@task("registry.routing", lane="realtime", attempts=1)
def finish_routing(due_at: str = "") -> int:
    """Ends the old addresses of changes whose TTL has passed, and takes up checks that a crash cut short."""
    return operations_routing.settle_due() + operations_routing.recheck_proposed()


@task("registry.load_usage", attempts=1)
def load_usage(due_at: str = "") -> int:
    """Loads the counter files that resolvers have left; gives how many were new."""
    return usage.load_spool(settings.NODE.node_dir / "spool")


@task("registry.purge_usage", lane="bulk")
def purge_usage(due_at: str = "") -> int:
    """Removes per-second counts past their term."""
    return usage.purge()
