"""What the supervisor does with commands and with a setting up that fails; the whole chain is `tests/scenarios`'."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest

from biaojie.processes import chain, ports, setting_up
from biaojie.processes.children import Child, ChildSpec
from biaojie.processes.errors import NoSuchNode, ProcessError, SetupFailed
from biaojie.processes.supervisor import Supervisor, main


@pytest.fixture
def supervisor(tmp_path: Path) -> Supervisor:
    """One that plans a chain and has started none of it."""
    made = Supervisor(tmp_path, say=said.append)
    said.clear()
    made.nodes = chain.plan(tmp_path, ports.Block(base=24900), lambda name: f"postgresql:///{name}")
    for node in made.nodes:
        for process in node.processes:
            name = f"{node.row.name}/{process}"
            made.children[name] = Child(ChildSpec(name=name, argv=("true",), environment={}, log=tmp_path / "log", probe=bool))
    return made


said: list[str] = []


def announce(directory: Path, nodes: list[chain.PlannedNode]) -> dict[str, Any]:
    announced = setting_up._announcement(nodes, {}, {})
    (directory / "nodes.json").write_text(json.dumps(announced), encoding="utf-8")
    return announced


def fail(*_: Any, **__: Any) -> Mapping[str, Any]:
    raise SetupFailed(step="second POST /api/v1/token", reason="423")


@pytest.mark.parametrize("command", ["stop", "start"])
def test_command_without_a_node_touches_nothing(supervisor: Supervisor, command: str) -> None:
    with pytest.raises(NoSuchNode):
        supervisor._command({"command": command, "node": ""})


def test_command_unknown_is_refused(supervisor: Supervisor) -> None:
    with pytest.raises(ProcessError, match="explode"):
        supervisor._command({"command": "explode"})


def test_chain_announced_before_is_kept_when_setting_up_fails(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    announced = announce(supervisor.directory, supervisor.nodes)
    monkeypatch.setattr(setting_up, "run", fail)

    assert supervisor._announced({}) == announced
    assert "PROC-106" in said[0]


def test_first_setting_up_that_fails_is_told(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setting_up, "run", fail)

    with pytest.raises(SetupFailed):
        supervisor._announced({})


def test_chain_on_other_ports_is_set_up_anew(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    announce(supervisor.directory, chain.plan(supervisor.directory, ports.Block(base=25000), lambda name: name))
    monkeypatch.setattr(setting_up, "run", fail)

    with pytest.raises(SetupFailed):
        supervisor._announced({})


def test_setting_up_under_a_chain_that_ends_is_no_failure(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(*_: Any, **__: Any) -> Mapping[str, Any]:
        supervisor._ending.set()
        return fail()

    monkeypatch.setattr(setting_up, "run", ended)
    monkeypatch.setattr(supervisor, "_wait_ready", lambda child: None)
    supervisor._set_up({})

    assert supervisor._failure is None


def test_node_that_goes_away_is_a_refusal_with_its_step(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise httpx2.ConnectError("Connection refused")

    api = setting_up.NodeApi(supervisor.nodes[0], [{"username": "admin", "password": "x"}], "admin")
    monkeypatch.setattr(api._client, "request", refuse)

    with pytest.raises(SetupFailed, match="top POST /api/v1/token"):
        api.call("GET", "/api/v1/nodes")


def test_folder_that_cannot_be_used_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()

    statuses = [main(tmp_path / name, port_base=None, demo=False) for name in ("file", "file/below", "\udcff")]

    lines = capsys.readouterr().err.splitlines()
    assert (statuses, len(lines)) == ([1, 1, 1], 3)
    assert all(line.startswith("[PROC-100] ") for line in lines)
