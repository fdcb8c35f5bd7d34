"""A whole chain as its operators meet it: `biaojie up` as a process of its own, asked over its API and its command.

    with Chain(folder, port_base=free_block()) as chain:
        chain.api("enterprise", "operator").call("POST", "/api/v1/identifiers", json={…})
        chain.command("resolve", "88.100.1/a").returncode

Leaving the block runs `biaojie down` and asserts that no process of the folder is left, whatever happened in between.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import httpx2

from biaojie.client import resolver
from biaojie.client.errors import ClientError
from biaojie.foundation.postgres.cluster import Cluster

# Generous, because test machines are shared: what a start really takes is printed, not asserted.
READY_WITHIN_S = 240.0
DOWN_WITHIN_S = 90.0
COMMAND_WITHIN_S = 90.0


class Chain:
    """`biaojie up` in `directory`. `started_s` is how long the last start took until its `ready` line."""

    def __init__(self, directory: Path, *, port_base: int | None = None, options: Sequence[str] = (), **environment: str) -> None:
        self.directory = directory
        self.port_base = port_base
        self.options = tuple(options)
        self.environment = environment
        self.process: subprocess.Popen[str] | None = None
        self.lines: list[str] = []
        self.started_s = 0.0
        self._reader: threading.Thread | None = None
        self._said_ready = threading.Event()
        self._apis: dict[tuple[str, str], Api] = {}

    def __enter__(self) -> Self:
        try:
            self.up()
        except BaseException:
            self.destroy()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.destroy()

    # ---- up and down

    def up(self) -> Self:
        """Start it and wait for `ready`."""
        self.launch()
        self.wait_ready()
        return self

    def launch(self) -> None:
        """Start it and do not wait."""
        argv = [*BIAOJIE, "up", "--data", str(self.directory), *self.options]
        if self.port_base is not None:
            argv += ["--port-base", str(self.port_base)]
        self.lines, self._said_ready = [], threading.Event()
        self._begun = time.monotonic()
        self.process = subprocess.Popen(
            argv,
            env=bare_environment() | self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self.process, self._said_ready), daemon=True)
        self._reader.start()

    def wait_ready(self, seconds: float = READY_WITHIN_S) -> None:
        """Wait for the line `ready`; an assertion shows what was said instead."""
        deadline = time.monotonic() + seconds
        while not self._said_ready.wait(0.1):
            process = self.process
            assert process is not None
            if process.poll() is not None:
                self._join_reader()
            said = "\n".join(self.lines[-40:])
            assert process.poll() is None, f"`biaojie up` ended with {process.returncode} instead of saying `ready`:\n{said}"
            assert time.monotonic() < deadline, f"no `ready` within {seconds:g} s:\n{said}\n{self.logs()}"
        self.started_s = time.monotonic() - self._begun

    def wait_ended(self, seconds: float = DOWN_WITHIN_S) -> int:
        """The exit status of `biaojie up` once it has ended by itself."""
        assert self.process is not None
        status = self.process.wait(seconds)
        self._join_reader()
        return status

    def down(self) -> None:
        """`biaojie down`, then nothing of this folder may be alive."""
        done = self.command("down")
        assert done.returncode == 0, done.stderr
        self.wait_ended()
        assert processes_of(self.directory) == []

    def destroy(self) -> None:
        """End it in any state, assert that nothing is left, and take the cluster away (it may lie outside the folder)."""
        process = self.process
        for api in self._apis.values():
            api.close()
        try:
            if process is not None and process.poll() is None:
                self.command("down")
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(DOWN_WITHIN_S)
            left = wait_for_none(self.directory, 20.0)
        finally:
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
            self._join_reader()
            for row in processes_of(self.directory):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(row.pid, signal.SIGKILL)
            if (self.directory / "pg.json").exists():
                Cluster(self.directory).destroy()
        assert left == [], f"processes of {self.directory} outlived `biaojie down`: {left}"

    def _read(self, process: subprocess.Popen[str], said_ready: threading.Event) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.lines.append(line.rstrip("\n"))
            if line.rstrip("\n") == "ready":
                said_ready.set()

    def _join_reader(self) -> None:
        if self._reader is not None and self.process is not None and self.process.stdout is not None:
            self._reader.join(10)
            self.process.stdout.close()
            self._reader = None

    # ---- asking

    @property
    def nodes(self) -> dict[str, dict[str, Any]]:
        """`DIR/nodes.json` as it lies there now."""
        found: dict[str, dict[str, Any]] = json.loads((self.directory / "nodes.json").read_text(encoding="utf-8"))
        return found

    def api(self, node: str, username: str) -> Api:
        """A signed-in member of a node's staff; the same client at every call."""
        if (node, username) not in self._apis:
            row = self.nodes[node]
            password = next(user["password"] for user in row["users"] if user["username"] == username)
            self._apis[(node, username)] = Api(row["http"], username, password)
        return self._apis[(node, username)]

    def command(self, *arguments: str, seconds: float = COMMAND_WITHIN_S) -> subprocess.CompletedProcess[str]:
        """Run `biaojie …` for this folder, named by `$BIAOJIE_DATA`."""
        return subprocess.run(
            [*BIAOJIE, *arguments],
            env=bare_environment() | {"BIAOJIE_DATA": str(self.directory)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def resolve(
        self, identifier: str, *, node: str = "recursive", protocol: str = "udp", trace: bool = False
    ) -> tuple[int, dict[str, Any]]:
        """What `biaojie resolve --json` ends with and prints, at a node of the chain, without starting the command."""
        row = self.nodes[node]
        server = row[f"handle_{protocol}"].removeprefix("http://")
        found = resolver.resolve(
            identifier, server=server, protocol=protocol, trace=trace, trace_url=row["handle_http"], timeout_ms=30_000
        )
        return found.exit_status, found.as_json()

    def wait_found(self, identifier: str, *, node: str, protocol: str = "udp", seconds: float = 120.0) -> None:
        """Wait until the owner answers: a recursive node asked earlier would remember that there was nothing."""

        def is_found() -> bool:
            try:
                return self.resolve(identifier, node=node, protocol=protocol)[0] == 0
            except ClientError:
                return False

        assert wait_until(is_found, seconds, pause_s=0.05) is not None, f"{node} does not answer for {identifier}\n{self.logs()}"

    def status(self) -> dict[str, int | None]:
        """Process ids by `node/process`; None for what is down."""
        done = self.command("status")
        assert done.returncode == 0, done.stderr
        rows = [line.split() for line in done.stdout.splitlines()]
        return {row[0]: int(row[1]) if row[1].isdigit() else None for row in rows}

    def doctor(self) -> None:
        """Assert that every index holds exactly what its registry holds."""
        done = self.command("doctor", seconds=300)
        assert done.returncode == 0, done.stdout + done.stderr

    def logs(self, lines: int = 15) -> str:
        """The ends of the log files, for a message."""
        parts = []
        for path in sorted(self.directory.glob("*/log/*.log")):
            text = path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
            if text:
                parts.append(f"--- {path.relative_to(self.directory)}\n" + "\n".join(line[:400] for line in text))
        return "\n".join(parts)


@dataclass(slots=True)
class Api:
    """A signed-in client of one node; a token is fetched at the first call and after a refusal for want of one."""

    base: str
    username: str
    password: str
    _client: httpx2.Client = field(init=False)
    _token: str = ""

    def __post_init__(self) -> None:
        self._client = httpx2.Client(base_url=self.base, timeout=60.0, trust_env=False)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def call(self, method: str, path: str, **options: Any) -> Any:
        """`data` of a successful answer; an assertion shows any other."""
        answer = self.ask(method, path, **options)
        assert answer.status_code < 400, f"{method} {path}: {answer.status_code} {answer.text[:2000]}"
        body = answer.json()
        assert body["status"] == 1, body
        return body["data"]

    def refused(self, method: str, path: str, **options: Any) -> tuple[int, list[str], dict[str, Any]]:
        """HTTP status, error codes and the whole body of an answer that must be a refusal in the envelope's form."""
        answer = self.ask(method, path, **options)
        body = answer.json()
        assert answer.status_code >= 400 and body["status"] < 0, body
        assert all({"code", "pointer", "message"} <= row.keys() for row in body["errors"]), body
        return answer.status_code, [row["code"] for row in body["errors"]], body

    def ask(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **options: Any) -> httpx2.Response:
        """Any answer. Raises `httpx2.HTTPError` when none came."""
        if not self._token:
            self._token = self._sign_in()
        answer = self._client.request(
            method, path, headers={**(headers or {}), "Authorization": f"Bearer {self._token}"}, **options
        )
        if answer.status_code == 401:
            self._token = ""
        return answer

    def register(self, identifier: str, text: str = "https://p.example/1", *, ttl: int = 300) -> dict[str, Any]:
        """Register an identifier with one URL; gives its row once the node has acknowledged it."""
        body = {"identifier": identifier, "values": [url_value(text, ttl=ttl)]}
        row: dict[str, Any] = self.call("POST", "/api/v1/identifiers", json=body)
        return row

    def _sign_in(self) -> str:
        answer = self._client.post("/api/v1/token", json={"username": self.username, "password": self.password})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["data"]["token"])


def url_value(text: str, *, ttl: int = 300) -> dict[str, Any]:
    """A URL value in the Handle JSON form, at index 1."""
    return {"index": 1, "type": "URL", "data": {"format": "string", "value": text}, "ttl": ttl}


def texts(values: Sequence[Mapping[str, Any]]) -> list[tuple[int, str, str]]:
    """Index, type and text of values in the Handle JSON form."""
    return [(value["index"], value["type"], value["data"]["value"]) for value in values]


# ---- processes

BIAOJIE = (sys.executable, "-m", "biaojie.cli")


@dataclass(frozen=True, slots=True)
class Row:
    """A live process."""

    pid: int
    command: str


def processes_of(directory: Path) -> list[Row]:
    """Every live process that belongs to a folder's chain, found from outside: by command line, environment or cluster."""
    name = os.fsencode(str(directory.resolve()))
    cluster = str((directory / "pg").resolve()) if (directory / "pg").exists() else ""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            command = (entry / "cmdline").read_bytes()
            if not command:
                continue  # a zombie or a kernel thread
            marks = [command, (entry / "environ").read_bytes()]
            is_ours = any(_names(mark, name) for mark in marks)
            if not is_ours and cluster and command.startswith((b"postgres", b"/")):
                is_ours = os.fsencode(cluster) in command or str((entry / "cwd").readlink()).startswith(cluster)
            if is_ours:
                found.append(Row(int(entry.name), command.replace(b"\0", b" ").decode(errors="replace").strip()))
    return found


def _names(text: bytes, folder: bytes) -> bool:
    """Whether the folder occurs as a whole path (`/tmp/a`, not `/tmp/ab`) in settings, options or an environment."""
    at = text.find(folder)
    while at >= 0:
        is_whole = text[at + len(folder) : at + len(folder) + 1] in (b"", b"\0", b"/", b" ")
        # The asking command itself carries the folder in $BIAOJIE_DATA; a process of the chain never does.
        if is_whole and not text[:at].endswith(b"BIAOJIE_DATA="):
            return True
        at = text.find(folder, at + 1)
    return False


def wait_for_none(directory: Path, seconds: float) -> list[Row]:
    """What is still alive when nothing is, or when the time is over."""
    deadline = time.monotonic() + seconds
    while (left := processes_of(directory)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def pss_by_process(directory: Path) -> dict[str, int]:
    """Proportional set size in octets of each process of the chain, by a name with its pid."""
    sizes = {}
    for row in processes_of(directory):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{row.pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
                if line.startswith("Pss:"):
                    sizes[f"{row.pid} {row.command[-60:]}"] = int(line.split()[1]) * 1024
    return sizes


def children_of(pid: int) -> list[int]:
    """The live children of a process."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                if int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1]) == pid:
                    found.append(int(entry.name))
    return found


# ---- small things


def quoted(identifier: str) -> str:
    """An identifier as one segment of a path."""
    return quote(identifier, safe="")


def free_block(seed: int | None = None) -> int:
    """The base of a block of a hundred ports that are free now, below those the kernel gives to outgoing connections."""
    chance = random.Random(seed)
    for _ in range(200):
        base = chance.randrange(200, 319) * 100
        if all(is_free(base + 10 * node + offset) for node in range(5) for offset in range(3)):
            return base
    raise AssertionError("no free block of ports between 20000 and 31900")


def is_free(port: int) -> bool:
    """Whether a port of the loopback can be listened on, over TCP and UDP."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1 if kind == socket.SOCK_STREAM else 0)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


def bare_environment() -> dict[str, str]:
    """This process's environment without what would steer a chain."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BIAOJIE_", "DJANGO_"))}
    return kept | {"PYTHONUNBUFFERED": "1", "COLUMNS": "200"}


def wait_until(condition: Callable[[], object], seconds: float, *, pause_s: float = 0.02) -> float | None:
    """Seconds until the condition held, or None when it did not in time."""
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        if condition():
            return time.monotonic() - begun
        time.sleep(pause_s)
    return None
