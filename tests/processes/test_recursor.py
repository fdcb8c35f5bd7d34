"""The recursive node as a process of its own, above a chain of three real nodes."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "client"))
from real_nodes import HOST, RealNode, free_port, handle, routed, value, zone

from biaojie.client.aio import Client
from biaojie.client.blocking import BlockingClient
from biaojie.client.resolver import resolve
from biaojie.codes.parsing import parse
from biaojie.codes.ranges import parse_coverage
from biaojie.codes.systems import System
from biaojie.handle.bodies import DeleteHandleRequest, GetSiteInfoRequest, ResolutionRequest
from biaojie.handle.sites import encode_site
from biaojie.handle.values import encode_values
from biaojie.resolution.cache import Endpoint
from biaojie.resolution.entries import Entry, handle_entry

URL = value(1, "URL", "https://example.cn/318")
NAME = value(2000, "productName", "数控车床（演示）")
EVIL = value(3, "DESC", "<script>alert(1)</script>")
LONG = value(4, "DESC", "青禾" * 800)
OTHERS = {
    System.OID: ("1.2.156.3001", "1.2.156.3001.5.1"),
    System.BID: ("did:bid:ef21", "did:bid:ef21:ef214PmkhKndUcArDQPgD5J4fFVwqJFPt"),
    System.ECODE: ("10001", "100016901234567892"),
    System.GS1: ("690123456", "(01)06901234567892"),
}


@dataclass
class Chain:
    """top, second and enterprise, and the recursive node's process."""

    top: RealNode
    second: RealNode
    enterprise: RealNode
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None
    ports: dict[str, int] = field(default_factory=dict)

    def start_recursor(self, **settings: str) -> None:
        (self.folder / "bootstrap.bin").write_bytes(encode_site(self.top.site))
        self.ports = {name: free_port() for name in ("udp", "tcp", "http")}
        environ = {key: text for key, text in os.environ.items() if not key.startswith("BIAOJIE_")}
        environ |= {
            "BIAOJIE_ROLE": "recursive",
            "BIAOJIE_NODE": "recursive-test",
            "BIAOJIE_ENVIRONMENT": "test",
            "BIAOJIE_NODE_DIR": str(self.folder),
            **{f"BIAOJIE_HANDLE_{name.upper()}": f"{HOST}:{port}" for name, port in self.ports.items()},
            **{f"BIAOJIE_{name.upper()}": text for name, text in settings.items()},
        }
        with (self.folder / "log").open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "biaojie.processes.recursor"], env=environ, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self.process.stdout is not None
        assert json.loads(self.process.stdout.readline()) == {"ready": True}, (self.folder / "log").read_text()

    def stop_recursor(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None
        return status

    def endpoint(self, protocol: str) -> Endpoint:
        return Endpoint(protocol, HOST, self.ports[protocol])

    def get(self, path: str, *, accept: str = "", method: str = "GET") -> tuple[int, dict[str, str], str]:
        connection = http.client.HTTPConnection(HOST, self.ports["http"], timeout=10)
        try:
            connection.request(method, path, headers={"Accept": accept} if accept else {})
            reply = connection.getresponse()
            return reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read().decode()
        finally:
            connection.close()

    def json(self, path: str) -> tuple[int, dict[str, object]]:
        status, _, text = self.get(path, accept="application/json")
        return status, json.loads(text)


@contextmanager
def real_chain(tmp_path: Path) -> Iterator[Chain]:
    top, second, enterprise = (RealNode(tmp_path / name) for name in ("top", "second", "enterprise"))
    coverages = [parse_coverage(system, text) for system, (text, _) in OTHERS.items()]
    top.start(
        [
            zone("0.NA/"),
            handle("0.NA/88.100", second.site_value(), second.site_value("HS_SITE.PREFIX", 2)),
            *(routed(coverage, second, final=False) for coverage in coverages),
        ]
    )
    second.start(
        [
            zone("0.NA/88.100"), zone("88.100"), zone("88.100.2"),
            handle("0.NA/88.100.1", enterprise.site_value()),
            handle("0.NA/88.100.12345678", enterprise.site_value()),
            handle("0.NA/88.100.2", second.site_value()),
            handle("88.100.2/hosted", URL, NAME),
            *(routed(coverage, second, final=True) for coverage in coverages),
            *(other(text) for _, text in OTHERS.values()),
        ]
    )  # fmt: skip
    enterprise.start(
        [
            zone("88.100.1"), zone("88.100.12345678"),
            handle("88.100.1/QK-360-0001", URL, NAME),
            handle("88.100.1/中文/二", URL),
            handle("88.100.1/evil", EVIL),
            handle("88.100.1/long", LONG),
            handle("88.100.1/alias", value(1, "HS_ALIAS", "88.100.2/hosted")),
            handle("88.100.1/lost", value(1, "HS_ALIAS", "88.100.2/nothing")),
            *(handle(f"88.100.1/a{n}", value(1, "HS_ALIAS", f"88.100.1/a{n + 1}")) for n in range(30)),
            handle("88.100.1/ring", value(1, "HS_ALIAS", "88.100.1/ring")),
            handle("88.100.12345678/abc", URL),
        ]
    )  # fmt: skip
    folder = tmp_path / "recursive"
    folder.mkdir()
    chain = Chain(top, second, enterprise, folder)
    yield chain
    if chain.process is not None:
        chain.stop_recursor()
    for node in (top, second, enterprise):
        node.stop()


@pytest.fixture
def bare_chain(tmp_path: Path) -> Iterator[Chain]:
    with real_chain(tmp_path) as chain:
        yield chain


@pytest.fixture
def chain(bare_chain: Chain) -> Chain:
    bare_chain.start_recursor()
    return bare_chain


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """For tests that change nothing and do not mind what is cached."""
    with real_chain(tmp_path_factory.mktemp("chain")) as chain:
        chain.start_recursor()
        yield chain


def other(identifier: str) -> Entry:
    """An identifier that is no handle, under its canonical form."""
    return handle_entry(parse(identifier).key(), 1, owner="88.100", values=encode_values([NAME]))


@pytest.mark.parametrize("protocol", ["udp", "tcp", "http"])
def test_handle_of_an_enterprise_is_resolved_over_each_protocol(shared: Chain, protocol: str) -> None:
    with BlockingClient() as client:
        response = client.ask(shared.endpoint(protocol), ResolutionRequest("88.100.1/QK-360-0001"))

    assert (response.response_code, response.values, response.authoritative) == (1, (URL, NAME), False)


@pytest.mark.parametrize("protocol", ["udp", "tcp", "http"])
def test_absent_filtered_and_unknown_prefix_over_each_protocol(shared: Chain, protocol: str) -> None:
    with BlockingClient() as client:
        ask = [
            client.ask(shared.endpoint(protocol), body)
            for body in (
                ResolutionRequest("88.100.1/qk-360-0001", (2000,)),
                ResolutionRequest("88.100.1/QK-360-0001", (), ("EMAIL",)),
                ResolutionRequest("88.100.1/none"),
                ResolutionRequest("88.999/none"),
            )
        ]

    assert [reply.response_code for reply in ask] == [1, 200, 100, 100]
    assert ask[0].values == (NAME,)
    assert ask[3].text == "前缀 88.999 未在国家顶级节点登记。"


def test_long_reply_comes_in_pieces_over_udp(shared: Chain) -> None:
    with BlockingClient() as client:
        response = client.ask(shared.endpoint("udp"), ResolutionRequest("88.100.1/long"))

    assert response.values == (LONG,)


def test_other_operations_are_refused_and_garbage_is_answered_by_the_protocol(shared: Chain) -> None:
    with BlockingClient() as client:
        refused = [client.ask(shared.endpoint("tcp"), body) for body in (DeleteHandleRequest("88.100.1/x"), GetSiteInfoRequest())]

    assert [reply.response_code for reply in refused] == [5, 5]


@pytest.mark.parametrize("system", list(OTHERS))
def test_other_systems_are_routed_over_http(shared: Chain, system: System) -> None:
    identifier = OTHERS[system][1]

    status, form = shared.json(f"/api/handles/{quote(identifier, safe='')}")

    assert (status, form["responseCode"]) == (200, 1)
    assert form["values"][0]["data"]["value"] == "数控车床（演示）"  # type: ignore[index]


def test_vaa_is_resolved_by_its_handle_form_also_over_udp(shared: Chain) -> None:
    with BlockingClient() as client:
        response = client.ask(shared.endpoint("udp"), ResolutionRequest("VAA08810012345678/abc"))

    assert (response.response_code, response.values) == (1, (URL,))


def test_missing_route_is_a_clear_404(shared: Chain) -> None:
    status, form = shared.json("/api/handles/2.16.156.9")

    assert (status, form["responseCode"]) == (404, 100)
    assert form["message"] == "OID 编码 2.16.156.9 暂无解析路由，已查询国家顶级节点。"


def test_handles_of_utf8_slashes_and_filters_in_json(shared: Chain) -> None:
    found, chinese = shared.json(f"/api/handles/{quote('88.100.1/中文/二')}")
    status, form = shared.json("/api/handles/88.100.1/QK-360-0001?type=URL&index=99")
    empty = shared.json("/api/handles/88.100.1/QK-360-0001?type=NONE")

    assert (found, chinese["handle"]) == (200, "88.100.1/中文/二")
    assert (status, [v["index"] for v in form["values"]]) == (200, [1])  # type: ignore[attr-defined]
    assert (empty[0], empty[1]["responseCode"], empty[1]["values"]) == (200, 200, [])


def test_alias_is_followed_unless_told_not_to(shared: Chain) -> None:
    followed = shared.json("/api/handles/88.100.1/alias")[1]
    kept = shared.json("/api/handles/88.100.1/alias?noalias")[1]

    assert [v["type"] for v in followed["values"]] == ["URL", "productName"]  # type: ignore[attr-defined]
    assert [v["type"] for v in kept["values"]] == ["HS_ALIAS"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", ["/api/handles/88.100.1%2F%FF", "/resolve/88.100.1%2F%FF", "/resolve?identifier=88.100.1%2F%FF"])
def test_octets_that_are_no_utf8_in_an_address_are_refused(shared: Chain, path: str) -> None:
    status, form = shared.json(path)

    assert (status, form["message"]) == (400, "地址中有不是 UTF-8 的字节，或替换字符 U+FFFD")


def test_trace_shows_every_step_then_the_cache(chain: Chain) -> None:
    first = chain.json("/resolve/88.100.1/QK-360-0001?trace=1")[1]
    second = chain.json("/resolve/88.100.1/QK-360-0001?trace=1")[1]

    steps = first["trace"]
    assert [step["node"] for step in steps] == ["递归节点", "国家顶级节点", "二级节点 88.100", "企业节点 88.100.1"]  # type: ignore[attr-defined,index]
    assert [step["responseCode"] for step in steps] == [None, 303, 1, 1]  # type: ignore[attr-defined,index]
    assert all(step["octets"] > 0 and step["elapsedMs"] > 0 and step["address"] for step in steps[1:])  # type: ignore[index]
    assert (first["cached"], second["cached"]) == (False, True)
    assert len(second["trace"]) == 1  # type: ignore[arg-type]
    assert "trace" not in chain.json("/resolve/88.100.1/QK-360-0001")[1]


def test_equal_questions_at_one_time_share_a_walk(chain: Chain) -> None:
    async def run() -> None:
        async with Client() as client:
            body = ResolutionRequest("88.100.1/QK-360-0001")
            replies = await asyncio.gather(*(client.ask(chain.endpoint("tcp"), body) for _ in range(30)))
        assert {reply.response_code for reply in replies} == {1}

    asyncio.run(run())
    metrics = chain.get("/metrics")[2]

    questions = float(re.search(r"^biaojie_recursor_questions_total (\S+)", metrics, re.M).group(1))  # type: ignore[union-attr]
    assert questions == 3
    assert 'biaojie_recursor_requests_total{code="1",via="tcp"} 30.0' in metrics


def test_enterprise_that_moved_is_found_through_its_parent(chain: Chain, tmp_path: Path) -> None:
    with BlockingClient() as client:
        client.ask(chain.endpoint("udp"), ResolutionRequest("88.100.1/QK-360-0001"))
        chain.enterprise.stop()
        moved = RealNode(tmp_path / "moved")
        moved.start([zone("88.100.1"), handle("88.100.1/new", URL)])
        replaced = handle("0.NA/88.100.1", moved.site_value())
        chain.second.put(type(replaced)(replaced.kind, replaced.key, 2, replaced.content), serial=2)
        try:
            began = time.monotonic()
            response = client.ask(chain.endpoint("udp"), ResolutionRequest("88.100.1/new"))
        finally:
            moved.stop()

    assert (response.response_code, response.values) == (1, (URL,))
    assert time.monotonic() - began < 3


def test_dead_enterprise_is_a_gateway_timeout_that_names_it(chain: Chain) -> None:
    chain.enterprise.stop()

    status, form = chain.json("/resolve/88.100.1/x?trace=1")

    assert (status, form["responseCode"]) == (504, 2)
    assert str(form["message"]).startswith("企业节点 88.100.1 没有应答，已尝试 3 个地址")
    assert sum(bool(step["error"]) for step in form["trace"]) == 3  # type: ignore[attr-defined]


def test_private_addresses_are_refused_when_the_setting_says_so(bare_chain: Chain) -> None:
    bare_chain.start_recursor(allow_private_addresses="no")

    status, form = bare_chain.json("/resolve/88.100.1/QK-360-0001?trace=1")

    assert status == 504
    assert {step["error"] for step in form["trace"] if step["error"]} == {"不允许访问的地址"}  # type: ignore[attr-defined]


def test_root_file_that_changes_is_taken_up(bare_chain: Chain) -> None:
    chain = bare_chain
    chain.start_recursor()
    (chain.folder / "bootstrap.bin").unlink()
    assert chain.json("/healthz")[0] == 200
    (chain.folder / "bootstrap.bin").write_bytes(encode_site(chain.second.site))
    time.sleep(1.1)

    form = chain.json("/resolve/88.100.2/hosted?trace=1")[1]

    assert form["trace"][1]["address"] == chain.second.udp.authority  # type: ignore[index]


def test_node_without_a_root_says_so_and_is_not_healthy(bare_chain: Chain) -> None:
    chain = bare_chain
    chain.start_recursor(bootstrap="missing.bin")

    assert chain.json("/healthz")[0] == 503
    assert chain.json("/api/handles/88.100.1/x")[0] == 503


def test_rate_limit_is_said_over_http_with_retry_after(bare_chain: Chain) -> None:
    bare_chain.start_recursor(rate_limit_per_s="1")

    replies = [bare_chain.get("/api/handles/88.100.1/QK-360-0001") for _ in range(6)]

    assert replies[-1][0] == 429
    assert replies[-1][1]["retry-after"]
    assert bare_chain.json("/healthz")[0] == 200


# -- the page ------------------------------------------------------------------------------------------------------


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def page(chain: Chain, path: str) -> tuple[int, dict[str, str], Reader]:
    status, headers, text = chain.get(path, accept="text/html,*/*;q=0.8")
    reader = Reader()
    reader.feed(text)
    return status, headers, reader


def test_home_has_a_form_that_works_without_script(shared: Chain) -> None:
    status, headers, home = page(shared, "/")

    forms = [attributes for tag, attributes in home.tags if tag == "form"]
    assert (status, forms[0]["action"], forms[0]["method"]) == (200, "/resolve", "get")
    assert "script-src 'self'" in headers["content-security-policy"]
    assert [tag for tag, _ in home.tags].count("h1") == 1
    assert (
        shared.get("/resolve?identifier=88.100.1%2FQK-360-0001&trace=1")[1]["location"]
        == "/resolve/88.100.1%2FQK-360-0001?trace=1"
    )


def test_page_shows_answer_and_path_and_runs_nothing_inline(chain: Chain) -> None:
    status, _, shown = page(chain, "/resolve/88.100.1%2FQK-360-0001?trace=1")

    assert status == 200
    for words in (
        "已找到",
        "数控车床（演示）",
        "解析路径",
        "国家顶级节点",
        "二级节点 88.100",
        "企业节点 88.100.1",
        "将离开本站：example.cn",
    ):
        assert words in shown.text
    for tag, attributes in shown.tags:
        assert tag != "style" and "style" not in attributes
        assert tag != "script" or attributes.get("src")
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href"):
            if tag in ("link", "script") and name in attributes:
                assert chain.get(str(attributes[name]))[0] == 200


def test_value_that_is_markup_is_shown_as_text(shared: Chain) -> None:
    _, _, text = shared.get("/resolve/88.100.1%2Fevil?trace=1", accept="text/html")

    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<script>alert" not in text


@pytest.mark.parametrize(
    ("identifier", "status", "words"),
    [
        ("88.100.1/none", 404, "没有这个标识。前缀 88.100.1 存在，但其下没有 none。（100）"),
        ("hdl:88.100.1/none", 404, "没有这个标识。前缀 88.100.1 存在，但其下没有 none。（100）"),
        ("http://hdl.handle.net/88.100.1/no/ne", 404, "没有这个标识。前缀 88.100.1 存在，但其下没有 no/ne。（100）"),
        ("88.100.1/lost", 404, "没有这个标识。前缀 88.100.2 存在，但其下没有 nothing。（100）"),
        ("88.100.1/a0", 502, "别名层数超过上限 10，停在 88.100.1/a10"),
        ("88.100.1/ring", 502, "别名成环：88.100.1/RING → 88.100.1/RING"),
        ("88.999/none", 404, "前缀 88.999 未在国家顶级节点登记。"),
        ("2.16.156.9", 404, "OID 编码 2.16.156.9 暂无解析路由，已查询国家顶级节点。"),
        ("did:bid:?", 400, "无法解析"),
        ('"><img src=x>', 400, "无法解析"),
    ],
)
def test_page_says_why_there_is_no_answer(shared: Chain, identifier: str, status: int, words: str) -> None:
    got, _, shown = page(shared, f"/resolve/{quote(identifier, safe='')}?trace=1")

    assert got == status
    assert words in shown.text
    assert not any(tag == "img" for tag, _ in shown.tags)


def test_recognise_names_the_system(shared: Chain) -> None:
    assert shared.json("/recognise?identifier=88.100.1%2Fx")[1]["text"] == "识别为 Handle（前缀 88.100.1）"
    assert shared.json("/recognise?identifier=hello")[1]["text"] == "无法识别编码类型，仍可按 Handle 查询"


def test_head_and_unknown_paths_and_methods(shared: Chain) -> None:
    assert shared.get("/", method="HEAD")[0] == 200
    assert shared.get("/nothing")[0] == 404
    assert shared.get("/", method="DELETE")[0] == 405
    assert shared.get("/api/handles/x", method="POST")[0] == 415


# -- life ----------------------------------------------------------------------------------------------------------


def test_sigterm_ends_it_cleanly_and_django_was_never_imported(chain: Chain) -> None:
    chain.json("/api/handles/88.100.1/QK-360-0001")
    maps = subprocess.run(
        [sys.executable, "-c", "import biaojie.processes.recursor, sys; print('django' in sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    status = chain.stop_recursor()

    assert (status, maps.stdout.strip()) == (0, "False")


def test_resolver_of_the_command_gives_values_and_path(chain: Chain) -> None:
    address = f"{HOST}:{chain.ports['udp']}"

    found = resolve(
        "88.100.1/QK-360-0001", server=address, protocol="udp", trace=True, trace_url=f"http://{HOST}:{chain.ports['http']}"
    )
    absent = resolve("88.100.1/none", server=address, protocol="udp")

    assert (found.exit_status, found.values, found.endpoint.protocol) == (0, (URL, NAME), "udp")
    assert [step.node for step in found.steps][1:] == ["国家顶级节点", "二级节点 88.100", "企业节点 88.100.1"]
    assert found.as_json()["trace"][1]["responseCode"] == 303
    assert (absent.exit_status, absent.response_code) == (1, 100)
