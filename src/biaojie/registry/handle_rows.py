"""How a `Handle` row is written, and what the journal says of it; shared by identifiers and prefix records.

A row's `key` is `"<system number>:<canonical>"`; its octets in the publication are the number octet and the canonical
text. Values without a timestamp of their own carry the row's `updated_at`. Removing keeps the row, so that a version
never repeats for a key, over delete and recreate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from django.db import connection

from biaojie.base import clock
from biaojie.codes.identifier import Identifier
from biaojie.foundation.records.journal import ChangeSetWriter
from biaojie.handle.json_form import value_from_json
from biaojie.handle.values import HandleValue, encode_values
from biaojie.registry.errors import Conflict, HandleExists, NotFound
from biaojie.registry.models import Handle, Prefix

KIND = "handle"
PUBLICATION = "publication"


def key_of(identifier: Identifier) -> str:
    """The row key of an identifier."""
    return f"{identifier.system.number}:{identifier.canonical}"


def prefix_record_key(prefix: str) -> str:
    """The row key of a prefix's own record, `0.NA/<prefix>`."""
    return f"1:0.NA/{prefix.upper()}"


def key_octets(key: str) -> bytes:
    """The octets under which an index holds the row: system number, canonical text in UTF-8."""
    number, _, canonical = key.partition(":")
    return bytes([int(number)]) + canonical.encode("utf-8", "surrogateescape")


def wire_values(values: Sequence[Mapping[str, Any]], at: datetime | int) -> bytes:
    """A row's values as the counted wire list, sorted by index; raises `handle` errors on a malformed value."""
    seconds = at if isinstance(at, int) else int(at.timestamp())
    return encode_values(sorted(_with_time(values, seconds), key=lambda value: value.index))


def content_of(row: Handle) -> dict[str, Any]:
    """What the journal says of a live row."""
    return {
        "spelled": row.spelled,
        "owner": row.owner,
        "purpose": row.purpose,
        "values": row.values,
        "at": int(row.updated_at.timestamp()),
    }


def put_handle(
    changes: ChangeSetWriter,
    *,
    key: str,
    spelled: str,
    values: Sequence[Mapping[str, Any]],
    owner: str,
    purpose: str,
    prefix: Prefix | None = None,
    must_be_new: bool = False,
    expected_version: int | None = None,
) -> Handle:
    """Create, revive or replace a row and journal it, inside the caller's transaction.

    Raises `HandleExists` (`must_be_new` and it lives) or `Conflict` (it is not at `expected_version`).
    """
    now = clock.now()
    row = _insert(key=key, spelled=spelled, values=values, owner=owner, purpose=purpose, prefix=prefix, now=now)
    if row is None:
        row = Handle.objects.select_for_update().get(key=key)
        alive = row.deleted_at is None
        if alive and must_be_new:
            raise HandleExists(pointer="identifier", handle=spelled)
        if expected_version is not None and row.version != expected_version:
            raise Conflict(pointer="version", what="标识", name=spelled, version=row.version)
        if not alive:
            row.created_at, row.deleted_at = now, None
        row.spelled, row.prefix, row.owner, row.purpose, row.values = spelled, prefix, owner, purpose, list(values)
        row.version += 1
        row.updated_at = now
        row.save()
    changes.put(kind=KIND, key=key, version=row.version, content=content_of(row))
    return row


def remove_handle(changes: ChangeSetWriter, *, key: str, expected_version: int | None = None) -> Handle:
    """Mark a row deleted and journal it. Raises `NotFound` (no live row) or `Conflict` (another version)."""
    name = key.partition(":")[2]
    row = Handle.objects.select_for_update().filter(key=key).first()
    if row is None or row.deleted_at is not None:
        raise NotFound(pointer="identifier", what="标识", name=name)
    if expected_version is not None and row.version != expected_version:
        raise Conflict(pointer="version", what="标识", name=name, version=row.version)
    row.version += 1
    row.deleted_at = row.updated_at = clock.now()
    row.save(update_fields=["version", "deleted_at", "updated_at"])
    changes.remove(kind=KIND, key=key, version=row.version)
    return row


def _insert(
    *,
    key: str,
    spelled: str,
    values: Sequence[Mapping[str, Any]],
    owner: str,
    purpose: str,
    prefix: Prefix | None,
    now: datetime,
) -> Handle | None:
    """The new row, or None when the key is there already; waits for a concurrent insert of the same key to end."""
    row = Handle(
        key=key,
        spelled=spelled,
        prefix=prefix,
        owner=owner,
        purpose=purpose,
        values=list(values),
        version=1,
        created_at=now,
        updated_at=now,
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO registry_handle (key, spelled, prefix_id, owner, purpose, values, version, created_at, updated_at)"
            " VALUES (%s, %s, %s, %s, %s, %s::jsonb, 1, %s, %s) ON CONFLICT (key) DO NOTHING RETURNING key",
            [key, spelled, row.prefix_id, owner, purpose, msgspec.json.encode(row.values).decode(), now, now],
        )
        return row if cursor.fetchone() is not None else None


def _with_time(values: Iterable[Mapping[str, Any]], seconds: int) -> Iterable[HandleValue]:
    for form in values:
        value = value_from_json(form)
        if "timestamp" not in form:
            value = msgspec.structs.replace(value, timestamp=seconds)
        yield value
