"""Handle values and answers in the JSON of the Handle.net HTTP interface.

    {"index": 1, "type": "URL", "data": {"format": "string", "value": "…"}, "ttl": 86400, "timestamp": "2023-11-14T22:13:20Z"}

`permissions` (four digits: admin read, admin write, public read, public write) and `references` appear only when they are not
the default; an absolute TTL is a moment. The data formats are string, base64, hex, admin, vlist, site and key; whatever does not
come back octet for octet from its own format is given as base64.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from biaojie.handle.errors import DecodeError, EncodeError, InvalidJson
from biaojie.handle.jwk import key_from_json, key_to_json
from biaojie.handle.kinds import readable
from biaojie.handle.sites import decode_site, encode_site, site_from_json, site_to_json
from biaojie.handle.system_values import (
    HS_ADMIN,
    HS_NA_DELEGATE,
    HS_PUBKEY,
    HS_SECKEY,
    HS_SITE,
    HS_SITE_6,
    HS_SITE_PREFIX,
    HS_VLIST,
    AdminRecord,
    decode_admin,
    decode_value_list,
    encode_admin,
    encode_value_list,
    rights_from_text,
    rights_to_text,
)
from biaojie.handle.values import (
    DEFAULT_PERMISSIONS,
    DEFAULT_TTL,
    SECRET_PERMISSIONS,
    TTL_ABSOLUTE,
    TTL_RELATIVE,
    HandleValue,
    Reference,
    ascii_upper,
    encode_value,
)

_SITE_TYPES = frozenset({HS_SITE, HS_SITE_6, HS_SITE_PREFIX, HS_NA_DELEGATE})


class _ValueForm(msgspec.Struct):
    index: int
    type: str
    data: dict[str, Any] | str
    ttl: int | str = DEFAULT_TTL
    timestamp: str | None = None
    permissions: str | None = None
    references: tuple[Reference, ...] = ()


class _AdminForm(msgspec.Struct):
    handle: str
    index: int
    permissions: str


def value_to_json(value: HandleValue) -> dict[str, Any]:
    """The value's JSON object; keys in the order the software in use gives them."""
    form: dict[str, Any] = {
        "index": value.index,
        "type": readable(value.type),
        "data": data_to_json(value.type, value.data),
    }
    # A secret key's permissions are always said, so that no reader's default can make it public.
    if value.permissions != DEFAULT_PERMISSIONS or ascii_upper(value.type) == HS_SECKEY:
        form["permissions"] = f"{value.permissions & 0x0F:04b}"
    form["ttl"] = iso_time(value.ttl) if value.ttl_type == TTL_ABSOLUTE else value.ttl
    if value.timestamp:
        form["timestamp"] = iso_time(value.timestamp)
    if value.references:
        form["references"] = [{"handle": readable(item.handle), "index": item.index} for item in value.references]
    return form


def value_from_json(form: object) -> HandleValue:
    """The value of a JSON object; `InvalidJson` when anything in it does not fit. Data may be a bare string."""
    try:
        raw = msgspec.convert(form, _ValueForm)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:  # a name may hold half a character: "\ud800"
        raise InvalidJson(reason=str(error)) from error
    absolute = isinstance(raw.ttl, str)
    default = SECRET_PERMISSIONS if ascii_upper(raw.type) == HS_SECKEY else DEFAULT_PERMISSIONS
    value = HandleValue(
        index=raw.index,
        type=raw.type,
        data=data_from_json(raw.data),
        ttl_type=TTL_ABSOLUTE if absolute else TTL_RELATIVE,
        ttl=from_iso_time(raw.ttl) if isinstance(raw.ttl, str) else raw.ttl,
        timestamp=from_iso_time(raw.timestamp) if raw.timestamp else 0,
        permissions=default if raw.permissions is None else _permissions(raw.permissions),
        references=raw.references,
    )
    try:
        encode_value(value)
    except EncodeError as error:
        raise InvalidJson(reason=error.message) from error
    return value


