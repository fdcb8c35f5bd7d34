"""OID: arcs, schemes, leading zeros."""

from __future__ import annotations

import pytest

from biaojie.codes.errors import CodeError
from biaojie.codes.oid import read_oid


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("1.2.156.3001", "1.2.156.3001"),
        ("urn:oid:2.16.156", "2.16.156"),
        ("OID:0.39", "0.39"),
        ("2.999.1", "2.999.1"),
        ("2.25." + "9" * 39, "2.25." + "9" * 39),
    ],
)
def test_read_oid_valid_gives_dotted_digits_without_notes(text: str, canonical: str) -> None:
    value = read_oid(text)

    assert (value.canonical, value.routing_key, value.notes) == (canonical, canonical, ())


def test_read_oid_leading_zeros_are_kept_and_noted() -> None:
    value = read_oid("1.2.156.3001.0501.1001.01")

    assert value.canonical == "1.2.156.3001.0501.1001.01"
    assert [note.split("以")[0] for note in value.notes] == ["第 5 段“0501”", "第 7 段“01”"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("1", "CODE-122"),
        ("1..2", "CODE-121"),
        ("1.2.", "CODE-121"),
        ("1.2.a", "CODE-121"),
        ("1.２", "CODE-121"),
        ("3.1", "CODE-123"),
        ("88.100", "CODE-123"),
        ("0.40", "CODE-124"),
        ("1.100", "CODE-124"),
        ("urn:oid:", "CODE-121"),
    ],
)
def test_read_oid_faulty_is_refused_with_its_code(text: str, code: str) -> None:
    with pytest.raises(CodeError) as caught:
        read_oid(text)

    assert caught.value.code == code
