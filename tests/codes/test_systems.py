"""The six systems: stable numbers, spellings of the guide."""

from __future__ import annotations

import pytest

from biaojie.codes.errors import UnknownSystem
from biaojie.codes.systems import System


def test_system_numbers_are_those_of_the_first_release() -> None:
    numbers = {system.value: system.number for system in System}

    assert numbers == {"Handle": 1, "OID": 2, "DID:BID": 3, "VAA": 4, "Ecode": 5, "GS1": 6}


@pytest.mark.parametrize("system", list(System))
def test_system_from_number_and_wire_gives_it_back(system: System) -> None:
    again = (System.from_number(system.number), System.from_wire(system.value))

    assert again == (system, system)
    assert system.title


@pytest.mark.parametrize(
    ("text", "system"),
    [
        ("DID: BID", System.BID),
        ("DID/BID", System.BID),
        ("DID:BID", System.BID),
        ("did：bid", System.BID),
        ("BID", System.BID),
        (" handle ", System.HANDLE),
        ("ECODE", System.ECODE),
        ("gs1", System.GS1),
    ],
)
def test_system_from_wire_spelling_of_the_guide_is_accepted(text: str, system: System) -> None:
    found = System.from_wire(text)

    assert found is system


@pytest.mark.parametrize("text", ["", "DID", "MA", "Handle/OID"])
def test_system_from_wire_unknown_is_refused(text: str) -> None:
    with pytest.raises(UnknownSystem) as caught:
        System.from_wire(text)

    assert caught.value.code == "CODE-101"


def test_system_from_number_unknown_is_refused() -> None:
    with pytest.raises(UnknownSystem):
        System.from_number(7)
