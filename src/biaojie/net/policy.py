"""The limits of the sockets, each with its unit and its reason; code reads them from here and nowhere else."""

from __future__ import annotations

from typing import Final

from biaojie.resolution.policy import Row

# UDP
UDP_LOOK_UP_MS: Final = Row(200, "milliseconds", "how often an idle loop looks whether it shall stop, and lets its reader rest")
UDP_REPLY_PIECES_MAX: Final = Row(
    24,
    "packets",
    "a longer reply serves amplification, and its loss costs more than a connection: silence, the client turns to TCP",
)
ANSWERS_MAX: Final = Row(131_072, "replies", "kept per UDP loop by the octets of their request; some 80 MB when full")
ANSWERS_PAUSE_S: Final = Row(10, "seconds", "without keeping, after a round that saved less than it cost")
ANSWERS_LIFETIME_S: Final = Row(60, "seconds", "a kept reply's expiration field is at most this much older than a fresh one")

# TCP
TCP_BACKLOG: Final = Row(1024, "connections", "a burst of clients waits here instead of for its own retry after a second")
TCP_CONNECTIONS_MAX: Final = Row(8192, "connections", "below the usual limit of open files, room left for the index and HTTP")
TCP_SOURCE_PERCENT: Final = Row(
    25, "% of the connections", "for one source (IPv4 /32, IPv6 /64): one host must not lock others out"
)
TCP_SOURCE_FLOOR: Final = Row(
    64, "connections", "one source may always hold this many: an office or a recursor behind one address"
)
TCP_LOOPBACK_FLOOR: Final = Row(
    1024, "connections", "the same for 127/8 and ::1 in the test environment: a whole chain asks there"
)
TCP_IDLE_S: Final = Row(300, "seconds", "between messages; the reference's limit (setting tcp_idle_s)")
TCP_MESSAGE_S: Final = Row(10, "seconds", "from a message's first octet to its last, and for a peer that does not read")
TCP_WRITE_OCTETS: Final = Row(1 << 20, "octets", "unsent replies of one connection before it is no longer read")
TCP_SWEEP_S: Final = Row(1, "seconds", "how often connections past their deadline are cut off")

# HTTP
HTTP_BACKLOG: Final = Row(1024, "connections", "as for TCP")
HTTP_HEADER_MS: Final = Row(10_000, "milliseconds", "a request whose header is not complete by then is cut off")
HTTP_BODY_MAX: Final = Row(262_164, "octets", "the longest Handle message with its envelope")
HTTP_BODY_S: Final = Row(10, "seconds", "from the first to the last octet of a request's body")
HTTP_BUFFER_OCTETS: Final = Row(65_536, "octets", "the longest request line and headers")
HTTP_HANDLE_MAX: Final = Row(2048, "octets", "the longest handle of the protocol")
