"""Coverages: 标识前缀或范围 of 附件1 表2 and 表7, as intervals of plain bytes.

A coverage is a prefix (`88.100`, `1.2.156.3001`, `did:bid:byo1`, `VAA088100`, `10001`, `6901234`) or a range of two
prefixes of equal shape (`6901234-6901299`, `88.100～88.199`). Ranges are closed at both ends and take in everything
below either end. What a prefix means in each system:

- Handle, OID: whole arcs (`88.100` covers `88.100` and `88.100.1`, not `88.1001`); range: all but the last arc the same,
  last arcs of as many characters as the ends, compared character by character
- VAA: TTC, TTC + STC, or all three codes, also in Handle form; matched by its Handle prefix
- DID:BID: an ACSN, or `did:bid:` alone for the whole method
- Ecode: V + NSI or more, character by character; range: digits of one version
- GS1: leading digits as a GTIN-13 prints them, without check digit (13 digits are taken as a full code and lose it)

A prefix whose Handle has a hyphen between two digits cannot be told from a range and is read as one.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType
from typing import Final

from biaojie.codes.bid import SCHEME as BID_SCHEME
from biaojie.codes.bid import is_acsn
from biaojie.codes.ecode import VERSIONS, without_scheme
from biaojie.codes.errors import (
    BadAcsn,
    BadCheckDigit,
    BadCoverage,
    BadMdCharacter,
    BadNsi,
    BadVaaDigits,
    BadVersion,
    CoverageTooLong,
    EmptyCoverage,
    ReversedRange,
    UnequalEnds,
    UnrelatedEnds,
)
from biaojie.codes.gs1 import has_valid_check_digit, valid_check_digit
from biaojie.codes.handle_names import canonical_handle, prefix_named_by
from biaojie.codes.identifier import Identifier, routing_bytes
from biaojie.codes.oid import read_oid
from biaojie.codes.plain_text import clean, is_digits, shown
from biaojie.codes.systems import System
from biaojie.codes.vaa import CIN_WIDTH, IAC, STC_WIDTH, TTC_WIDTH, arc_to_ttc, ttc_to_arc

MAX_END_BYTES: Final = 255
"""Longest end of a coverage; keeps interval bounds within the key size of the stores below (LMDB: 511)."""


class CoverageKind(enum.Enum):
    """Whether a coverage is one prefix or a range of them."""

    PREFIX = "prefix"
    RANGE = "range"


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """One prefix or range; built by `parse_coverage`, equal when system and canonical text are.

    `low` and `high` are canonical prefixes, the same one for `CoverageKind.PREFIX`.
    """

    system: System
    kind: CoverageKind
    low: str
    high: str
    _low_bytes: bytes = field(compare=False, repr=False)
    _high_bytes: bytes = field(compare=False, repr=False)
    _width: tuple[int, Fraction] = field(compare=False, repr=False)

    @property
    def canonical(self) -> str:
        """The text that `parse_coverage` maps to itself: `low`, or `low-high`."""
        return self.low if self.kind is CoverageKind.PREFIX else f"{self.low}-{self.high}"

    def interval(self) -> tuple[bytes, bytes]:
        """Half-open interval of `Identifier.routing_bytes()`; intervals of different systems never meet."""
        return self._low_bytes, self._high_bytes

    def covers(self, identifier: Identifier) -> bool:
        """Whether the identifier's routing key lies within; false for another system."""
        return self._low_bytes <= identifier.routing_bytes() < self._high_bytes

    def overlaps(self, other: Coverage) -> bool:
        """Whether some routing key could lie within both."""
        return self._low_bytes < other._high_bytes and other._low_bytes < self._high_bytes

    def width(self) -> tuple[int, Fraction]:
        """How much it takes in, comparable within one system: the narrower, the smaller."""
        return self._width


