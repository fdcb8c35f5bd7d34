"""The walk against scripted nodes: no sockets, no clock."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from biaojie.codes.parsing import parse
from biaojie.handle.hashing import server_position
from biaojie.handle.sites import HashOption, Interface, Server, Site, encode_site
from biaojie.handle.values import TTL_ABSOLUTE, HandleValue
from biaojie.resolution.cache import Endpoint
from biaojie.resolution.memory import Memory
from biaojie.resolution.questions import (
    ContentRequest,
    HandleRequest,
    Outcome,
    Policy,
    Reply,
    Request,
    RouteReply,
    RouteRequest,
    is_allowed,
)
from biaojie.resolution.recursion import Walk

Node = Callable[[Request], Reply | RouteReply | None]
QUERY = 2


def site(*addresses: str, port: int = 2641, protocols: tuple[int, ...] = (0,), hash_option: int = HashOption.BY_ALL) -> Site:
    servers = tuple(
        Server(number, ipaddress.ip_address(address), b"", tuple(Interface(QUERY, protocol, port) for protocol in protocols))
        for number, address in enumerate(addresses, start=1)
    )
    return Site(servers=servers, hash_option=hash_option)


def value(type_: str, data: bytes | str, index: int = 1, ttl: int = 60, ttl_type: int = 0) -> HandleValue:
    return HandleValue(index, type_, data.encode() if isinstance(data, str) else data, ttl_type, ttl)


def found(*values: HandleValue) -> Reply:
    return Reply(response_code=1, values=values, authoritative=True, octets=100)


def refer(*values: HandleValue, code: int = 303, handle: str = "") -> Reply:
    return Reply(response_code=code, values=values, referral=handle)


ABSENT = Reply(response_code=100)
ROOT = site("203.0.113.1")


@dataclass
class World:
    """Nodes by address; an address nobody holds does not answer. Every question asked is written down."""

    nodes: dict[str, dict[str, Reply] | Node] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    memory: Memory = field(default_factory=lambda: Memory(entries=1000))
    policy: Policy = field(default_factory=lambda: Policy(allow_private=True))
    now_s: float = 1_000_000.0
    root: Site = ROOT
    answer_ms: float = 3.0
    silence_ms: float = 400.0

    def reply(self, host: str, request: Request) -> Reply | RouteReply | None:
        node = self.nodes.get(host)
        if node is None:
            return None
        if callable(node):
            return node(request)
        key = request.handle if isinstance(request, HandleRequest) else request.identifier
        return node.get(key, ABSENT)

    def resolve(self, text: str) -> Outcome:
        walk = Walk(parse(text), self.root, policy=self.policy, memory=self.memory, now_s=self.now_s)
        while (question := walk.question) is not None:
            endpoint = question.targets[0].endpoint
            request = question.request
            name = request.handle if isinstance(request, HandleRequest) else request.identifier
            self.asked.append((endpoint.host, name))
            reply = self.reply(endpoint.host, request)
            if reply is None:
                walk.failed("没有应答", elapsed_ms=self.silence_ms, now_s=self.now_s)
            else:
                walk.answered(reply, elapsed_ms=self.answer_ms, now_s=self.now_s)
        assert walk.outcome is not None
        return walk.outcome


URL = value("URL", "https://example.cn/318", ttl=300)


def chain() -> World:
    """top (203.0.113.1) refers 0.NA/88.100.1 to second (.2), which names enterprise (.3)."""
    return World(
        nodes={
            "203.0.113.1": {
                "0.NA/88.100": found(value("HS_SITE", encode_site(site("203.0.113.2")))),
                "0.NA/88.100.1": refer(value("HS_SITE.PREFIX", encode_site(site("203.0.113.2")))),
                "0.NA/88.100.2": refer(value("HS_SITE.PREFIX", encode_site(site("203.0.113.2")))),
            },
            "203.0.113.2": {
                "0.NA/88.100.1": found(value("HS_SITE", encode_site(site("203.0.113.3")))),
                "0.NA/88.100.2": found(value("HS_SITE", encode_site(site("203.0.113.2")))),
                "88.100.2/hosted": found(URL),
                "88.100/own": found(URL),
            },
            "203.0.113.3": {"88.100.1/a": found(URL), "88.100.1/b": found(value("DESC", "数控车床"))},
        }
    )


def test_handle_of_enterprise_walks_top_second_enterprise() -> None:
    world = chain()

    outcome = world.resolve("88.100.1/a")

    assert (outcome.response_code, outcome.values, outcome.ttl_s) == (1, (URL,), 300)
    assert world.asked == [
        ("203.0.113.1", "0.NA/88.100.1"),
        ("203.0.113.2", "0.NA/88.100.1"),
        ("203.0.113.3", "88.100.1/a"),
    ]
    assert [step.node for step in outcome.trace] == ["递归节点", "国家顶级节点", "二级节点 88.100", "企业节点 88.100.1"]
    assert outcome.trace[1].address == "203.0.113.1:2641"
    assert (outcome.trace[3].response_code, outcome.trace[3].octets, outcome.trace[3].elapsed_ms) == (1, 100, 3.0)


def test_hosted_handle_is_said_to_be_answered_by_the_second_level_node() -> None:
    outcome = chain().resolve("88.100.2/hosted")

    assert (outcome.response_code, outcome.node) == (1, "二级节点 88.100")


def test_prefix_handle_is_asked_at_the_root() -> None:
    world = chain()

    outcome = world.resolve("88.100")

    assert outcome.response_code == 1
    assert world.asked == [("203.0.113.1", "0.NA/88.100")]


def test_second_handle_of_known_prefix_asks_the_enterprise_only() -> None:
    world = chain()
    world.resolve("88.100.1/a")
    world.asked.clear()

    world.resolve("88.100.1/b")

    assert world.asked == [("203.0.113.3", "88.100.1/b")]


def test_same_handle_in_any_case_is_answered_from_the_cache() -> None:
    world = chain()
    world.resolve("88.100.1/a")
    world.asked.clear()
    world.now_s += 100

    outcome = world.resolve("88.100.1/A")

    assert (outcome.values, outcome.ttl_s, outcome.cached, world.asked) == ((URL,), 200, True, [])
    assert outcome.trace[0].cached


def test_answer_past_its_ttl_is_asked_again() -> None:
    world = chain()
    world.resolve("88.100.1/a")
    world.now_s += 301
    world.nodes["203.0.113.3"] = {"88.100.1/a": found(value("URL", "https://example.cn/new"))}

    outcome = world.resolve("88.100.1/a")

    assert outcome.values[0].text == "https://example.cn/new"


def test_absolute_ttl_in_the_past_is_not_cached() -> None:
    world = chain()
    world.nodes["203.0.113.3"] = {"88.100.1/a": found(value("URL", "x", ttl=int(world.now_s) - 1, ttl_type=TTL_ABSOLUTE))}
    world.resolve("88.100.1/a")

    outcome = world.resolve("88.100.1/a")

    assert not outcome.cached


def test_absent_handle_is_remembered_for_the_negative_ttl() -> None:
    world = chain()
    first = world.resolve("88.100.1/nope")
    world.asked.clear()
    world.now_s += world.policy.negative_ttl_s - 1
    second = world.resolve("88.100.1/nope")
    world.now_s += 2

    third = world.resolve("88.100.1/nope")

    assert [o.response_code for o in (first, second, third)] == [100, 100, 100]
    assert (second.cached, third.cached) == (True, False)


def test_unknown_prefix_says_so_and_where_it_was_looked_for() -> None:
    outcome = chain().resolve("88.999/x")

    assert (outcome.response_code, outcome.message) == (100, "前缀 88.999 未在国家顶级节点登记。")


def test_registered_prefix_without_addresses_says_so() -> None:
    world = chain()
    world.nodes["203.0.113.1"] = {"0.NA/88.100": Reply(response_code=200)}

    outcome = world.resolve("88.100/x")

    assert (outcome.response_code, outcome.error.code if outcome.error else "") == (100, "RES-171")


def test_parent_is_asked_past_the_cache_when_all_addresses_of_a_node_fail() -> None:
    world = chain()
    world.resolve("88.100.1/a")
    del world.nodes["203.0.113.3"]
    world.nodes["203.0.113.33"] = {"88.100.1/b": found(URL)}
    world.nodes["203.0.113.2"] = {"0.NA/88.100.1": found(value("HS_SITE", encode_site(site("203.0.113.33"))))}
    world.asked.clear()

    outcome = world.resolve("88.100.1/b")

    assert outcome.response_code == 1
    assert world.asked == [
        ("203.0.113.3", "88.100.1/b"),
        ("203.0.113.2", "0.NA/88.100.1"),
        ("203.0.113.33", "88.100.1/b"),
    ]
    assert [step.error for step in outcome.trace if step.error] == ["没有应答"]


def test_grandparent_is_asked_when_the_parent_is_gone_too() -> None:
    world = chain()
    world.resolve("88.100.2/hosted")
    stand_in = world.nodes.pop("203.0.113.2")
    world.nodes["203.0.113.22"] = {
        "0.NA/88.100.2": found(value("HS_SITE", encode_site(site("203.0.113.22")))),
        "88.100.2/other": found(URL),
    }
    world.nodes["203.0.113.1"] = {"0.NA/88.100.2": refer(value("HS_SITE.PREFIX", encode_site(site("203.0.113.22"))))}

    outcome = world.resolve("88.100.2/other")

    assert (stand_in is not None, outcome.response_code, outcome.values) == (True, 1, (URL,))


def test_dead_enterprise_whose_parent_names_no_other_address_is_no_answer() -> None:
    world = chain()
    world.resolve("88.100.1/a")
    del world.nodes["203.0.113.3"]

    outcome = world.resolve("88.100.1/b")

    assert (outcome.response_code, outcome.error.code if outcome.error else "") == (2, "RES-161")
    assert outcome.message == "企业节点 88.100.1 没有应答，已尝试 1 个地址"
    assert world.asked.count(("203.0.113.3", "88.100.1/b")) == 1


def test_no_answer_is_not_remembered() -> None:
    world = chain()
    enterprise = world.nodes.pop("203.0.113.3")
    world.resolve("88.100.1/a")
    world.nodes["203.0.113.3"] = enterprise

    outcome = world.resolve("88.100.1/a")

    assert outcome.response_code == 1


@pytest.mark.parametrize("code", [300, 301])
def test_node_no_longer_responsible_makes_the_parent_be_asked_again(code: int) -> None:
    world = chain()
    world.resolve("88.100.1/a")
    world.nodes["203.0.113.3"] = {"88.100.1/b": Reply(response_code=code)}
    world.nodes["203.0.113.4"] = {"88.100.1/b": found(URL)}
    world.nodes["203.0.113.2"] = {"0.NA/88.100.1": found(value("HS_SITE", encode_site(site("203.0.113.4"))))}

    outcome = world.resolve("88.100.1/b")

    assert (outcome.response_code, outcome.values) == (1, (URL,))


def test_301_of_a_node_just_named_is_the_answer_and_not_cached() -> None:
    world = chain()
    world.nodes["203.0.113.3"] = {"88.100.1/a": Reply(response_code=301, message="前缀不在本节点")}

    outcomes = [world.resolve("88.100.1/a") for _ in range(2)]

    assert [(o.response_code, o.cached) for o in outcomes] == [(301, False), (301, False)]


def test_dead_address_of_a_site_is_followed_by_the_next_and_then_avoided() -> None:
    world = chain()
    two = (value("HS_SITE", encode_site(site("203.0.113.9"))), value("HS_SITE", encode_site(site("203.0.113.3")), index=2))
    world.nodes["203.0.113.2"] = {"0.NA/88.100.1": found(*two)}
    first = world.resolve("88.100.1/a")
    world.asked.clear()

    second = world.resolve("88.100.1/b")

    assert (first.response_code, second.response_code) == (1, 1)
    assert [bool(step.error) for step in first.trace if step.node.startswith("企业")] == [True, False]
    assert world.asked == [("203.0.113.3", "88.100.1/b")]


def test_faster_site_is_asked_once_both_are_measured() -> None:
    world = chain()
    both = (value("HS_SITE", encode_site(site("203.0.113.8"))), value("HS_SITE", encode_site(site("203.0.113.9")), index=2))
    world.nodes["203.0.113.2"] = {"0.NA/88.100.1": found(*both)}
    world.nodes["203.0.113.8"] = world.nodes["203.0.113.9"] = {"88.100.1/a": found(URL)}
    world.memory.latencies.observe(Endpoint("udp", "203.0.113.8", 2641), 30)
    world.memory.latencies.observe(Endpoint("udp", "203.0.113.9", 2641), 4)

    world.resolve("88.100.1/a")

    assert world.asked[-1] == ("203.0.113.9", "88.100.1/a")


@pytest.mark.parametrize("suffix", ["item-0000042", "b", "c", "中文", "x/y"])
def test_server_within_a_site_is_chosen_by_the_hash_rule(suffix: str) -> None:
    world = chain()
    many = site("203.0.113.10", "203.0.113.11", "203.0.113.12", hash_option=HashOption.BY_SUFFIX)
    handle = f"88.100.1/{suffix}"
    world.nodes["203.0.113.2"] = {"0.NA/88.100.1": found(value("HS_SITE", encode_site(many)))}
    for number in range(3):
        world.nodes[f"203.0.113.{10 + number}"] = {handle: found(URL)}

    outcome = world.resolve(handle)

    assert outcome.response_code == 1
    assert world.asked[-1][0] == f"203.0.113.{10 + server_position(many, handle)}"


def test_ipv6_site_is_used() -> None:
    world = chain()
    world.nodes["203.0.113.2"] = {"0.NA/88.100.1": found(value("HS_SITE.6", encode_site(site("2606:4700::3"))))}
    world.nodes["2606:4700::3"] = {"88.100.1/a": found(URL)}

    outcome = world.resolve("88.100.1/a")

    assert (outcome.response_code, outcome.trace[-1].address) == (1, "[2606:4700::3]:2641")


def test_busy_server_is_followed_by_the_next_address() -> None:
    world = chain()
    world.root = site("203.0.113.7", protocols=(0, 1))
    replies = iter([Reply(response_code=3), found(URL)])
    world.nodes["203.0.113.7"] = lambda request: next(replies)

    outcome = world.resolve("88.100")

    assert (outcome.response_code, [s.response_code for s in outcome.trace if s.protocol]) == (1, [3, 1])


def test_hs_serv_is_followed_to_the_sites_of_the_service_handle() -> None:
    world = chain()
    world.nodes["203.0.113.1"] = {
        "0.NA/88.300": found(value("HS_SERV", "0.SERV/88")),
        "0.SERV/88": found(value("HS_SITE", encode_site(site("203.0.113.5")))),
    }
    world.nodes["203.0.113.5"] = {"88.300/x": found(URL)}

    outcome = world.resolve("88.300/x")

    assert (outcome.response_code, outcome.values) == (1, (URL,))


def test_hs_serv_that_needs_itself_ends_with_too_many_questions() -> None:
    world = chain()
    world.nodes["203.0.113.1"] = {"0.NA/88.300": found(value("HS_SERV", "88.300/service", ttl=0))}

    outcome = world.resolve("88.300/x")

    assert (outcome.response_code, outcome.error.code if outcome.error else "") == (6, "RES-163")
    assert len(world.asked) <= world.policy.max_questions


def test_service_referral_302_names_a_handle_and_is_followed() -> None:
    world = chain()
    world.nodes["203.0.113.3"] = {"88.100.1/a": refer(code=302, handle="0.SERV/88.100.1")}
    top = world.nodes["203.0.113.1"]
    assert isinstance(top, dict)
    top["0.SERV/88.100.1"] = found(value("HS_SITE", encode_site(site("203.0.113.6"))))
    world.nodes["203.0.113.6"] = {"88.100.1/a": found(URL)}

    outcome = world.resolve("88.100.1/a")

    assert (outcome.response_code, outcome.trace[-1].address) == (1, "203.0.113.6:2641")


def test_referral_loop_is_an_error_that_names_the_node() -> None:
    world = chain()
    back = refer(value("HS_SITE.PREFIX", encode_site(ROOT)))
    world.nodes["203.0.113.2"] = {"0.NA/88.100.1": back}

    outcome = world.resolve("88.100.1/a")

    assert (outcome.response_code, outcome.error.code if outcome.error else "") == (2, "RES-164")


def test_referral_without_addresses_is_an_error() -> None:
    world = chain()
    world.nodes["203.0.113.1"] = {"0.NA/88.100.1": refer(value("HS_SITE.PREFIX", b"\x00\x01garbage"))}

    outcome = world.resolve("88.100.1/a")

    assert outcome.error is not None and outcome.error.code == "RES-166"


def test_alias_is_followed_and_named() -> None:
    world = chain()
    world.nodes["203.0.113.3"] = {"88.100.1/a": found(value("HS_ALIAS", "88.100.2/hosted"))}

    outcome = world.resolve("88.100.1/a")

    assert (outcome.response_code, outcome.values, outcome.aliases) == (1, (URL,), ("88.100.2/hosted",))


def test_alias_loop_is_an_error() -> None:
    world = chain()
    world.nodes["203.0.113.3"] = {
        "88.100.1/a": found(value("HS_ALIAS", "88.100.1/b")),
        "88.100.1/b": found(value("HS_ALIAS", "88.100.1/A")),
    }

    outcome = world.resolve("88.100.1/a")

    assert outcome.error is not None and outcome.error.code == "RES-165"


def test_alias_chain_longer_than_the_limit_is_an_error_that_says_so() -> None:
    world = chain()
    world.nodes["203.0.113.3"] = {
        f"88.100.1/a{number}": found(value("HS_ALIAS", f"88.100.1/a{number + 1}")) for number in range(30)
    }

    first, again = world.resolve("88.100.1/a0"), world.resolve("88.100.1/a0")

    for outcome in (first, again):
        assert outcome.error is not None
        assert (outcome.response_code, outcome.error.code) == (2, "RES-167")
        assert outcome.message == "别名层数超过上限 10，停在 88.100.1/a10"


def test_alias_is_not_followed_when_the_policy_says_so() -> None:
    world = chain()
    world.policy = Policy(follow_aliases=False, allow_private=True)
    world.nodes["203.0.113.3"] = {"88.100.1/a": found(value("HS_ALIAS", "88.100.1/b"))}

    outcome = world.resolve("88.100.1/a")

    assert outcome.values[0].type == "HS_ALIAS"


def test_walk_ends_at_its_total_time() -> None:
    world = chain()
    world.policy = Policy(total_ms=1000, allow_private=True)
    world.silence_ms = 600
    world.root = site(*[f"203.0.113.{n}" for n in (101, 102)], protocols=(0, 1, 2))

    outcome = world.resolve("88.100")

    assert outcome.error is not None and outcome.error.code == "RES-162"
    assert len(world.asked) == 2


def test_vaa_is_resolved_by_its_handle_form() -> None:
    world = chain()
    world.nodes["203.0.113.1"] = {"0.NA/88.100.12345678": refer(value("HS_SITE.PREFIX", encode_site(site("203.0.113.2"))))}
    world.nodes["203.0.113.2"] = {
        "0.NA/88.100.12345678": found(value("HS_SITE", encode_site(site("203.0.113.3")))),
    }
    world.nodes["203.0.113.3"] = {"88.100.12345678/abc": found(URL)}

    outcome = world.resolve("VAA08810012345678/abc")

    assert (outcome.response_code, outcome.identifier) == (1, "VAA08810012345678/ABC")


@pytest.mark.parametrize(
    ("host", "allow_private", "allowed"),
    [
        ("93.184.216.34", False, True),
        ("127.0.0.1", False, False),
        ("10.1.2.3", False, False),
        ("169.254.169.254", False, False),
        ("::1", False, False),
        ("fd00::1", False, False),
        ("::ffff:10.0.0.1", False, False),
        ("127.0.0.1", True, True),
        ("64:ff9b::a00:1", False, False),
        ("2002:7f00:1::", False, False),
        ("169.254.169.254", True, False),
        ("255.255.255.255", True, False),
        ("0.0.0.0", True, False),
        ("224.0.0.1", True, False),
        ("metadata.internal", True, False),
        ("2606:4700::1", False, True),
        ("2606:4700::1%eth0", False, False),
        ("2606:4700::1%]@127.0.0.1:6379?", False, False),
        ("fec0::1", False, False),
        ("fec0::1", True, True),
        ("::127.0.0.1", False, False),
        ("::1", True, True),
    ],
)
def test_is_allowed_refuses_private_addresses_unless_told(host: str, allow_private: bool, allowed: bool) -> None:
    assert is_allowed(host, allow_private=allow_private) is allowed


def test_forbidden_address_in_a_record_is_never_asked_and_shown_in_the_path() -> None:
    world = chain()
    world.nodes["203.0.113.2"] = {"0.NA/88.100.1": found(value("HS_SITE", encode_site(site("169.254.169.254", port=80))))}
    world.nodes["169.254.169.254"] = {"88.100.1/a": found(URL)}

    outcome = world.resolve("88.100.1/a")

    assert outcome.response_code == 2
    assert outcome.trace[-1].error == "不允许访问的地址"
    assert all(host != "169.254.169.254" for host, _ in world.asked)


def test_record_with_thousands_of_addresses_costs_no_more_than_the_first_ones() -> None:
    world = chain()
    crowd = Server(1, ipaddress.ip_address("169.254.169.254"), b"", tuple(Interface(QUERY, 0, port) for port in range(1, 3000)))
    world.nodes["203.0.113.2"] = {"0.NA/88.100.1": found(value("HS_SITE", encode_site(Site(servers=(crowd,)))))}

    outcome = world.resolve("88.100.1/a")

    assert sum(step.error == "不允许访问的地址" for step in outcome.trace) == Policy().max_addresses


def test_absences_with_long_names_and_messages_stay_within_the_memory_given() -> None:
    world = chain()
    world.memory = Memory(entries=100_000, octets=400_000)
    world.nodes["203.0.113.3"] = lambda request: Reply(response_code=100, message="x" * 30_000)

    for number in range(20):
        world.resolve(f"88.100.1/{number}")

    negatives = world.memory.negatives
    assert sum(len(held.value.message) for held in negatives._held.values()) <= negatives.weight <= 100_000
    assert len(negatives) > 0


OID = "1.2.156.3001.5"


def test_private_address_in_a_record_is_refused_but_the_operators_root_is_not() -> None:
    world = chain()
    world.policy = Policy(allow_private=False)
    world.root = site("127.0.0.1")
    world.nodes["127.0.0.1"] = {"0.NA/88.100": found(value("HS_SITE", encode_site(site("10.0.0.2"))))}

    outcome = world.resolve("88.100/x")

    assert (outcome.response_code, world.asked) == (2, [("127.0.0.1", "0.NA/88.100")])


def routed() -> World:
    """top routes the OID to second over HTTP, second says the enterprise is final."""
    world = World(root=site("203.0.113.1", protocols=(0, 1, 2)))

    def top(request: Request) -> Reply | RouteReply:
        assert isinstance(request, RouteRequest)
        hop = (Endpoint("http", "203.0.113.2", 8080),)
        if request.identifier.startswith("1.2.156.3001"):
            return RouteReply(system="OID", matched="1.2.156.3001", next=hop, final=False)
        return RouteReply(system="OID", matched="", next=(), final=False)

    def second(request: Request) -> Reply | RouteReply:
        assert isinstance(request, RouteRequest)
        return RouteReply(system="OID", matched=OID, next=(Endpoint("http", "203.0.113.3", 8080),), final=True)

    world.nodes = {"203.0.113.1": top, "203.0.113.2": second}
    world.nodes["203.0.113.3"] = {OID: found(URL)}
    return world


def test_oid_is_routed_over_http_and_asked_at_the_final_node() -> None:
    world = routed()

    outcome = world.resolve(OID)

    assert (outcome.response_code, outcome.values) == (1, (URL,))
    assert [step.protocol for step in outcome.trace if step.protocol] == ["http", "http", "http"]
    assert world.asked == [("203.0.113.1", OID), ("203.0.113.2", OID), ("203.0.113.3", OID)]


def test_routed_answer_is_cached_and_its_route_survives_the_answer() -> None:
    world = routed()
    world.nodes["203.0.113.3"] = {OID: found(value("URL", "x", ttl=5))}
    world.resolve(OID)
    world.now_s += 10
    world.asked.clear()

    world.resolve(OID)

    assert world.asked == [("203.0.113.3", OID)]


def test_dead_final_node_of_a_remembered_route_is_looked_up_again() -> None:
    world = routed()
    world.nodes["203.0.113.3"] = {OID: found(value("URL", "x", ttl=5))}
    world.resolve(OID)
    world.now_s += 10
    del world.nodes["203.0.113.3"]
    world.nodes["203.0.113.4"] = {OID: found(URL)}
    world.nodes["203.0.113.2"] = lambda request: RouteReply(
        system="OID", matched=OID, next=(Endpoint("http", "203.0.113.4", 8080),), final=True
    )

    outcome = world.resolve(OID)

    assert (outcome.response_code, outcome.values) == (1, (URL,))


def test_missing_route_is_a_clear_answer() -> None:
    outcome = routed().resolve("1.2.156.9999.1")

    assert outcome.response_code == 100
    assert outcome.message == "OID 编码 1.2.156.9999.1 暂无解析路由，已查询国家顶级节点。"


def test_route_loop_is_an_error() -> None:
    world = routed()
    world.nodes["203.0.113.2"] = lambda request: RouteReply(
        system="OID", matched="", next=(Endpoint("http", "203.0.113.2", 8080),), final=False
    )

    outcome = world.resolve(OID)

    assert outcome.error is not None and outcome.error.code == "RES-164"


def test_content_request_is_what_the_final_node_is_asked() -> None:
    world = routed()
    seen: list[Request] = []

    def final(request: Request) -> Reply:
        seen.append(request)
        return found(URL)

    world.nodes["203.0.113.3"] = final

    world.resolve(OID)

    assert seen == [ContentRequest(identifier=OID)]
