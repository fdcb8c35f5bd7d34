"""Bulk registration through the HTTP API against the limit: COPY of the same rows into the same table with its indexes.

A real web process over a real server with fsync on, as `biaojie up` runs them; both are measured in turn in the same
cluster, each round in a fresh clone of one migrated database. Ours includes sign-in, HTTP, every check of every row, the
journal and the load's own bookkeeping. `BENCH_ROWS` (200,000) and `BENCH_ROUNDS` (3) scale it.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx2
import psycopg
from section import Section, machine, median, work_folder

from biaojie.foundation.postgres import databases
from biaojie.foundation.postgres.cluster import Cluster

ROWS = int(os.environ.get("BENCH_ROWS", "200000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
PREFIX = "88.100.2"
PASSWORD = "a-long-pass-phrase-7"
MEMORY_MOST_MB = 300


class Sent(NamedTuple):
    """One upload: rows a second, and the web process's memory before and at its highest, MB."""

    rate: float
    before_mb: float
    highest_mb: float


def run() -> Section:
    """Measure both, in turn."""
    with work_folder() as name, Cluster(Path(name) / "pg") as cluster:
        folder = Path(name)
        os.environ["DJANGO_SETTINGS_MODULE"] = "biaojie.site.settings"
        template = _template(cluster, folder)
        sent, copied = [], []
        for number in range(ROUNDS):
            url = databases.clone(cluster.dsn(), template, f"bench_copy_{number}")
            copied.append(_copy(url))
            url = databases.clone(cluster.dsn(), template, f"bench_http_{number}")
            sent.append(_send(folder, url))
            for done in ("copy", "http"):
                databases.drop(cluster.dsn(), f"bench_{done}_{number}")
    rate, limit = median(row.rate for row in sent), median(copied)
    ratio = median(row.rate / other for row, other in zip(sent, copied, strict=True))
    highest = max(row.highest_mb for row in sent)
    return Section(
        title="Bulk registration over HTTP",
        header=("way", "median rows/s", "ratio to the limit", "web process, MB before / at its highest"),
        rows=[
            ["COPY into registry_handle", f"{limit:,.0f}", "1.00", ""],
            [
                "POST /api/v1/identifiers/bulk, chunked",
                f"{rate:,.0f}",
                f"{ratio:.2f}",
                f"{sent[0].before_mb:.0f} / {highest:.0f}",
            ],
        ],
        bars=[
            ("bulk registration, journal included, against COPY", ratio, "≥ 0.1", ratio >= 0.1),
            ("highest memory of the web process, MB", highest, f"< {MEMORY_MOST_MB}", highest < MEMORY_MOST_MB),
        ],
        remarks=[
            f"{ROWS:,} identifiers of three values each, {ROUNDS} rounds in turn, fsync on; rows and journal counted each time.",
            machine(),
        ],
    )


def row_of(number: int) -> tuple[str, str]:
    """An identifier and its three values as JSON."""
    values = [
        {"index": 1, "type": "URL", "data": {"format": "string", "value": f"https://id.example.org/p/{number:08d}"}, "ttl": 3600},
        {"index": 2, "type": "productName", "data": {"format": "string", "value": f"深沟球轴承 {number:08d}"}},
        {"index": 3, "type": "spec", "data": {"format": "string", "value": f"6204-2RS / {number % 97} / C3"}},
    ]
    return f"{PREFIX}/BENCH-{number:08d}", json.dumps(values, ensure_ascii=False, separators=(",", ":"))


def _template(cluster: Cluster, folder: Path) -> str:
    """A database of a second-level node that hosts the prefix."""
    name = "bench_template"
    databases.create_database(cluster.dsn(), name)
    url = cluster.dsn(name)
    users = [{"username": "operator", "password": PASSWORD, "role": "operator", "title": "操作员"}]
    command = [sys.executable, "-m", "biaojie.processes.prepare"]
    wanted = json.dumps({"title": "基准测试节点", "prefixes": [], "users": users})
    subprocess.run(command, env=_environment(folder, url, 1), input=wanted, text=True, check=True, stdout=subprocess.DEVNULL)
    with psycopg.connect(url) as connection:
        # Put there without the months of its life: the triggers of the workflow stand aside.
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "WITH unit AS (INSERT INTO registry_registrant (name, credit_code, peer_id, created_at, updated_at, version)"
            " VALUES ('基准单位', '91110000MA0BENCH0X', '', now(), now(), 1) RETURNING id)"
            " INSERT INTO registry_prefix (name, parent, registrant_id, peer_id, is_own, status, hosting, reason_code, reason,"
            " site_serial, created_at, updated_at, version) SELECT %s, '88.100', id, '', false, 1, 4, '', '', 0, now(), now(), 1 FROM unit",
            [PREFIX],
        )
    return name


