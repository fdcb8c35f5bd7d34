"""Many datagrams per system call: recvmmsg and sendmmsg through ctypes, over arrays prepared once.

What it knows: the kernel's structures (LP64 Linux), where each slot's octets, length and peer lie, and how to send a run
of slots. What it declines to know: what the octets mean. `open_batch(sock)` gives the batched form where the C library
has it and the one-datagram form elsewhere; both offer the same attributes, so that the loop is written once:

- `inbox[slot * SLOT : slot * SLOT + size]` is a received datagram (an `mmap`, hence a slice is `bytes`, copied once);
- `outbox[...]` is where the reply of the same slot is put, `out_sizes[2 * slot + 1]` its size in octets;
- `send(first, stop)` sends the replies of slots first..stop-1, each to the peer its request came from.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
import struct
import sys
from array import array
from collections.abc import Sequence
from typing import Final, Protocol

SLOTS: Final = 64
SLOT: Final = 2112
"""Octets of one slot. A Handle packet is 512 (20 envelope + 492); a datagram that fills the slot was cut and is dropped.

Not a power of two: the first lines of 64 slots would fall on each other in the processor's caches."""
SOCKET_BUFFER: Final = 8 << 20
_MSG_WAITFORONE: Final = 0x10000
_SO_RCVBUFFORCE: Final = 33
_SO_SNDBUFFORCE: Final = 32
_PRIVATE: Final = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
_QUIET: Final = frozenset({errno.EAGAIN, errno.EINTR, errno.EWOULDBLOCK})


Host = int | bytes
"""An IPv4 address as the number its octets are in this machine's order, or an IPv6 address as its 16 octets."""


def packed(host: Host) -> bytes:
    """The 4 or 16 octets of an address, in network order."""
    return host.to_bytes(4, sys.byteorder) if isinstance(host, int) else host


class Batch(Protocol):
    """What the loop needs of either form (see the module)."""

    inbox: mmap.mmap
    outbox: mmap.mmap
    out_sizes: array[int]

    def receive(self) -> int:
        """Wait for datagrams (until the socket's receive timeout) and give how many lie in slots 0..n-1; 0 = none."""

    def sizes(self, count: int) -> list[int]:
        """The sizes of the first `count` received datagrams."""

    def hosts(self, count: int) -> Sequence[Host]:
        """Where the first `count` datagrams came from, as tokens that are equal for equal addresses."""

    def peer(self, slot: int) -> bytes:
        """Address and port of the peer of a slot, as octets that are equal for equal peers."""

    def send(self, first: int, stop: int) -> int:
        """Send the replies of a run of slots; give how many the kernel took. A reply it refuses is skipped."""

    def send_piece(self, slot: int, piece: bytes) -> bool:
        """Send some octets to the peer of a slot, outside the prepared arrays."""


class _IoVec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


