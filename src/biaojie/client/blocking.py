"""The client for plain code: the asyncio client on an event loop of its own, in a thread nobody sees.

    with BlockingClient() as client:
        response = client.ask(Endpoint("tcp", "192.0.2.1", 2641), ResolutionRequest("88.100.1/a"))

Every method takes the arguments of its namesake in `aio.Client` and raises the same errors. Safe to share between threads;
the connections of all of them are pooled. After a fork, make a new one.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar

from biaojie.client.aio import Client
from biaojie.client.exchange import DEFAULT_TIMEOUT_MS, Response
from biaojie.handle.bodies import Body
from biaojie.handle.header import UNKNOWN_SERIAL
from biaojie.resolution.cache import Endpoint, TtlCache
from biaojie.resolution.questions import RouteReply

T = TypeVar("T")


class BlockingClient:
    """Asks servers and waits for the reply."""

    def __init__(
        self, *, timeout_ms: int = DEFAULT_TIMEOUT_MS, cache: TtlCache[tuple[object, ...], Response] | None = None
    ) -> None:
        self._client = Client(timeout_ms=timeout_ms, cache=cache)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="biaojie-client", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection and end the thread; calling it again does nothing."""
        if self._loop.is_closed():
            return
        self._run(self._client.close())
        self._run(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def ask(
        self,
        endpoint: Endpoint,
        body: Body,
        *,
        flags: int | None = None,
        timeout_ms: int | None = None,
        public_key: bytes = b"",
        site_serial: int = UNKNOWN_SERIAL,
    ) -> Response:
        """As `aio.Client.ask`."""
        return self._run(
            self._client.ask(endpoint, body, flags=flags, timeout_ms=timeout_ms, public_key=public_key, site_serial=site_serial)
        )

    def ask_any(self, endpoints: Iterable[Endpoint], body: Body, *, timeout_ms: int | None = None) -> Response:
        """As `aio.Client.ask_any`."""
        return self._run(self._client.ask_any(endpoints, body, timeout_ms=timeout_ms))

    def content(
        self,
        endpoint: Endpoint,
        identifier: str,
        *,
        indexes: Iterable[int] = (),
        types: Iterable[str] = (),
        timeout_ms: int | None = None,
    ) -> Response:
        """As `aio.Client.content`."""
        return self._run(self._client.content(endpoint, identifier, indexes=indexes, types=types, timeout_ms=timeout_ms))

    def route(self, endpoint: Endpoint, identifier: str, *, timeout_ms: int | None = None) -> RouteReply:
        """As `aio.Client.route`."""
        return self._run(self._client.route(endpoint, identifier, timeout_ms=timeout_ms))

    def path(self, endpoint: Endpoint, identifier: str, *, timeout_ms: int | None = None) -> dict[str, Any]:
        """As `aio.Client.path`."""
        return self._run(self._client.path(endpoint, identifier, timeout_ms=timeout_ms))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
