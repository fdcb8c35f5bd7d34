"""Three real nodes, each with its own web server and database, enrol with each other and keep their cards current."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

pytest.importorskip("django")

from biaojie.foundation.postgres import databases

pytestmark = [pytest.mark.web, pytest.mark.timeout(180)]

PASSWORD = "long enough 7291"

SETTINGS = """
from biaojie.site.settings import *
SIGNED = "biaojie.foundation.nodes.middleware.SignedAnswers"
MIDDLEWARE = [SIGNED, *(name for name in MIDDLEWARE if name != SIGNED)]
"""

SET_UP = """
import sys, django
django.setup()
from django.conf import settings
from biaojie.foundation.accounts import operations as accounts
from biaojie.foundation.nodes import operations as nodes
nodes.establish(settings=settings.NODE, title=sys.argv[1], prefixes=sys.argv[2].split(",") if sys.argv[2] else ())
accounts.create_user(actor="test", username="system", password=sys.argv[3], role="system")
accounts.create_user(actor="test", username="security", password=sys.argv[3], role="security")
"""

ROLL = """
import django
django.setup()
from biaojie.foundation.nodes import operations as nodes
nodes.roll_key(actor="test")
"""

ROLL_AND_PUSH = """
import django
django.setup()
from biaojie.foundation.nodes import operations as nodes
print(nodes.roll_key(actor="test").card.card["keys"][-1]["key_id"], nodes.push_card())
"""

PUSH = """
import django
django.setup()
from biaojie.foundation.nodes import operations as nodes
from biaojie.foundation.nodes.errors import NodeError
try:
    print("sent", nodes.push_card())
except NodeError as error:
    print(error.code)