class _MessageHeader(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_size", ctypes.c_uint32),
        ("vector", ctypes.c_void_p),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_size", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    _fields_ = (("header", _MessageHeader), ("size", ctypes.c_uint32))


def _library() -> ctypes.CDLL | None:
    """The C library with both calls declared, or None where they are missing or laid out otherwise."""
    if sys.platform != "linux" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return None
    library = ctypes.CDLL(None, use_errno=True)
    try:
        receive, send = library.recvmmsg, library.sendmmsg
    except AttributeError:
        return None
    receive.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
    send.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
    receive.restype = send.restype = ctypes.c_int
    return library


_C = _library()


def available() -> bool:
    """Is the batched form usable on this machine?"""
    return _C is not None


def open_batch(sock: socket.socket, *, batched: bool | None = None) -> Batch:
    """The batched form for a bound UDP socket, or the one-datagram form where it is unavailable or refused."""
    if batched is None:
        batched = available()
    return ManyMessages(sock) if batched else OneMessage(sock)


def bind_udp(host: str, port: int, *, timeout_s: float, reuse_port: bool = True) -> socket.socket:
    """A bound UDP socket: IPv4 or IPv6 (never both), SO_REUSEPORT, large buffers, a receive timeout in the kernel.

    The socket stays blocking for the kernel's calls; `timeout_s` (SO_RCVTIMEO) is how often the loop looks up.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if reuse_port and hasattr(socket, "SO_REUSEPORT"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        for forced, plain in ((_SO_RCVBUFFORCE, socket.SO_RCVBUF), (_SO_SNDBUFFORCE, socket.SO_SNDBUF)):
            try:
                sock.setsockopt(socket.SOL_SOCKET, forced, SOCKET_BUFFER)
            except OSError:  # needs CAP_NET_ADMIN; the plain option is cut to net.core.rmem_max without an error
                sock.setsockopt(socket.SOL_SOCKET, plain, SOCKET_BUFFER)
        whole = int(timeout_s)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", whole, int((timeout_s - whole) * 1e6)))
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


class ManyMessages:
    """recvmmsg and sendmmsg: up to `SLOTS` datagrams per call."""

    def __init__(self, sock: socket.socket) -> None:
        assert _C is not None
        self._sock = sock
        self._fd = sock.fileno()
        self._receive, self._send = _C.recvmmsg, _C.sendmmsg
        self.inbox = mmap.mmap(-1, SLOTS * SLOT, flags=_PRIVATE)
        self.outbox = mmap.mmap(-1, SLOTS * SLOT, flags=_PRIVATE)
        # sockaddr_in: family 2, port 2, address 4, zero 8. sockaddr_in6: family 2, port 2, flow 4, address 16, scope 4.
        self._is_v6 = sock.family == socket.AF_INET6
        self._name_size = 28 if self._is_v6 else 16
        self._names = mmap.mmap(-1, SLOTS * self._name_size, flags=_PRIVATE)
        self._v6_hosts = [slice(i * 28 + 8, i * 28 + 24) for i in range(SLOTS)]
        self._v4_hosts = memoryview(self._names).cast("I")[1::4]
        self.out_sizes = array("Q", bytes(SLOTS * 16))
        self._keep: list[object] = []
        in_vectors = array("Q", bytes(SLOTS * 16))
        inbox, outbox, names = (self._address(area) for area in (self.inbox, self.outbox, self._names))
        for i in range(SLOTS):
            in_vectors[2 * i], in_vectors[2 * i + 1] = inbox + i * SLOT, SLOT
            self.out_sizes[2 * i] = outbox + i * SLOT
        self._keep.append(in_vectors)
        self._in = self._messages(names, in_vectors.buffer_info()[0])
        self._out = self._messages(names, self.out_sizes.buffer_info()[0])
        self._in_at, self._out_at = ctypes.addressof(self._in), ctypes.addressof(self._out)
        words = memoryview(self._in).cast("B").cast("I")
        self._sizes = words[_Message.size.offset // 4 :: ctypes.sizeof(_Message) // 4]

    def _address(self, area: mmap.mmap) -> int:
        view = (ctypes.c_char * len(area)).from_buffer(area)
        self._keep.append(view)
        return ctypes.addressof(view)

    def _messages(self, names: int, vectors: int) -> ctypes.Array[_Message]:
        messages = (_Message * SLOTS)()
        for i, message in enumerate(messages):
            message.header.name = names + i * self._name_size
            message.header.name_size = self._name_size
            message.header.vector = vectors + i * ctypes.sizeof(_IoVec)
            message.header.vector_count = 1
        return messages

    def receive(self) -> int:
        count: int = self._receive(self._fd, self._in_at, SLOTS, _MSG_WAITFORONE, None)
        if count >= 0:
            return count
        code = ctypes.get_errno()
        if code in _QUIET:
            return 0
        raise OSError(code, os.strerror(code))

    def sizes(self, count: int) -> list[int]:
        sizes: list[int] = self._sizes[:count].tolist()
        return sizes

    def hosts(self, count: int) -> Sequence[Host]:
        if self._is_v6:
            names = self._names
            return [names[where] for where in self._v6_hosts[:count]]
        hosts: Sequence[Host] = self._v4_hosts[:count].tolist()
        return hosts

    def peer(self, slot: int) -> bytes:
        return self._names[slot * self._name_size : (slot + 1) * self._name_size]

    def send(self, first: int, stop: int) -> int:
        step, sent_all = ctypes.sizeof(_Message), 0
        while first < stop:
            sent = self._send(self._fd, self._out_at + first * step, stop - first, 0)
            if sent > 0:
                first += sent
                sent_all += sent
            elif sent < 0 and ctypes.get_errno() == errno.EINTR:
                continue
            else:
                first += 1  # a peer that cannot be written to (port 0, no route) costs only its own reply
        return sent_all

    def send_piece(self, slot: int, piece: bytes) -> bool:
        name = self.peer(slot)
        (port,) = struct.unpack_from("!H", name, 2)
        try:
            if self._is_v6:
                (scope,) = struct.unpack_from("@I", name, 24)
                self._sock.sendto(piece, (socket.inet_ntop(socket.AF_INET6, name[8:24]), port, 0, scope))
            else:
                self._sock.sendto(piece, (socket.inet_ntop(socket.AF_INET, name[4:8]), port))
        except OSError:
            return False
        return True


class OneMessage:
    """recvfrom and sendto: the same interface with one slot in use, for systems without the batched calls."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.inbox = mmap.mmap(-1, SLOT)
        self.outbox = mmap.mmap(-1, SLOT)
        self.out_sizes = array("Q", bytes(16))
        self._view = memoryview(self.inbox)
        self._size = 0
        self._peer: tuple[str, int] = ("", 0)

    def receive(self) -> int:
        try:
            self._size, self._peer = self._sock.recvfrom_into(self._view)
        except OSError as error:
            if error.errno in _QUIET:
                return 0
            raise
        return 1

    def sizes(self, count: int) -> list[int]:
        return [self._size]

    def hosts(self, count: int) -> Sequence[Host]:
        octets = socket.inet_pton(self._sock.family, self._peer[0].partition("%")[0])
        return [int.from_bytes(octets, sys.byteorder) if len(octets) == 4 else octets]

    def peer(self, slot: int) -> bytes:
        return f"{self._peer[0]} {self._peer[1]}".encode()

    def send(self, first: int, stop: int) -> int:
        return int(self.send_piece(0, self.outbox[: self.out_sizes[1]]))

    def send_piece(self, slot: int, piece: bytes) -> bool:
        try:
            self._sock.sendto(piece, self._peer)
        except OSError:
            return False
        return True
