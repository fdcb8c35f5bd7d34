"""What may be registered: prefix names, units, addresses."""

from __future__ import annotations

import pytest

from biaojie.registry import rules
from biaojie.registry.errors import (
    AddressKind,
    PortMissing,
    PrefixForm,
    PrefixLookAlike,
    PrefixPlace,
    PrefixReserved,
    PrivateAddress,
    RegistrantForm,
    RoutingRefused,
)


@pytest.mark.parametrize("name", ["88.100", "86.1000", "88.100.1", "88.101.0042", "88.800.123123112", "88.100." + "9" * 57])
def test_prefix_name_of_the_abnf_accepted_as_written(name: str) -> None:
    assert rules.check_prefix_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "88", "88.10", "88.100.", "88.100.x", "88.100.1.2", "8.100", "88.100000", "88.１００", "88.100." + "9" * 58, " 88.100"],
)
def test_prefix_name_of_another_form_refused(name: str) -> None:
    with pytest.raises(PrefixForm) as caught:
        rules.check_prefix_name(name)

    assert caught.value.pointer == "name"


@pytest.mark.parametrize("name", ["00.100", "88.100.0", "88.100.000"])
def test_prefix_name_of_the_protocol_refused(name: str) -> None:
    with pytest.raises(PrefixReserved):
        rules.check_prefix_name(name)


def test_prefix_name_under_another_parent_refused() -> None:
    with pytest.raises(PrefixPlace):
        rules.check_prefix_name("88.101.1", parent="88.100")


def test_look_alike_by_leading_zero_names_the_holder() -> None:
    with pytest.raises(PrefixLookAlike) as caught:
        rules.check_look_alike("88.100.42", [("88.100.43", "甲"), ("88.100.0042", "乙")])

    assert (caught.value.data["other"], caught.value.data["holder"]) == ("88.100.0042", "乙")


@pytest.mark.parametrize(
    ("name", "code"), [("", "91310000MA0DEM001P"), ("甲" * 256, "91310000MA0DEM001P"), ("甲", "91310000MA0DEM001Q")]
)
def test_registrant_with_a_wrong_field_refused(name: str, code: str) -> None:
    with pytest.raises(RegistrantForm):
        rules.check_registrant(name, code)


def address(**changes: object) -> dict[str, object]:
    return {"ip_type": 4, "ip": "127.0.0.1", "protocol": "TCP", "port": 2641, **changes}


def test_addresses_repeated_and_unordered_come_out_once_and_in_order() -> None:
    rows = [address(protocol="UDP"), address(), address(ip_type=6, ip="2001:DB8:0::1"), address()]

    found = rules.check_addresses(rows, allow_private=True)

    assert [(row.ip, row.protocol) for row in found] == [("127.0.0.1", "TCP"), ("127.0.0.1", "UDP"), ("2001:db8::1", "TCP")]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"ip": "node.example"}, RoutingRefused),
        ({"ip": "127.0.0.1", "ip_type": 6}, AddressKind),
        ({"protocol": "FTP"}, RoutingRefused),
        ({"port": 0}, RoutingRefused),
        ({"port": 65536}, RoutingRefused),
        ({"port": True}, RoutingRefused),
        ({"ip": "0.0.0.0"}, PrivateAddress),
        ({"ip": "224.0.0.1"}, PrivateAddress),
        ({"ip_type": 6, "ip": "::ffff:8.8.8.8"}, RoutingRefused),
        ({"ip_type": 6, "ip": "fe80::1%eth0"}, RoutingRefused),
    ],
)
def test_address_with_a_fault_refused_with_its_place(changes: dict[str, object], error: type[RoutingRefused]) -> None:
    with pytest.raises(error) as caught:
        rules.check_addresses([address(), address(**changes)], allow_private=True)

    assert caught.value.pointer.startswith("endpoints/1/")


@pytest.mark.parametrize(
    ("ip_type", "ip"),
    [(4, "10.0.0.1"), (4, "127.0.0.1"), (4, "100.64.0.1"), (6, "fd00::1"), (6, "64:ff9b::7f00:1"), (6, "2002:7f00:1::")],
)
def test_private_address_in_production_refused(ip_type: int, ip: str) -> None:
    with pytest.raises(PrivateAddress):
        rules.check_addresses([address(ip_type=ip_type, ip=ip)], allow_private=False)


def test_addresses_none_refused() -> None:
    with pytest.raises(PortMissing):
        rules.check_addresses([], allow_private=True)
