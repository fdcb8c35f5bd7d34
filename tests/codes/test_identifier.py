"""Identifier: equality, index key, comparable routing bytes."""

from __future__ import annotations

import dataclasses

import pytest

from biaojie.codes.identifier import routing_bytes
from biaojie.codes.parsing import parse
from biaojie.codes.systems import System


def test_identifier_spelt_differently_is_equal_and_has_one_key() -> None:
    one, other = parse("88.100.1/abc"), parse("hdl:88.100.1/ABC")

    assert one == other
    assert hash(one) == hash(other)
    assert one.text != other.text
    assert one.key() == b"\x0188.100.1/ABC"


def test_identifier_key_is_the_system_number_and_the_canonical_form() -> None:
    keys = [parse(text).key() for text in ("1.2.156", "E=100019", "(01)09501101530003", "88.1/瓶")]

    assert keys == [b"\x021.2.156", b"\x05E=100019", b"\x06(01)09501101530003", b"\x0188.1/\xe7\x93\xb6"]


def test_identifier_is_frozen() -> None:
    identifier = parse("88.100/a")

    with pytest.raises(dataclasses.FrozenInstanceError):
        identifier.canonical = "x"  # type: ignore[misc]  # the point of the test


def test_routing_bytes_keep_a_prefix_and_its_descendants_together() -> None:
    keys = [routing_bytes(System.HANDLE, prefix) for prefix in ("88.99", "88.100", "88.100.1", "88.100.1.1", "88.101", "88.1001")]

    assert keys == sorted(keys)
    assert routing_bytes(System.HANDLE, "88.100") == b"\x01\x00\x0288\x00\x03100"
