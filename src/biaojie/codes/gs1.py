"""GS1 keys with their qualifiers: element strings, Digital Link, and bare GTIN or SSCC digits.

Canonical form: the element string in brackets, identification key first and its qualifiers in the standard's order,
GTIN padded to 14 digits: `(01)09501101530003(21)SN1`. Other elements (dates, weights) describe the thing, they do not
name it: they are kept in `attributes`, noted, and left out of the canonical form. Thirteen bare digits are read as a
GTIN-13; a GLN is written `(414)…`. Both route alike.

Routing key: the key's digits from the company prefix on, without indicator, extension or check digit, as a GTIN-13
prints them. So GTIN-8/12/13/14, GLN, SSCC and the rest of one company prefix lie under one coverage such as `6901234`;
a GTIN-12 has its leading 0, and a GTIN-8 (which carries no company prefix) five of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from biip import ParseConfig, ParseError
from biip.checksums import gs1_standard_check_digit
from biip.gs1_application_identifiers import GS1ApplicationIdentifier
from biip.gs1_digital_link_uris import GS1DigitalLinkURI
from biip.gs1_element_strings import GS1ElementString

from biaojie.codes.errors import BadCheckDigit, BadDigitalLink, BadElement, BadGs1Shape, NoPrimaryKey, RepeatedElement
from biaojie.codes.plain_text import clean, is_digits, shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One identification key: title, its qualifiers in order, and two widths.

    `checked` leading digits end in a check digit (0: none); `skipped` of them stand before the company prefix.
    """

    title: str
    checked: int = 0
    skipped: int = 0
    qualifiers: tuple[str, ...] = ()


