"""The fixed lanes of a worker process. A job in one lane never delays another lane."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """`has_queue`: it takes jobs from the queue of its name; the others only run the loops attached to them."""

    name: str
    title: str
    has_queue: bool


LANES: Mapping[str, Lane] = {
    lane.name: lane
    for lane in (
        Lane(name="publish", title="发布", has_queue=False),
        Lane(name="realtime", title="实时同步", has_queue=True),
        Lane(name="planner", title="排程", has_queue=False),
        Lane(name="default", title="一般任务", has_queue=True),
        Lane(name="bulk", title="批量任务", has_queue=True),
    )
}
