"""Ends connections whose request body has stopped coming, so that silent clients do not hold the web process's threads.

The server's `wsgi.input` blocks without limit, and a request must not be answered while another thread still reads its body:
granian 2.8 then keeps the interpreter lock and the whole process stands still. So a read that waits too long is broken at its
connection: its receiving side is shut down, the read comes back short, and the request can be answered. WSGI does not tell
which connection a request came by; those of the same peer on which nothing has moved for as long are taken (an idle one
kept alive among them, which its client opens again). A client that sends a little now and then is not silent. Linux only.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any, Final

import structlog

SILENCE_S: float = 30.0
"""For so long a body may stand still."""
_LOOK_S: Final = 1.0
# struct tcp_info of linux/tcp.h: eight octets, nine u32, then tcpi_last_data_sent, tcpi_last_ack_sent, tcpi_last_data_recv (ms).
_TCP_INFO_OCTETS: Final = 104
_LAST_MOVES: Final = struct.Struct("=44xIxxxxI")

log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Waiting:
    """A read that has not come back: whose connection, at which port of ours, since when."""

    peer: str
    port: int
    since: float
    is_ended: bool = False


class Watch:
    """The reads of one process that are under way, and the thread that looks after them; it starts with the first."""

    def __init__(self) -> None:
        self._waiting: dict[int, Waiting] = {}
        self._lock = threading.Lock()
        self._pid = 0

    @contextmanager
    def reading(self, environ: dict[str, Any]) -> Iterator[Waiting]:
        """Around one blocking read of a request; `is_ended` says afterwards whether its connection was given up."""
        port = str(environ.get("SERVER_PORT", ""))
        row = Waiting(
            peer=_plain(str(environ.get("REMOTE_ADDR", ""))),
            port=int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 0,
            since=time.monotonic(),
        )
        with self._lock:
            self._waiting[id(row)] = row
            if self._pid != os.getpid():  # a thread does not live on in a forked process
                self._pid = os.getpid()
                threading.Thread(target=self._run, name="silent-bodies", daemon=True).start()
        try:
            yield row
        finally:
            with self._lock:
                del self._waiting[id(row)]

    def look(self) -> int:
        """Ends the silent connections of reads that have waited too long; gives how many."""
        with self._lock:
            due = [row for row in self._waiting.values() if time.monotonic() - row.since >= SILENCE_S]
        ended = 0
        if due:
            for row in due:  # before the read can come back
                row.is_ended = True
            found = end_silent({(row.peer, row.port) for row in due}, silence_s=SILENCE_S)
            ended = sum(found.values())
            for row in due:
                row.is_ended = bool(found.get((row.peer, row.port)))
                if row.is_ended:
                    log.warning("web.silent_body_given_up", peer=row.peer)
        return ended

    def _run(self) -> None:
        while True:
            time.sleep(_LOOK_S)
            try:
                self.look()
            except Exception:  # whatever it is, the next look must come
                log.exception("web.silence_watch_failed")


def end_silent(sides: set[tuple[str, int]], *, silence_s: float) -> dict[tuple[str, int], int]:
    """Shuts the receiving side of this process's connections with these `(peer, own port)` that have stood still so long."""
    ended: dict[tuple[str, int], int] = {}
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # no socket, not connected, closed meanwhile
            held = os.dup(int(entry.name))
            try:
                connection = socket.socket(fileno=held)
            except OSError:
                os.close(held)
                raise
            with connection:
                if connection.family not in (socket.AF_INET, socket.AF_INET6) or connection.type != socket.SOCK_STREAM:
                    continue
                side = (_plain(connection.getpeername()[0]), int(connection.getsockname()[1]))
                info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_OCTETS)
                if side in sides and min(_LAST_MOVES.unpack_from(info)) >= silence_s * 1000:
                    connection.shutdown(socket.SHUT_RD)
                    ended[side] = ended.get(side, 0) + 1
    return ended


def _plain(address: str) -> str:
    """An address as one text, IPv4 also when it came to a listener of both families."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return str(mapped or parsed)


watch: Final = Watch()
