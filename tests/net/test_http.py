from __future__ import annotations

import http.client
import json
import socket
import time
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import pytest
from node_under_test import Node, question, read


class Got(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    node: Node,
    path: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    which: int = 0,
) -> Got:
    """One request over a connection of its own."""
    connection = http.client.HTTPConnection(urlsplit(node.http[which]).netloc, timeout=10)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        reply = connection.getresponse()
        return Got(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())
    finally:
        connection.close()


@pytest.mark.parametrize("which", [0, 1])
def test_http_known_handle_gives_the_json_form(node: Node, which: int) -> None:
    got = ask(node, "/api/handles/88.100.1/item-42", which=which)

    assert got.status == 200
    assert got.headers["content-type"].startswith("application/json")
    assert got.headers["access-control-allow-origin"] == "*"
    assert got.json == {
        "responseCode": 1,
        "handle": "88.100.1/item-42",
        "values": [
            {
                "index": 1,
                "type": "URL",
                "data": {"format": "string", "value": "https://id.example.org/item-42"},
                "ttl": 86400,
                "timestamp": "2023-11-14T22:13:20Z",
            },
            {
                "index": 2,
                "type": "DESC",
                "data": {"format": "string", "value": "深沟球轴承 6204"},
                "ttl": 86400,
                "timestamp": "2023-11-14T22:13:20Z",
            },
        ],
    }


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("88.100.1/none", 404, 100),
        ("88.100.1/item-42?type=EMAIL", 200, 200),
        ("88.100.1/hidden", 200, 200),
        ("99.1/x", 400, 301),
        ("88.100.9/x", 300, 302),
        ("88.100.1/partly?publicOnly=false", 403, 402),
        ("88.100.1/partly?auth=true", 403, 402),
        ("88.100.1/item-42?index=x", 400, 4),
        ("88.100.1/item-42?callback=alert(1)", 400, 4),
        ("", 400, 102),
        ("88.100.1/" + "x" * 3000, 400, 102),
    ],
)
def test_http_other_answers_have_their_status_and_code(node: Node, path: str, status: int, code: int) -> None:
    got = ask(node, "/api/handles/" + path)

    assert (got.status, got.json["responseCode"]) == (status, code)


def test_http_no_matching_value_gives_an_empty_list(node: Node) -> None:
    got = ask(node, "/api/handles/88.100.1/item-42?type=EMAIL")

    assert got.json == {"responseCode": 200, "handle": "88.100.1/item-42", "values": []}


@pytest.mark.parametrize(
    ("query", "indexes"),
    [("index=2", [2]), ("index=1&index=2", [1, 2]), ("type=URL&index=2", [1, 2]), ("type=url", [1]), ("publicOnly=true", [1, 2])],
)
def test_http_index_and_type_filter_by_or(node: Node, query: str, indexes: list[int]) -> None:
    got = ask(node, f"/api/handles/88.100.1/item-42?{query}")

    assert [value["index"] for value in got.json["values"]] == indexes


def test_http_path_is_decoded_exactly_once(node: Node) -> None:
    got = ask(node, "/api/handles/" + quote("88.100.1/中文 a%2Fb", safe=""))
    other = ask(node, "/api/handles/88.100.1/" + quote("中文 ") + "a%2Fb")

    assert (got.status, got.json["handle"]) == (200, "88.100.1/中文 a%2Fb")
    assert (other.status, other.json["handle"]) == (404, "88.100.1/中文 a/b")


@pytest.mark.parametrize(
    "path", ["/api/handles/88.100.1/%FF", "/api/handles/88.100.1/%ED%A0%80", "/api/handles/88.100.1/a?type=%FF"]
)
def test_http_octets_that_are_no_utf8_are_refused(node: Node, path: str) -> None:
    got = ask(node, path)

    assert (got.status, got.json["message"]) == (400, "地址中有不是 UTF-8 的字节，或替换字符 U+FFFD")


def test_http_pretty_and_callback_change_only_the_form(node: Node) -> None:
    plain = ask(node, "/api/handles/88.100.1/item-42")
    pretty = ask(node, "/api/handles/88.100.1/item-42?pretty")
    script = ask(node, "/api/handles/88.100.1/item-42?callback=my.shop_1")

    assert pretty.json == plain.json
    assert pretty.body.count(b"\n") > 10
    assert script.headers["content-type"].startswith("application/javascript")
    assert script.body == b"/**/my.shop_1(" + plain.body + b");"


def test_http_head_has_headers_and_no_body(node: Node) -> None:
    got = ask(node, "/api/handles/88.100.1/item-42", method="HEAD")

    assert (got.status, got.body) == (200, b"")


def test_http_post_on_a_handle_takes_the_parameters_from_the_form(node: Node) -> None:
    got = ask(
        node,
        "/api/handles/88.100.1/item-42",
        method="POST",
        body=b"index=2",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )

    assert [value["index"] for value in got.json["values"]] == [2]


