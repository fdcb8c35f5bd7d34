"""`biaojie doctor`: does every node's resolver hold exactly what its registry holds?

Each node is examined by a process of its own with the node's settings, because one process is one node.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from biaojie.base.roles import NODE_ROLES
from biaojie.foundation.postgres import place
from biaojie.foundation.postgres.binaries import SHARED_ROOT
from biaojie.processes import control
from biaojie.processes.errors import NoSuchNode, NotRunning

ATTEMPTS, PAUSE_S = 5, 0.5


def run(directory: Path, *, node: str | None, say: Callable[[str], None]) -> bool:
    """Examine every node with a database (or one); True when all are equal. Raises `NotRunning`, `NoSuchNode`."""
    try:
        nodes = json.loads((directory / "nodes.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NotRunning(directory=directory) from error
    examined = [name for name, row in nodes.items() if NODE_ROLES[row["role"]].has_database and node in (None, name)]
    if not examined:
        raise NoSuchNode(name=node, known="、".join(name for name, row in nodes.items() if NODE_ROLES[row["role"]].has_database))
    if (directory / "pg.json").exists():  # its database runs only while the chain does
        control.call(directory, "status")
    for home, lost in place.orphans(SHARED_ROOT):
        say(f"提示：{home} 是 {lost} 的数据库，该目录已不存在或已另建数据库；确认无用后可删除 {home} 与 {home}.json")
    sound = [_examine(directory / name, name, say) for name in examined]
    return all(sound)


def _examine(folder: Path, name: str, say: Callable[[str], None]) -> bool:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("BIAOJIE_")}
    environment |= {"BIAOJIE_CONFIG": str(folder / "node.toml"), "DJANGO_SETTINGS_MODULE": "biaojie.site.settings"}
    done = subprocess.run(
        [sys.executable, "-m", "biaojie.processes.doctor"], env=environment, capture_output=True, text=True, check=False
    )
    try:
        report = json.loads(done.stdout)
    except ValueError:  # an exception ends with status 1 too, but without a report
        last = done.stderr.strip().rpartition("\n")[2][-500:]  # the lines before it are a traceback
        say(f"{name}：检查未能进行：{last or f'退出码 {done.returncode}'}")
        return False
    if report["equal"]:
        say(f"{name}：索引与注册数据一致（{report['registry'].partition('-')[0]} 条，摘要 {report['registry'][-16:]}）")
        return True
    say(f"{name}：索引与注册数据不一致")
    for line in report["differences"]:
        say(f"  {line}")
    return False


def main() -> int:
    """In a process of the node: compare, print the report as JSON. A node at work gets a few tries to come to rest."""
    import django

    django.setup()
    from biaojie.base import settings
    from biaojie.registry.comparison import compare
    from biaojie.resolution.index import Index

    with Index.open(settings.load().node_dir / "index") as index:
        for attempt in range(ATTEMPTS):
            comparison = compare(index)
            if comparison.equal:
                break
            if attempt < ATTEMPTS - 1:
                time.sleep(PAUSE_S)
    sys.stdout.write(
        json.dumps({"equal": comparison.equal, "registry": comparison.registry, "differences": comparison.differences})
    )
    return 0 if comparison.equal else 1


if __name__ == "__main__":
    sys.exit(main())