def parse_coverage(system: System, text: str) -> Coverage:
    """The coverage that a text writes; `-`, `～`, `~`, `—`, `至` and the like part the ends of a range.

    Raises a `CoverageError`, a text error, or the error of the system's own prefix (such as `BadPrefixArc`).
    """
    if not text.strip():
        raise EmptyCoverage()
    body = clean(text)
    parts = _SEPARATORS[system is System.HANDLE].split(body)
    if len(parts) > 2:
        raise BadCoverage(text=shown(body), system=system.value, reason="有多于一个范围符号")
    if not all(part.strip() for part in parts):
        raise BadCoverage(text=shown(body), system=system.value, reason="范围缺少一端")
    for part in parts:
        length = len(part.encode())
        if length > MAX_END_BYTES:
            raise CoverageTooLong(length=length, limit=MAX_END_BYTES)
    ends = [_READERS[system](part.strip()) for part in parts]
    low, high = ends[0], ends[-1]
    width = _width(system, low, high)
    return Coverage(
        system=system,
        kind=CoverageKind.PREFIX if low == high else CoverageKind.RANGE,
        low=low.text,
        high=high.text,
        _low_bytes=_end_bytes(system, low),
        _high_bytes=_after(_end_bytes(system, high)),
        _width=width,
    )


def best_match(coverages: Iterable[Coverage], identifier: Identifier) -> Coverage | None:
    """The narrowest coverage that covers the identifier (longest prefix, narrowest range), or None.

    Of ranges equally wide that cross each other, the one whose text sorts first.
    """
    covering = (coverage for coverage in coverages if coverage.covers(identifier))
    return min(covering, key=lambda coverage: (coverage.width(), coverage.canonical), default=None)


# --- the ends of a coverage -------------------------------------------------------------------------------------------

