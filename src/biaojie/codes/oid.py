"""OID: dotted digits under ITU-T, ISO or both jointly (X.660), also written `urn:oid:…` or `oid:…`.

Leading zeros in an arc are against X.660 but in use (`1.2.156.3001.0501`): they are kept, compared as text, and noted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from biaojie.codes.errors import BadArc, BadFirstArc, BadSecondArc, TooFewArcs
from biaojie.codes.plain_text import clean, is_digits, shown

_SCHEME: Final = re.compile(r"(?:urn:)?oid:", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class OidValue:
    """An OID as its arcs, each in the digits given."""

    arcs: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def canonical(self) -> str:
        """Dotted digits without scheme; leading zeros are kept."""
        return ".".join(self.arcs)

    @property
    def routing_key(self) -> str:
        """The whole dotted text: any arc of the tree may be delegated."""
        return self.canonical


def has_oid_scheme(text: str) -> bool:
    """Whether the text begins with `urn:oid:` or `oid:`."""
    return _SCHEME.match(text) is not None


def read_oid(text: str) -> OidValue:
    """Parse an OID; raises `OidError` or a text error."""
    body = clean(text)
    match = _SCHEME.match(body)
    arcs = tuple((body[match.end() :] if match else body).split("."))
    for position, arc in enumerate(arcs, start=1):
        if not is_digits(arc):
            raise BadArc(position=position, arc=shown(arc))
    if len(arcs) < 2:
        raise TooFewArcs(text=shown(body))
    first, second = (arc.lstrip("0") or "0" for arc in arcs[:2])
    if first not in ("0", "1", "2"):
        raise BadFirstArc(arc=shown(arcs[0]))
    if first != "2" and (len(second) > 2 or int(second) > 39):
        raise BadSecondArc(first=first, arc=shown(arcs[1]))
    return OidValue(arcs=arcs, notes=_zero_notes(arcs))


def _zero_notes(arcs: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(
        f"第 {position} 段“{shown(arc)}”以 0 开头，不合 X.660，按原文保留"
        for position, arc in enumerate(arcs, start=1)
        if len(arc) > 1 and arc.startswith("0")
    )
