"""docs/flows/start-a-chain.md: what `biaojie up` announces is there and complete, and a folder has one chain."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from running_chain import Chain, pss_by_process, quoted

ROLES = {"top": "top", "second": "second", "enterprise": "enterprise", "recursive": "recursive"}
WEB_NODES = ("top", "second", "enterprise")
PROCESSES = {"database/postgres", "recursive/recursor"} | {
    f"{node}/{process}" for node in WEB_NODES for process in ("web", "worker", "resolver")
}


def get(url: str) -> httpx2.Response:
    return httpx2.get(url, timeout=30.0, trust_env=False)


def test_nodes_file_at_ready_is_complete_and_private(chain: Chain) -> None:
    path = chain.directory / "nodes.json"

    nodes = chain.nodes

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {name: row["role"] for name, row in nodes.items()} == ROLES
    for name, row in nodes.items():
        assert {"role", "http", "handle_udp", "handle_tcp", "handle_http", "prefixes", "examples", "users"} <= row.keys(), name
        assert row["http"].startswith("http://127.0.0.1:") and row["handle_http"].startswith("http://127.0.0.1:")
        assert row["handle_udp"].startswith("127.0.0.1:") and row["handle_tcp"].startswith("127.0.0.1:")
        assert row["examples"], f"{name} has no examples"
        assert all(user.keys() >= {"username", "password", "role"} for user in row["users"])
    assert nodes["second"]["prefixes"] == ["88.100"] and nodes["enterprise"]["prefixes"] == ["88.100.1"]


def test_output_of_up_ends_with_the_table_and_ready(chain: Chain) -> None:
    lines = chain.lines[: chain.lines.index("ready")]

    assert lines[-1].startswith("enterprise")
    for name, row in chain.nodes.items():
        assert any(line.startswith(name) and row["http"] in line for line in lines)
        assert all(any(user["username"] in line and user["password"] in line for line in lines) for user in row["users"])


def test_every_announced_sign_in_is_let_in_with_its_role(chain: Chain) -> None:
    people = [(name, user) for name, row in chain.nodes.items() for user in row["users"]]

    roles = [chain.api(name, user["username"]).call("GET", "/api/v1/account")["role"] for name, user in people]

    assert roles == [user["role"] for _, user in people]


def test_every_announced_example_resolves_where_it_is_announced(chain: Chain) -> None:
    found = {
        (name, example): get(f"{row['handle_http']}/api/handles/{quoted(example)}").status_code
        for name, row in chain.nodes.items()
        for example in row["examples"]
    }

    assert {key: status for key, status in found.items() if status != 200} == {}


@pytest.mark.parametrize("node", ROLES)
def test_node_answers_health_metrics_and_handles(chain: Chain, node: str) -> None:
    row = chain.nodes[node]
    bases = {row["handle_http"], row["http"]}
    example = quoted(row["examples"][0])

    for base in bases:
        health, metrics, handle = get(f"{base}/healthz"), get(f"{base}/metrics"), get(f"{base}/api/handles/{example}")
        absent = get(f"{base}/api/handles/{quoted(row['examples'][0] + '-absent')}")

        assert (base, health.status_code, metrics.status_code) == (base, 200, 200)
        assert "# TYPE" in metrics.text
        assert (base, handle.status_code) == (base, 200), handle.text
        assert handle.json()["responseCode"] == 1 and handle.json()["values"]
        assert (base, absent.status_code) == (base, 404) and absent.json()["responseCode"] == 100


@pytest.mark.parametrize("node", WEB_NODES)
def test_web_node_documents_its_api(chain: Chain, node: str) -> None:
    document = get(f"{chain.nodes[node]['http']}/api/openapi.json").json()

    assert document["openapi"].startswith("3.")
    assert {"/api/v1/token", "/api/v1/identifiers", "/api/v1/identifiers/bulk", "/api/v1/prefixes"} <= document["paths"].keys()


def test_page_of_the_recursive_node_shows_the_answer_and_its_path(chain: Chain) -> None:
    row = chain.nodes["recursive"]
    example = chain.nodes["enterprise"]["examples"][0]

    page = httpx2.get(
        f"{row['http']}/resolve/{quoted(example)}?trace=1", headers={"Accept": "text/html"}, timeout=30.0, trust_env=False
    )

    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    assert example in page.text and "企业节点 88.100.1" in page.text


def test_doctor_finds_every_index_equal_to_its_registry(chain: Chain) -> None:
    done = chain.command("doctor")

    assert done.returncode == 0, done.stdout + done.stderr
    found = [line for line in done.stdout.splitlines() if line.partition("：")[0] in WEB_NODES]
    assert [line.partition("：")[0] for line in found] == list(WEB_NODES)
    assert all("索引与注册数据一致" in line for line in found)


def test_status_names_every_process_with_its_pid(chain: Chain) -> None:
    status = chain.status()

    assert status.keys() == PROCESSES
    assert all(pid is not None for pid in status.values())


def test_second_up_on_the_same_folder_is_refused(chain: Chain) -> None:
    done = chain.command("up", "--data", str(chain.directory))

    assert done.returncode == 1
    assert done.stderr.startswith("[PROC-102]") and len(done.stderr.splitlines()) == 1
    assert chain.process is not None and str(chain.process.pid) in done.stderr


def test_up_on_a_named_block_that_is_taken_is_refused_naming_the_port(chain: Chain, tmp_path: Path) -> None:
    base = chain.port_base

    done = chain.command("up", "--data", str(tmp_path / "other"), "--port-base", str(base))

    assert done.returncode == 1
    assert done.stderr.startswith("[PROC-101]") and str(base) in done.stderr and len(done.stderr.splitlines()) == 1


def test_stop_of_what_does_not_exist_names_what_does(chain: Chain) -> None:
    done = chain.command("stop", "enterprise", "kettle")

    assert done.returncode == 1
    assert done.stderr.startswith("[PROC-105]") and "enterprise/resolver" in done.stderr


def test_memory_of_the_chain_is_told(chain: Chain, tell: Callable[[str], None]) -> None:
    sizes = pss_by_process(chain.directory)

    tell(f"PSS of {len(sizes)} processes: {sum(sizes.values()) / 2**20:.0f} MB; ready after {chain.started_s:.1f} s")
    assert len(sizes) >= len(PROCESSES)
