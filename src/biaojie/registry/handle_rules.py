"""What an identifier and its values may be. Pure: no Django, no clock. All faults of a row are found, not the first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from biaojie.base.errors import BiaojieError
from biaojie.codes.errors import CodeError
from biaojie.codes.handle_names import HandleValue as HandleName
from biaojie.codes.identifier import Identifier
from biaojie.codes.parsing import parse, resolution_form
from biaojie.codes.systems import System
from biaojie.handle.errors import HandleError
from biaojie.handle.json_form import value_from_json
from biaojie.handle.values import HandleValue, ascii_upper, encode_value
from biaojie.registry.errors import (
    HandleBlanks,
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

TYPE_LONGEST: Final = 255
"""Octets of a value's type."""

RECORD_LONGEST: Final = 65_536
"""Octets of all values of one identifier together, as they go over the wire."""

# The routing of prefixes is written through their parent's registry call, never by an identifier (DESIGN §2).
RESERVED_TYPES: Final = frozenset({"HS_SITE", "HS_SITE.6", "HS_SITE.PREFIX", "HS_SERV", "HS_SERV.PREFIX", "HS_NA_DELEGATE"})

_VALUE_KEYS: Final = frozenset({"index", "type", "data", "ttl", "timestamp", "permissions", "references"})
_DATA_KEYS: Final = frozenset({"format", "value"})
# An escaped NUL in JSON text: an odd number of backslashes before `u0000`. PostgreSQL's jsonb cannot hold one.
_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def read_identifier(text: str, *, prefix: str | None = None) -> Identifier:
    """The identifier to register, VAA in its Handle form. Raises a `HandleRefused` or the code system's `CodeError`.

    With `prefix` given, a Handle has to lie under exactly that prefix.
    """
    if len(text) > HANDLE_LONGEST:
        raise HandleTooLong(pointer="identifier", length=len(text), limit=HANDLE_LONGEST)
    if "\x00" in text:
        raise HandleRefused(pointer="identifier", reason="含有 NUL 字符")
    if text.strip() != text.strip(" \r\n"):
        # The code systems cut off every blank: what a person cannot see would be lost without a word.
        raise HandleBlanks(pointer="identifier")
    identifier = resolution_form(parse(text, System.HANDLE if prefix is not None and "/" in text else None))
    if isinstance(identifier.value, HandleName) and (identifier.value.suffix is None or identifier.routing_key.startswith("0.")):
        raise HandleRefused(pointer="identifier", reason="应为 前缀/后缀，且不能以 0. 开头")
    if prefix is not None and (identifier.system is not System.HANDLE or identifier.routing_key != prefix.upper()):
        raise HandleElsewhere(pointer="identifier", handle=text, prefix=prefix)
    return identifier


def spelled(identifier: Identifier) -> str:
    """The identifier as it is shown: a Handle without scheme, others as given, without blanks around."""
    if isinstance(identifier.value, HandleName):
        return f"{identifier.value.prefix}/{identifier.value.suffix}"
    return identifier.text.strip()


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
        octets += len(encode_value(value))
        if value.index in kept:
            faults.append(IndexRepeated(pointer=f"{pointer}/index", index=value.index))
        kept[value.index] = _stored(form, value)
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
    for place, keys in ((form, _VALUE_KEYS), (form.get("data"), _DATA_KEYS)):
        unknown = sorted(map(str, set(place) - keys)) if isinstance(place, Mapping) else []
        if unknown:
            raise ValueRefused(pointer=f"{pointer}/{unknown[0]}", reason=f"不认识的字段 {'、'.join(unknown)}")
    _check_storable(form, pointer)
    try:
        value = value_from_json(form)
    except HandleError as fault:
        raise ValueRefused(pointer=pointer, reason=str(fault.data.get("reason") or fault.message)) from fault
    if value.index <= 0:
        raise ValueRefused(pointer=f"{pointer}/index", reason="索引应为正整数")
    if not value.type:
        raise ValueRefused(pointer=f"{pointer}/type", reason="缺少类型")
    if len(value.type.encode()) > TYPE_LONGEST:
        raise ValueRefused(pointer=f"{pointer}/type", reason=f"类型超过 {TYPE_LONGEST} 字节")
    if ascii_upper(value.type) in RESERVED_TYPES:
        raise TypeReserved(pointer=f"{pointer}/type", type=value.type)
    if len(value.data) > VALUE_LONGEST:
        raise ValueTooLong(pointer=f"{pointer}/data", index=value.index, length=len(value.data), limit=VALUE_LONGEST)
    return value


def _check_storable(form: Mapping[str, Any], pointer: str) -> None:
    """Refuse what the database cannot hold as JSON: NUL, half of a surrogate pair, nesting without end."""
    try:
        text = msgspec.json.encode(form)
    except (UnicodeEncodeError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueRefused(pointer=pointer, reason="含有无法存储的字符或数据，请改用 base64 格式") from error
    if _NUL.search(text):
        raise ValueRefused(pointer=pointer, reason="含有 NUL 字符，请改用 base64 格式")


def _stored(form: Mapping[str, Any], value: HandleValue) -> dict[str, Any]:
    """The form as it is kept: only what was given, data always an object, references without foreign keys."""
    stored = dict(form)
    if isinstance(stored["data"], str):
        stored["data"] = {"format": "string", "value": stored["data"]}
    if "references" in stored:
        stored["references"] = [{"handle": item.handle, "index": item.index} for item in value.references]
    return {key: part for key, part in stored.items() if part is not None}
