"""What all tests of the registry share: helpers of this folder, and the nodes of `nodes_around`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from nodes_around import as_node, below, child, listener, parent_node, second
from served import headers, hosted, operator

__all__ = ["as_node", "below", "child", "headers", "hosted", "listener", "operator", "parent_node", "second"]
