"""How this room's errors look over HTTP: rows for `foundation.ui.answers`. A class without a row takes its parent's."""

from __future__ import annotations

from collections.abc import Mapping

from biaojie.foundation.ui.answers import Answer
from biaojie.foundation.ui.envelope import Status

ANSWERS: Mapping[str, Answer] = {
    "REG-100": Answer(http=500, status=Status.INTERNAL),
    "REG-101": Answer(http=404),
    "REG-102": Answer(http=409),
    "REG-103": Answer(http=403, status=Status.NO_PERMISSION),
    "REG-110": Answer(http=422),
    "REG-120": Answer(http=409),
    "REG-121": Answer(http=422),
    "REG-126": Answer(http=502),
    "REG-135": Answer(http=409),
    "REG-151": Answer(http=409),
    "REG-166": Answer(http=409),
    "REG-167": Answer(http=409),
    "REG-168": Answer(http=429),
    "REG-171": Answer(http=411),
    "REG-172": Answer(http=409),
    "REG-173": Answer(http=408),
    "REG-175": Answer(http=409),
}