_DASHES: Final = "～~〜∼—–－‐‑至到"
# A Handle prefix may hold a hyphen, so there it parts a range only between two digits.
_SEPARATORS: Final = (re.compile(rf"(?:[-{_DASHES}])+"), re.compile(rf"[{_DASHES}]+|(?<=[0-9])\s*-+\s*(?=[0-9])"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """Canonical text of one end and its routing key; an empty routing key stands for the whole system."""

    text: str
    routing_key: str


def _handle_end(text: str) -> _End:
    named = prefix_named_by(text)
    if named is None:
        raise BadCoverage(text=shown(text), system=System.HANDLE.value, reason="只写前缀，不带“/”及其后的后缀")
    canonical = canonical_handle(named)
    return _End(text=canonical, routing_key=canonical)


def _oid_end(text: str) -> _End:
    canonical = read_oid(text).canonical
    return _End(text=canonical, routing_key=canonical)


def _bid_end(text: str) -> _End:
    lowered = text.lower()
    if lowered in (BID_SCHEME, BID_SCHEME[:-1]):
        return _End(text=BID_SCHEME, routing_key="")
    acsn = (text[len(BID_SCHEME) :] if lowered.startswith(BID_SCHEME) else text).removesuffix(":")
    if not is_acsn(acsn):
        raise BadAcsn(acsn=shown(acsn))
    return _End(text=f"{BID_SCHEME}{acsn}", routing_key=acsn)


def _vaa_end(text: str) -> _End:
    digits = text[len(IAC) :] if text[: len(IAC)].upper() == IAC else _vaa_digits(text)
    parts = (
        ("国家代码", digits[:3], TTC_WIDTH),
        ("行业代码", digits[3:6], STC_WIDTH),
        ("企业代码", digits[6:], CIN_WIDTH),
    )
    for number, (part, code, width) in enumerate(parts):
        if (code or number == 0) and (len(code) != width or not is_digits(code)):
            raise BadVaaDigits(part=part, digits=shown(code), width=width)
    arcs = [ttc_to_arc(digits[:3]), *(code for _, code, _ in parts[1:] if code)]
    return _End(text=f"{IAC}{digits}", routing_key=".".join(arcs))


def _vaa_digits(text: str) -> str:
    """The digits of a VAA prefix written as a Handle prefix."""
    arcs = _handle_end(text).text.split(".")
    ttc = arc_to_ttc(arcs[0])
    if ttc is None or len(arcs) > 3:
        raise BadCoverage(text=shown(text), system=System.VAA.value, reason="应为 VAA088100 或 88.100 的形式")
    for part, arc, width in zip(("行业代码", "企业代码"), arcs[1:], (STC_WIDTH, CIN_WIDTH), strict=False):
        if len(arc) != width or not is_digits(arc):
            raise BadVaaDigits(part=part, digits=shown(arc), width=width)
    return ttc + "".join(arcs[1:])


def _ecode_end(text: str) -> _End:
    body = clean(without_scheme(text))
    v = body[:1]
    if v not in VERSIONS:
        raise BadVersion(version=v)
    version = VERSIONS[v]
    nsi, md = body[1 : 1 + version.nsi_width], body[1 + version.nsi_width :]
    if nsi and not is_digits(nsi):
        raise BadNsi(nsi=shown(nsi), width=version.nsi_width, version=v)
    for position, character in enumerate(md, start=1):
        if version.md_character.fullmatch(character) is None:
            raise BadMdCharacter(position=position, character=character, alphabet=version.md_alphabet, version=v)
    if len(md) > version.md_longest:
        reason = f"版本 {v} 的主码 MD 最长 {version.md_longest} 位"
        raise BadCoverage(text=shown(text), system=System.ECODE.value, reason=reason)
    return _End(text=body, routing_key=body)


def _gs1_end(text: str) -> _End:
    if not is_digits(text) or not 3 <= len(text) <= 13:
        raise BadCoverage(text=shown(text), system=System.GS1.value, reason="应为 3 到 13 位数字，按 GTIN-13 的写法从头写起")
    if len(text) == 13 and not has_valid_check_digit(text):
        raise BadCheckDigit(title="GTIN-13", digits=text, found=text[-1], expected=valid_check_digit(text[:-1]))
    digits = text[:12]
    return _End(text=digits, routing_key=digits)


_READERS: Final[Mapping[System, Callable[[str], _End]]] = MappingProxyType(
    {
        System.HANDLE: _handle_end,
        System.OID: _oid_end,
        System.BID: _bid_end,
        System.VAA: _vaa_end,
        System.ECODE: _ecode_end,
        System.GS1: _gs1_end,
    }
)


# --- order and width --------------------------------------------------------------------------------------------------


def _width(system: System, low: _End, high: _End) -> tuple[int, Fraction]:
    """Width of the closed range low..high; raises where the ends cannot be compared.

    Arcs and ACSN: (minus the depth, how many at that depth). Digits: (0, share of all keys).
    """
    if system in (System.ECODE, System.GS1):
        return 0, Fraction(_digit_count(system, low, high), 10 ** len(low.text))
    if system is System.BID:
        return (-1 if low.routing_key else 0), Fraction(_acsn_count(low, high))
    return -low.routing_key.count(".") - 1, Fraction(_arc_count(low, high))


def _arc_count(low: _End, high: _End) -> int:
    if low == high:
        return 1
    low_parent, _, low_arc = low.routing_key.rpartition(".")
    high_parent, _, high_arc = high.routing_key.rpartition(".")
    if low_parent != high_parent:
        raise UnrelatedEnds(low=low.text, high=high.text, reason="除最后一段外应完全相同")
    if not (is_digits(low_arc) and is_digits(high_arc)):
        raise UnrelatedEnds(low=low.text, high=high.text, reason="最后一段应为数字")
    return _count(low, high, low_arc, high_arc, 10)


def _digit_count(system: System, low: _End, high: _End) -> int:
    if low == high:
        return 1
    if not (is_digits(low.text) and is_digits(high.text)):
        raise UnrelatedEnds(low=shown(low.text), high=shown(high.text), reason="范围两端应为数字")
    if system is System.ECODE and low.text[0] != high.text[0]:
        raise UnrelatedEnds(low=low.text, high=high.text, reason="版本 V 不同")
    return _count(low, high, low.text, high.text, 10)


def _acsn_count(low: _End, high: _End) -> int:
    if low == high:
        return 1
    if not (low.routing_key and high.routing_key):
        raise UnrelatedEnds(low=low.text, high=high.text, reason="两端都应有 ACSN")
    return _count(low, high, low.routing_key, high.routing_key, 36)


def _count(low: _End, high: _End, first: str, last: str, base: int) -> int:
    if len(first) != len(last):
        raise UnequalEnds(low=low.text, high=high.text)
    if first > last:
        raise ReversedRange(low=low.text, high=high.text)
    return int(last, base) - int(first, base) + 1


def _end_bytes(system: System, end: _End) -> bytes:
    return routing_bytes(system, end.routing_key) if end.routing_key else bytes([system.number])


def _after(key: bytes) -> bytes:
    """The first byte string beyond all that begin with `key`, whose last octet is never 0xff (UTF-8 has none)."""
    return key[:-1] + bytes([key[-1] + 1])