"""


class WebNode:
    """A node of its own: folder, database, web process."""

    def __init__(
        self, folder: Path, server: str, template: str, *, role: str, title: str, prefixes: str = "", environment: str = "test"
    ):
        self.folder, self.server = folder, server
        folder.mkdir()
        (folder / "secret.key").write_text(secrets.token_hex(32), encoding="utf-8")
        (folder / "chain_settings.py").write_text(SETTINGS, encoding="utf-8")
        self.database = f"biaojie_chain_{role}_{secrets.token_hex(4)}"
        address = databases.clone(server, template, self.database)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.web = f"127.0.0.1:{free.getsockname()[1]}"
        self.url = f"http://{self.web}"
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith("BIAOJIE_")} | {
            "PYTHONPATH": str(folder),
            "DJANGO_SETTINGS_MODULE": "chain_settings",
            "BIAOJIE_ROLE": role,
            "BIAOJIE_ENVIRONMENT": environment,
            "BIAOJIE_NODE_DIR": str(folder),
            "BIAOJIE_DATABASE_URL": address,
            "BIAOJIE_WEB": self.web,
            "BIAOJIE_WEB_THREADS": "2",
        }
        self.run(SET_UP, title, prefixes, PASSWORD)
        self.log = (folder / "web.log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "biaojie.processes.web"],
            env=self.environ,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def run(self, script: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments], env=self.environ, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def wait(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if httpx2.get(f"{self.url}/api/v1/nodes/card", trust_env=False).status_code == 200:
                    return
            except httpx2.TransportError:
                time.sleep(0.1)
        raise AssertionError((self.folder / "web.log").read_text(encoding="utf-8"))

    def call(self, method: str, path: str, body: Any = None, *, user: str = "system") -> httpx2.Response:
        signed_in = httpx2.post(f"{self.url}/api/v1/token", json={"username": user, "password": PASSWORD}, trust_env=False)
        headers = {"Authorization": f"Bearer {signed_in.json()['data']['token']}"}
        return httpx2.request(method, f"{self.url}/api/v1{path}", json=body, headers=headers, timeout=30, trust_env=False)

    def data(self, method: str, path: str, body: Any = None, *, user: str = "system") -> Any:
        answer = self.call(method, path, body, user=user)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def peers(self) -> dict[str, dict[str, Any]]:
        return {row["role"]: row for row in self.data("GET", "/nodes")}

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        self.log.close()
        databases.drop(self.server, self.database)


@pytest.fixture
def chain(tmp_path: Path, database_server: str, database_template: str) -> Iterator[dict[str, WebNode]]:
    nodes: dict[str, WebNode] = {}
    try:
        for role, title, prefixes in (
            ("top", "国家顶级节点", "86,88"),
            ("second", "江南轴承二级节点", ""),
            ("enterprise", "青禾机械企业节点", ""),
        ):
            nodes[role] = WebNode(tmp_path / role, database_server, database_template, role=role, title=title, prefixes=prefixes)
        for node in nodes.values():
            node.wait()
        yield nodes
    finally:
        for node in nodes.values():
            node.stop()


def enrol(child: WebNode, parent: WebNode, role: str, prefix: str) -> Any:
    issued = parent.data("POST", "/nodes/codes", {"role": role, "prefixes": [prefix]})
    body = {"url": parent.url, "code": issued["code"], "fingerprint": issued["fingerprint"].lower()}
    return child.data("POST", "/nodes/parent", body)


def test_chain_enrolled_over_http_knows_its_neighbours_and_follows_a_rollover(chain: dict[str, WebNode]) -> None:
    top, second, enterprise = chain["top"], chain["second"], chain["enterprise"]

    # A wrong fingerprint stops the child before it gives the code away.
    issued = top.data("POST", "/nodes/codes", {"role": "second", "prefixes": ["88.100"]})
    wrong = {"url": top.url, "code": issued["code"], "fingerprint": "0000 " * 16}
    refused = second.call("POST", "/nodes/parent", wrong)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (409, "NODE-153")
    assert top.peers() == {}

    parent = second.data("POST", "/nodes/parent", wrong | {"fingerprint": issued["fingerprint"]})
    assert (parent["role"], parent["relation"]) == ("top", "parent")
    assert [key["fingerprint"] for key in parent["keys"]] == [issued["fingerprint"]]
    known = top.peers()["second"]
    assert (known["relation"], known["prefixes"], known["card_serial"]) == ("child", ["88.100"], 2)

    # An enterprise cannot enrol past its level.
    past = enterprise.call("POST", "/nodes/parent", {"url": top.url, "code": issued["code"]})
    assert (past.status_code, past.json()["errors"][0]["code"]) == (403, "NODE-117")
    assert set(top.peers()) == {"second"}

    # An enterprise enrols with the second-level node, which relays its card to the top.
    enrol(enterprise, second, "enterprise", "88.100.1")
    relayed = top.peers()["enterprise"]
    assert (relayed["relation"], relayed["via"], relayed["prefixes"]) == ("other", known["node_id"], ["88.100.1"])
    assert second.peers()["enterprise"]["node_id"] == relayed["node_id"]

    # A new key travels up both steps with the old key's word for it.
    key_id, sent = enterprise.run(ROLL_AND_PUSH).split()
    assert sent == "1"
    for node in (second, top):
        assert key_id in [key["key_id"] for key in node.peers()["enterprise"]["keys"]]

    # The top announces a new key; the second-level node hears of it with its next push.
    top.run(ROLL)
    assert second.run(PUSH) == "sent 0"
    assert len(second.peers()["top"]["keys"]) == 2

    # What a blocked node signs counts no more; its calls get a signed refusal.
    second.data("POST", f"/nodes/{relayed['node_id']}/block", {"reason": "演练"}, user="security")
    enterprise.run(ROLL)
    assert enterprise.run(PUSH) == "NODE-143"
    assert top.peers()["enterprise"]["card_serial"] == 3


def test_nodes_of_different_environments_refuse_each_other(tmp_path: Path, database_server: str, database_template: str) -> None:
    top = WebNode(tmp_path / "top", database_server, database_template, role="top", title="国家顶级节点", prefixes="86,88")
    try:
        live = WebNode(
            tmp_path / "second", database_server, database_template, role="second", title="二级节点", environment="production"
        )
        try:
            top.wait()
            live.wait()
            code = top.data("POST", "/nodes/codes", {"role": "second", "prefixes": ["88.100"]})["code"]

            refused = live.call("POST", "/nodes/parent", {"url": top.url, "code": code})

            assert (refused.status_code, refused.json()["errors"][0]["code"]) == (403, "NODE-116")
            assert top.peers() == {}
        finally:
            live.stop()
    finally:
        top.stop()
