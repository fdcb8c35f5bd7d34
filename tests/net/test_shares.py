from __future__ import annotations

import ipaddress

import pytest

from biaojie.net import policy
from biaojie.net.shares import ConnectionShares

FLOOR = policy.TCP_SOURCE_FLOOR.value


def entered(shares: ConnectionShares, host: str, tries: int) -> int:
    octets = ipaddress.ip_address(host).packed
    return sum(shares.enter(octets) for _ in range(tries))


@pytest.mark.parametrize(
    ("connections_max", "share"),
    [(8192, 2048), (2000, 500), (200, FLOOR), (40, 40)],
    ids=["resolver", "recursor", "floor", "all"],
)
def test_enter_one_source_holds_its_share_and_no_more(connections_max: int, share: int) -> None:
    shares = ConnectionShares(connections_max)

    assert entered(shares, "198.51.100.7", 5000) == share
    assert entered(shares, "198.51.100.8", 1) == int(share < connections_max)


def test_enter_addresses_of_one_ipv6_network_share_one_allowance() -> None:
    shares = ConnectionShares(400)

    assert entered(shares, "2001:db8:0:1::1", 60) == 60
    assert entered(shares, "2001:db8:0:1:ffff::9", 60) == 40
    assert entered(shares, "2001:db8:0:2::1", 60) == 60


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.3", "::1"])
def test_enter_loopback_holds_more_in_the_test_environment_only(host: str) -> None:
    assert entered(ConnectionShares(2000, test_environment=True), host, 5000) == policy.TCP_LOOPBACK_FLOOR.value
    assert entered(ConnectionShares(2000), host, 5000) == 500


def test_leave_makes_room_again_and_forgets_the_source() -> None:
    shares = ConnectionShares(256)
    host = ipaddress.ip_address("203.0.113.1").packed
    held = entered(shares, "203.0.113.1", 100)

    shares.leave(host)
    again = entered(shares, "203.0.113.1", 5)
    for _ in range(held):
        shares.leave(host)

    assert (held, again) == (FLOOR, 1)
    assert (shares.total, len(shares), shares.refused, shares.over_share) == (0, 0, 40, 40)
