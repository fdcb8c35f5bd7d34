"""The recursive node: answers for any identifier by walking from the root, over UDP, TCP and HTTP. No Django, no database.

It holds nothing of its own and says so: replies never carry AT. Equal questions share one walk. Readiness is one JSON line
`{"ready": true}` on standard output; SIGTERM and SIGINT end it after the replies in hand have left.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from dataclasses import replace
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from biaojie.base import clock
from biaojie.base.settings import Settings, load
from biaojie.client.aio import Client
from biaojie.client.errors import NoNode
from biaojie.client.walker import RootFile, Walker
from biaojie.codes.errors import CodeError
from biaojie.codes.identifier import Identifier
from biaojie.codes.parsing import parse, recognise
from biaojie.codes.systems import System
from biaojie.handle.bodies import ErrorResponse, ResolutionRequest, ResolutionResponse
from biaojie.handle.codes import FLAG_RD, OpCode, ResponseCode
from biaojie.handle.errors import EncodeError, HandleError, WrongDirection
from biaojie.handle.header import UNKNOWN_SERIAL
from biaojie.handle.messages import Message, RawBody, decode_request, digest_request, early_error, encode_message, make_response
from biaojie.handle.values import type_matches
from biaojie.net.ratelimit import RateLimiter
from biaojie.processes import log_lines
from biaojie.processes.lifeline import leave, tie_to_parent
from biaojie.processes.recursor_faces import Faces
from biaojie.processes.recursor_page.application import filtered
from biaojie.resolution.early import Unserved, read_head, refusal_of
from biaojie.resolution.memory import Memory
from biaojie.resolution.policy import EXPIRATION_S
from biaojie.resolution.questions import Outcome, Policy, wire_identifier

WALKS_MAX = 2_000
"""Walks going on at one time; what comes beyond is told to come back (RC 3)."""
RECURSION_MAX = 10
"""A message that has been handed on this often is not handed on again (RC 6)."""

_NOT_OURS_TO_SAY = frozenset({ResponseCode.SERVICE_REFERRAL, ResponseCode.PREFIX_REFERRAL, ResponseCode.AUTHENTICATION_NEEDED})

log = structlog.get_logger("recursor")


class Recursor:
    """The node's service, without sockets: text or octets in, outcome or octets out."""

    def __init__(self, settings: Settings, client: Client) -> None:
        self.name = settings.node
        self.environment = settings.environment
        self.root = RootFile(settings.bootstrap)
        self._examples_file = settings.node_dir / "examples.json"
        self.memory = Memory(entries=settings.cache_entries)
        self.policy = Policy(
            total_ms=settings.walk_timeout_ms,
            negative_ttl_s=settings.negative_ttl_s,
            allow_private=settings.allow_private_addresses,
        )
        self.walker = Walker(client, self.root, policy=self.policy, memory=self.memory)
        self.limiter = RateLimiter(settings.rate_limit_per_s) if settings.rate_limit_per_s else None
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "biaojie_recursor_requests",
            "Resolution requests by transport and response code",
            ("via", "code"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "biaojie_recursor_seconds", "Time from request to outcome", registry=self.registry,
            buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
        )  # fmt: skip
        self.registry.register(_Gauges(self))

    def is_ready(self) -> bool:
        """Is there a root site to start from?"""
        return self.root.peek() is not None

    @property
    def examples(self) -> tuple[str, ...]:
        """Identifiers that the page offers to try: `examples.json` in the node's folder as it is now, else none."""
        try:
            listed = json.loads(self._examples_file.read_text(encoding="utf-8"))
            return tuple(str(item) for item in listed)
        except (OSError, ValueError, TypeError):
            return ()

    async def resolve(self, text: str, *, fresh: bool = False, follow_aliases: bool = True, via: str = "http") -> Outcome:
        """The outcome for a text of any of the six systems; raises `CodeError` for none of them, `NoNode` without a root."""
        # What looks like no other system is asked for as a handle.
        return await self._resolve(parse(text, recognise(text) or System.HANDLE), fresh, follow_aliases, via)

    async def _resolve(self, identifier: Identifier, fresh: bool, follow_aliases: bool, via: str) -> Outcome:
        started = time.perf_counter()
        rules = self.policy if follow_aliases else replace(self.policy, follow_aliases=False)
        outcome = await self.walker.resolve(identifier, fresh=fresh, policy=rules)
        self._seconds.observe(time.perf_counter() - started)
        # A label's values live for ever, and a stranger's node may reply with any number.
        code = ResponseCode(outcome.response_code)
        self._requests.labels(via, str(int(code)) if code.is_known else "other").inc()
        if outcome.error is not None and outcome.response_code == ResponseCode.ERROR:
            log.warning("walk failed", identifier=outcome.identifier, code=outcome.error.code, reason=outcome.message)
        return outcome

    async def reply_to(self, data: bytes, *, via: str) -> bytes | None:
        """The reply to a whole binary message; None for what is no request at all."""
        expiration = int(clock.time_s()) + EXPIRATION_S.value
        try:
            envelope, header = read_head(data)
            is_ours = header.op_code == OpCode.RESOLUTION
            # What is refused by its operation alone need not be readable to its end.
            request = decode_request(data) if is_ours else Message(envelope=envelope, header=header, body=RawBody())
        except WrongDirection:
            return None
        except (Unserved, HandleError) as error:
            code, message = refusal_of(error)
            return early_error(data, expiration=expiration, code=code, message=message)
        try:
            response = await self._respond(request, data, expiration, via)
            return encode_message(response)
        except (EncodeError, NoNode) as error:
            return encode_message(_error(request, ResponseCode.ERROR, error.message, expiration))
        except Exception:
            # The last line of defence: an asker gets an answer and the log the reason, whatever a node on the way sent.
            log.exception("request failed", via=via)
            return encode_message(_error(request, ResponseCode.ERROR, "递归节点内部错误。", expiration))

    async def _respond(self, request: Message, data: bytes, expiration: int, via: str) -> Message:
        body = request.body
        if not isinstance(body, ResolutionRequest):
            return _error(request, ResponseCode.OPERATION_NOT_SUPPORTED, "递归节点只提供解析。", expiration)
        if request.header.recursion_count > RECURSION_MAX:
            return _error(request, ResponseCode.RECURSION_COUNT_TOO_HIGH, "递归次数过多。", expiration)
        if self.walker.tally.in_flight >= WALKS_MAX:
            return _error(request, ResponseCode.SERVER_TOO_BUSY, "递归节点繁忙，请稍后再试。", expiration)
        follow = not any(type_matches("HS_ALIAS", type_) for type_ in body.types)
        outcome = await self._resolve(_identifier(body.handle), False, follow, via)
        code, values = filtered(outcome, body.indexes, body.types)
        digest = digest_request(data) if request.has_flag(FLAG_RD) else None
        answer = (
            ResolutionResponse(body.handle, values)
            if code == ResponseCode.SUCCESS
            else ErrorResponse(_said(code), outcome.message)
        )
        return make_response(
            request,
            answer,
            expiration=expiration,
            primary=False,
            site_serial=UNKNOWN_SERIAL,
            response_code=_said(code),
            digest=digest,
        )


