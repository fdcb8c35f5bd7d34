"""Handle names: prefix and suffix, prefix handles, canonical form (RFC 3651 §3, 附件1 表2).

A handle is `prefix/suffix`, split at the first "/". A text without "/" such as `88.100.1` is a *prefix handle*: it
names a prefix, whose own record is the handle `0.NA/88.100.1`. Both stay distinguishable (`HandleValue.suffix is
None`, or prefix `0.NA`). The canonical form upper-cases ASCII letters everywhere, leaves other characters alone and
does no Unicode normalisation; prefixes are compared as strings, arc by arc (`0042` is not `42`).
Lengths that a registry imposes (prefix of 64 bytes, for one) are the registry's rule, not checked here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from biaojie.codes.errors import BadHandleUrl, BadPrefixArc, MissingPrefix, MissingSlash, MissingSuffix
from biaojie.codes.plain_text import clean, shown

PREFIX_OF_PREFIXES: Final = "0.NA"
_ARC: Final = re.compile(r"[^\W_](?:[\w\-]*[^\W_])?")
_SCHEME: Final = re.compile(r"(?:hdl:/{0,2})|(?:https?://hdl\.handle\.net(?::\d+)?(?:/|$))", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class HandleValue:
    """A handle taken apart; `suffix` is None for a prefix handle written without a slash."""

    prefix: str
    suffix: str | None
    notes: tuple[str, ...] = ()

    @property
    def canonical(self) -> str:
        """ASCII letters upper-cased, everything else untouched."""
        return canonical_handle(self.prefix if self.suffix is None else f"{self.prefix}/{self.suffix}")

    @property
    def routing_key(self) -> str:
        """The canonical prefix, as written before the first slash (`0.NA` for `0.NA/88.100`)."""
        return canonical_handle(self.prefix)


def read_handle(text: str) -> HandleValue:
    """Parse a handle, a prefix handle, `hdl:…` or `https://hdl.handle.net/…`; raises `HandleError` or a text error."""
    body = _without_scheme(clean(text))
    prefix, slash, suffix = body.partition("/")
    if not prefix:
        raise MissingPrefix(text=shown(body))
    _check_prefix(prefix)
    if slash and not suffix:
        raise MissingSuffix(text=shown(body))
    return HandleValue(prefix=prefix, suffix=suffix if slash else None)


def looks_like_handle_url(text: str) -> bool:
    """Whether the text begins with `hdl:` or the public proxy's address."""
    return _SCHEME.match(text) is not None


def split_handle(text: str) -> tuple[str, str]:
    """`(prefix, suffix)` at the first slash, in the spelling given; raises `HandleError` (`MissingSlash` without one)."""
    value = read_handle(text)
    if value.suffix is None:
        raise MissingSlash(text=shown(text))
    return value.prefix, value.suffix


def prefix_of(text: str) -> str:
    """The prefix of a handle, in the spelling given; a text without a slash is itself a prefix."""
    return read_handle(text).prefix


def parent_prefix(prefix: str) -> str | None:
    """The prefix one arc shorter (`88.100.1` → `88.100`), or None at the top (`88`, `0.NA`)."""
    if canonical_handle(prefix) == PREFIX_OF_PREFIXES:
        return None
    head, dot, _ = prefix.rpartition(".")
    return head if dot else None


def handle_of_prefix(prefix: str) -> str:
    """The handle that holds a prefix's own record: `88.100.1` → `0.NA/88.100.1`; raises `HandleError`."""
    named = prefix_named_by(prefix)
    if named is None:
        _check_prefix(prefix)
    return f"{PREFIX_OF_PREFIXES}/{named or prefix}"


def is_prefix_handle(text: str) -> bool:
    """Whether the handle names a prefix, not an object: written `88.100.1` or `0.NA/88.100.1`."""
    return prefix_named_by(text) is not None


def prefix_named_by(text: str) -> str | None:
    """The prefix that a prefix handle names (`0.NA/88.100` and `88.100` both → `88.100`), else None."""
    value = read_handle(text)
    if value.suffix is None:
        return value.prefix
    if canonical_handle(value.prefix) != PREFIX_OF_PREFIXES or _faulty_arc(value.suffix) is not None:
        return None
    return value.suffix


def canonical_handle(text: str) -> str:
    """The text with ASCII letters upper-cased; any text is accepted."""
    return text.upper() if text.isascii() else text.translate(_UPPER)


def canonical_handle_bytes(handle: bytes) -> bytes:
    """The same for a handle in UTF-8 as it came over the wire; bytes from 0x80 up are untouched."""
    return handle.upper()


_UPPER: Final = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}


def _without_scheme(text: str) -> str:
    match = _SCHEME.match(text)
    if match is None:
        return text
    body = text[match.end() :]
    if match.group().lower().startswith("http"):
        # The proxy takes its own options from the query ("?noredirect"); a "?" of the handle arrives percent-encoded.
        path = re.split(r"[?#]", body, maxsplit=1)[0]
        try:
            body = unquote(path, errors="strict")
        except UnicodeDecodeError:
            raise BadHandleUrl(text=shown(text)) from None
        body = clean(body) if body.strip() else ""
    if not body:
        raise BadHandleUrl(text=shown(text))
    return body


def _check_prefix(prefix: str) -> None:
    faulty = _faulty_arc(prefix)
    if faulty is not None:
        raise BadPrefixArc(prefix=shown(prefix), position=faulty[0], arc=shown(faulty[1]))


def _faulty_arc(prefix: str) -> tuple[int, str] | None:
    """Position (from 1) and text of the first arc that is not well formed."""
    return next(((n, arc) for n, arc in enumerate(prefix.split("."), start=1) if _ARC.fullmatch(arc) is None), None)
