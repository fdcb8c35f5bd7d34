"""The resolver process as a whole: it follows, survives what its publication does, ends in order."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest
from node_under_test import LONG, OWNER, URL, Node, ask_udp, handle_row, question, read, start_node

from biaojie.processes.resolver import Following
from biaojie.resolution.counters import merge_spools, read_spool
from biaojie.resolution.follower import FollowReport
from biaojie.resolution.index import Index
from biaojie.resolution.publication import PublicationWriter

Starting = Callable[..., Node]


def health(node: Node) -> tuple[int, dict[str, object]]:
    try:
        with urllib.request.urlopen(node.http[0] + "/healthz", timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def until(condition: Callable[[], bool], *, within_s: float = 10.0) -> float:
    """Seconds until something holds."""
    began_s = time.monotonic()
    while not condition():
        assert time.monotonic() - began_s < within_s
        time.sleep(0.01)
    return time.monotonic() - began_s


def code_of(node: Node, handle: str) -> int:
    return read(ask_udp(node.udp[0], question(handle))).response_code


def test_resolver_new_handle_in_the_publication_is_answered_within_a_second(starting: Starting) -> None:
    node = starting()
    until(lambda: health(node)[0] == 200)
    before = code_of(node, "88.100.1/fresh")

    node.writer.append([handle_row("88.100.1/fresh", URL)], from_serial=1, to_serial=2)
    waited_s = until(lambda: code_of(node, "88.100.1/fresh") == 1)

    assert before == 100
    assert waited_s < 1.0
    assert health(node)[1]["serial"] == 2


def test_resolver_before_any_publication_is_not_ready_and_becomes_so(tmp_path: Path) -> None:
    folder = tmp_path / "node"
    folder.mkdir()
    node = start_node(folder)
    try:
        first = health(node)[0]
        PublicationWriter(folder / "publication", node="second").start([handle_row("88.100.1/a", URL)], 1)
        until(lambda: health(node)[0] == 200)
    finally:
        status = node.stop()

    assert (first, status) == (503, 0)


def test_resolver_sigterm_under_load_loses_no_count(starting: Starting) -> None:
    node = starting()
    until(lambda: health(node)[0] == 200)
    sent = answered = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.3)
        sock.connect(node.udp[0])
        for number in range(3000):
            sock.send(question("88.100.1/item-42", request_id=number))
            sent += 1
            if number == 2000:
                node.process.send_signal(signal.SIGTERM)
            try:
                sock.recv(2048)
                answered += 1
            except (TimeoutError, ConnectionError):
                break
    status = node.stop()

    spool = merge_spools(read_spool(path) for path in (node.folder / "spool").glob("*.json"))
    assert status == 0
    assert answered >= 2000
    # The last question may have been answered after its client had stopped waiting.
    assert answered <= spool.owners[OWNER].requests <= sent


def test_resolver_after_sigkill_answers_at_once_from_its_index(starting: Starting) -> None:
    node = starting()
    until(lambda: health(node)[0] == 200)
    node.process.kill()
    node.end()

    again = starting()
    code = code_of(again, "88.100.1/item-42")

    assert code == 1


def test_resolver_taken_port_ends_with_a_plain_word(starting: Starting) -> None:
    node = starting()
    for name, (host, port) in (("handle_udp", node.udp[0]), ("handle_tcp", node.tcp[0])):
        second = start_node(node.folder, **{name: f"{host}:{port}"})

        assert second.end() == 1


def test_resolver_wrong_setting_ends_with_a_plain_word(tmp_path: Path) -> None:
    node = start_node(tmp_path, tcp_idle_s="never")

    assert node.end() == 1


def test_following_outlives_whatever_a_poll_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = Index.open(tmp_path / "index")
    following = Following(str(tmp_path / "publication"), index)
    polls = iter([lmdb.DiskError("No space left on device")])
    real = following._follower.poll

    def poll() -> FollowReport:
        if (error := next(polls, None)) is not None:
            raise error
        return real()

    monkeypatch.setattr(following._follower, "poll", poll)
    following.start()
    until(lambda: "No space left" in following.problem)
    PublicationWriter(tmp_path / "publication", node="second").start([handle_row("88.100.1/a", URL)], 1)

    until(lambda: index.serial == 1)
    until(lambda: following.problem == "")
    following.stop()
    index.close()


def test_resolver_more_udp_workers_share_the_port_and_count_all(starting: Starting) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    node = starting(udp_workers="3", handle_udp=f"127.0.0.1:{port}")
    until(lambda: health(node)[0] == 200)
    until(lambda: _bound(port) == 3)

    for number in range(300):
        assert code_of(node, "88.100.1/item-42" if number % 3 else "88.100.1/none") in (1, 100)
    node.writer.append([handle_row("88.100.1/item-42", LONG, version=2)], from_serial=1, to_serial=2)
    until(lambda: health(node)[1]["serial"] == 2)
    sizes = {int.from_bytes(ask_udp(node.udp[0], question("88.100.1/item-42"))[16:20], "big") for _ in range(60)}
    children = _children(node.process.pid)
    status = node.stop()

    spools = [read_spool(path) for path in (node.folder / "spool").glob("*.json")]
    assert status == 0
    assert len(sizes) == 1
    assert len({spool.process for spool in spools}) == 3
    assert merge_spools(spools).owners[OWNER].requests == 360
    assert not any(Path(f"/proc/{child}").exists() for child in children)


def _bound(port: int) -> int:
    """How many UDP sockets of this machine are bound to a port."""
    return sum(line.split()[1].endswith(f":{port:04X}") for line in Path("/proc/net/udp").read_text().splitlines()[1:])


def _children(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_resolver_is_free_of_django() -> None:
    script = "import sys, biaojie.processes.resolver; sys.exit('django' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", script], check=False)

    assert done.returncode == 0
