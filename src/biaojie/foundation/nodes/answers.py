"""How this room's errors look over HTTP: rows for `foundation.ui.answers`. A class without a row takes its parent's."""

from __future__ import annotations

from collections.abc import Mapping

from biaojie.foundation.ui.answers import Answer
from biaojie.foundation.ui.envelope import Status

ANSWERS: Mapping[str, Answer] = {
    "NODE-101": Answer(http=409),
    "NODE-103": Answer(http=409),
    "NODE-104": Answer(http=404),
    "NODE-105": Answer(http=409),
    "NODE-110": Answer(http=422),
    "NODE-115": Answer(http=409),
    "NODE-116": Answer(http=403),
    "NODE-117": Answer(http=403),
    "NODE-118": Answer(http=409),
    "NODE-120": Answer(http=500, status=Status.INTERNAL),
    "NODE-130": Answer(http=401, status=Status.NOT_SIGNED_IN),
    "NODE-137": Answer(http=403, status=Status.NO_PERMISSION),
    "NODE-138": Answer(http=403, status=Status.NO_PERMISSION),
    "NODE-140": Answer(http=502),
    "NODE-150": Answer(http=409),
    "NODE-151": Answer(http=403),
    "NODE-152": Answer(http=429),
    "NODE-154": Answer(http=422),
}
