"""A client that finds the answering node itself: drives walks over real sockets and lets equal questions share one walk.

    walker = Walker(Client(), lambda: root_site, policy=Policy(), memory=Memory())
    outcome = await walker.resolve(parse("88.100.1/a"))

`RootFile` is the root site as a file that may be replaced while the process runs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from biaojie.base import clock
from biaojie.client.aio import Client
from biaojie.client.errors import ClientError, NoNode
from biaojie.codes.identifier import Identifier
from biaojie.handle.bodies import ResolutionRequest
from biaojie.handle.errors import HandleError
from biaojie.handle.sites import Site, decode_site
from biaojie.resolution.cache import Endpoint
from biaojie.resolution.memory import Memory
from biaojie.resolution.questions import HandleRequest, Outcome, Policy, Question, Reply, Request, RouteReply, RouteRequest
from biaojie.resolution.recursion import Walk

CHECK_S = 1.0
"""How often the root file is looked at again."""


@dataclass(slots=True)
class Tally:
    """What a walker has done since it started."""

    walks: int = 0
    shared: int = 0
    questions: int = 0
    failures: int = 0
    in_flight: int = 0


class Walker:
    """Resolves identifiers from the root down. Belongs to one event loop."""

    def __init__(self, client: Client, root: Callable[[], Site], *, policy: Policy, memory: Memory) -> None:
        """`root` gives the root site in force; when it changes, everything remembered is forgotten."""
        self.client = client
        self.policy = policy
        self.memory = memory
        self.tally = Tally()
        self._root = root
        self._last_root: Site | None = None
        self._walks: dict[tuple[Identifier, bool, bool], asyncio.Task[Outcome]] = {}
        self._questions: dict[tuple[Endpoint, Request, bytes], asyncio.Task[Reply | RouteReply]] = {}

    async def resolve(self, identifier: Identifier, *, fresh: bool = False, policy: Policy | None = None) -> Outcome:
        """The outcome of a walk for this identifier, shared with everybody who asks for it at this moment.

        `fresh` asks the owner past the cached answer. Raises `NoNode` when there is no root site.
        """
        rules = self.policy if policy is None else policy
        key = (identifier, fresh, rules.follow_aliases)
        task = self._walks.get(key)
        if task is None:
            task = asyncio.create_task(self._walk(identifier, rules, fresh))
            self._walks[key] = task
            task.add_done_callback(lambda _: self._walks.pop(key, None))
        else:
            self.tally.shared += 1
        # One impatient asker must not end the walk of the others.
        return await asyncio.shield(task)

    async def _walk(self, identifier: Identifier, policy: Policy, fresh: bool) -> Outcome:
        root = self._root()
        if self._last_root is not None and root != self._last_root:
            self.memory.clear()
        self._last_root = root
        self.tally.walks += 1
        self.tally.in_flight += 1
        try:
            walk = Walk(identifier, root, policy=policy, memory=self.memory, now_s=clock.time_s(), fresh=fresh)
            while (question := walk.question) is not None:
                started = time.perf_counter()
                try:
                    reply = await self._ask(question)
                except ClientError as error:
                    self.tally.failures += 1
                    walk.failed(error.message, elapsed_ms=(time.perf_counter() - started) * 1000, now_s=clock.time_s())
                else:
                    walk.answered(reply, elapsed_ms=(time.perf_counter() - started) * 1000, now_s=clock.time_s())
            assert walk.outcome is not None
            return walk.outcome
        finally:
            self.tally.in_flight -= 1

    async def _ask(self, question: Question) -> Reply | RouteReply:
        """The reply of the first target; walks that ask the same of the same address share one exchange."""
        target = question.targets[0]
        public_key = target.public_key if question.certify else b""
        key = (target.endpoint, question.request, public_key)
        task = self._questions.get(key)
        if task is None:
            self.tally.questions += 1
            task = asyncio.create_task(self._exchange(question, public_key))
            self._questions[key] = task
            task.add_done_callback(lambda _: self._questions.pop(key, None))
        return await asyncio.shield(task)

    async def _exchange(self, question: Question, public_key: bytes) -> Reply | RouteReply:
        target, request = question.targets[0], question.request
        if isinstance(request, RouteRequest):
            return await self.client.route(target.endpoint, request.identifier, timeout_ms=question.timeout_ms)
        if isinstance(request, HandleRequest):
            body = ResolutionRequest(request.handle, (), request.types)
            response = await self.client.ask(
                target.endpoint, body, timeout_ms=question.timeout_ms, public_key=public_key, site_serial=target.serial
            )
        else:
            response = await self.client.content(target.endpoint, request.identifier, timeout_ms=question.timeout_ms)
        return Reply(
            response_code=response.response_code,
            values=response.values,
            referral=response.referral,
            message=response.text,
            authoritative=response.authoritative,
            verified=response.verified,
            octets=response.octets,
        )


@dataclass(slots=True)
class RootFile:
    """The root site (HS_SITE octets) in a file, read again when the file changes.

    A file that goes away or cannot be read leaves the last good site in force.
    """

    path: Path
    _site: Site | None = None
    _stamp: tuple[int, int, int] | None = None
    _looked_s: float = field(default=float("-inf"))

    def __call__(self) -> Site:
        """The site in force; `NoNode` when there never was a readable one."""
        site = self.peek()
        if site is None:
            raise NoNode(reason=f"根站点文件 {self.path} 不存在或无法读取")
        return site

    def peek(self) -> Site | None:
        """The site in force, None when there never was a readable one."""
        now_s = time.monotonic()
        if now_s - self._looked_s < CHECK_S and self._site is not None:
            return self._site
        self._looked_s = now_s
        try:
            status = self.path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp != self._stamp:
                self._site = decode_site(self.path.read_bytes())
                self._stamp = stamp
        except (OSError, HandleError):
            pass
        return self._site
