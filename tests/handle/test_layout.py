from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biaojie.handle.errors import EncodeError, LimitExceeded, Truncated
from biaojie.handle.kinds import I32, STRING, U8, U16, Bits, Blob, ListOf, Maybe, Number, Padding, Raw, Reserved, Rest, Text
from biaojie.handle.layout import Field, Layout, Reader, Trace


@dataclass(frozen=True, slots=True)
class Sample:
    number: int
    loud: bool
    level: int
    name: str
    blob: bytes
    items: tuple[int, ...]
    last: int


SAMPLE = Layout(
    "Sample",
    Sample,
    Field("number", U16, "编号"),
    Field("", Reserved(3)),
    Field("bits", Bits("bits", "B", ("loud", 1), ("", 3), ("level", 4))),
    Field("name", Text(8)),
    Field("blob", Blob(4)),
    Field("items", ListOf(I32, 3)),
    Field("last", Maybe(U8, 0)),
)
OCTETS = bytes.fromhex("0102 000000 85 00000002 6162 00000001 ff 00000001 ffffffff 07")
VALUE = Sample(0x0102, True, 5, "ab", b"\xff", (-1,), 7)


def test_layout_packs_an_object_in_field_order() -> None:
    assert SAMPLE.pack(VALUE) == OCTETS


def test_layout_unpacks_what_it_packed() -> None:
    assert SAMPLE.unpack(Reader(OCTETS)) == VALUE


def test_layout_traced_gives_the_same_object_and_covers_every_octet() -> None:
    trace = Trace()

    value = SAMPLE.unpack(Reader(OCTETS, trace=trace))

    assert value == VALUE
    assert sum(row.length for row in trace.rows) == len(OCTETS)
    assert [(row.offset, row.label, row.text) for row in trace.rows[:4]] == [
        (0, "number 编号", "258"),
        (2, "", "保留"),
        (5, "bits", "loud=1 level=5"),
        (6, "name", '"ab"'),
    ]


def test_layout_described_names_offsets_while_they_are_fixed() -> None:
    rows = SAMPLE.describe()

    assert [(row.offset, row.size) for row in rows[:5]] == [("0", "2"), ("2", "3"), ("5", "1"), ("6", "…"), ("+", "…")]


def test_reserved_octets_are_ignored_on_reading() -> None:
    other = OCTETS[:2] + b"\xff\xff\xff" + OCTETS[5:]

    assert SAMPLE.unpack(Reader(other)) == VALUE


@pytest.mark.parametrize(
    "field", [{"number": 65_536}, {"level": 16}, {"name": "x" * 9}, {"blob": bytes(5)}, {"items": (1, 2, 3, 4)}, {"name": None}]
)
def test_value_that_does_not_fit_is_an_encode_error(field: dict[str, object]) -> None:
    parts = {name: getattr(VALUE, name) for name in Sample.__slots__} | field

    with pytest.raises(EncodeError):
        SAMPLE.pack(Sample(**parts))  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("size", range(len(OCTETS) - 1))
def test_every_proper_beginning_is_truncated_with_an_octet_offset(size: int) -> None:
    with pytest.raises(Truncated) as caught:
        SAMPLE.unpack(Reader(OCTETS[:size]))

    assert 0 <= int(caught.value.pointer) <= size


@pytest.mark.parametrize("kind", [Blob(16), Text(16), ListOf(U8, 16)])
@pytest.mark.parametrize("length", [17, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_length_over_the_limit_or_negative_is_refused_at_its_offset(kind, length: int) -> None:
    data = b"\0" + length.to_bytes(4, "big") + bytes(32)

    with pytest.raises(LimitExceeded) as caught:
        kind.read(Reader(data, 1), "field")

    assert (caught.value.pointer, caught.value.data["actual"]) == ("1", length)


@pytest.mark.parametrize("kind", [Blob(16), Text(16), ListOf(U8, 16)])
def test_length_at_the_limit_is_read(kind) -> None:
    data = (16).to_bytes(4, "big") + bytes(16)

    assert len(kind.read(Reader(data), "field")) == 16


def test_count_that_the_remaining_octets_cannot_hold_is_refused_before_reading_items() -> None:
    reader = Reader((1000).to_bytes(4, "big") + bytes(3999))

    with pytest.raises(Truncated) as caught:
        ListOf(STRING).read(reader, "items")

    assert (caught.value.pointer, reader.pos) == ("0", 0)


@given(data=st.binary(max_size=30))
def test_text_of_any_octets_is_written_back_unchanged(data: bytes) -> None:
    wire = len(data).to_bytes(4, "big") + data
    out = bytearray()

    STRING.write(STRING.read(Reader(wire), "text"), out, "text")

    assert bytes(out) == wire


def test_text_with_a_lone_surrogate_is_an_encode_error() -> None:
    layout = Layout("One", lambda name: name, Field("name", STRING))

    with pytest.raises(EncodeError):
        layout.pack(type("Named", (), {"name": "\ud800"})())


def test_reader_never_passes_its_end() -> None:
    reader = Reader(b"abcdef", 2, 4)

    assert Rest().read(reader, "rest") == b"cd"
    with pytest.raises(Truncated):
        Raw(1).read(reader, "raw")
    assert Padding(2).read(reader, "tail") == b""


def test_number_out_of_range_is_an_encode_error() -> None:
    with pytest.raises(EncodeError):
        Number("int1", "B").write(256, bytearray(), "number")
