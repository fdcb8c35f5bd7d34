"""VAA: the ISO/IEC 15459 form of an industrial-internet identifier, and its way to and from the Handle form.

`VAA` + TTC (3 digits) + STC (3 digits) + CIN (8 digits) + serial (1 to 33 of 0-9 A-Z a-z * + - . / ( ) !).
`VAA08810012345678/abc123` is the handle `88.100.12345678/abc123`: TTC loses its leading zeros, STC and CIN keep
theirs, and the "/" of the handle is the first character of the serial. A serial written without that "/" is read as
if it had one (two spellings, one handle) and noted. Handles know no case, so the canonical form is upper-case.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from biaojie.codes.errors import BadSerialCharacter, BadSerialLength, BadVaaDigits, NotAVaa, NotExpressibleAsVaa
from biaojie.codes.handle_names import canonical_handle, read_handle
from biaojie.codes.plain_text import clean, is_digits, shown

IAC: Final = "VAA"
TTC_WIDTH: Final = 3
STC_WIDTH: Final = 3
CIN_WIDTH: Final = 8
SERIAL_LIMIT: Final = 33
_SERIAL: Final = re.compile(r"[0-9A-Za-z*+\-./()!]")


@dataclass(frozen=True, slots=True, kw_only=True)
class VaaValue:
    """A VAA taken apart; `serial` is without the separating "/", in the case given."""

    ttc: str
    stc: str
    cin: str
    serial: str
    notes: tuple[str, ...] = ()

    @property
    def spelling(self) -> str:
        """The VAA with its separator, serial in the case given."""
        return f"{IAC}{self.ttc}{self.stc}{self.cin}/{self.serial}"

    @property
    def canonical(self) -> str:
        """The same, upper-cased."""
        return canonical_handle(self.spelling)

    @property
    def handle(self) -> str:
        """The Handle form, serial in the case given."""
        return f"{self.routing_key}/{self.serial}"

    @property
    def routing_key(self) -> str:
        """The prefix of the Handle form, such as `88.100.12345678`."""
        return f"{ttc_to_arc(self.ttc)}.{self.stc}.{self.cin}"


def read_vaa(text: str) -> VaaValue:
    """Parse a VAA, or a handle that has a VAA form; raises `VaaError`, or the `HandleError` of a faulty handle."""
    body = clean(text)
    if body[:3].upper() != IAC:
        return _from_handle(body)
    ttc, stc, cin, serial = body[3:6], body[6:9], body[9:17], body[17:]
    for part, digits, width in (("国家代码", ttc, TTC_WIDTH), ("行业代码", stc, STC_WIDTH), ("企业代码", cin, CIN_WIDTH)):
        if not digits:
            raise NotAVaa(text=shown(body), reason=f"缺少{part}")
        if len(digits) != width or not is_digits(digits):
            raise BadVaaDigits(part=part, digits=shown(digits), width=width)
    if not serial:
        raise NotAVaa(text=shown(body), reason="缺少序列号")
    for position, character in enumerate(serial, start=1):
        if _SERIAL.fullmatch(character) is None:
            raise BadSerialCharacter(position=position, character=character)
    separated = serial.startswith("/")
    length = len(serial) if separated else len(serial) + 1
    if not 2 <= length <= SERIAL_LIMIT:
        raise BadSerialLength(length=length, limit=SERIAL_LIMIT)
    notes = () if separated else ("序列号前没有“/”，按有“/”处理",)
    return VaaValue(ttc=ttc, stc=stc, cin=cin, serial=serial.removeprefix("/") if separated else serial, notes=notes)


def to_handle(text: str) -> str:
    """The Handle form of a VAA, serial in the case given; raises `VaaError` or a text error."""
    body = clean(text)
    if body[:3].upper() != IAC:
        raise NotAVaa(text=shown(body), reason="不以 VAA 开头")
    return read_vaa(body).handle


def from_handle(text: str) -> str:
    """The VAA form of a handle, suffix in the case given; raises `NotExpressibleAsVaa` or a `HandleError`."""
    return _from_handle(clean(text)).spelling


def ttc_to_arc(ttc: str) -> str:
    """`088` → `88`."""
    return ttc.lstrip("0") or "0"


def arc_to_ttc(arc: str) -> str | None:
    """`88` → `088`; None where the arc has no such form (more than three digits, or a leading zero of its own)."""
    if not is_digits(arc) or len(arc) > TTC_WIDTH or (len(arc) > 1 and arc.startswith("0")):
        return None
    return arc.zfill(TTC_WIDTH)


def _from_handle(text: str) -> VaaValue:
    value = read_handle(text)
    arcs = value.prefix.split(".")
    ttc = arc_to_ttc(arcs[0])
    if value.suffix is None:
        reason = "没有后缀"
    elif len(arcs) != 3:
        reason = f"前缀应为三段，实有 {len(arcs)} 段"
    elif ttc is None:
        reason = f"第 1 段“{shown(arcs[0])}”不能写成 3 位国家代码"
    elif len(arcs[1]) != STC_WIDTH or not is_digits(arcs[1]):
        reason = f"第 2 段“{shown(arcs[1])}”不是 3 位数字"
    elif len(arcs[2]) != CIN_WIDTH or not is_digits(arcs[2]):
        reason = f"第 3 段“{shown(arcs[2])}”不是 8 位数字"
    elif len(value.suffix) >= SERIAL_LIMIT:
        reason = f"后缀超过 {SERIAL_LIMIT - 1} 位"
    elif any(_SERIAL.fullmatch(character) is None for character in value.suffix):
        reason = "后缀含有 VAA 序列号不允许的字符"
    else:
        return VaaValue(ttc=ttc, stc=arcs[1], cin=arcs[2], serial=value.suffix)
    raise NotExpressibleAsVaa(text=shown(text), reason=reason)
