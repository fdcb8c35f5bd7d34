"""One call that resolves an identifier at a recursive node or at any one server, and gives the path when there is one.

    result = resolve("88.100.1/QK-360-0001", server="127.0.0.1:18441", protocol="udp")
    result.response_code, result.values, result.steps

Without `server` it asks the recursive node that `DIR/nodes.json` names (`$BIAOJIE_DATA`, else `./.biaojie`). The path is
told by recursive nodes over HTTP only: `trace` asks there. `exit_status` is what the command ends with.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from biaojie.base.settings import split_address
from biaojie.client.blocking import BlockingClient
from biaojie.client.errors import BadReply, ClientError, NoDatagram, NoNode, NoReply, UnsupportedProtocol
from biaojie.codes.errors import CodeError
from biaojie.handle.bodies import ResolutionRequest
from biaojie.handle.codes import ResponseCode
from biaojie.handle.json_form import response_json
from biaojie.handle.values import HandleValue
from biaojie.resolution.cache import Endpoint
from biaojie.resolution.questions import Step

PROTOCOLS = ("udp", "tcp", "http")
RECURSIVE_TIMEOUT_MS = 10_000
"""A recursive node has a walk to do before it can reply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What came of it. `steps` is the path (empty unless asked for), `message` explains what is no success, in Chinese."""

    identifier: str
    endpoint: Endpoint
    response_code: int
    values: tuple[HandleValue, ...] = ()
    message: str = ""
    node: str = ""
    ttl_s: int | None = None
    octets: int = 0
    elapsed_ms: float = 0.0
    authoritative: bool = False
    aliases: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()

    @property
    def exit_status(self) -> int:
        """0 found, 1 not found (100, 200, no route), 3 any other code."""
        if self.response_code == ResponseCode.SUCCESS:
            return 0
        return 1 if self.response_code in (ResponseCode.HANDLE_NOT_FOUND, ResponseCode.VALUES_NOT_FOUND) else 3

    def as_json(self) -> dict[str, Any]:
        """The Handle.net JSON form, with the path as `trace` when there is one."""
        form = response_json(self.response_code, self.identifier, self.values, message=self.message or None)
        form["elapsedMs"] = round(self.elapsed_ms, 3)
        form["server"] = str(self.endpoint)
        if self.steps:
            form["node"] = self.node
            form["trace"] = [
                {
                    "node": step.node, "reason": step.reason, "cached": step.cached, "protocol": step.protocol,
                    "address": step.address, "responseCode": step.response_code, "octets": step.octets,
                    "elapsedMs": round(step.elapsed_ms, 3), "note": step.note, "error": step.error,
                }
                for step in self.steps
            ]  # fmt: skip
        return form


def resolve(
    identifier: str,
    *,
    server: str | None = None,
    protocol: str | None = None,
    indexes: Sequence[int] = (),
    types: Sequence[str] = (),
    trace: bool = False,
    trace_url: str = "",
    timeout_ms: int = RECURSIVE_TIMEOUT_MS,
    environ: Mapping[str, str] | None = None,
) -> Resolution:
    """Ask `server` (`host:port`), or the recursive node of `DIR/nodes.json`. Raises `ClientError` when nothing usable came.

    `protocol` is `udp`, `tcp` or `http`; without it the first that works is used. With `trace` the path is asked for first
    (at `trace_url`, else at the server's HTTP address), so that it shows the way and not the cache.
    """
    if protocol is not None and protocol not in PROTOCOLS:
        raise UnsupportedProtocol(protocol=protocol)
    known = {} if server is not None else recursive_node(os.environ if environ is None else environ)
    endpoints = _endpoints(server, protocol, known)
    failures: list[ClientError] = []
    with BlockingClient(timeout_ms=timeout_ms) as client:
        path: dict[str, Any] | None = None
        if trace:
            path = client.path(_path_endpoint(trace_url, server, known), identifier, timeout_ms=timeout_ms)
        for endpoint in endpoints:
            try:
                found = _ask(client, endpoint, identifier, tuple(indexes), tuple(types), timeout_ms)
            except ClientError as error:
                failures.append(error)
                continue
            return found if path is None else _with_path(found, path)
    if protocol == "udp" and isinstance(failures[0], NoReply):
        # A reply of more than 24 packets is met with silence over UDP; without `protocol` TCP has been asked by now.
        raise NoDatagram(address=str(endpoints[0])) from failures[0]
    raise failures[0]


def exit_status_of(error: BaseException) -> int:
    """What the command ends with for an error of `resolve`: 2 for what is no identifier, 3 for no usable answer."""
    return 2 if isinstance(error, CodeError) else 3


def recursive_node(environ: Mapping[str, str]) -> dict[str, Any]:
    """The entry of the recursive node in `DIR/nodes.json`; raises `NoNode`."""
    path = Path(environ.get("BIAOJIE_DATA") or ".biaojie") / "nodes.json"
    try:
        nodes = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NoNode(reason=f"无法读取 {path}：{error.strerror}") from error
    except ValueError as error:
        raise NoNode(reason=f"{path} 不是 JSON") from error
    for node in nodes.values() if isinstance(nodes, dict) else ():
        if isinstance(node, dict) and node.get("role") == "recursive":
            return node
    raise NoNode(reason=f"{path} 中没有递归节点")


def _endpoints(server: str | None, protocol: str | None, known: Mapping[str, Any]) -> list[Endpoint]:
    wanted = (protocol,) if protocol else PROTOCOLS
    if server is not None:
        return [Endpoint(name, *_address(server)) for name in wanted]
    endpoints = [Endpoint(name, *_address(str(known[f"handle_{name}"]))) for name in wanted if known.get(f"handle_{name}")]
    if not endpoints:
        raise NoNode(reason=f"递归节点没有 {'、'.join(wanted)} 地址")
    return endpoints


def _path_endpoint(trace_url: str, server: str | None, known: Mapping[str, Any]) -> Endpoint:
    address = trace_url or server or str(known.get("handle_http") or "")
    if not address:
        raise NoNode(reason="没有可以显示解析路径的地址")
    return Endpoint("https" if address.startswith("https://") else "http", *_address(address))


def _address(text: str) -> tuple[str, int]:
    bare = text.removeprefix("http://").removeprefix("https://").rstrip("/")
    try:
        host, port = split_address(bare)
        if not port:
            raise ValueError("端口不能为 0")
        return host, port
    except ValueError as error:
        raise NoNode(reason=f"地址 {text} {error}") from error


def _ask(
    client: BlockingClient, endpoint: Endpoint, identifier: str, indexes: tuple[int, ...], types: tuple[str, ...], timeout_ms: int
) -> Resolution:
    if endpoint.protocol == "http":
        response = client.content(endpoint, identifier, indexes=indexes, types=types, timeout_ms=timeout_ms)
    else:
        response = client.ask(endpoint, ResolutionRequest(identifier, indexes, types), timeout_ms=timeout_ms)
    return Resolution(
        identifier=identifier,
        endpoint=response.endpoint,
        response_code=response.response_code,
        values=response.values if response.response_code == ResponseCode.SUCCESS else (),
        message=response.text,
        octets=response.octets,
        elapsed_ms=response.elapsed_ms,
        authoritative=response.authoritative,
    )


def _with_path(found: Resolution, path: Mapping[str, Any]) -> Resolution:
    try:
        steps = tuple(
            Step(
                node=row["node"], reason=row["reason"], cached=row["cached"], protocol=row["protocol"], address=row["address"],
                response_code=row["responseCode"], octets=row["octets"], elapsed_ms=row["elapsedMs"], note=row["note"],
                error=row["error"],
            )
            for row in path.get("trace", ())
        )  # fmt: skip
    except (KeyError, TypeError) as error:
        raise BadReply(address=str(found.endpoint), reason="解析路径不是递归节点的形式") from error
    return replace(
        found,
        message=found.message or str(path.get("message", "")),
        node=str(path.get("node", "")),
        ttl_s=path.get("ttl"),
        aliases=tuple(path.get("aliases", ())),
        steps=steps,
    )
