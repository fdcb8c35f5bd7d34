"""Lets the tests of this room import each other's modules and those of the rooms whose decoders and nodes they use."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.extend(str(Path(__file__).parent.parent / room) for room in ("fuzz", "handle", "net", "conformance"))
