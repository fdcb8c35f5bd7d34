"""The record of a prefix, as its parent publishes it."""

from __future__ import annotations

from biaojie.handle.json_form import value_from_json
from biaojie.handle.sites import decode_site
from biaojie.handle.system_values import decode_admin
from biaojie.registry import delegation
from biaojie.registry.rules import Address

V4 = Address(ip_type=4, ip="192.0.2.1", protocol="UDP", port=2641)
V4_HTTP = Address(ip_type=4, ip="192.0.2.1", protocol="HTTP", port=8080)
V4_OTHER = Address(ip_type=4, ip="192.0.2.2", protocol="TCP", port=2641)
V6 = Address(ip_type=6, ip="2001:db8::1", protocol="TCP", port=2641)


def record(*addresses: Address, delegates: bool) -> list[tuple[int, str, int]]:
    rows = delegation.record_values("88.100", addresses, serial=7, public_key=b"key", ttl_s=60, delegates=delegates, desc="节点")
    return [(row["index"], row["type"], row["ttl"]) for row in rows]


def test_record_of_a_second_level_node_says_who_serves_and_who_answers_below() -> None:
    assert record(V4, V6, delegates=True) == [
        (1, "HS_SITE", 60),
        (21, "HS_SITE.6", 60),
        (41, "HS_SITE.PREFIX", 60),
        (42, "HS_SITE.PREFIX", 60),
        (100, "HS_ADMIN", 60),
        (300, "HS_PUBKEY", 60),
    ]


def test_record_of_an_enterprise_refers_nobody_further() -> None:
    assert [type_ for _, type_, _ in record(V4, delegates=False)] == ["HS_SITE", "HS_ADMIN", "HS_PUBKEY"]


def test_two_addresses_are_two_sites_because_servers_of_one_site_share_the_handles() -> None:
    found = list(delegation.sites([V4_OTHER, V4, V4_HTTP], serial=7, public_key=b"", desc="节点"))

    assert [(str(site.servers[0].address), len(site.servers), site.primary) for site in found] == [
        ("192.0.2.1", 1, True),
        ("192.0.2.2", 1, False),
    ]
    assert sorted(row.port for row in found[0].servers[0].interfaces) == [2641, 8080]


def test_record_values_are_read_back_as_what_they_mean() -> None:
    rows = delegation.record_values("88.100", [V4], serial=7, public_key=b"", ttl_s=60, delegates=False, desc="节点")

    site, admin = (value_from_json(row) for row in rows)
    assert (decode_site(site.data).serial, decode_site(site.data).description) == (7, "节点")
    assert (decode_admin(admin.data).handle, decode_admin(admin.data).index) == ("0.NA/88.100", 300)


def test_own_site_prefers_ipv4() -> None:
    site = decode_site(delegation.own_site([V6, V4], serial=1, public_key=b"", desc="节点"))

    assert [str(server.address) for server in site.servers] == ["192.0.2.1"]
