"""The six code systems of 附件1 表2 and 表7 (标识编码类型), as data.

`System.number` is the first byte of every index key: a number is never changed and never given to another system.
"""

from __future__ import annotations

import enum
from types import MappingProxyType
from typing import Final

from biaojie.codes.errors import UnknownSystem


class System(enum.Enum):
    """One code system; the value is the spelling this software writes on the wire."""

    HANDLE = "Handle"
    OID = "OID"
    BID = "DID:BID"
    VAA = "VAA"
    ECODE = "Ecode"
    GS1 = "GS1"

    @property
    def number(self) -> int:
        """Stable small integer, 1 to 6."""
        return _NUMBERS[self]

    @property
    def title(self) -> str:
        """Chinese title for screens and reports."""
        return _TITLES[self]

    @classmethod
    def from_wire(cls, text: str) -> System:
        """The system that a spelling of the guide means, without regard to case and blanks.

        表2 prints "DID: BID", 表7 "DID/BID": one system, not two (附件1 表2, 表7). Raises `UnknownSystem`.
        """
        squeezed = "".join(text.split()).replace("：", ":").replace("／", "/").upper()
        try:
            return _SPELLINGS[squeezed]
        except KeyError:
            raise UnknownSystem(text=text[:40]) from None

    @classmethod
    def from_number(cls, number: int) -> System:
        """The system whose index number this is; raises `UnknownSystem`."""
        try:
            return _BY_NUMBER[number]
        except KeyError:
            raise UnknownSystem(text=str(number)) from None


_NUMBERS: Final = MappingProxyType(
    {System.HANDLE: 1, System.OID: 2, System.BID: 3, System.VAA: 4, System.ECODE: 5, System.GS1: 6}
)
_BY_NUMBER: Final = MappingProxyType({number: system for system, number in _NUMBERS.items()})
_TITLES: Final = MappingProxyType(
    {
        System.HANDLE: "Handle 标识",
        System.OID: "OID 对象标识符",
        System.BID: "BID 星火标识",
        System.VAA: "VAA 工业互联网标识",
        System.ECODE: "Ecode 物联网统一标识",
        System.GS1: "GS1 全球统一标识",
    }
)
_SPELLINGS: Final = MappingProxyType(
    {system.value.upper(): system for system in System} | dict.fromkeys(("DID/BID", "BID", "DIDBID", "DID-BID"), System.BID)
)
