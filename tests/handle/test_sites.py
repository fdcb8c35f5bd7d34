from __future__ import annotations

import ipaddress
import json

import pytest
import vectors
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given

from biaojie.handle.errors import InvalidJson, TrailingBytes
from biaojie.handle.keys import encode_public_key
from biaojie.handle.sites import (
    HashOption,
    Interface,
    InterfaceKind,
    Protocol,
    Server,
    Site,
    canonical_address,
    decode_site,
    encode_site,
    site_from_json,
    site_to_json,
)

KEY = encode_public_key(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))).public_key())
SITE = Site(
    serial=7,
    multi_primary=True,
    attributes=(("desc", "示例节点"),),
    servers=(
        Server(
            1,
            ipaddress.ip_address("192.0.2.9"),
            KEY,
            (
                Interface(InterfaceKind.QUERY, Protocol.UDP, 2641),
                Interface(InterfaceKind.ADMIN_AND_QUERY, Protocol.TCP, 2641),
                Interface(InterfaceKind.ADMIN, Protocol.HTTPS, 8000),
            ),
        ),
        Server(2, ipaddress.ip_address("2001:db8::9")),
    ),
)


def test_site_lies_on_the_wire_in_the_form_in_use() -> None:
    site = Site(
        servers=(Server(5, ipaddress.ip_address("192.0.2.1"), b"", (Interface(2, 0, 2641),)),),
        attributes=(("desc", "x"),),
        hash_option=HashOption.BY_PREFIX,
    )

    expected = (
        "0001 02 0b 0001 80 00 00000000 00000001 00000004 64657363 00000001 78"
        "00000001 00000005 000000000000000000000000c0000201 00000000 00000001 02 00 00000a51"
    )

    assert encode_site(site) == bytes.fromhex(expected)


@given(site=vectors.sites)
def test_site_encoded_and_decoded_is_equal(site: Site) -> None:
    assert decode_site(encode_site(site)) == site


def test_mapped_address_is_read_as_ipv4() -> None:
    octets = encode_site(SITE).replace(bytes(12) + b"\xc0\0\2\x09", bytes(10) + b"\xff\xff\xc0\0\2\x09")

    assert decode_site(octets) == SITE


@pytest.mark.parametrize(
    ("given_address", "kept"),
    [("::1", "::1"), ("127.0.0.1", "127.0.0.1"), ("::ffff:10.0.0.1", "10.0.0.1"), ("fe80::1", "fe80::1"), ("0.0.0.0", "0.0.0.0")],
)
def test_address_is_kept_in_the_form_it_comes_back_in(given_address: str, kept: str) -> None:
    assert str(canonical_address(ipaddress.ip_address(given_address))) == kept


def test_octets_behind_a_site_are_refused() -> None:
    with pytest.raises(TrailingBytes):
        decode_site(encode_site(SITE) + b"\0")


def test_site_through_json_text_is_equal() -> None:
    form = json.loads(json.dumps(site_to_json(SITE)))

    assert site_from_json(form) == SITE
    assert form["protocolVersion"] == "2.11"
    assert "hashOption" not in form
    assert form["servers"][0]["publicKey"]["value"]["crv"] == "Ed25519"
    assert form["servers"][0]["interfaces"][0] == {"query": True, "admin": False, "protocol": "UDP", "port": 2641}


def test_site_hashed_by_prefix_says_so_by_number() -> None:
    site = Site(hash_option=HashOption.BY_PREFIX, hash_filter="过滤".encode())

    form = site_to_json(site)

    assert (form["hashOption"], form["hashFilter"]) == (0, "过滤")
    assert site_from_json(form) == site


def test_attributes_as_one_object_are_read() -> None:
    site = site_from_json({"servers": [], "attributes": {"desc": "x", "alt_addr.1": ["192.0.2.1", "192.0.2.2"]}})

    assert site.attributes == (("desc", "x"), ("alt_addr.1", "192.0.2.1"), ("alt_addr.1", "192.0.2.2"))


def test_interface_of_an_unknown_protocol_keeps_its_number() -> None:
    site = Site(servers=(Server(1, ipaddress.ip_address("192.0.2.1"), b"", (Interface(2, 9, 1),)),))

    assert site_to_json(site)["servers"][0]["interfaces"][0]["protocol"] == 9
    assert site_from_json(site_to_json(site)) == site


@pytest.mark.parametrize(
    "form",
    [
        None,
        [],
        {},
        {"servers": [{"serverId": 1, "address": "nowhere"}]},
        {"servers": [], "protocolVersion": "2"},
        {"servers": [], "serialNumber": 70_000},
        {"servers": [{"serverId": 1, "address": "192.0.2.1", "publicKey": {"format": "key", "value": {"kty": "RSA"}}}]},
        {"servers": [{"serverId": 1, "address": "192.0.2.1", "interfaces": [{"port": 1, "protocol": "carrier"}]}]},
    ],
)
def test_json_that_is_no_site_is_refused(form: object) -> None:
    with pytest.raises(InvalidJson):
        site_from_json(form)


def test_interface_is_found_by_protocol_and_purpose() -> None:
    server = SITE.servers[0]

    assert server.interface(Protocol.UDP) == server.interfaces[0]
    assert server.interface(Protocol.UDP, admin=True) is None
    assert server.interface(Protocol.TCP, admin=True) == server.interfaces[1]
    assert server.interface(Protocol.HTTPS) is None
    assert SITE.description == "示例节点"
