"""Who may hold how many connections at one time: a limit for all, and a share of it for one source (IPv4 /32, IPv6 /64).

Without the share one host that opens connections and asks nothing would lock everybody else out until they time out. What
comes beyond is closed at once, the newest first: connections already in use are never given up for new ones. In the test
environment the loopback network, from which a whole chain is asked, has a larger share.
"""

from __future__ import annotations

from typing import Final

from biaojie.net import policy

_V6_OCTETS: Final = 8
_V6_LOOPBACK: Final = bytes(15) + b"\x01"


class ConnectionShares:
    """Counts the connections of one server. Not for use by several threads."""

    def __init__(self, connections_max: int, *, test_environment: bool = False) -> None:
        share = connections_max * policy.TCP_SOURCE_PERCENT.value // 100
        self._limit = connections_max
        self._share = max(share, policy.TCP_SOURCE_FLOOR.value)
        self._loopback_share = max(share, policy.TCP_LOOPBACK_FLOOR.value) if test_environment else self._share
        self._held: dict[bytes, int] = {}
        self.total = 0
        self.refused = self.over_share = 0

    def enter(self, host: bytes) -> bool:
        """May this source (4 or 16 octets, network order) hold one more connection? If so it is counted until `leave`."""
        if self.total >= self._limit:
            self.refused += 1
            return False
        source = _source_of(host)
        held = self._held.get(source, 0)
        if held >= (self._loopback_share if _is_loopback(host) else self._share):
            self.refused += 1
            self.over_share += 1
            return False
        self._held[source] = held + 1
        self.total += 1
        return True

    def leave(self, host: bytes) -> None:
        """Give back what `enter` granted."""
        source = _source_of(host)
        held = self._held[source] - 1
        self.total -= 1
        if held:
            self._held[source] = held
        else:
            del self._held[source]

    def __len__(self) -> int:
        """How many sources hold connections."""
        return len(self._held)


def _source_of(host: bytes) -> bytes:
    return host if len(host) <= 4 else host[:_V6_OCTETS]


def _is_loopback(host: bytes) -> bool:
    return host[:1] == b"\x7f" if len(host) == 4 else host == _V6_LOOPBACK