@pytest.mark.parametrize("path", ["/", "/88.100.1/item-42", "/api/handles/88.100.1/item-42"])
@pytest.mark.parametrize("lead", [b"", b"\n"])
def test_http_tunnel_on_any_path_carries_messages(node: Node, path: str, lead: bytes) -> None:
    tunnel = {"Content-Type": "application/x-hdl-message", "Accept": "application/x-hdl-message"}

    got = ask(node, path, method="POST", body=lead + question("88.100.1/long", request_id=77), headers=tunnel)

    reply = read(got.body)
    assert (got.status, got.headers["content-type"]) == (200, "application/x-hdl-message")
    assert (reply.request_id, reply.response_code) == (77, 1)


@pytest.mark.parametrize(("body", "status"), [(b"", 400), (b"garbage", 200), (b"x" * 262_164, 200), (b"x" * 262_165, 413)])
def test_http_tunnel_with_garbage_gets_a_protocol_error(node: Node, body: bytes, status: int) -> None:
    got = ask(node, "/", method="POST", body=body, headers={"Content-Type": "application/x-hdl-message"})

    assert got.status == status
    if status == 200:
        assert read(got.body).response_code in (2, 4)


def test_http_identifier_of_another_system_is_looked_up_by_its_own_key(node: Node) -> None:
    got = ask(node, "/api/handles/1.2.156.3001.7")
    spelled = ask(node, "/api/handles/urn%3Aoid%3A1.2.156.3001.7")
    missing = ask(node, "/api/handles/1.2.156.3001.8")

    assert (got.status, got.json["values"][0]["type"]) == (200, "URL")
    assert spelled.json["values"] == got.json["values"]
    assert (missing.status, missing.json["responseCode"]) == (404, 100)


def test_http_route_of_a_published_range_is_given(node: Node) -> None:
    got = ask(node, "/api/v1/routes?identifier=06901234567892")

    assert got.status == 200
    assert got.json == {
        "system": "GS1",
        "matched": "690123456789",
        "next": [{"ip_type": "IPv4", "ip": "192.0.2.7", "protocol": "HTTP", "port": 8080}],
        "final": True,
    }


@pytest.mark.parametrize(
    ("query", "status"), [("identifier=1.2.3.4", 404), ("identifier=", 400), ("", 400), ("identifier=%20%00", 400)]
)
def test_http_route_that_is_not_there_is_said(node: Node, query: str, status: int) -> None:
    got = ask(node, f"/api/v1/routes?{query}")

    assert got.status == status
    assert got.json["message"]


def test_http_site_gives_the_published_record(node: Node) -> None:
    got = ask(node, "/api/site")

    assert (got.status, got.json["serialNumber"], got.json["servers"][0]["serverId"]) == (200, 7, 1)


def test_http_health_and_metrics_tell_where_the_index_stands(node: Node) -> None:
    health = ask(node, "/healthz")
    metrics = ask(node, "/metrics")

    assert (health.status, health.json["ready"], health.json["serial"]) == (200, True, 1)
    assert metrics.headers["content-type"].startswith("text/plain")
    assert b'biaojie_index_serial{node="second"} 1\n' in metrics.body


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/api/handles/88.100.1/x", 501),
        ("DELETE", "/api/handles/88.100.1/x", 501),
        ("GET", "/api/handles?prefix=88.100.1", 501),
        ("OPTIONS", "/api/handles/88.100.1/x", 405),
        ("POST", "/healthz", 405),
        ("GET", "/nothing", 404),
        ("BREW", "/nothing", 404),
    ],
)
def test_http_what_is_not_served_is_refused_in_json(node: Node, method: str, path: str, status: int) -> None:
    got = ask(node, path, method=method)

    assert got.status == status
    assert got.json["message"]


def test_http_endless_body_is_refused_before_its_end(node: Node) -> None:
    host, port = urlsplit(node.http[0]).hostname, urlsplit(node.http[0]).port
    with socket.create_connection((host, port), timeout=5) as sock:
        sock.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-hdl-message\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        sent = 0
        try:
            while sent < 64 << 20:
                sock.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
                sent += 0x10000
        except OSError:
            pass
        try:
            answer = sock.recv(100)
        except OSError:
            answer = b""

    assert sent < 64 << 20 or answer.startswith(b"HTTP/1.1 413")
    assert answer in (b"", *[answer] * answer.startswith(b"HTTP/1.1 413"))


def test_http_kept_connection_serves_many_requests(node: Node) -> None:
    connection = http.client.HTTPConnection(urlsplit(node.http[0]).netloc, timeout=10)
    began_s = time.perf_counter()
    for _ in range(200):
        connection.request("GET", "/api/handles/88.100.1/item-42")
        assert connection.getresponse().read().startswith(b'{"responseCode":1,')
    connection.close()

    assert time.perf_counter() - began_s < 10


def test_http_stranger_s_client_reads_records(node: Node) -> None:
    client_module = pytest.importorskip("pyhandle.handleclient")
    client = client_module.RESTHandleClient(node.http[0], HTTPS_verify=False)

    record = client.retrieve_handle_record("88.100.1/item-42")
    value = client.get_value_from_handle("88.100.1/item-42", "URL")
    missing = client.retrieve_handle_record_json("88.100.1/none")

    assert record == {"URL": "https://id.example.org/item-42", "DESC": "深沟球轴承 6204"}
    assert value == "https://id.example.org/item-42"
    assert missing is None