def data_to_json(type_: str, data: bytes) -> dict[str, Any]:
    """`{"format", "value"}`, structured for a system type whose data can be read back to the same octets."""
    kind = ascii_upper(type_)
    try:
        if kind == HS_ADMIN:
            record = decode_admin(data)
            if encode_admin(record) == data:
                value = {
                    "handle": _exact(record.handle),
                    "index": record.index,
                    "permissions": rights_to_text(record.permissions),
                }
                return {"format": "admin", "value": value}
        elif kind == HS_VLIST:
            members = [{"handle": _exact(item.handle), "index": item.index} for item in decode_value_list(data)]
            return {"format": "vlist", "value": members}
        elif kind in _SITE_TYPES:
            form = site_to_json(decode_site(data))
            if encode_site(site_from_json(form)) == data:
                return {"format": "site", "value": form}
        elif kind == HS_PUBKEY:
            return key_to_json(data)
    except (DecodeError, UnicodeError):
        pass  # A type's name promises nothing about its data: what cannot be read is shown as octets.
    text = _plain_text(data) if kind not in _SITE_TYPES and kind not in (HS_ADMIN, HS_VLIST) else None
    if text is not None:
        return {"format": "string", "value": text}
    return {"format": "base64", "value": base64.b64encode(data).decode("ascii")}


def data_from_json(form: dict[str, Any] | str) -> bytes:
    """The octets of a `{"format", "value"}` object or of a bare string."""
    if isinstance(form, str):
        return _utf8(form)
    kind, value = form.get("format"), form.get("value")
    try:
        if kind == "string" and isinstance(value, str):
            return _utf8(value)
        if kind == "base64" and isinstance(value, str):
            return base64.b64decode(value, validate=True)
        if kind == "hex" and isinstance(value, str):
            return bytes.fromhex(value)
        if kind == "admin":
            admin = msgspec.convert(value, _AdminForm)
            return encode_admin(AdminRecord(rights_from_text(admin.permissions), admin.handle, admin.index))
        if kind == "vlist":
            return encode_value_list(msgspec.convert(value, tuple[Reference, ...]))
        if kind == "site":
            return encode_site(site_from_json(value))
        if kind == "key":
            return key_from_json(form)
    except (msgspec.ValidationError, binascii.Error, ValueError, EncodeError) as error:
        raise InvalidJson(reason=str(error)) from error
    raise InvalidJson(reason=f"format {kind!r}")


def response_json(
    response_code: int,
    handle: str,
    values: Iterable[HandleValue] | None = None,
    *,
    message: str | None = None,
    referral_handle: str = "",
) -> dict[str, Any]:
    """An answer's object: `values` is left out when None, given as an empty list when nothing matched."""
    form: dict[str, Any] = {"responseCode": int(response_code)}
    if referral_handle:
        form["referralHandle"] = readable(referral_handle)
    if message:
        form["message"] = message
    form["handle"] = readable(handle)
    if values is not None:
        form["values"] = [value_to_json(value) for value in values]
    return form


def iso_time(seconds: int) -> str:
    """`2023-11-14T22:13:20Z` for seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def from_iso_time(text: str) -> int:
    """Seconds since 1970 of an ISO moment; one without a zone is read as UTC."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = int(moment.timestamp())
    except (ValueError, OverflowError) as error:
        raise InvalidJson(reason=text[:64]) from error
    if not 0 <= seconds <= 0xFFFFFFFF:
        raise InvalidJson(reason=text[:64])
    return seconds


def _permissions(text: str) -> int:
    if len(text) != 4 or set(text) - {"0", "1"}:
        raise InvalidJson(reason=f"permissions {text[:16]!r}")
    return int(text, 2)


def _plain_text(data: bytes) -> str | None:
    """The data as text when it is UTF-8 without control characters, else None."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if any(character < " " and character not in "\t\r\n" for character in text) else text


def _exact(handle: str) -> str:
    """The handle, if JSON can carry it; a handle that is not UTF-8 makes the whole value base64."""
    handle.encode("utf-8")
    return handle


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidJson(reason=str(error)) from error
