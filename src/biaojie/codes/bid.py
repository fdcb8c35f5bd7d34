"""DID:BID: `did:bid:[ACSN:]` + encryption letter + encoding letter + suffix.

ACSN is four lower-case letters or digits and is what routing goes by; a BID without one belongs to the main chain and
has an empty routing key. The scheme is accepted in any case and written in lower case; the suffix keeps its case.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from biaojie.codes.errors import BadAcsn, BadBidSuffixCharacter, BadBidSuffixLength, BadEncoding, BadEncryptionType, NotABid
from biaojie.codes.plain_text import clean, shown

SCHEME: Final = "did:bid:"
ENCRYPTION_TYPES: Final = MappingProxyType({"e": "ED25519", "z": "SM2", "s": "Secp256k1"})
_ACSN: Final = re.compile(r"[a-z0-9]{4}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """One encoding of the suffix: its title, shortest and longest length, and alphabet."""

    title: str
    shortest: int
    longest: int
    alphabet: frozenset[str]


_LETTERS: Final = frozenset(string.ascii_letters)
_DIGITS: Final = frozenset(string.digits)
ENCODINGS: Final = MappingProxyType(
    {
        "f": Encoding(title="Base58", shortest=22, longest=31, alphabet=(_LETTERS | _DIGITS) - set("0OIl")),
        "s": Encoding(title="Base64", shortest=32, longest=32, alphabet=_LETTERS | _DIGITS | set("+/-_=")),
        "t": Encoding(title="Bech32", shortest=42, longest=42, alphabet=frozenset(string.ascii_lowercase) | _DIGITS),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BidValue:
    """A BID taken apart; `acsn` is empty for the main chain."""

    acsn: str
    enc_type: str
    code_type: str
    suffix: str
    notes: tuple[str, ...] = ()

    @property
    def canonical(self) -> str:
        """`did:bid:` in lower case, ACSN if there is one, the rest in the case given."""
        return f"{SCHEME}{self.acsn + ':' if self.acsn else ''}{self.enc_type}{self.code_type}{self.suffix}"

    @property
    def routing_key(self) -> str:
        """The ACSN, empty for the main chain."""
        return self.acsn


def is_acsn(text: str) -> bool:
    """Whether the text is four lower-case letters or digits."""
    return _ACSN.fullmatch(text) is not None


def read_bid(text: str) -> BidValue:
    """Parse a BID; raises `BidError` or a text error."""
    body = clean(text)
    if body[: len(SCHEME)].lower() != SCHEME:
        raise NotABid(text=shown(body))
    acsn, colon, code = body[len(SCHEME) :].rpartition(":")
    if colon and not is_acsn(acsn):
        raise BadAcsn(acsn=shown(acsn))
    if len(code) < 3:
        raise NotABid(text=shown(body))
    enc_type, code_type, suffix = code[0], code[1], code[2:]
    if enc_type not in ENCRYPTION_TYPES:
        raise BadEncryptionType(letter=enc_type)
    if code_type not in ENCODINGS:
        raise BadEncoding(letter=code_type)
    encoding = ENCODINGS[code_type]
    for position, character in enumerate(suffix, start=1):
        if character not in encoding.alphabet:
            raise BadBidSuffixCharacter(position=position, character=character, encoding=encoding.title)
    if not encoding.shortest <= len(suffix) <= encoding.longest:
        bounds = dict.fromkeys((str(encoding.shortest), str(encoding.longest)))
        allowed = " 到 ".join(bounds)
        raise BadBidSuffixLength(encoding=encoding.title, length=len(suffix), allowed=allowed)
    return BidValue(acsn=acsn, enc_type=enc_type, code_type=code_type, suffix=suffix)
