"""A WSGI wrapper that leaves no part of a request's body unread without saying so.

An application may refuse a request before it has read its body (401, 403, 413, 422). The server cannot use such a connection
for another request and closes it; a client that was not told loses its next request on it. So a short rest is read and thrown
away, and the connection stays; where the rest is long, or its client still waits to be told to go on (`Expect:
100-continue`), the answer carries `Connection: close` (RFC 9112 §9.6). A body that
stops coming is given up (`silence`): its read raises `TimeoutError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Final

from biaojie.site.silence import Waiting, watch

DRAIN_OCTETS_MAX: Final = 1 << 20
"""So much of a rest is read: less work than a new connection, and bounded."""
_BLOCK_OCTETS: Final = 65_536
_DIGITS_MOST: Final = 18

Headers = list[tuple[str, str]]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None] | None
StartResponse = Callable[..., Any]
WsgiApplication = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class UnreadBodies:
    """The application with the wrapper around it."""

    def __init__(self, application: WsgiApplication) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        length = _length_of(environ)
        if length == 0:
            return self._application(environ, start_response)
        body = _CountedInput(environ["wsgi.input"], length, environ)
        environ["wsgi.input"] = body
        is_waiting = environ.get("HTTP_EXPECT", "").lower() == "100-continue"

        def start(status: str, headers: Headers, exc_info: ExcInfo = None) -> Any:
            # A body that is read only while the answer streams out does not exist here: Django decides the status after reading.
            if body.is_broken or not (body.at_end or (not (is_waiting and body.is_untouched) and body.drain(DRAIN_OCTETS_MAX))):
                headers = [*((name, text) for name, text in headers if name.lower() != "connection"), ("Connection", "close")]
            return start_response(status, headers, exc_info)

        return self._application(environ, start)


class _CountedInput:
    """`wsgi.input` that knows whether it has been read to its end; `length` None = only the end itself tells (chunked)."""

    def __init__(self, source: Any, length: int | None, environ: dict[str, Any]) -> None:
        self._source = source
        self._environ = environ
        self._left = length
        self.at_end = False
        self.is_broken = False
        self.is_untouched = True

    def read(self, size: int | None = -1) -> bytes:
        """Up to `size` octets; all of them where it is negative or None."""
        with watch.reading(self._environ) as waiting:
            data: bytes = self._source.read(-1 if size is None else size)
        self._check(waiting, data)
        self._note(data, ended=size is None or size < 0 or (size > 0 and not data))
        return data

    def readline(self, size: int = -1) -> bytes:
        """One line."""
        with watch.reading(self._environ) as waiting:
            data: bytes = self._source.readline(size) if size >= 0 else self._source.readline()
        self._check(waiting, data)
        self._note(data, ended=not data and size != 0)
        return data

    def readlines(self, hint: int = -1) -> list[bytes]:
        """The lines, all of them where there is no hint."""
        with watch.reading(self._environ) as waiting:
            lines: list[bytes] = self._source.readlines(hint)
        self._check(waiting, b"".join(lines))
        self._note(b"".join(lines), ended=hint <= 0 or not lines)
        return lines

    def __iter__(self) -> _CountedInput:
        return self

    def __next__(self) -> bytes:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def drain(self, octets_max: int) -> bool:
        """Read the rest and throw it away; False, at once where the length tells, when it is longer than `octets_max`."""
        if self._left is not None and self._left > octets_max:
            return False
        read = 0
        while not self.at_end and read <= octets_max:
            try:
                read += len(self.read(_BLOCK_OCTETS))
            except OSError:
                return False  # the peer is gone
        return self.at_end and not self.is_broken

    def _check(self, waiting: Waiting, data: bytes) -> None:
        """Raises `TimeoutError` where the connection was given up and the body ends short of its length for it."""
        if waiting.is_ended and (self._left is None or len(data) < self._left):
            self.is_broken = True
            raise TimeoutError("the request's body has stopped coming")

    def _note(self, data: bytes, *, ended: bool) -> None:
        self.is_untouched = False
        if self._left is not None:
            self._left = max(0, self._left - len(data))
        self.is_broken = self.is_broken or (ended and bool(self._left))
        self.at_end = self.at_end or ended or self._left == 0


def _length_of(environ: dict[str, Any]) -> int | None:
    """The length of the body; 0 for none, None where only its end will tell."""
    if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
        return None
    text = environ.get("CONTENT_LENGTH") or environ.get("HTTP_CONTENT_LENGTH") or "0"
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS_MOST else None
