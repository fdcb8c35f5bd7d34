"""What every identifier text must satisfy, whichever system it belongs to."""

from __future__ import annotations

from typing import Final

from biaojie.codes.errors import EmptyText, ForbiddenCharacter, TextTooLong

MAX_TEXT_BYTES: Final = 2048
"""Upper limit of any identifier in UTF-8; the limit this software sets on a handle, used for all six."""

SHOWN_CHARACTERS: Final = 60
"""How much of a faulty text a message repeats."""


def clean(text: str) -> str:
    """The text without blanks around it, known to be encodable, within the limit and free of control characters.

    Raises `EmptyText`, `TextTooLong`, `ForbiddenCharacter` (position counts from 1 in the text as given).
    """
    stripped = text.strip()
    if not stripped:
        raise EmptyText()
    lead = len(text) - len(text.lstrip())
    for offset, character in enumerate(stripped):
        if character < " " or "\x7f" <= character <= "\x9f" or "\ud800" <= character <= "\udfff":
            raise ForbiddenCharacter(position=lead + offset + 1, character=f"U+{ord(character):04X}")
    length = len(stripped.encode())
    if length > MAX_TEXT_BYTES:
        raise TextTooLong(length=length, limit=MAX_TEXT_BYTES)
    return stripped


def shown(text: str) -> str:
    """The text as a message repeats it: shortened, and printable even where it is not."""
    short = text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
    return "".join(character if character.isprintable() else f"\\u{ord(character):04x}" for character in short)


def is_digits(text: str) -> bool:
    """Whether the text is one or more ASCII digits (full-width and other digits do not count)."""
    return text.isascii() and text.isdigit()
