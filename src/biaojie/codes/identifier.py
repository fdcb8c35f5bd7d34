"""`Identifier`: what a text of any of the six systems becomes, and the two byte keys it is looked up by."""

from __future__ import annotations

from dataclasses import dataclass, field

from biaojie.codes.bid import BidValue
from biaojie.codes.ecode import EcodeValue
from biaojie.codes.gs1 import Gs1Value
from biaojie.codes.handle_names import HandleValue
from biaojie.codes.oid import OidValue
from biaojie.codes.systems import System
from biaojie.codes.vaa import VaaValue

Value = HandleValue | OidValue | BidValue | VaaValue | EcodeValue | Gs1Value
"""The parts of an identifier, as its own system names them."""

_ARC_SYSTEMS = frozenset({System.HANDLE, System.OID, System.VAA})


@dataclass(frozen=True, slots=True, kw_only=True)
class Identifier:
    """One identifier; two are equal when they name the same thing (same system and canonical form).

    `text` is the text as given, `routing_key` what prefixes and ranges are matched against, `value` its parts,
    `notes` remarks in Chinese that are no errors. Built by `parsing.parse`.
    """

    system: System
    text: str = field(compare=False)
    canonical: str
    routing_key: str = field(compare=False)
    value: Value | None = field(default=None, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    def key(self) -> bytes:
        """Index key: the system's number in one byte, then the canonical form in UTF-8."""
        return bytes([self.system.number]) + self.canonical.encode()

    def routing_bytes(self) -> bytes:
        """Comparable key: a coverage covers this identifier exactly when low <= this < high of its interval."""
        return routing_bytes(self.system, self.routing_key)


def routing_bytes(system: System, routing_key: str) -> bytes:
    """A routing key as bytes whose plain order keeps every prefix and every range in one piece.

    First the system's number. Handle, OID and VAA then write each arc as its length (two bytes) and its UTF-8, so that
    the keys below `88.100` are exactly those that begin with its bytes, and arcs of as many digits sort as numbers:
    `88.1001` lies outside both `88.100` and `88.100-88.199`. The others write the key in UTF-8.
    """
    head = bytes([system.number])
    if system in _ARC_SYSTEMS:
        arcs = (arc.encode() for arc in routing_key.split("."))
        return head + b"".join(len(arc).to_bytes(2) + arc for arc in arcs)
    return head + routing_key.encode()
