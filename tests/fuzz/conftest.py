"""Lets the tests of this room import each other's modules and those of the rooms whose decoders and nodes they use."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).parent.parent

for place in (Path(__file__).parent, *(TESTS / room for room in ("handle", "net", "conformance"))):
    if str(place) not in sys.path:
        sys.path.append(str(place))
