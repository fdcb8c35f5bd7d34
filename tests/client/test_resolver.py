"""One call for the command: against a real node, and what it says when nothing can be asked."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_nodes import HOST, RealNode, free_port, handle, value, zone
from rich.console import Console

from biaojie.client import terminal
from biaojie.client.errors import BadReply, ClientError, ConnectionFailed, NoDatagram, NoNode, UnsupportedProtocol
from biaojie.client.resolver import Resolution, exit_status_of, resolve
from biaojie.codes.errors import CodeError
from biaojie.resolution.cache import Endpoint
from biaojie.resolution.questions import Step

URL = value(1, "URL", "https://example.cn/318")
ESCAPE = value(2, "DESC", "[red]青禾[/red]")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RealNode]:
    real = RealNode(tmp_path / "node").start([zone("88.100.1"), handle("88.100.1/a", URL, ESCAPE)])
    yield real
    real.stop()


@pytest.mark.parametrize("protocol", ["udp", "tcp", "http"])
def test_resolve_at_a_named_server_over_each_protocol(node: RealNode, protocol: str) -> None:
    server = getattr(node, protocol).authority

    found = resolve("88.100.1/a", server=server, protocol=protocol, indexes=[1])
    absent = resolve("88.100.1/b", server=server, protocol=protocol)
    foreign = resolve("88.999/b", server=server, protocol=protocol)

    assert (found.exit_status, found.values) == (0, (URL,))
    assert [r.exit_status for r in (absent, foreign)] == [1, 3]
    assert found.as_json()["values"][0]["data"]["value"] == "https://example.cn/318"


def test_resolve_without_server_asks_the_recursive_node_of_the_folder(node: RealNode, tmp_path: Path) -> None:
    nodes = {
        "top": {"role": "top", "handle_udp": f"{HOST}:1"},
        "recursive": {"role": "recursive", "handle_udp": f"{HOST}:{free_port()}", "handle_http": str(node.http)},
    }
    (tmp_path / "nodes.json").write_text(json.dumps(nodes), encoding="utf-8")

    found = resolve("88.100.1/a", environ={"BIAOJIE_DATA": str(tmp_path)})

    assert (found.exit_status, found.endpoint) == (0, node.http)


@pytest.mark.parametrize("text", [None, "{", "[]", '{"top": {"role": "top"}}', '{"r": {"role": "recursive"}}'])
def test_resolve_without_a_recursive_node_says_so(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "nodes.json").write_text(text, encoding="utf-8")

    with pytest.raises(NoNode) as failure:
        resolve("88.100.1/a", environ={"BIAOJIE_DATA": str(tmp_path)})

    assert exit_status_of(failure.value) == 3


def test_resolve_of_a_reply_too_long_for_udp_turns_to_tcp_or_says_what_to_do(tmp_path: Path) -> None:
    long = value(1, "DESC", "x" * 20_000)
    node = RealNode(tmp_path / "node").start([zone("88.100.1"), handle("88.100.1/long", long)])
    try:
        nodes = {"recursive": {"role": "recursive", "handle_udp": node.udp.authority, "handle_tcp": node.tcp.authority}}
        (tmp_path / "nodes.json").write_text(json.dumps(nodes), encoding="utf-8")
        environ = {"BIAOJIE_DATA": str(tmp_path)}

        found = resolve("88.100.1/long", environ=environ, timeout_ms=500)
        with pytest.raises(NoDatagram) as silence:
            resolve("88.100.1/long", environ=environ, timeout_ms=500, protocol="udp")
    finally:
        node.stop()

    assert (found.exit_status, found.endpoint, found.values) == (0, node.tcp, (long,))
    assert "UDP 无应答，可能因答复过长，请用 --protocol tcp" in silence.value.message
    assert exit_status_of(silence.value) == 3


def test_resolve_at_a_closed_port_is_connection_failed() -> None:
    with pytest.raises(ConnectionFailed):
        resolve("88.100.1/a", server=f"{HOST}:{free_port()}", protocol="tcp")


def test_resolve_with_trace_at_a_node_that_does_not_walk_says_so(node: RealNode) -> None:
    with pytest.raises(BadReply):
        resolve("88.100.1/a", server=node.http.authority, protocol="http", trace=True)


@pytest.mark.parametrize("server", ["nowhere", "host:0", "::1:8080"])
def test_resolve_with_an_impossible_address_is_refused(server: str) -> None:
    with pytest.raises(NoNode):
        resolve("88.100.1/a", server=server, protocol="udp")


def test_resolve_with_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(UnsupportedProtocol):
        resolve("88.100.1/a", server="127.0.0.1:1", protocol="smoke")


def test_exit_status_of_tells_usage_from_no_answer() -> None:
    assert (exit_status_of(CodeError()), exit_status_of(ClientError())) == (2, 3)


def test_terminal_shows_values_as_text_not_markup(node: RealNode) -> None:
    out = io.StringIO()

    terminal.show(resolve("88.100.1/a", server=node.udp.authority, protocol="udp"), Console(file=out, width=120))

    assert "[red]青禾[/red]" in out.getvalue()
    assert "成功（1）" in out.getvalue()


def test_terminal_obeys_no_control_characters_from_outside() -> None:
    out = io.StringIO()
    evil = "x\x1b]0;owned\x07\udc80"
    step = Step(node=evil, reason=evil, protocol="udp", address=evil, note=evil, error=evil)

    terminal.show(
        Resolution(
            identifier=evil, endpoint=Endpoint("udp", HOST, 1), response_code=100, message=evil, node=evil, aliases=(evil,),
            values=(value(1, evil.replace("\udc80", ""), "1"),), steps=(step,),
        ),
        Console(file=out, width=400),
    )  # fmt: skip

    assert "owned" in out.getvalue()
    assert not any(character in out.getvalue() for character in "\x1b\x07\udc80")
