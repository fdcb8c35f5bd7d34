from __future__ import annotations

import ipaddress

import pytest

from biaojie.handle import hashing
from biaojie.handle.errors import NoServer
from biaojie.handle.sites import HashOption, Server, Site

TABLE = [
    ("86.100.1/item-0000042", 167099823, 381390709, 1066174929, (1, 0, 1)),
    ("86.100.1/ITEM-0000042", 167099823, 381390709, 1066174929, (1, 0, 1)),
    ("0.NA/86.100.1", 36223079, 167099823, 1782948524, (0, 2, 0)),
    ("86.100.1", 36223079, 167099823, 167099823, (1, 0, 3)),
    ("86.100.1/中文", 167099823, 125585927, 373416680, (0, 2, 0)),
    ("a/b/c", 783072809, 430050597, 881557188, (0, 0, 0)),
]


@pytest.mark.parametrize(("handle", "by_prefix", "by_suffix", "by_all", "remainders"), TABLE)
def test_hash_equals_that_of_the_reference(handle, by_prefix, by_suffix, by_all, remainders) -> None:
    found = [hashing.handle_hash(handle, option) for option in HashOption]

    assert found == [by_prefix, by_suffix, by_all]
    assert tuple(by_all % count for count in (2, 3, 4)) == remainders


@pytest.mark.parametrize(("handle", "by_prefix", "by_suffix", "by_all", "remainders"), TABLE)
def test_server_is_chosen_by_position_in_the_list(handle, by_prefix, by_suffix, by_all, remainders) -> None:
    address = ipaddress.ip_address("192.0.2.1")
    for count, remainder in zip((2, 3, 4), remainders, strict=True):
        servers = tuple(Server(server_id=100 - number, address=address) for number in range(count))

        chosen = hashing.choose_server(Site(hash_option=HashOption.BY_ALL, servers=servers), handle)

        assert chosen is servers[remainder]


@pytest.mark.parametrize(
    ("tail", "number"), [("80000000", 2_147_483_648), ("ffffffff", 1), ("7fffffff", 2_147_483_647), ("00000000", 0)]
)
def test_last_four_octets_are_made_positive(tail: str, number: int) -> None:
    assert hashing.digest_number(bytes(12) + bytes.fromhex(tail)) == number


def test_octets_above_ascii_are_not_folded() -> None:
    assert hashing.hash_part("éa/ÿ", HashOption.BY_ALL) == "éA/ÿ".encode()


def test_site_without_servers_is_refused() -> None:
    with pytest.raises(NoServer):
        hashing.choose_server(Site(), "86.100.1/x")
