"""Products of invented manufacturers, for people to look at after `biaojie up`. Same list on every machine.

No maker, product or person here exists. Figures follow simple rules from the item's number, so nothing is random and a
screenshot in the guide stays true.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A product line of a manufacturer."""

    name: str
    series: str
    sizes: tuple[str, ...]
    size_label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """An invented manufacturer; `credit_code` has a valid check digit and belongs to nobody."""

    name: str
    brand: str
    credit_code: str
    site: str
    lines: tuple[Line, ...]


QINGHE = Maker(
    name="青禾机械有限公司（演示）",
    brand="青禾",
    credit_code="91310000MA0DEM001P",
    site="https://qinghe.example",
    lines=(
        Line(name="数控车床", series="QK", sizes=("360", "400", "500", "630"), size_label="最大回转直径 {} mm"),
        Line(name="立式加工中心", series="QV", sizes=("650", "850", "1060"), size_label="行程 {} mm"),
        Line(name="滚珠丝杠副", series="QS", sizes=("16", "20", "25", "32", "40"), size_label="公称直径 {} mm"),
        Line(name="伺服刀塔", series="QT", sizes=("8", "12"), size_label="{} 工位"),
    ),
)

CHENGCHUAN = Maker(
    name="澄川泵业有限公司（演示）",
    brand="澄川",
    credit_code="91320000MA0DEM002Y",
    site="https://chengchuan.example",
    lines=(
        Line(name="多级离心泵", series="CDL", sizes=("2", "4", "8", "16"), size_label="额定流量 {} m³/h"),
        Line(name="潜水排污泵", series="CWQ", sizes=("50", "80", "100"), size_label="出口直径 {} mm"),
        Line(name="计量泵", series="CJX", sizes=("60", "120", "240"), size_label="最大流量 {} L/h"),
    ),
)

FIRST_DAY = date(2026, 1, 5)


def products(maker: Maker, count: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """`(suffix, values)` of `count` products; values are in the Handle JSON form, indexes as SNMS templates use them."""
    for number in range(1, count + 1):
        line = maker.lines[number % len(maker.lines)]
        size = line.sizes[number % len(line.sizes)]
        made = FIRST_DAY + timedelta(days=number % 300)
        model = f"{line.series}{size}"
        suffix = f"{line.series}-{made:%Y%m}-{number:06d}"
        yield (
            suffix,
            [
                _value(1, "URL", f"{maker.site}/p/{suffix}"),
                _value(2000, "productName", line.name),
                _value(2001, "brand", maker.brand),
                _value(2002, "model", model),
                _value(2003, "specification", line.size_label.format(size)),
                _value(2004, "manufacturer", maker.name),
                _value(2005, "productionDate", made.isoformat()),
                _value(2006, "serialNumber", f"{model}-{number:06d}"),
            ],
        )


def _value(index: int, type_: str, text: str) -> dict[str, Any]:
    return {"index": index, "type": type_, "data": {"format": "string", "value": text}, "ttl": 300}
