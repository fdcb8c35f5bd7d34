"""Lets the tests of this room import `vectors` and `fuzz_targets`, which lie beside them."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)
