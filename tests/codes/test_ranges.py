"""Prefixes and ranges: parsing, coverage, overlap, best match, and their intervals of bytes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biaojie.codes.errors import CodeError
from biaojie.codes.parsing import parse
from biaojie.codes.ranges import CoverageKind, best_match, parse_coverage
from biaojie.codes.systems import System

SUFFIX = "214PmkhKndUcArDQPgD5J4fFVwqJFPt"


@pytest.mark.parametrize(
    ("system", "text", "canonical"),
    [
        (System.HANDLE, "88.100", "88.100"),
        (System.HANDLE, "0.NA/88.100", "88.100"),
        (System.HANDLE, "hdl:10.abc", "10.ABC"),
        (System.HANDLE, "11.a-b", "11.A-B"),
        (System.HANDLE, "88.100 ～ 88.199", "88.100-88.199"),
        (System.HANDLE, "88.100-88.199", "88.100-88.199"),
        (System.HANDLE, "88.100至88.100", "88.100"),
        (System.OID, "urn:oid:1.2.156.3001", "1.2.156.3001"),
        (System.OID, "1.2.156.3001—1.2.156.3999", "1.2.156.3001-1.2.156.3999"),
        (System.BID, "byo1", "did:bid:byo1"),
        (System.BID, "DID:BID:byo1:", "did:bid:byo1"),
        (System.BID, "did:bid:", "did:bid:"),
        (System.BID, "byo1-byoz", "did:bid:byo1-did:bid:byoz"),
        (System.VAA, "VAA088100", "VAA088100"),
        (System.VAA, "vaa08810012345678", "VAA08810012345678"),
        (System.VAA, "88.100", "VAA088100"),
        (System.VAA, "VAA088", "VAA088"),
        (System.VAA, "VAA088100~VAA088199", "VAA088100-VAA088199"),
        (System.ECODE, "E=10001", "10001"),
        (System.ECODE, "1|0001|69", "1000169"),
        (System.ECODE, "10001-10099", "10001-10099"),
        (System.ECODE, "300001aB", "300001aB"),
        (System.GS1, "6901234", "6901234"),
        (System.GS1, "6901234～6901299", "6901234-6901299"),
        (System.GS1, "6901234－6901299", "6901234-6901299"),
        (System.GS1, "6901234567892", "690123456789"),
    ],
)
def test_parse_coverage_valid_gives_the_canonical_text(system: System, text: str, canonical: str) -> None:
    coverage = parse_coverage(system, text)

    assert coverage.canonical == canonical
    assert parse_coverage(system, canonical) == coverage
    assert (coverage.kind is CoverageKind.PREFIX) == (coverage.low == coverage.high)


@pytest.mark.parametrize(
    ("system", "text", "code"),
    [
        (System.HANDLE, " ", "CODE-171"),
        (System.HANDLE, "88.100/abc", "CODE-172"),
        (System.HANDLE, "0.NA/88.100/abc", "CODE-172"),
        (System.HANDLE, "88.1～88.2～88.3", "CODE-172"),
        (System.HANDLE, "88.1～", "CODE-172"),
        (System.HANDLE, "88..1", "CODE-114"),
        (System.HANDLE, "88.99-88.100", "CODE-173"),
        (System.HANDLE, "88.199-88.100", "CODE-174"),
        (System.HANDLE, "88.100-89.199", "CODE-175"),
        (System.HANDLE, "88.100-88.100.9", "CODE-175"),
        (System.HANDLE, "88.abc～88.abd", "CODE-175"),
        (System.HANDLE, "88." + "1" * 256, "CODE-176"),
        (System.OID, "3.1", "CODE-123"),
        (System.BID, "BYO1", "CODE-132"),
        (System.BID, "did:bid:-did:bid:byo1", "CODE-175"),
        (System.VAA, "VAA", "CODE-142"),
        (System.VAA, "VAA0881", "CODE-142"),
        (System.VAA, "VAA08810012345678/a", "CODE-142"),
        (System.VAA, "88.1021", "CODE-142"),
        (System.VAA, "1088.100", "CODE-172"),
        (System.ECODE, "9", "CODE-151"),
        (System.ECODE, "1a", "CODE-152"),
        (System.ECODE, "10001a", "CODE-154"),
        (System.ECODE, "10001" + "6" * 21, "CODE-172"),
        (System.ECODE, "10001-20001", "CODE-175"),
        (System.ECODE, "300001a-300001b", "CODE-175"),
        (System.GS1, "69", "CODE-172"),
        (System.GS1, "69012345678901", "CODE-172"),
        (System.GS1, "690123x", "CODE-172"),
        (System.GS1, "6901234567893", "CODE-161"),
        (System.GS1, "6901234-69013", "CODE-173"),
        (System.GS1, "6901299-6901234", "CODE-174"),
    ],
)
def test_parse_coverage_faulty_is_refused_with_its_code(system: System, text: str, code: str) -> None:
    with pytest.raises(CodeError) as caught:
        parse_coverage(system, text)

    assert caught.value.code == code


@pytest.mark.parametrize(
    ("system", "coverage", "inside", "outside"),
    [
        (
            System.HANDLE,
            "88.100",
            ["88.100", "88.100/a", "88.100.1/a", "88.100.1.2"],
            ["88.1001/a", "88.10/a", "88/a", "0.NA/88.100"],
        ),
        (
            System.HANDLE,
            "88.100-88.199",
            ["88.100/a", "88.150.7/a", "88.199.9.9/a"],
            ["88.1001/a", "88.99/a", "88.200/a", "88/a"],
        ),
        (System.HANDLE, "10.abc", ["10.ABC/x", "10.abc.1/x"], ["10.abcd/x"]),
        (System.OID, "1.2.156.3001", ["1.2.156.3001", "1.2.156.3001.0501"], ["1.2.156.30011", "1.2.156"]),
        (System.BID, "did:bid:", [f"did:bid:ef{SUFFIX}", f"did:bid:byo1:ef{SUFFIX}"], []),
        (System.BID, "byo1", [f"did:bid:byo1:ef{SUFFIX}"], [f"did:bid:ef{SUFFIX}", f"did:bid:byo2:ef{SUFFIX}"]),
        (System.VAA, "88.100", ["VAA08810012345678/a"], ["VAA08810112345678/a", "VAA08610012345678/a"]),
        (System.VAA, "VAA088100-VAA088199", ["VAA08819912345678/a"], ["VAA08820012345678/a"]),
        (System.ECODE, "E=10001", ["E=100019", "E=1000169"], ["E=200019", "E=100029"]),
        (System.ECODE, "10001-10099", ["E=100997"], ["E=101007", "E=100007"]),
        (
            System.GS1,
            "6901234",
            [
                "6901234567892",
                "16901234567899",
                "(414)6901234567892",
                "(00)069012340000000009",
                "(8004)6901234A",
            ],
            ["6901235000008", "96385074"],
        ),
        (System.GS1, "6901234-6901299", ["6901299000006"], ["6901300000001"]),
        (System.GS1, "0614141", ["614141000036", "106141412345678908"], ["6901234567892"]),
    ],
)
def test_coverage_covers_what_is_below_it_and_nothing_else(
    system: System, coverage: str, inside: list[str], outside: list[str]
) -> None:
    parsed = parse_coverage(system, coverage)

    answers = [[parsed.covers(parse(text, system)) for text in texts] for texts in (inside, outside)]

    assert answers == [[True] * len(inside), [False] * len(outside)]


def test_coverage_of_another_system_never_covers() -> None:
    coverage = parse_coverage(System.HANDLE, "88.100")

    assert not coverage.covers(parse("VAA08810012345678/a"))


@pytest.mark.parametrize(
    ("system", "one", "other", "answer"),
    [
        (System.HANDLE, "88.100", "88.100.1", True),
        (System.HANDLE, "88.100", "88.1001", False),
        (System.HANDLE, "88.100-88.199", "88.150", True),
        (System.HANDLE, "88.100-88.149", "88.149-88.199", True),
        (System.HANDLE, "88.100-88.149", "88.150-88.199", False),
        (System.GS1, "6901234-6901299", "69012", True),
        (System.GS1, "6901234-6901299", "6901300", False),
        (System.BID, "did:bid:", "byo1", True),
    ],
)
def test_coverage_overlaps_is_symmetric(system: System, one: str, other: str, answer: bool) -> None:
    first, second = parse_coverage(system, one), parse_coverage(system, other)

    assert (first.overlaps(second), second.overlaps(first)) == (answer, answer)


def test_coverage_same_text_in_two_systems_does_not_overlap() -> None:
    oid, handle = parse_coverage(System.OID, "1.2"), parse_coverage(System.HANDLE, "1.2")

    assert not oid.overlaps(handle)


@pytest.mark.parametrize(
    ("system", "texts", "identifier", "best"),
    [
        (System.HANDLE, ["88", "88.100", "88.100.1"], "88.100.1/a", "88.100.1"),
        (System.HANDLE, ["88", "88.100", "88.100.1"], "88.1001/a", "88"),
        (System.HANDLE, ["88.100-88.199", "88"], "88.150.1/a", "88.100-88.199"),
        (System.HANDLE, ["88.100-88.199", "88.150", "88.140-88.160"], "88.150.1/a", "88.150"),
        (System.HANDLE, ["88.100-88.199", "88.140-88.160"], "88.150.1/a", "88.140-88.160"),
        (System.HANDLE, ["86", "88.101"], "88.100/a", None),
        (System.OID, ["1.2.156", "1.2.156.3001"], "1.2.156.3001.5", "1.2.156.3001"),
        (System.BID, ["did:bid:", "byo1"], f"did:bid:byo1:ef{SUFFIX}", "did:bid:byo1"),
        (System.VAA, ["88", "88.100", "VAA08810012345678"], "VAA08810012345678/a", "VAA08810012345678"),
        (System.GS1, ["690", "6901200-6901299", "6901234"], "6901234567892", "6901234"),
        (System.GS1, ["69012", "6900000-6909999"], "6901234567892", "69012"),
        (System.GS1, ["6901200-6901299", "6901230-6901400"], "6901234567892", "6901200-6901299"),
        (System.ECODE, ["1", "10001", "10000-10009"], "E=100019", "10001"),
    ],
)
def test_best_match_takes_the_narrowest(system: System, texts: list[str], identifier: str, best: str | None) -> None:
    coverages = [parse_coverage(system, text) for text in texts]

    found = [best_match(order, parse(identifier, system)) for order in (coverages, coverages[::-1])]

    assert [coverage and coverage.canonical for coverage in found] == [best, best]


# --- properties: the interval says exactly what the meaning says, judged without bytes ----------------------------------

_arc = st.one_of(st.sampled_from(["1", "10", "100", "99", "1001", "0042"]), st.integers(0, 1200).map(str))
_prefix = st.lists(_arc, min_size=1, max_size=4).map(lambda arcs: ".".join(["88", *arcs]))
_dense_prefix = st.lists(st.sampled_from(["1", "10"]), max_size=4).map(lambda arcs: ".".join(["88", *arcs]))
_digits = st.one_of(st.sampled_from(["690123", "6901234", "6901239"]), st.from_regex(r"690[0-9]{0,5}", fullmatch=True))


def _below(prefix: str, key: str) -> bool:
    arcs, whole = prefix.split("."), key.split(".")
    return whole[: len(arcs)] == arcs


@settings(max_examples=300)
@given(_prefix, _prefix)
def test_interval_of_a_handle_prefix_holds_exactly_its_arcs_and_below(prefix: str, key: str) -> None:
    coverage = parse_coverage(System.HANDLE, prefix)
    identifier = parse(f"{key}/x", System.HANDLE)

    low, high = coverage.interval()

    assert (low <= identifier.routing_bytes() < high) == coverage.covers(identifier) == _below(prefix, key)


@settings(max_examples=300)
@given(st.lists(st.integers(100, 130), min_size=2, max_size=2).map(sorted), _prefix, st.sampled_from([System.HANDLE, System.VAA]))
def test_interval_of_an_arc_range_holds_the_numbers_between(ends: list[int], key: str, system: System) -> None:
    first, last = ends
    coverage = parse_coverage(system, f"88.{first}～88.{last}")
    arcs = key.split(".")
    text = f"{key}/x" if system is System.HANDLE else f"VAA088{int(arcs[1]) % 200:03d}12345678/x"
    identifier = parse(text, system)
    second = identifier.routing_key.split(".")[1]
    low, high = coverage.interval()

    expected = len(second) == 3 and first <= int(second) <= last

    assert (low <= identifier.routing_bytes() < high) == coverage.covers(identifier) == expected


@settings(max_examples=300)
@given(_digits, _digits, st.from_regex(r"6901[0-9]{8}", fullmatch=True))
def test_interval_of_a_gs1_range_holds_the_digits_between(one: str, other: str, payload: str) -> None:
    width = min(len(one), len(other))
    low_text, high_text = sorted((one[:width], other[:width]))
    coverage = parse_coverage(System.GS1, f"{low_text}～{high_text}")
    identifier = parse(f"(01)0{payload}{_check(payload)}", System.GS1)
    low, high = coverage.interval()

    expected = int(low_text) <= int(payload[:width]) <= int(high_text)

    assert (low <= identifier.routing_bytes() < high) == coverage.covers(identifier) == expected


def _check(payload: str) -> int:
    return -sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(payload)) % 10


@settings(max_examples=300)
@given(_prefix, _prefix)
def test_overlap_of_prefixes_means_one_lies_below_the_other(one: str, other: str) -> None:
    first, second = parse_coverage(System.HANDLE, one), parse_coverage(System.HANDLE, other)

    overlapping = first.overlaps(second)

    assert overlapping == (_below(one, other) or _below(other, one))


@settings(max_examples=200)
@given(st.lists(_dense_prefix, max_size=8, unique=True), _dense_prefix)
def test_best_match_among_prefixes_is_the_longest_one(prefixes: list[str], key: str) -> None:
    coverages = [parse_coverage(System.HANDLE, prefix) for prefix in prefixes]
    covering = [prefix for prefix in prefixes if _below(prefix, key)]

    best = best_match(coverages, parse(f"{key}/x", System.HANDLE))

    assert (best and best.canonical) == max(covering, key=len, default=None)


@settings(max_examples=300)
@given(
    st.sampled_from(System),
    st.one_of(
        st.text(max_size=20),
        st.lists(
            st.sampled_from(
                [
                    "88",
                    ".",
                    "100",
                    "-",
                    "～",
                    "至",
                    "VAA",
                    "did:bid:",
                    "byo1",
                    "E=",
                    "1",
                    "690",
                    "/",
                    "瓶",
                    "\x00",
                    "\ud800",
                    "%ff",
                ]
            ),
            max_size=8,
        ).map("".join),
    ),
)
def test_parse_coverage_any_text_gives_a_coverage_or_a_coded_error(system: System, text: str) -> None:
    try:
        coverage = parse_coverage(system, text)
    except CodeError as error:
        assert error.code.startswith("CODE-1")
        return

    low, high = coverage.interval()
    assert low < high
    assert parse_coverage(system, coverage.canonical) == coverage
    assert parse_coverage(system, coverage.canonical).interval() == (low, high)