def _copy(url: str) -> float:
    """Rows a second of COPY; the rows are made beforehand."""
    with psycopg.connect(url) as connection:
        (prefix,) = connection.execute("SELECT id FROM registry_prefix").fetchone()  # type: ignore[misc]  # it has one row
        now = "2026-01-05 00:00:00+00"
        lines = []
        for number in range(ROWS):
            handle, values = row_of(number)
            lines.append(f"1:{handle}\t{handle}\t{prefix}\t{PREFIX}\tidentifier\t{values}\t1\t{now}\t{now}\n")
        data = "".join(lines).encode()
        began_s = time.perf_counter()
        statement = (
            "COPY registry_handle (key, spelled, prefix_id, owner, purpose, values, version, created_at, updated_at) FROM STDIN"
        )
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(data)
        connection.commit()
        return ROWS / (time.perf_counter() - began_s)


def _send(folder: Path, url: str) -> Sent:
    """One upload to a web process of its own."""
    with _web(folder, url) as (base, pid):
        token = httpx2.post(f"{base}/api/v1/token", json={"username": "operator", "password": PASSWORD}).json()["data"]["token"]
        body = folder / "rows.ndjson"
        with body.open("w", encoding="utf-8") as stream:
            for number in range(ROWS):
                handle, values = row_of(number)
                stream.write(f'{{"handle":"{handle}","values":{values}}}\n')
        before = _memory_mb(pid, "VmRSS")
        began_s = time.perf_counter()
        answer = httpx2.post(
            f"{base}/api/v1/identifiers/bulk",
            params={"prefix": PREFIX, "format": "ndjson", "mode": "create"},
            headers={"Authorization": f"Bearer {token}", "X-Row-Count": str(ROWS)},
            content=_blocks(body),
            timeout=600,
        )
        took_s = time.perf_counter() - began_s
        data = answer.json().get("data") or {}
        if (data.get("state"), data.get("accepted")) != ("done", ROWS):
            raise SystemExit(f"bulk failed: {answer.status_code} {answer.text[:500]}")
        with psycopg.connect(url) as connection:
            counts = connection.execute(
                "SELECT (SELECT count(*) FROM registry_handle WHERE deleted_at IS NULL), (SELECT count(*) FROM records_change)"
            ).fetchone()
        if counts != (ROWS, ROWS):
            raise SystemExit(f"rows and journal: {counts}")
        return Sent(ROWS / took_s, before, _memory_mb(pid, "VmHWM"))


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while block := stream.read(1 << 16):
            yield block


@contextlib.contextmanager
def _web(folder: Path, url: str) -> Iterator[tuple[str, int]]:
    """A web process; gives its address and the id of the worker that serves."""
    port = _free_port()
    command = [sys.executable, "-m", "biaojie.processes.web"]
    with subprocess.Popen(command, env=_environment(folder, url, port), stdout=subprocess.DEVNULL) as process:
        try:
            base = f"http://127.0.0.1:{port}"
            _wait(base)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            yield base, max((int(child) for child in children), key=lambda pid: _memory_mb(pid, "VmRSS"), default=process.pid)
        finally:
            process.terminate()
            process.wait(15)


def _wait(base: str) -> None:
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx2.TransportError):
            if httpx2.get(f"{base}/healthz", timeout=2).status_code == 200:
                return
        time.sleep(0.1)
    raise SystemExit("the web process did not start")


def _environment(folder: Path, url: str, port: int) -> dict[str, str]:
    secret = folder / "secret.key"
    if not secret.exists():
        secret.write_text(uuid.uuid4().hex * 2, encoding="utf-8")
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("BIAOJIE_")},
        "DJANGO_SETTINGS_MODULE": "biaojie.site.settings",
        "BIAOJIE_ROLE": "second",
        "BIAOJIE_NODE": "second-bench",
        "BIAOJIE_ENVIRONMENT": "test",
        "BIAOJIE_NODE_DIR": str(folder),
        "BIAOJIE_WEB": f"127.0.0.1:{port}",
        "BIAOJIE_DATABASE_URL": url,
    }


def _memory_mb(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
