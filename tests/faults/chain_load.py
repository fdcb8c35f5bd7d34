"""Load on a chain while its processes are killed: who registers, what was acknowledged, who asks.

`Registering` remembers what a node said yes to: from that moment on it must not be lost, whatever dies.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import httpx2
from running_chain import Chain, url_value

from biaojie.base.settings import split_address
from biaojie.client.blocking import BlockingClient
from biaojie.client.errors import ClientError
from biaojie.handle.bodies import ResolutionRequest
from biaojie.resolution.cache import Endpoint

REPLACED_EACH, DELETED_EACH = 5, 11


@dataclass(slots=True)
class Registering:
    """A thread that registers, replaces and deletes identifiers under `88.100.1/<name>-…` until told to stop.

    `held` maps an identifier to the text it must resolve to; `deleted` must be gone; `open` are those whose last change
    was sent and never answered: either state is right.
    """

    chain: Chain
    name: str
    held: dict[str, str] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    open: dict[str, set[str | None]] = field(default_factory=dict)
    refused: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, name=f"registering-{self.name}")
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join()

    def _run(self) -> None:
        row = self.chain.nodes["enterprise"]
        user = next(user for user in row["users"] if user["username"] == "operator")
        token, number = "", 0
        with httpx2.Client(base_url=row["http"], timeout=10.0, trust_env=False) as client:
            while not self._stop.is_set():
                try:
                    if not token:
                        body = {"username": user["username"], "password": user["password"]}
                        answer = client.post("/api/v1/token", json=body)
                        token = answer.json()["data"]["token"] if answer.status_code == 200 else ""
                    if token:
                        number += 1
                        self._one(client, {"Authorization": f"Bearer {token}"}, number)
                except (httpx2.HTTPError, ValueError):
                    self._stop.wait(0.05)

    def _one(self, client: httpx2.Client, headers: dict[str, str], number: int) -> None:
        identifier = f"88.100.1/{self.name}-{number}"
        first, second = f"https://k.example/{number}", f"https://k.example/{number}/replaced"
        one = {"params": {"identifier": identifier}, "headers": headers}
        body = {"identifier": identifier, "values": [url_value(first)]}
        if not self._done(identifier, {None, first}, client.request("POST", "/api/v1/identifiers", json=body, headers=headers)):
            return
        self.held[identifier] = first
        if number % REPLACED_EACH == 0:
            self.open[identifier] = {first, second}
            answer = client.request("PUT", "/api/v1/identifiers/one", json={"values": [url_value(second)]}, **one)
            if self._done(identifier, {first, second}, answer):
                self.held[identifier] = second
        if number % DELETED_EACH == 0:
            before = self.held[identifier]
            self.open[identifier] = {before, None}
            if self._done(identifier, {before, None}, client.request("DELETE", "/api/v1/identifiers/one", **one)):
                del self.held[identifier]
                self.deleted.add(identifier)

    def _done(self, identifier: str, either: set[str | None], answer: httpx2.Response) -> bool:
        """Whether the node said yes; a 5xx may have been done or not, like no answer."""
        if answer.status_code < 400:
            self.open.pop(identifier, None)
            return True
        self.refused += 1
        self.open[identifier] = either
        return False


@dataclass(slots=True)
class Asking:
    """Asks a node over UDP without patience."""

    chain: Chain
    client: BlockingClient

    def text(self, identifier: str, *, node: str = "enterprise", timeout_ms: int = 3000) -> str | None:
        """The text of the first value, None for an absent identifier; raises `ClientError` when nobody answers."""
        endpoint = Endpoint("udp", *split_address(self.chain.nodes[node]["handle_udp"]))
        response = self.client.ask(endpoint, ResolutionRequest(identifier, (), ()), timeout_ms=timeout_ms)
        if response.response_code == 1:
            return response.values[0].data.decode("utf-8", "replace")
        if response.response_code == 100:
            return None
        raise AssertionError(f"{node} answers {identifier} with {response.response_code} {response.text}")

    def answers(self, identifier: str, node: str) -> bool:
        """Whether a node answers this identifier with values now."""
        try:
            return self.text(identifier, node=node, timeout_ms=300) is not None
        except (ClientError, AssertionError):
            return False

    def wrong(self, work: Registering, *, seconds: float = 60.0) -> dict[str, tuple[str | None, set[str | None]]]:
        """What differs from what was acknowledged, once the publication has had time to catch up."""
        wanted: dict[str, set[str | None]] = {identifier: {text} for identifier, text in work.held.items()}
        wanted |= {identifier: {None} for identifier in work.deleted} | work.open
        deadline = time.monotonic() + seconds
        differing: dict[str, tuple[str | None, set[str | None]]] = {}
        while True:
            found = {identifier: self.text(identifier) for identifier in wanted}
            differing = {name: (found[name], texts) for name, texts in wanted.items() if found[name] not in texts}
            if not differing or time.monotonic() > deadline:
                return differing
            wanted = {name: wanted[name] for name in differing}
            time.sleep(0.5)
