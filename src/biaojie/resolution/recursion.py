"""From the root to the answer: the walk of a recursive node, without sockets, clocks or tasks.

A `Walk` yields one `Question` at a time and is fed what became of it (`answered` or `failed`) until it has an `Outcome`.
Handle and VAA identifiers follow prefix records (HS_SITE, HS_SITE.6, HS_SERV, 302/303 referrals) from the root site down;
the other code systems follow routes (附件1 表2, 表7) over HTTP. Who was asked stays in the trace, failed tries included.

    root ── 303 ──► second ── HS_SITE ──► enterprise ── values
     ▲                 ▲
     └─────────────────┴── asked again past the cache when every cached address of the next node fails

What walks share (`memory.Memory`) is a cache: dropping it changes the time a walk takes, never its result.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import replace
from itertools import chain, islice
from typing import TypeVar

from biaojie.codes.identifier import Identifier
from biaojie.codes.systems import System
from biaojie.handle.codes import ResponseCode
from biaojie.handle.sites import Site
from biaojie.handle.values import HandleValue, ascii_upper
from biaojie.resolution.cache import Endpoint
from biaojie.resolution.errors import (
    AliasLoop,
    NoAnswer,
    NoRoute,
    PrefixNotRouted,
    ReferralLoop,
    Refused,
    TooManyAliases,
    TooManyQuestions,
    UnknownPrefix,
    UnusableReferral,
    WalkError,
    WalkTimeout,
)
from biaojie.resolution.memory import Answer, Level, Memory, answer_weight, level_identity, level_weight
from biaojie.resolution.questions import (
    REFERRALS,
    ContentRequest,
    HandleRequest,
    Outcome,
    Policy,
    Question,
    Reply,
    Request,
    RouteReply,
    RouteRequest,
    Step,
    Target,
    addresses_of,
    handle_of,
    is_allowed,
    is_root_handle,
    note_of,
    parent_prefix,
    prefix_of,
    reason_of,
    sites_in,
    targets_of,
    text_of,
    values_ttl,
)

PREFIX_TYPES = ("HS_SITE", "HS_SITE.6", "HS_SERV", "HS_SITE.PREFIX", "HS_SERV.PREFIX", "HS_NAMESPACE")
SERVICE_TYPES = ("HS_SITE", "HS_SITE.6", "HS_SERV")
ROOT_NODE = "国家顶级节点"
RECURSIVE_NODE = "递归节点"
HANDLE_SYSTEMS = frozenset({System.HANDLE, System.VAA})
_TRY_ANOTHER = frozenset({ResponseCode.ERROR, ResponseCode.SERVER_TOO_BUSY, ResponseCode.PROTOCOL_ERROR})
_STALE = frozenset({ResponseCode.OUT_OF_DATE_SITE_INFO, ResponseCode.SERVER_NOT_RESPONSIBLE})

_T = TypeVar("_T")
_Talk = Generator[Question, "Reply | RouteReply | None", _T]


class _Ended(Exception):
    """Unwinds a walk that cannot go on."""

    def __init__(self, error: WalkError) -> None:
        self.error = error


class Walk:
    """One identifier on its way to an `Outcome`.

    Drive it: while `question` is not None, ask `question.targets[0]`, then call `answered` or `failed`.
    """

    def __init__(
        self, identifier: Identifier, root: Site, *, policy: Policy, memory: Memory, now_s: float, fresh: bool = False
    ) -> None:
        """`now_s` is the product's clock in seconds; each feed moves it on. A cached answer ends a walk at once.

        `fresh` asks the owner past the cached answer; delegations are still taken from the cache.
        """
        self._fresh = fresh
        self.identifier = identifier
        self.policy = policy
        self.memory = memory
        self.now_s = now_s
        self.question: Question | None = None
        self.outcome: Outcome | None = None
        self._root = Level(key="", node=ROOT_NODE, sites=(root,))
        self._steps: list[Step] = []
        self._asked = 0
        self._spent_ms = 0.0
        self._failed: set[Endpoint] = set()
        self._bypassed: set[str] = set()
        self._verified = True
        self._talk = self._run()
        self._advance(None)

    def answered(self, reply: Reply | RouteReply, *, elapsed_ms: float, now_s: float) -> None:
        """The first target of the question answered."""
        question = self._open_question()
        endpoint = question.targets[0].endpoint
        self.now_s = now_s
        self._spent_ms += elapsed_ms
        self.memory.latencies.observe(endpoint, elapsed_ms)
        code = reply.response_code if isinstance(reply, Reply) else ResponseCode.SUCCESS
        self._record(
            Step(node=self._node, reason=question.reason, protocol=endpoint.protocol, address=endpoint.authority,
                 response_code=code, octets=reply.octets, elapsed_ms=elapsed_ms, note=note_of(reply))
        )  # fmt: skip
        self._advance(reply)

    def failed(self, error: str, *, elapsed_ms: float, now_s: float) -> None:
        """The first target of the question did not answer, or not usably; `error` says why, in Chinese."""
        question = self._open_question()
        endpoint = question.targets[0].endpoint
        self.now_s = now_s
        self._spent_ms += elapsed_ms
        self.memory.latencies.failed(endpoint, now_s)
        self._failed.add(endpoint)
        self._record(
            Step(node=self._node, reason=question.reason, protocol=endpoint.protocol, address=endpoint.authority,
                 elapsed_ms=elapsed_ms, error=error)
        )  # fmt: skip
        self._advance(None)

    def _open_question(self) -> Question:
        if self.question is None:
            raise ValueError("the walk has ended")
        return self.question

    def _record(self, step: Step) -> None:
        self._steps.append(step)

    def _advance(self, reply: Reply | RouteReply | None) -> None:
        try:
            self.question = self._talk.send(reply)
        except StopIteration as end:
            self.question, self.outcome = None, end.value

    # -- the whole walk ------------------------------------------------------------------------------------------

    def _run(self) -> _Talk[Outcome]:
        aliases: list[str] = []
        self._node = ROOT_NODE
        try:
            identifier = self.identifier
            if identifier.system not in HANDLE_SYSTEMS:
                answer, left_s, cached = yield from self._routed()
            else:
                handle = handle_of(identifier)
                seen = [ascii_upper(handle)]
                while True:
                    answer, left_s, cached = yield from self._resolved(handle)
                    target = self._alias_of(answer)
                    if target is None:
                        break
                    aliases.append(target)
                    if ascii_upper(target) in seen:
                        raise _Ended(AliasLoop(chain=" → ".join([*seen, ascii_upper(target)])))
                    if len(aliases) > self.policy.max_aliases:
                        raise _Ended(TooManyAliases(limit=self.policy.max_aliases, handle=handle))
                    seen.append(ascii_upper(target))
                    handle = target
        except _Ended as end:
            return Outcome(
                identifier=self.identifier.canonical, response_code=end.error.response_code, trace=tuple(self._steps),
                aliases=tuple(aliases), node=self._node, message=end.error.message, error=end.error,
            )  # fmt: skip
        return Outcome(
            identifier=self.identifier.canonical, response_code=answer.response_code, values=answer.values,
            ttl_s=int(left_s), trace=tuple(self._steps), node=answer.node, aliases=tuple(aliases), cached=cached,
            verified=answer.verified, message=answer.message, error=answer.error,
        )  # fmt: skip

    def _alias_of(self, answer: Answer) -> str | None:
        if not self.policy.follow_aliases or answer.response_code != ResponseCode.SUCCESS:
            return None
        return next((v.data.decode("utf-8", "surrogateescape") for v in answer.values if v.type.upper() == "HS_ALIAS"), None)

    def _remembered(self, key: str) -> tuple[Answer, float] | None:
        if self._fresh:
            self._record(Step(node=RECURSIVE_NODE, reason="不使用缓存"))
            return None
        found = self.memory.answers.get_with_age(key, self.now_s) or self.memory.negatives.get_with_age(key, self.now_s)
        if found is not None:
            self._record(Step(node=RECURSIVE_NODE, reason="缓存命中", cached=True, note=f"剩余 TTL {int(found[1])} 秒"))
            return found
        self._record(Step(node=RECURSIVE_NODE, reason="缓存未命中"))
        return None

    def _remember(self, key: str, answer: Answer) -> float:
        """Keep an answer for its TTL; how long that is, in seconds."""
        if answer.response_code == ResponseCode.SUCCESS:
            ttl_s = min(values_ttl(answer.values, self.now_s), float(self.policy.answer_ttl_max_s))
            self.memory.answers.put(key, answer, ttl_s=ttl_s, now_s=self.now_s, weight=answer_weight(key, answer))
            self.memory.negatives.drop(key)
            return ttl_s
        ttl_s = float(self.policy.negative_ttl_s)
        self.memory.negatives.put(key, answer, ttl_s=ttl_s, now_s=self.now_s, weight=answer_weight(key, answer))
        self.memory.answers.drop(key)
        return ttl_s

    # -- handles -------------------------------------------------------------------------------------------------

    def _resolved(self, handle: str) -> _Talk[tuple[Answer, float, bool]]:
        """All public values of one handle: from the cache, else from the node that answers for it."""
        key = f"1{ascii_upper(handle)}"
        found = self._remembered(key)
        if found is not None:
            return *found, True
        try:
            level, reply = yield from self._converse(HandleRequest(handle=handle), depth=0)
        except _Ended as end:
            # Only what a node said may be remembered; that nobody answered is no statement about the identifier.
            if isinstance(end.error, (UnknownPrefix, PrefixNotRouted)):
                answer = Answer(
                    response_code=end.error.response_code, node=self._node, error=end.error, message=end.error.message
                )
                return answer, self._remember(key, answer), False
            raise
        answer = Answer(
            response_code=reply.response_code,
            values=reply.values,
            node=level.node,
            verified=reply.verified,
            message=reply.message,
        )
        keep = reply.response_code in (ResponseCode.SUCCESS, ResponseCode.HANDLE_NOT_FOUND, ResponseCode.VALUES_NOT_FOUND)
        return answer, self._remember(key, answer) if keep else 0.0, False

    def _converse(self, request: HandleRequest, depth: int) -> _Talk[tuple[Level, Reply]]:
        """The reply of the node that answers for a handle, and that node: down the referrals from the deepest one known.

        When every address of a remembered node fails, or it is no longer responsible, its parent is asked again.
        """
        if depth > self.policy.max_depth:
            raise _Ended(TooManyQuestions(asked=self._asked))
        key = ascii_upper(request.handle)
        while True:
            at_root = is_root_handle(request.handle)
            level = self._deepest(key) if at_root else (yield from self._delegation(prefix_of(request.handle), depth))
            hop = self._hop(level)
            visited = {level_identity(level)}
            while True:
                reply = yield from self._ask(level, request)
                if reply is None or reply.response_code in _STALE:
                    if level.cached and level.key not in self._bypassed:
                        self._bypassed.add(level.key)
                        self.memory.delegations.drop(level.key)
                        break
                    if reply is None:
                        raise _Ended(NoAnswer(node=level.node, tried=self._tried(level.node)))
                    return level, reply
                if reply.response_code not in REFERRALS:
                    return level, reply
                hop += 1
                level = yield from self._referred(level, request, reply, hop, depth)
                if level_identity(level) in visited:
                    raise _Ended(ReferralLoop(handle=request.handle, node=level.node))
                if len(visited) > self.policy.max_depth:
                    raise _Ended(TooManyQuestions(asked=self._asked))
                visited.add(level_identity(level))

    def _deepest(self, key: str) -> Level:
        """The last node a referral for this handle named, as far as it is remembered; else the root."""
        for hop in range(4, 0, -1):
            level = self._recall(f"R{hop}:{key}")
            if level is not None:
                return level
        return self._root

    @staticmethod
    def _hop(level: Level) -> int:
        return int(level.key[1 : level.key.index(":")]) if level.key.startswith("R") else 0

    def _recall(self, key: str) -> Level | None:
        if key in self._bypassed:
            return None
        level = self.memory.delegations.get(key, self.now_s)
        return None if level is None else replace(level, cached=True)

    def _keep(self, level: Level, values: Iterable[HandleValue]) -> Level:
        ttl_s = min(values_ttl(values, self.now_s), float(self.policy.delegation_ttl_max_s))
        self.memory.delegations.put(level.key, level, ttl_s=ttl_s, now_s=self.now_s, weight=level_weight(level))
        return level

    def _delegation(self, prefix: str, depth: int) -> _Talk[Level]:
        """The node that answers for the handles of a prefix."""
        key = f"D:{ascii_upper(prefix)}"
        known = self._recall(key)
        if known is not None:
            return known
        level, reply = yield from self._converse(HandleRequest(handle=f"0.NA/{prefix}", types=PREFIX_TYPES), depth + 1)
        if reply.response_code == ResponseCode.HANDLE_NOT_FOUND:
            raise _Ended(UnknownPrefix(prefix=prefix, node=level.node))
        if reply.response_code not in (ResponseCode.SUCCESS, ResponseCode.VALUES_NOT_FOUND):
            raise _Ended(_refusal(level.node, reply))
        sites = sites_in(reply.values, ("HS_SITE", "HS_SITE.6"))
        if not sites:
            service = text_of(reply.values, "HS_SERV")
            if service is None:
                raise _Ended(PrefixNotRouted(prefix=prefix))
            sites = yield from self._service(service, depth + 1)
        return self._keep(Level(key=key, node=node_title(prefix, level, sites), sites=sites), reply.values)

    def _service(self, handle: str, depth: int) -> _Talk[tuple[Site, ...]]:
        """The sites of a service handle (HS_SERV, 302), through further HS_SERV values if need be."""
        level, reply = yield from self._converse(HandleRequest(handle=handle, types=SERVICE_TYPES), depth)
        sites = sites_in(reply.values, ("HS_SITE", "HS_SITE.6"))
        if sites:
            return sites
        further = text_of(reply.values, "HS_SERV")
        if further is None:
            raise _Ended(UnusableReferral(node=level.node))
        return (yield from self._service(further, depth + 1))

    def _referred(self, level: Level, request: HandleRequest, reply: Reply, hop: int, depth: int) -> _Talk[Level]:
        """The node a 302 or 303 points at: by the sites in it, by an HS_SERV in it, or by the handle it names."""
        values = reply.values
        if reply.response_code == ResponseCode.PREFIX_REFERRAL:
            sites = sites_in(values, ("HS_SITE.PREFIX", "HS_NA_DELEGATE", "HS_SITE", "HS_SITE.6"))
            service = text_of(values, "HS_SERV.PREFIX")
        else:
            sites = sites_in(values, ("HS_SITE", "HS_SITE.6"))
            service = text_of(values, "HS_SERV")
        service = service or reply.referral or None
        if not sites and service:
            sites = yield from self._service(service, depth + 1)
        if not sites:
            raise _Ended(UnusableReferral(node=level.node))
        prefix = parent_prefix(request.handle)
        following = Level(key=f"R{hop}:{ascii_upper(request.handle)}", node=node_title(prefix, level, sites), sites=sites)
        return self._keep(following, values) if is_root_handle(request.handle) else following

    # -- the other code systems ----------------------------------------------------------------------------------

    def _routed(self) -> _Talk[tuple[Answer, float, bool]]:
        """The content of an identifier that is no handle: along the routes to the final node, then asked there."""
        text = self.identifier.canonical
        key = f"{self.identifier.system.number}{text}"
        found = self._remembered(key)
        if found is not None:
            return *found, True
        while True:
            level = self._recall(f"C:{key}")
            if level is None:
                level = yield from self._route(text, key)
            if level is None:
                error = NoRoute(system=self.identifier.system.value, identifier=text, nodes="、".join(self._visited_nodes()))
                answer = Answer(response_code=error.response_code, node=self._node, error=error, message=error.message)
                return answer, self._remember(key, answer), False
            reply = yield from self._ask(level, ContentRequest(identifier=text))
            if (reply is None or reply.response_code in _STALE) and level.cached and level.key not in self._bypassed:
                self._bypassed.add(level.key)
                continue
            if reply is None:
                raise _Ended(NoAnswer(node=level.node, tried=self._tried(level.node)))
            answer = Answer(response_code=reply.response_code, values=reply.values, node=level.node, message=reply.message)
            keep = reply.response_code in (ResponseCode.SUCCESS, ResponseCode.HANDLE_NOT_FOUND, ResponseCode.VALUES_NOT_FOUND)
            return answer, self._remember(key, answer) if keep else 0.0, False

    def _route(self, text: str, key: str) -> _Talk[Level | None]:
        """The node at the end of the routes, None when there is no route."""
        level, visited = self._root, {level_identity(self._root)}
        while True:
            reply = yield from self._ask_route(level, RouteRequest(identifier=text))
            if reply is None:
                raise _Ended(NoAnswer(node=level.node, tried=self._tried(level.node)))
            if not reply.next:
                return None
            depth = len(visited)
            node = ("二级节点", "企业节点")[min(depth, 2) - 1] + (f" {reply.matched}" if reply.matched else "")
            level = Level(key=f"C:{key}", node=node, endpoints=reply.next)
            if reply.final:
                ttl_s = float(self.policy.route_ttl_s)
                self.memory.delegations.put(level.key, level, ttl_s=ttl_s, now_s=self.now_s, weight=level_weight(level))
                return level
            if level_identity(level) in visited:
                raise _Ended(ReferralLoop(handle=text, node=node))
            if depth >= self.policy.max_depth:
                raise _Ended(TooManyQuestions(asked=self._asked))
            visited.add(level_identity(level))

    # -- one question, address after address -----------------------------------------------------------------------

    def _ask(self, level: Level, request: HandleRequest | ContentRequest) -> _Talk[Reply | None]:
        reply = yield from self._try_all(level, request)
        return reply if isinstance(reply, Reply) else None

    def _ask_route(self, level: Level, request: RouteRequest) -> _Talk[RouteReply | None]:
        reply = yield from self._try_all(level, request)
        return reply if isinstance(reply, RouteReply) else None

    def _try_all(self, level: Level, request: Request) -> _Talk[Reply | RouteReply | None]:
        """The first usable reply of a node's addresses, best address first; None when none gave one."""
        unhelpful: Reply | None = None
        targets = self._targets(level, request)
        reason = reason_of(request)
        while targets:
            left_ms = self.policy.total_ms - self._spent_ms
            if left_ms <= 0:
                raise _Ended(WalkTimeout(limit_ms=self.policy.total_ms, node=level.node))
            if self._asked >= self.policy.max_questions:
                raise _Ended(TooManyQuestions(asked=self._asked))
            self._asked += 1
            self._node = level.node
            reply = yield Question(
                targets=targets,
                request=request,
                reason=reason,
                timeout_ms=max(1, int(min(self.policy.attempt_ms, left_ms))),
                certify=self.policy.certify and bool(targets[0].public_key),
            )
            if isinstance(reply, RouteReply):
                return reply
            if reply is not None:
                if reply.response_code not in _TRY_ANOTHER:
                    return reply
                unhelpful = reply
            targets = targets[1:]
        return unhelpful

    def _targets(self, level: Level, request: Request) -> tuple[Target, ...]:
        """The addresses of a node for this request, best first, without those that failed before or are not allowed.

        Of a record that names thousands of addresses only the first `max_addresses` are looked at.
        """
        handle = request.handle if isinstance(request, HandleRequest) else None
        bare = (Target(endpoint=endpoint) for endpoint in level.endpoints)
        named = (target for site in level.sites for target in targets_of(site, handle))
        found: dict[Endpoint, Target] = {}
        for target in islice(chain(bare, named), self.policy.max_addresses):
            found.setdefault(target.endpoint, target)
        usable = []
        web_only = handle is None
        for endpoint in found:
            if endpoint in self._failed or (web_only and endpoint.protocol not in ("http", "https")):
                continue
            # The root's addresses come from the operator, all others from records somebody else may write.
            if level.key and not is_allowed(endpoint.host, allow_private=self.policy.allow_private):
                self._failed.add(endpoint)
                self._record(
                    Step(node=level.node, reason=reason_of(request), protocol=endpoint.protocol, address=endpoint.authority,
                         error="不允许访问的地址")
                )  # fmt: skip
                continue
            usable.append(endpoint)
        protocols = ("http", "https") if web_only else self.policy.protocols
        ordered = self.memory.latencies.order(usable, self.now_s, protocols)
        return tuple(found[endpoint] for endpoint in ordered)

    def _tried(self, node: str) -> int:
        return len({(step.protocol, step.address) for step in self._steps if step.node == node and step.error})

    def _visited_nodes(self) -> list[str]:
        return list(dict.fromkeys(step.node for step in self._steps if step.protocol))


def node_title(prefix: str, above: Level, sites: tuple[Site, ...]) -> str:
    """How the path calls the node of a prefix: `二级节点 88.100`, `企业节点 88.100.1`.

    A hosted enterprise is answered for by the node above it and goes by that node's name.
    """
    if above.key and sites and {a for s in sites for a in addresses_of(s)} == {a for s in above.sites for a in addresses_of(s)}:
        return above.node
    kinds = {1: ROOT_NODE, 2: "二级节点"}
    return f"{kinds.get(prefix.count('.') + 1, '企业节点')} {prefix}"


def _refusal(node: str, reply: Reply) -> WalkError:
    return Refused(node=node, reason=reply.message or f"响应码 {reply.response_code}")
