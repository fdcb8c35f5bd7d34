"""Which server holds the chain's databases, and how a node's database comes to be.

Default: the embedded cluster in DIR. With `BIAOJIE_DATABASE_URL` in the environment: that server, one database a node,
named `biaojie_<node>`. The first start migrates one template and clones it for each node; a start after an upgrade
migrates each node's own database.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from biaojie.base.roles import PERSON_ROLES
from biaojie.foundation.postgres import databases as server_databases
from biaojie.foundation.postgres.cluster import Cluster
from biaojie.processes import chain
from biaojie.processes.errors import SetupFailed
from biaojie.site import schema

PREFIX = "biaojie_"
TEMPLATE = PREFIX + "template_"

# Who works at each kind of node in the chain; the second reviewer exists because routing at the top needs two persons.
STAFF: Mapping[str, tuple[tuple[str, str], ...]] = {
    "top": (("admin", "system"), ("reviewer", "reviewer"), ("reviewer2", "reviewer"), ("operator", "operator")),
    "second": (("admin", "system"), ("reviewer", "reviewer"), ("reviewer2", "reviewer"), ("operator", "operator")),
    "enterprise": (("admin", "system"), ("operator", "operator")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A PostgreSQL server for the chain; `cluster` is set when it is ours to run."""

    cluster: Cluster | None
    base_url: str

    def url(self, node: str) -> str:
        return self.database(PREFIX + node)

    def database(self, name: str) -> str:
        if self.cluster is not None:
            return self.cluster.dsn(name)
        parts = urlsplit(self.base_url)
        return urlunsplit(parts._replace(path="/" + name))


def server_for(directory: Path) -> Server:
    """The operator's own server if `BIAOJIE_DATABASE_URL` names one, else the embedded cluster of this folder."""
    url = os.environ.get("BIAOJIE_DATABASE_URL", "")
    if url:
        return Server(cluster=None, base_url=url)
    return Server(cluster=Cluster(directory), base_url="")


def prepare(server: Server, nodes: Sequence[chain.PlannedNode], directory: Path) -> dict[str, Any]:
    """Make, migrate and staff each node's database; returns `{node: {"users": [...]}}` with the passwords of DIR."""
    admin = server.database("postgres")
    digest = schema.digest()
    credentials = _credentials(directory, nodes)
    stamp_path = directory / "prepared.json"
    stamps = _read_json(stamp_path)
    missing = [node for node in nodes if not server_databases.exists(admin, PREFIX + node.row.name)]
    if missing:
        _make_template(server, missing[0], digest)
        for node in missing:
            server_databases.create_database(admin, PREFIX + node.row.name, template=TEMPLATE + digest)
            stamps.pop(node.row.name, None)
    running = []
    for node in nodes:
        stamp = f"{digest} {node.web_url} {node.handle} {node.handle_http}"
        if stamps.get(node.row.name) != stamp:
            running.append((node, stamp, _start_preparation(node, credentials[node.row.name])))
    for node, stamp, process in running:
        output = process.communicate()[0]
        if process.returncode != 0:
            raise SetupFailed(step=f"{node.row.name} 数据库准备", reason=output.decode(errors="replace")[-2000:])
        stamps[node.row.name] = stamp
    chain.replace_file(stamp_path, json.dumps(stamps, indent=1) + "\n")
    return {name: {"users": users} for name, users in credentials.items()}


def _make_template(server: Server, node: chain.PlannedNode, digest: str) -> None:
    """Migrate the template of this structure, once; `node` lends its settings."""

    def migrate(url: str) -> None:
        environment = _environment() | {"BIAOJIE_CONFIG": str(node.directory / "node.toml")}
        done = subprocess.run(
            [sys.executable, "-m", "biaojie.site.migrate", url],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if done.returncode != 0:
            raise SetupFailed(step="数据库结构迁移", reason=done.stdout.decode(errors="replace")[-2000:])

    server_databases.ensure_template(server.database("postgres"), TEMPLATE + digest, migrate)


def _start_preparation(node: chain.PlannedNode, users: Sequence[Mapping[str, str]]) -> subprocess.Popen[bytes]:
    environment = _environment() | {"BIAOJIE_CONFIG": str(node.directory / "node.toml")}
    process = subprocess.Popen(
        [sys.executable, "-m", "biaojie.processes.prepare"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps({"title": node.row.title, "prefixes": node.row.prefixes, "users": users}).encode())
    process.stdin.close()
    process.stdin = None
    return process


def _credentials(directory: Path, nodes: Sequence[chain.PlannedNode]) -> dict[str, list[dict[str, str]]]:
    """Sign-ins of each node's staff, made once and kept in DIR (0600)."""
    path = directory / "credentials.json"
    known = _read_json(path)
    for node in nodes:
        if node.row.name not in known:
            known[node.row.name] = [
                {"username": name, "password": secrets.token_urlsafe(12), "role": role, "title": PERSON_ROLES[role].title}
                for name, role in STAFF[node.row.role]
            ]
    chain.replace_file(path, json.dumps(known, indent=1, ensure_ascii=False) + "\n")
    return known


def _environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("BIAOJIE_")}
    return kept | {"DJANGO_SETTINGS_MODULE": "biaojie.site.settings"}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
