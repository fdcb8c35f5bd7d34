"""Nodes for the registry's tests: this process as a node of any role, children that sign, a resolver that answers, a real parent."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from django.db import transaction
from django.test import Client

from biaojie.base import clock
from biaojie.foundation.accounts import operations as accounts
from biaojie.foundation.accounts.models import User
from biaojie.foundation.nodes import operations as nodes
from biaojie.foundation.nodes.card import HandleAddresses, NodeCard, card_key, sign_card
from biaojie.foundation.nodes.identity import KEY_LIFE, Identity
from biaojie.foundation.nodes.keys import make_key, node_id_of
from biaojie.foundation.nodes.models import Peer
from biaojie.foundation.nodes.signing import sign_request
from biaojie.registry import operations
from biaojie.registry.models import Prefix

UNIT = ("清源标识服务有限公司", "91110000MA0DEM003G")
MAKER = ("青禾机械有限公司", "91310000MA0DEM001P")
OTHER = ("澄川泵业有限公司", "91320000MA0DEM002Y")
"""Units that nobody has: their 统一社会信用代码 are valid and belong to no one."""

AsNode = Callable[..., Identity]


def user(role: str, number: int = 1) -> User:
    """A person of a role; the same call gives the same person."""
    held = User.objects.filter(username=f"{role}-{number}").first()
    return held or accounts.create_user(actor="test", username=f"{role}-{number}", password="long-enough-77", role=role)


def hold_prefix(name: str, *, unit: tuple[str, str] = UNIT, peer: Peer | None = None) -> Prefix:
    """A prefix that has come into force, as its application and the verdict on it leave it."""
    with transaction.atomic():
        return _hold_prefix(name, unit, peer)


def _hold_prefix(name: str, unit: tuple[str, str], peer: Peer | None) -> Prefix:
    registrant = operations.register_registrant(actor="test", name=unit[0], credit_code=unit[1])
    prefix = Prefix(name=name, parent=name.rpartition(".")[0], registrant=registrant, is_own=peer is None)
    prefix.peer_id = peer.node_id if peer else ""
    prefix.created_at = prefix.updated_at = clock.now()
    prefix.save()
    operations._settle_verdict(prefix, "confirm", actor=operations.PARENT)
    return prefix


@pytest.fixture
def as_node(settings: Any, tmp_path: Path) -> AsNode:
    """Makes this process a node: `as_node("second")`; needs the database."""

    def make(role: str, **changes: Any) -> Identity:
        folder = tmp_path / role
        folder.mkdir(mode=0o700, exist_ok=True)
        settings.NODE = dataclasses.replace(settings.NODE, role=role, node=f"{role}-test", node_dir=folder, **changes)
        return nodes.establish(settings=settings.NODE, title=f"{role} 节点")

    return make


class Child:
    """A node below this one, with its key: `call` sends a signed request to our own API."""

    def __init__(self, role: str, prefixes: list[str], name: str) -> None:
        from django.conf import settings

        self._web_url = settings.NODE.web_url
        self.key = make_key()
        now = clock.now().replace(microsecond=0)
        card = NodeCard(
            node_id=node_id_of(self.key.key_id),
            name=name,
            role=role,
            environment="test",
            prefixes=tuple(prefixes),
            web_url="http://127.0.0.1:1",
            handle=HandleAddresses(),
            status_url="http://127.0.0.1:1/healthz",
            keys=(card_key(self.key, not_before=now, not_after=now + KEY_LIFE),),
            serial=1,
            issued_at=now,
        )
        code = nodes.issue_code(actor="test", role=role, prefixes=prefixes).code
        self.peer: Peer = nodes.accept_enrolment(sign_card(card, [self.key]), code)

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        """HTTP status and envelope."""
        octets = b"" if body is None else json.dumps(body).encode()
        url = f"{self._web_url}/api/v1/peer{path}"
        signed = sign_request(self.key, method, url, octets, now=clock.now())
        headers = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in signed.items()}
        answer = Client().generic(method, f"/api/v1/peer{path}", octets, "application/json", **headers)
        return answer.status_code, answer.json()


@pytest.fixture
def second(as_node: AsNode) -> None:
    """This process as a second-level node whose own prefix 88.100 is in force."""
    as_node("second")
    hold_prefix("88.100")


@pytest.fixture
def child() -> Callable[..., Child]:
    """Enrols a node below this one: `child("second", ["88.100"])`."""

    def make(role: str, prefixes: list[str], name: str = "下级节点") -> Child:
        return Child(role, prefixes, name)

    return make


@pytest.fixture(scope="session")
def listener(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    """The addresses of a running resolver, as a routing has them."""
    folder = tmp_path_factory.mktemp("listener")
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("BIAOJIE_")},
        "BIAOJIE_ROLE": "second",
        "BIAOJIE_ENVIRONMENT": "test",
        "BIAOJIE_NODE_DIR": str(folder),
        **{f"BIAOJIE_HANDLE_{name}": "127.0.0.1:0" for name in ("UDP", "TCP", "HTTP")},
    }
    argv = [sys.executable, "-m", "biaojie.processes.resolver"]
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        assert said["ready"], said
        yield [
            {"ip_type": 4, "ip": "127.0.0.1", "protocol": name.upper(), "port": int(said[name][0].rpartition(":")[2])}
            for name in ("http", "tcp", "udp")
        ]
        process.terminate()
        process.wait(10)


class ParentNode:
    """A top node in processes of its own: database, web; its staff sign in as people do."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        (folder / "secret.key").write_text(uuid.uuid4().hex * 2, encoding="utf-8")
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("BIAOJIE_")},
            "DJANGO_SETTINGS_MODULE": "biaojie.site.settings",
            "BIAOJIE_ROLE": "top",
            "BIAOJIE_NODE": "top-test",
            "BIAOJIE_ENVIRONMENT": "test",
            "BIAOJIE_NODE_DIR": str(folder),
            "BIAOJIE_WEB": self.url.removeprefix("http://"),
            "BIAOJIE_DATABASE_URL": database_url,
        }
        users = [
            {"username": name, "password": f"{name}-password-1", "role": role, "title": name}
            for name, role in (("admin", "system"), ("reviewer", "reviewer"), ("reviewer2", "reviewer"), ("operator", "operator"))
        ]
        wanted = {"title": "国家顶级节点", "prefixes": ["0.NA", "86", "88"], "users": users}
        prepare = [sys.executable, "-m", "biaojie.processes.prepare"]
        subprocess.run(prepare, env=self._environment, input=json.dumps(wanted), text=True, check=True)
        self._tokens: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Starts the web process and waits until it answers."""
        argv = [sys.executable, "-m", "biaojie.processes.web"]
        self._process = subprocess.Popen(argv, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            try:
                if httpx2.get(f"{self.url}/healthz", timeout=2).status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            time.sleep(0.1)
        raise AssertionError("the parent's web process did not start")

    def stop(self) -> None:
        """Ends the web process; the database stays."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(15)
            self._process = None

    def call(self, user: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """The envelope of a call by one of its staff."""
        if user not in self._tokens:
            signing_in = {"username": user, "password": f"{user}-password-1"}
            answer = httpx2.post(f"{self.url}/api/v1/token", json=signing_in, timeout=30)
            self._tokens[user] = answer.json()["data"]["token"]
        headers = {"Authorization": f"Bearer {self._tokens[user]}"}
        answer = httpx2.request(method, f"{self.url}/api/v1{path}", json=body, headers=headers, timeout=30)
        data: dict[str, Any] = answer.json()
        return data


@pytest.fixture(scope="session")
def parent_node(
    tmp_path_factory: pytest.TempPathFactory, database_server: str, database_template: str, django_db_setup: None
) -> Iterator[ParentNode]:
    """A real top node; every test enrols a new child with it and takes prefixes of its own."""
    from biaojie.foundation.postgres import databases

    name = f"biaojie_parent_{uuid.uuid4().hex[:8]}"
    parent = ParentNode(tmp_path_factory.mktemp("top"), databases.clone(database_server, database_template, name))
    yield parent
    parent.stop()
    databases.drop(database_server, name)


@pytest.fixture
def below(parent_node: ParentNode, as_node: AsNode) -> Callable[[str], ParentNode]:
    """Makes this process a second-level node enrolled for a prefix with the real parent: `below("88.201")`."""

    def enrol(prefix: str) -> ParentNode:
        as_node("second")
        code = parent_node.call("admin", "POST", "/nodes/codes", {"role": "second", "prefixes": [prefix]})["data"]["code"]
        nodes.enrol_with_parent(actor="test", parent_url=parent_node.url, code=code)
        return parent_node

    return enrol


def free_port() -> int:
    """A TCP port nobody holds at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
