"""What an identifier and its values may be. Pure: no Django, no clock. All faults of a row are found, not the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from biaojie.base.errors import BiaojieError
from biaojie.codes.errors import CodeError
from biaojie.codes.handle_names import split_handle
from biaojie.codes.identifier import Identifier
from biaojie.codes.parsing import parse, resolution_form
from biaojie.codes.systems import System
from biaojie.handle.errors import HandleError
from biaojie.handle.json_form import value_from_json
from biaojie.handle.values import HandleValue, ascii_upper
from biaojie.registry.errors import (
    HandleElsewhere,
    HandleRefused,
    HandleTooLong,
    IndexRepeated,
    NoValues,
    TypeReserved,
    ValueRefused,
    ValueTooLong,
)

HANDLE_LONGEST: Final = 255
"""SNMS limit of an identifier, characters."""

VALUES_MOST: Final = 200
"""Values of one identifier; a record must fit one answer."""

VALUE_LONGEST: Final = 16_384
"""Octets of one value."""

RECORD_LONGEST: Final = 65_536
"""Octets of all values of one identifier together."""

# The routing of prefixes is written through their parent's registry call, never by an identifier (DESIGN §2).
RESERVED_TYPES: Final = frozenset({"HS_SITE", "HS_SITE.6", "HS_SITE.PREFIX", "HS_SERV", "HS_SERV.PREFIX", "HS_NA_DELEGATE"})

_VALUE_KEYS: Final = frozenset({"index", "type", "data", "ttl", "timestamp", "permissions", "references"})


def read_identifier(text: str, *, prefix: str | None = None) -> Identifier:
    """The identifier to register, VAA in its Handle form. Raises a `HandleRefused` or the code system's `CodeError`.

    With `prefix` given, a Handle has to lie under exactly that prefix.
    """
    if len(text) > HANDLE_LONGEST:
        raise HandleTooLong(pointer="identifier", length=len(text), limit=HANDLE_LONGEST)
    if "\x00" in text:
        raise HandleRefused(pointer="identifier", reason="含有 NUL 字符")
    identifier = resolution_form(parse(text, System.HANDLE if prefix is not None and "/" in text else None))
    if identifier.system is System.HANDLE:
        found, suffix = split_handle(identifier.canonical)
        if not suffix or found.startswith("0."):
            raise HandleRefused(pointer="identifier", reason="应为 前缀/后缀，且不能以 0. 开头")
    if prefix is not None and (identifier.system is not System.HANDLE or found != prefix.upper()):
        raise HandleElsewhere(pointer="identifier", handle=text, prefix=prefix)
    return identifier


def check_values(forms: object) -> tuple[list[dict[str, Any]], list[BiaojieError]]:
    """The values in stored form (sorted by index) and every fault found; stored form only when there is no fault."""
    if not isinstance(forms, Sequence) or isinstance(forms, str | bytes):
        return [], [ValueRefused(pointer="values", reason="values 应为列表")]
    if not forms:
        return [], [NoValues(pointer="values")]
    if len(forms) > VALUES_MOST:
        return [], [ValueRefused(pointer="values", reason=f"值的个数 {len(forms)} 超过上限 {VALUES_MOST}")]
    faults: list[BiaojieError] = []
    kept: dict[int, dict[str, Any]] = {}
    octets = 0
    for number, form in enumerate(forms):
        pointer = f"values/{number}"
        try:
            value = _read_value(form, pointer)
        except BiaojieError as fault:
            faults.append(fault)
            continue
        octets += len(value.data)
        if value.index in kept:
            faults.append(IndexRepeated(pointer=f"{pointer}/index", index=value.index))
        kept[value.index] = dict(form)
    if octets > RECORD_LONGEST:
        faults.append(ValueRefused(pointer="values", reason=f"全部值共 {octets} 字节，超过上限 {RECORD_LONGEST}"))
    return ([] if faults else [kept[index] for index in sorted(kept)]), faults


def check_row(row: object, *, prefix: str) -> tuple[Identifier | None, list[dict[str, Any]], list[BiaojieError]]:
    """One row of a bulk load, `{"handle", "values"}`: identifier, stored values, and every fault of the row."""
    if not isinstance(row, Mapping):
        return None, [], [HandleRefused(pointer="", reason="每行应为一个对象")]
    faults: list[BiaojieError] = []
    unknown = sorted(map(str, set(row) - {"handle", "values"}))
    if unknown:
        faults.append(HandleRefused(pointer=unknown[0], reason=f"不认识的字段 {'、'.join(unknown)}"))
    identifier = None
    handle = row.get("handle")
    if not isinstance(handle, str):
        faults.append(HandleRefused(pointer="handle", reason="缺少 handle"))
    else:
        try:
            identifier = read_identifier(handle, prefix=prefix)
        except (CodeError, HandleRefused) as fault:
            fault.pointer = "handle"
            faults.append(fault)
    values, more = check_values(row.get("values"))
    return identifier, values, faults + more


def _read_value(form: object, pointer: str) -> HandleValue:
    if not isinstance(form, Mapping):
        raise ValueRefused(pointer=pointer, reason="值应为对象")
    unknown = sorted(map(str, set(form) - _VALUE_KEYS))
    if unknown:
        raise ValueRefused(pointer=f"{pointer}/{unknown[0]}", reason=f"不认识的字段 {'、'.join(unknown)}")
    try:
        value = value_from_json(form)
    except HandleError as fault:
        raise ValueRefused(pointer=pointer, reason=str(fault.data.get("reason") or fault.message)) from fault
    if value.index <= 0:
        raise ValueRefused(pointer=f"{pointer}/index", reason="索引应为正整数")
    if not value.type:
        raise ValueRefused(pointer=f"{pointer}/type", reason="缺少类型")
    if ascii_upper(value.readable_type) in RESERVED_TYPES:
        raise TypeReserved(pointer=f"{pointer}/type", type=value.readable_type)
    if len(value.data) > VALUE_LONGEST:
        raise ValueTooLong(pointer=f"{pointer}/data", index=value.index, length=len(value.data), limit=VALUE_LONGEST)
    if "\\u0000" in repr(form) or "\x00" in str(form):
        raise ValueRefused(pointer=pointer, reason="含有 NUL 字符，请改用 base64 格式")
    return value
