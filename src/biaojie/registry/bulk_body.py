"""The octets of a bulk request as they stream in: counted, digested, cut off where the request says they end.

A body of known length that stops short, a wrong digest or row count is refused as what it is, so that a torn upload is
never taken for a whole one. `ahead` reads and parses the next chunks while the database works on the current one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import queue
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from biaojie.registry.errors import BulkDigestWrong, BulkLengthMissing, BulkRefused, BulkSilent

BLOCK_OCTETS: Final = 64 * 1024
CHUNKS_AHEAD: Final = 2

_DIGEST: Final = re.compile(r"\s*sha-256\s*=\s*:([A-Za-z0-9+/=]+):\s*")
T = TypeVar("T")


class Body:
    """Reads blocks from `read`; `length` is the announced one, None for a chunked body; `digest` a Content-Digest header."""

    def __init__(self, read: Callable[[int], bytes], *, length: int | None = None, digest: str = "") -> None:
        self._read = read
        self._length = length
        self._expected = _sha256_of(digest) if digest.strip() else b""
        self._hash = hashlib.sha256()
        self.octets = 0

    @property
    def end_is_sure(self) -> bool:
        """Whether a torn body shows: the web server ends one that is cut off in chunked transfer as if it were whole."""
        return self._length is not None or bool(self._expected)

    def blocks(self) -> Iterator[bytes]:
        """The body's octets; raises `BulkLengthMissing` or `BulkDigestWrong` at its end, before the last block is given.

        Holding back one block keeps the last row, which may be torn, from being taken before the end has been checked.
        """
        held = b""
        while True:
            wanted = BLOCK_OCTETS if self._length is None else min(BLOCK_OCTETS, self._length - self.octets)
            block = self._block(wanted) if wanted else b""
            if not block:
                break
            self.octets += len(block)
            if self._expected:
                self._hash.update(block)
            if held:
                yield held
            held = block
        if self._length is not None and self.octets != self._length:
            raise BulkLengthMissing(pointer="body", expected=f"{self._length} 字节", received=f"{self.octets} 字节")
        if self._expected and self._hash.digest() != self._expected:
            raise BulkDigestWrong(pointer="header/Content-Digest")
        if held:
            yield held

    def _block(self, wanted: int) -> bytes:
        try:
            return self._read(wanted)
        except TimeoutError as error:
            raise BulkSilent(pointer="body") from error
        except OSError as error:
            expected = "完整正文" if self._length is None else f"{self._length} 字节"
            raise BulkLengthMissing(pointer="body", expected=expected, received=f"{self.octets} 字节") from error


@contextmanager
def ahead(items: Iterator[T], *, depth: int = CHUNKS_AHEAD) -> Iterator[Iterator[T]]:
    """The items, made in a thread of their own up to `depth` in advance; an exception of theirs is raised here.

    It ends only when the thread has ended: a request must not be answered while its body is still being read
    (`site.silence`, which bounds how long that can take).
    """
    ready: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(depth)
    stop = threading.Event()

    def offer(item: T | None, fault: BaseException | None) -> None:
        while not stop.is_set():
            try:
                return ready.put((item, fault), timeout=0.2)
            except queue.Full:
                continue

    def produce() -> None:
        try:
            for item in items:
                offer(item, None)
                if stop.is_set():
                    return
            offer(None, None)
        except BaseException as fault:  # handed over, whatever it is
            offer(None, fault)

    def consume() -> Iterator[T]:
        while True:
            item, fault = ready.get()
            if fault is not None:
                raise fault
            if item is None:
                return
            yield item

    # A daemon: a reader that waits for its client must not keep the process from ending.
    thread = threading.Thread(target=produce, name="bulk-read-ahead", daemon=True)
    thread.start()
    try:
        yield consume()
    finally:
        stop.set()
        thread.join()


def _sha256_of(header: str) -> bytes:
    for member in header.split(","):
        found = _DIGEST.fullmatch(member)
        if found:
            try:
                return base64.b64decode(found[1], validate=True)
            except binascii.Error:
                break
    raise BulkRefused(pointer="header/Content-Digest", reason="Content-Digest 应含 sha-256=:<base64>:")