def _said(code: int) -> int:
    """The code an asker is given: a referral or a challenge that could not be met is this node's failure, not its advice."""
    return ResponseCode.ERROR if code in _NOT_OURS_TO_SAY else code


def _error(request: Message, code: int, message: str, expiration: int) -> Message:
    return make_response(
        request,
        ErrorResponse(code, message),
        expiration=expiration,
        primary=False,
        site_serial=UNKNOWN_SERIAL,
        response_code=code,
    )


def _identifier(handle: str) -> Identifier:
    """What a handle over the wire stands for: itself, or an identifier of another system spelt as only that system's are."""
    system = recognise(handle)
    if system not in (None, System.HANDLE):
        with contextlib.suppress(CodeError):
            return parse(handle, system)
    return wire_identifier(handle if "/" in handle else f"0.NA/{handle}")


class _Gauges:
    """Reads the node's state when the metrics are asked for."""

    def __init__(self, recursor: Recursor) -> None:
        self._recursor = recursor

    def collect(self) -> Any:
        tally, memory = self._recursor.walker.tally, self._recursor.memory
        held = GaugeMetricFamily("biaojie_recursor_cache_entries", "Entries held", labels=("cache",))
        hits = CounterMetricFamily("biaojie_recursor_cache_hits", "Look-ups that found an entry", labels=("cache",))
        for name, cache in (("answers", memory.answers), ("negatives", memory.negatives), ("delegations", memory.delegations)):
            held.add_metric((name,), len(cache))
            hits.add_metric((name,), cache.hits)
        yield held
        yield hits
        yield GaugeMetricFamily("biaojie_recursor_walks_in_flight", "Walks going on", value=tally.in_flight)
        yield CounterMetricFamily("biaojie_recursor_walks", "Walks begun", value=tally.walks)
        yield CounterMetricFamily("biaojie_recursor_shared", "Requests that joined a walk going on", value=tally.shared)
        yield CounterMetricFamily("biaojie_recursor_questions", "Questions sent to nodes", value=tally.questions)
        yield CounterMetricFamily("biaojie_recursor_failures", "Questions without a usable reply", value=tally.failures)
        yield GaugeMetricFamily("biaojie_recursor_ready", "1 when there is a root site", value=int(self._recursor.is_ready()))


class _Doors:
    """Reads what the sockets turned away when the metrics are asked for."""

    def __init__(self, faces: Faces) -> None:
        self._faces = faces

    def collect(self) -> Any:
        shares = self._faces.shares
        yield GaugeMetricFamily("biaojie_recursor_tcp_connections", "TCP connections open", value=shares.total)
        yield CounterMetricFamily("biaojie_recursor_tcp_refused", "TCP connections refused", value=shares.refused)
        yield CounterMetricFamily(
            "biaojie_recursor_tcp_over_share", "of these, beyond one source's share", value=shares.over_share
        )
        yield CounterMetricFamily("biaojie_recursor_udp_too_long", "Replies too long for UDP", value=self._faces.too_long)


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run the node until `stop` is set."""
    async with Client() as client:
        recursor = Recursor(settings, client)
        if not recursor.is_ready():
            log.warning("no root site yet", path=str(settings.bootstrap))
        faces = Faces(recursor, settings)
        recursor.registry.register(_Doors(faces))
        try:
            await faces.open()
            print(json.dumps({"ready": True}), flush=True)
            await stop.wait()
        finally:
            await faces.close()


def main() -> None:
    """Run the node of these settings until SIGTERM or SIGINT."""
    tie_to_parent()
    settings = load()
    log_lines.configure(settings.log_level)
    clock.configure(offset_s=settings.clock_offset_s, scale=settings.clock_scale, origin_s=settings.clock_origin_s or None)

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await serve(settings, stop)

    asyncio.run(run())


if __name__ == "__main__":
    main()
    leave()
