"""The embedded HTTP server: granian's RSGI worker on the event loop that TCP uses too, over sockets bound by us.

Embedded rather than in a process of its own: the JSON API shares the index view, counters and limits of TCP, and a node
stays one process. Requests are parsed in a native thread; only the handler runs on the loop. The sockets are ours
because granian binds with SO_REUSEPORT, which would let a second node take half of a first one's requests in silence.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from granian import _granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from biaojie.net import policy
from biaojie.net.tcp import bind_tcp


class _OnSocket(Server):
    """A server that listens on a socket it is given."""

    def __init__(self, app: Any, sock: socket.socket) -> None:
        host, port = sock.getsockname()[:2]
        super().__init__(
            app,
            address=host,
            port=port,
            interface=Interfaces.RSGI,
            http=HTTPModes.http1,
            websockets=False,
            backlog=policy.HTTP_BACKLOG.value,
            log_enabled=False,
            http1_settings=HTTP1Settings(
                header_read_timeout=policy.HTTP_HEADER_MS.value, max_buffer_size=policy.HTTP_BUFFER_OCTETS.value
            ),
        )
        self._sock = sock

    def _init_shared_socket(self) -> None:
        backlog = policy.HTTP_BACKLOG.value
        self._sock.listen(backlog)
        holder: Any = _granian.SocketHolder  # its stub lacks the constructor
        self._shd: Any = holder(self._sock.detach(), False, backlog)
        self._sfd: Any = self._shd.get_fd()


class HttpServer:
    """The HTTP addresses of a node; `bind_tcp` gives the sockets."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._servers: list[_OnSocket] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, sockets: list[socket.socket]) -> None:
        """Listen; raises what the server raised when it could not start."""
        for sock in sockets:
            server = _OnSocket(self._app, sock)
            self._servers.append(server)
            self._tasks.append(asyncio.create_task(server.serve()))
        await asyncio.sleep(0)
        for task in self._tasks:
            if task.done():
                task.result()

    async def stop(self, timeout_s: float = 3.0) -> None:
        """Stop taking requests and wait for those under way."""
        for server in self._servers:
            server.stop()  # type: ignore[no-untyped-call]  # granian has no annotations there
        if self._tasks:
            _, unfinished = await asyncio.wait(self._tasks, timeout=timeout_s)
            for task in unfinished:
                task.cancel()


__all__ = ["HttpServer", "bind_tcp"]
