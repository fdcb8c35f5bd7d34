"""The chain that `biaojie up` runs: which nodes, on which addresses, with which settings and processes.

Pure data and files: `plan` decides, `write_settings` writes each node's `node.toml`, `child_specs` says what to start.
Starting and watching is `supervisor`; enrolling and filling is `setting_up` and `demo`.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from biaojie.base.roles import NODE_ROLES
from biaojie.processes import ports
from biaojie.processes.children import ChildSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """One node of the demonstration chain."""

    name: str
    role: str
    title: str
    parent: str = ""
    prefixes: tuple[str, ...] = ()


CHAIN: tuple[NodeRow, ...] = (
    NodeRow(name="top", role="top", title="国家顶级节点（演示）", prefixes=("0.NA", "86", "88")),
    NodeRow(name="second", role="second", title="演示装备标识二级节点", parent="top", prefixes=("88.100",)),
    NodeRow(name="enterprise", role="enterprise", title="青禾机械企业节点（演示）", parent="second", prefixes=("88.100.1",)),
    NodeRow(name="recursive", role="recursive", title="递归节点（演示）"),
)


WITHOUT_DATABASE = frozenset({"resolver", "recursor"})
"""Processes that answer from files alone and wait for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedNode:
    """A node with its place on this machine."""

    row: NodeRow
    directory: Path
    web: str
    handle: str
    handle_http: str
    database_url: str

    @property
    def processes(self) -> tuple[str, ...]:
        return NODE_ROLES[self.row.role].processes

    @property
    def has_database(self) -> bool:
        return NODE_ROLES[self.row.role].has_database

    @property
    def web_url(self) -> str:
        return f"http://{self.web}" if "web" in self.processes else f"http://{self.handle_http}"


def plan(directory: Path, block: ports.Block, database_url: Callable[[str], str]) -> list[PlannedNode]:
    """The nodes of the chain with addresses from `block`; `database_url(name)` gives a node's database."""
    nodes = []
    for number, row in enumerate(CHAIN):
        has_database = NODE_ROLES[row.role].has_database
        nodes.append(
            PlannedNode(
                row=row,
                directory=directory / row.name,
                web=f"127.0.0.1:{block.port(number, ports.WEB)}",
                handle=f"127.0.0.1:{block.port(number, ports.HANDLE)}",
                handle_http=f"127.0.0.1:{block.port(number, ports.HANDLE_HTTP)}",
                database_url=database_url(row.name) if has_database else "",
            )
        )
    return nodes


def write_settings(node: PlannedNode, *, bootstrap: Path, environment: str = "test") -> Path:
    """Write `node.toml` (0600: it may hold a password of the database), once also a session secret; returns the settings' path."""
    values: dict[str, object] = {
        "role": node.row.role,
        "node": node.row.name,
        "environment": environment,
        "node_dir": str(node.directory),
        "web": node.web,
        "web_url": node.web_url,
        "handle_udp": [node.handle],
        "handle_tcp": [node.handle],
        "handle_http": [node.handle_http],
        "bootstrap": str(bootstrap),
        "database_url": node.database_url,
    }
    node.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    secret = node.directory / "secret.key"
    if not secret.exists():
        replace_file(secret, secrets.token_urlsafe(48) + "\n")
    path = node.directory / "node.toml"
    # JSON texts and lists of texts are TOML as they stand.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items() if value != ""]
    replace_file(path, "\n".join(lines) + "\n")
    return path


def child_specs(node: PlannedNode) -> list[ChildSpec]:
    """What to start for a node, in the order of starting."""
    config = node.directory / "node.toml"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("BIAOJIE_")}
    environment |= {
        "BIAOJIE_CONFIG": str(config),
        "PYTHONUNBUFFERED": "1",
        "DJANGO_SETTINGS_MODULE": "biaojie.site.settings",
    }
    for variable in ("BIAOJIE_CLOCK_OFFSET_S", "BIAOJIE_CLOCK_SCALE", "BIAOJIE_CLOCK_ORIGIN_S"):
        if variable in os.environ:
            environment[variable] = os.environ[variable]
    probes: dict[str, Callable[[], bool]] = {
        "web": lambda: healthy(f"http://{node.web}/healthz"),
        "worker": lambda: (node.directory / "worker.ready").exists(),
        "resolver": lambda: healthy(f"http://{node.handle_http}/healthz"),
        "recursor": lambda: healthy(f"http://{node.handle_http}/healthz"),
    }
    return [
        ChildSpec(
            name=f"{node.row.name}/{process}",
            argv=(sys.executable, "-m", f"biaojie.processes.{process}"),
            environment=environment,
            log=node.directory / "log" / f"{process}.log",
            probe=probes[process],
        )
        for process in node.processes
    ]


def healthy(url: str) -> bool:
    """Whether a node's health check answers 200 now."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310  # our own loopback URL
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError, ValueError):
        return False


def replace_file(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Write a file so that a reader sees the old or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
