"""`biaojie doctor` says what it found, also where it could not look."""

from __future__ import annotations

import json
from pathlib import Path

from biaojie.processes import doctor


def test_node_that_cannot_be_examined_is_told_and_is_not_sound(tmp_path: Path) -> None:
    (tmp_path / "nodes.json").write_text(json.dumps({"second": {"role": "second"}}), encoding="utf-8")
    said: list[str] = []

    sound = doctor.run(tmp_path, node=None, say=said.append)  # no settings, no database

    assert not sound
    assert any(line.startswith("second：检查未能进行：") for line in said)
