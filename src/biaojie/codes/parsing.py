"""Recognise which system a text belongs to, and parse it.

Order of recognition (`recognise`), first hit wins:

1. what says so itself: `did:bid:`, `urn:oid:`/`oid:`, `hdl:`/`https://hdl.handle.net/`, `E=`/`Ecode:`/`V|NSI|MD`/an address
   with `/E=`, `(01)…`, an address with a GS1 key in its path, `VAA` and six digits;
2. bare digits: 8, 12, 13, 14 or 18 of them with a valid check digit are GS1; else 15 or more that fit an Ecode
   version's length are Ecode. So an 18-digit Ecode that happens to have a valid SSCC check digit reads as GS1: write
   `E=` before it;
3. text without "/": a prefix handle when its first arc is 86, 88, 20 or 10 or it begins with `0.NA`; other dotted
   digits are an OID (every OID begins with 0, 1 or 2, so none is lost to the first rule);
4. anything else with "/" is a handle, unless it is an address.

The canonical form of every identifier but a prefix handle of another block (`1.2` taken as a handle) and a handle whose
prefix is spelt like a VAA is recognised as its own system again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from biaojie.codes.bid import SCHEME as BID_SCHEME
from biaojie.codes.bid import read_bid
from biaojie.codes.ecode import has_ecode_scheme, looks_like_bare_ecode, read_ecode
from biaojie.codes.errors import CodeError, UnrecognisedIdentifier
from biaojie.codes.gs1 import BARE_LENGTHS, looks_like_bare_gs1, looks_like_digital_link, looks_like_element_string, read_gs1
from biaojie.codes.handle_names import looks_like_handle_url, read_handle
from biaojie.codes.identifier import Identifier, Value
from biaojie.codes.oid import has_oid_scheme, read_oid
from biaojie.codes.plain_text import clean, is_digits, shown
from biaojie.codes.systems import System
from biaojie.codes.vaa import VaaValue, read_vaa

HANDLE_BLOCKS: Final = frozenset({"86", "88", "20", "10"})
"""First arcs by which a text without a slash is taken for a prefix handle."""

_VAA: Final = re.compile(r"VAA[0-9]{6}", re.IGNORECASE)
_ROOT_PREFIX: Final = re.compile(r"0\.NA(?:\.|$)", re.IGNORECASE)
_DOTTED: Final = re.compile(r"[0-9]+(?:\.[0-9]+)+")
_ADDRESS: Final = re.compile(r"[a-z][a-z0-9+.\-]*://", re.IGNORECASE)

_READERS: Final[Mapping[System, Callable[[str], Value]]] = MappingProxyType(
    {
        System.HANDLE: read_handle,
        System.OID: read_oid,
        System.BID: read_bid,
        System.VAA: read_vaa,
        System.ECODE: read_ecode,
        System.GS1: read_gs1,
    }
)


def recognise(text: str) -> System | None:
    """The system the text looks like, or None; never raises. The text may still be faulty (`parse` says how)."""
    body = text.strip()
    if not body:
        return None
    return _explicit(body) or _by_digits(body) or _by_shape(body)


def parse(text: str, system: System | None = None) -> Identifier:
    """The identifier that a text writes, of the system given or else recognised.

    Raises a `CodeError` and nothing else: a text error (CODE-103 to 105), `UnrecognisedIdentifier`, or that system's own.
    """
    body = clean(text)
    found = system or recognise(body)
    if found is None and is_digits(body) and len(body) in BARE_LENGTHS:
        found = System.GS1  # says which check digit was expected, instead of "not recognised"
    if found is None:
        raise UnrecognisedIdentifier(text=shown(body))
    value = _READERS[found](body)
    return Identifier(
        system=found,
        text=text,
        canonical=value.canonical,
        routing_key=value.routing_key,
        value=value,
        notes=value.notes,
    )


def is_valid(text: str, system: System | None = None) -> bool:
    """Whether `parse` accepts the text."""
    try:
        parse(text, system)
    except CodeError:
        return False
    return True


def resolution_form(identifier: Identifier) -> Identifier:
    """The identifier to look up in its stead: the Handle of a VAA, any other unchanged."""
    if isinstance(identifier.value, VaaValue):
        return parse(identifier.value.handle, System.HANDLE)
    return identifier


def _explicit(body: str) -> System | None:
    if body[: len(BID_SCHEME)].lower() == BID_SCHEME:
        return System.BID
    if has_oid_scheme(body):
        return System.OID
    if looks_like_handle_url(body):
        return System.HANDLE
    if has_ecode_scheme(body):
        return System.ECODE
    if looks_like_element_string(body) or looks_like_digital_link(body):
        return System.GS1
    return System.VAA if _VAA.match(body) else None


def _by_digits(body: str) -> System | None:
    if looks_like_bare_gs1(body):
        return System.GS1
    return System.ECODE if looks_like_bare_ecode(body) else None


def _by_shape(body: str) -> System | None:
    if "/" in body:
        return None if _ADDRESS.match(body) else System.HANDLE
    if _ROOT_PREFIX.match(body) or body.split(".", 1)[0] in HANDLE_BLOCKS:
        return System.HANDLE
    return System.OID if _DOTTED.fullmatch(body) else None
