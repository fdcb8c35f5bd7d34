"""Ecode (GB/T 31866): version V, code-system number NSI and main code MD, written one after the other.

Accepted: `E=…`, `Ecode:…`, `V|NSI|MD`, the resolver's address ending in `/E=…`, and the bare characters. The canonical
form is `E=` + V + NSI + MD with MD's case kept. Lengths stand in `VERSIONS`: they are those of the 2015 edition as
publicly recalled, not checked against GB/T 31866-2023; correct the rows there and nothing else changes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote

from biaojie.codes.errors import BadEcodeUrl, BadMdCharacter, BadMdLength, BadNsi, BadVersion
from biaojie.codes.plain_text import clean, is_digits, shown

_SCHEME: Final = re.compile(r"(?:e|ecode)\s*=\s*|ecode\s*[:：]\s*|https?://[^/?#]+/(?:[^?#]*/)?E=", re.IGNORECASE)
_BARRED: Final = re.compile(r"[0-4]\|[0-9]{4,5}\|")
_BARE_SHORTEST: Final = 15
"""Shorter bare digits are far more likely something else (GTIN, a bare number)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One row of the length table: digits of NSI, longest MD, pattern of one MD character and its Chinese name."""

    nsi_width: int
    md_longest: int
    md_character: re.Pattern[str]
    md_alphabet: str


_DIGIT: Final = re.compile(r"[0-9]")
_ALPHANUMERIC: Final = re.compile(r"[0-9A-Za-z]")
_ANY: Final = re.compile(r".", re.DOTALL)

VERSIONS: Final = MappingProxyType(
    {
        "0": Version(nsi_width=4, md_longest=20, md_character=_DIGIT, md_alphabet="数字"),
        "1": Version(nsi_width=4, md_longest=20, md_character=_DIGIT, md_alphabet="数字"),
        "2": Version(nsi_width=4, md_longest=28, md_character=_DIGIT, md_alphabet="数字"),
        "3": Version(nsi_width=5, md_longest=39, md_character=_ALPHANUMERIC, md_alphabet="数字或字母"),
        "4": Version(nsi_width=5, md_longest=512, md_character=_ANY, md_alphabet="任意字符"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EcodeValue:
    """An Ecode taken apart."""

    v: str
    nsi: str
    md: str
    notes: tuple[str, ...] = ()

    @property
    def canonical(self) -> str:
        """`E=` + V + NSI + MD."""
        return f"E={self.routing_key}"

    @property
    def routing_key(self) -> str:
        """V + NSI + MD."""
        return f"{self.v}{self.nsi}{self.md}"


def has_ecode_scheme(text: str) -> bool:
    """Whether the text says that it is an Ecode: `E=`, `Ecode:`, an address with `/E=`, or the bars of `V|NSI|MD`."""
    return _SCHEME.match(text) is not None or _BARRED.match(text) is not None


def looks_like_bare_ecode(text: str) -> bool:
    """Whether bare digits fit a version's length and are long enough to mean it (versions 0 to 3 only)."""
    if not is_digits(text) or len(text) < _BARE_SHORTEST or text[0] not in "0123":
        return False
    version = VERSIONS[text[0]]
    return len(text) <= 1 + version.nsi_width + version.md_longest


def without_scheme(text: str) -> str:
    """V + NSI + MD as written, without `E=` and the like and without the bars of `V|NSI|MD`.

    Raises `BadEcodeUrl` where an address is not percent-encoded UTF-8.
    """
    match = _SCHEME.match(text)
    body = text
    if match is not None:
        body = text[match.end() :]
        if match.group().lower().startswith("http"):
            try:
                body = unquote(re.split(r"[?#]", body, maxsplit=1)[0], errors="strict")
            except UnicodeDecodeError:
                raise BadEcodeUrl(text=shown(text)) from None
    if body[1:2] == "|" and body.count("|") >= 2:
        body = "".join(body.split("|", 2))
    return body.strip()


def read_ecode(text: str) -> EcodeValue:
    """Parse an Ecode; raises `EcodeError` or a text error."""
    body = clean(without_scheme(clean(text)))
    v = body[0]
    if v not in VERSIONS:
        raise BadVersion(version=v)
    version = VERSIONS[v]
    nsi, md = body[1 : 1 + version.nsi_width], body[1 + version.nsi_width :]
    if len(nsi) != version.nsi_width or not is_digits(nsi):
        raise BadNsi(nsi=shown(nsi), width=version.nsi_width, version=v)
    for position, character in enumerate(md, start=1):
        if version.md_character.fullmatch(character) is None:
            raise BadMdCharacter(position=position, character=character, alphabet=version.md_alphabet, version=v)
    if not 1 <= len(md) <= version.md_longest:
        raise BadMdLength(length=len(md), limit=version.md_longest, version=v)
    return EcodeValue(v=v, nsi=nsi, md=md)
