from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from biaojie.codes.parsing import parse
from biaojie.codes.ranges import parse_coverage
from biaojie.codes.systems import System
from biaojie.resolution.entries import RouteContent
from biaojie.resolution.routes import RouteTable


def route(system: System, text: str) -> tuple[int, RouteContent]:
    coverage = parse_coverage(system, text)
    low, high = coverage.interval()
    return system.number, RouteContent(system.value, coverage.canonical, low, high, [], "88.100")


def test_find_among_nested_prefixes_and_ranges_gives_the_narrowest() -> None:
    table = RouteTable(
        [route(System.GS1, text) for text in ("690", "6901234-6901299", "6901250", "691")] + [route(System.OID, "1.2.156")]
    )

    def found(text: str, system: System) -> str | None:
        row = table.find(system.number, parse(text, system).routing_bytes())
        return row and row.coverage

    assert found("6901250000014", System.GS1) == "6901250"
    assert found("6901260000011", System.GS1) == "6901234-6901299"
    assert found("6909990000011", System.GS1) == "690"
    assert found("1.2.156.3001", System.OID) == "1.2.156"
    assert found("1.2.1560", System.OID) is None


def test_find_in_a_system_without_routes_is_none() -> None:
    assert RouteTable([]).find(2, b"\x021") is None


@st.composite
def nested(draw: st.DrawFn, low: int = 0, high: int = 60, depth: int = 4) -> list[tuple[int, int]]:
    """Intervals of which any two nest or lie apart."""
    if depth == 0 or high - low < 2:
        return []
    a = draw(st.integers(low, high - 1))
    b = draw(st.integers(a + 1, high))
    inner = draw(nested(a, b, depth - 1))
    beside = draw(nested(b, high, depth - 1))
    return [(a, b), *inner, *beside]


@given(nested(), st.integers(0, 62), st.randoms())
def test_find_among_any_nested_intervals_equals_search_through_all(intervals, point, random) -> None:  # type: ignore[no-untyped-def]
    intervals = sorted(set(intervals))
    random.shuffle(intervals)
    rows = [(4, RouteContent("VAA", f"{a}-{b}", bytes([a]), bytes([b]), [], "")) for a, b in intervals]
    covering = [(b - a, f"{a}-{b}") for a, b in intervals if a <= point < b]

    found = RouteTable(rows).find(4, bytes([point]))

    assert (found and found.coverage) == (min(covering)[1] if covering else None)