KEYS: Final = MappingProxyType(
    {
        "00": Key(title="SSCC", checked=18, skipped=1),
        "01": Key(title="GTIN", checked=14, skipped=1, qualifiers=("22", "10", "21", "235")),
        "253": Key(title="GDTI", checked=13),
        "255": Key(title="GCN", checked=13),
        "401": Key(title="GINC"),
        "402": Key(title="GSIN", checked=17),
        "414": Key(title="GLN", checked=13, qualifiers=("254", "7040")),
        "415": Key(title="GLN", checked=13, qualifiers=("8020",)),
        "417": Key(title="GLN", checked=13, qualifiers=("7040",)),
        "8003": Key(title="GRAI", checked=14, skipped=1),
        "8004": Key(title="GIAI", qualifiers=("7040",)),
        "8006": Key(title="ITIP", checked=14, skipped=1, qualifiers=("22", "10", "21")),
        "8010": Key(title="CPID", qualifiers=("8011",)),
        "8013": Key(title="GMN"),
        "8017": Key(title="GSRN", checked=18, qualifiers=("8019",)),
        "8018": Key(title="GSRN", checked=18, qualifiers=("8019",)),
    }
)
BARE_LENGTHS: Final = (8, 12, 13, 14, 18)
_SHORTEST_COMPANY_PREFIX: Final = 4
# The dates of attributes are not ours to judge: they do not name the thing.
_CONFIG: Final = ParseConfig(gs1_element_strings_verify_date=False)
_BRACKET: Final = re.compile(r"\(([0-9]{2,4})\)")
_LINK: Final = re.compile(r"https?://[^/?#]+/([^?#]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gs1Value:
    """A GS1 identifier: application identifier and value of its key, qualifiers in order, attributes in AI order."""

    ai: str
    key: str
    qualifiers: tuple[tuple[str, str], ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def canonical(self) -> str:
        """Bracketed element string of key and qualifiers."""
        return "".join(f"({ai}){value}" for ai, value in ((self.ai, self.key), *self.qualifiers))

    @property
    def routing_key(self) -> str:
        """Digits from the company prefix on, without check digit."""
        row = KEYS[self.ai]
        if row.checked:
            return self.key[row.skipped : row.checked - 1]
        return _leading_digits(self.key)


def has_valid_check_digit(digits: str) -> bool:
    """Whether the last digit is the GS1 mod-10 check digit of those before it."""
    return is_digits(digits) and len(digits) > 1 and gs1_standard_check_digit(digits[:-1]) == int(digits[-1])


def valid_check_digit(digits: str) -> int:
    """The check digit that belongs behind these ASCII digits."""
    return gs1_standard_check_digit(digits)


def looks_like_bare_gs1(text: str) -> bool:
    """Whether the text has the digits of a GTIN, GLN or SSCC and a valid check digit."""
    return len(text) in BARE_LENGTHS and has_valid_check_digit(text)


def looks_like_element_string(text: str) -> bool:
    """Whether the text begins with an application identifier in brackets."""
    return _BRACKET.match(text) is not None


def looks_like_digital_link(text: str) -> bool:
    """Whether the text is an address (any host) with a GS1 key in its path."""
    match = _LINK.match(text)
    segments = match.group(1).split("/") if match else []
    return any(ai in KEYS and is_digits(value[:_SHORTEST_COMPANY_PREFIX]) for ai, value in pairwise(segments))


def read_gs1(text: str) -> Gs1Value:
    """Parse a GS1 identifier in any accepted form; raises `Gs1Error` or a text error."""
    body = clean(text)
    if is_digits(body) and len(body) in BARE_LENGTHS:
        return _read_bare(body)
    if looks_like_element_string(body):
        return _assemble(_bracketed(body), body)
    if re.match(r"https?://", body, re.IGNORECASE):
        return _assemble(_linked(body), body)
    raise BadGs1Shape(text=shown(body))


def _read_bare(digits: str) -> Gs1Value:
    ai, padded = ("00", digits) if len(digits) == 18 else ("01", digits.zfill(14))
    title = "SSCC" if ai == "00" else f"GTIN-{len(digits)}"
    _verify_check_digit(title, digits)
    notes = ("13 位数字按 GTIN-13 处理；全球位置码 GLN 请写作 (414)…",) if len(digits) == 13 else ()
    return Gs1Value(ai=ai, key=padded, notes=notes)


def _bracketed(text: str) -> list[tuple[str, str]]:
    """Split at every bracketed application identifier that GS1 has assigned; other brackets belong to a value."""
    marks = [match for match in _BRACKET.finditer(text) if _is_assigned(match.group(1))]
    if not marks or marks[0].start() != 0:
        ai = text[1 : text.index(")")]
        raise BadElement(ai=ai, value=shown(text[len(ai) + 2 :]), reason="没有这个应用标识符")
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    elements = [(mark.group(1), text[mark.end() : end]) for mark, end in zip(marks, ends, strict=True)]
    return [(ai, _padded(ai, value)) for ai, value in elements]


def _padded(ai: str, value: str) -> str:
    return value.zfill(14) if ai == "01" and is_digits(value) and len(value) in (8, 12, 13) else value


def _linked(url: str) -> list[tuple[str, str]]:
    try:
        link = GS1DigitalLinkURI.parse(url, config=_CONFIG)
    except (ParseError, ValueError):
        raise BadDigitalLink(text=shown(url)) from None
    elements = [(element.ai.ai, element.value) for element in link.element_strings]
    for ai, value in elements:
        if any(_is_assigned(match.group(1)) for match in _BRACKET.finditer(value)):
            # Written as an element string, the bracket would read as the next element.
            raise BadElement(ai=ai, value=shown(value), reason="值中含有带括号的应用标识符，写成单元数据串会有歧义")
    return elements


def _assemble(elements: list[tuple[str, str]], text: str) -> Gs1Value:
    seen: set[str] = set()
    for ai, value in elements:
        if ai in seen:
            raise RepeatedElement(ai=ai)
        seen.add(ai)
        _verify_element(ai, value)
    primary = next((element for element in elements if element[0] in KEYS), None)
    if primary is None:
        raise NoPrimaryKey(text=shown(text))
    ai, key = primary
    row = KEYS[ai]
    if row.checked:
        _verify_check_digit(row.title, key[: row.checked])
    elif len(_leading_digits(key)) < _SHORTEST_COMPANY_PREFIX:
        raise BadElement(ai=ai, value=shown(key), reason="应以厂商识别代码（至少 4 位数字）开头")
    values = dict(elements)
    qualifiers = tuple((name, values[name]) for name in row.qualifiers if name in values)
    attributes = tuple(sorted((name, value) for name, value in elements if name != ai and name not in row.qualifiers))
    notes = tuple(f"（{name}）是属性，不参与标识" for name, _ in attributes)
    return Gs1Value(ai=ai, key=key, qualifiers=qualifiers, attributes=attributes, notes=notes)


def _verify_element(ai: str, value: str) -> None:
    try:
        if not value.isascii():
            raise ParseError
        element = GS1ElementString.parse(ai + value, config=_CONFIG)
    except (ParseError, ValueError):
        raise BadElement(ai=ai, value=shown(value), reason=f"格式应为 {_format_of(ai)}") from None
    if element.ai.ai != ai:
        raise BadElement(ai=ai, value=shown(value), reason="没有这个应用标识符")


def _verify_check_digit(title: str, digits: str) -> None:
    expected = gs1_standard_check_digit(digits[:-1])
    if int(digits[-1]) != expected:
        raise BadCheckDigit(title=title, digits=digits, found=digits[-1], expected=expected)


def _is_assigned(ai: str) -> bool:
    try:
        return GS1ApplicationIdentifier.extract(ai).ai == ai
    except ParseError:
        return False


def _format_of(ai: str) -> str:
    """The value's format in GS1 notation (`N14`, `X..20`), without the part that stands for the AI itself."""
    return GS1ApplicationIdentifier.extract(ai).format.partition("+")[2]


def _leading_digits(text: str) -> str:
    match = re.match(r"[0-9]*", text)
    return match.group() if match else ""
