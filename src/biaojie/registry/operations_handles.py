"""Business verbs of identifiers: create, replace, delete, read and list, one at a time; bulk work is `bulk`.

Each verb is one transaction that changes the row, journals it and audits it. Who may do it is decided by role at the
API; whose prefix it is, here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from biaojie.base.errors import BiaojieError
from biaojie.codes.identifier import Identifier
from biaojie.codes.systems import System
from biaojie.foundation.accounts.models import User
from biaojie.foundation.audit.log import record
from biaojie.foundation.records.journal import change_set
from biaojie.registry.errors import HandleRefused, NotAllowed, NotFound, PrefixNotServed
from biaojie.registry.handle_rows import PUBLICATION, key_of, put_handle, remove_handle
from biaojie.registry.handle_rules import check_values, read_identifier, spelled
from biaojie.registry.models import Handle, Prefix, RouteClaim
from biaojie.registry.visibility import holds

PAGE_MOST = 1000


class ValuesRefused(HandleRefused):
    """标识的值有 {count} 处错误"""

    code = "REG-170"

    def __init__(self, faults: Sequence[BiaojieError]) -> None:
        super().__init__(pointer="values", count=len(faults), errors=[fault.as_row() for fault in faults])


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Rows in key order, and the key after which the next page begins (empty: no more)."""

    rows: list[Handle]
    next: str


def create_identifier(*, actor: object, identifier: str, values: object, user: User | None = None, probe: bool = False) -> Handle:
    """Register an identifier. Raises `CodeError`, `HandleRefused` (REG-15x, REG-170), `NotAllowed`, `PrefixNotServed`."""
    found = read_identifier(identifier)
    return _write(actor=actor, found=found, shown=spelled(found), values=values, user=user, probe=probe, must_be_new=True)


def replace_identifier(
    *, actor: object, identifier: str, values: object, version: int | None = None, user: User | None = None
) -> Handle:
    """Give a registered identifier new values; with `version`, only if it is still at that version (`Conflict`)."""
    found = read_identifier(identifier)
    with transaction.atomic():
        _owner_of(found, user)
        # Locked, so that a removal at the same moment comes before (404) or after (it removes what is written here).
        held = live_row(found, lock=True)
        return _write(
            actor=actor,
            found=found,
            shown=held.spelled,
            values=values,
            user=user,
            probe=held.purpose == Handle.Purpose.PROBE,
            version=version,
        )


def delete_identifier(*, actor: object, identifier: str, version: int | None = None, user: User | None = None) -> Handle:
    """Take an identifier out of resolution; its row and history stay. Raises `NotFound`, `Conflict`, `NotAllowed`."""
    found = read_identifier(identifier)
    with transaction.atomic(), change_set(actor=actor, channels=(PUBLICATION,)) as changes:
        _owner_of(found, user)
        row = remove_handle(changes, key=key_of(found), expected_version=version)
        record(actor=actor, action="identifier.delete", subject=row.spelled, detail={"version": row.version})
    return row


def get_identifier(*, identifier: str, user: User | None = None) -> Handle:
    """The live row of an identifier, with what is not public in it; raises `NotFound`, `NotAllowed`."""
    row = live_row(read_identifier(identifier))
    _check_holder(user, row.owner, name=row.spelled)
    return row


def list_identifiers(*, prefix: str, after: str = "", limit: int = 100, user: User | None = None) -> Page:
    """Live identifiers of a prefix in key order; keyset pages, so the millionth page costs what the first does."""
    owner = served_prefix(prefix, user)
    limit = max(1, min(limit, PAGE_MOST))
    rows = list(
        Handle.objects.filter(prefix=owner, deleted_at=None, key__gt=after)
        .exclude(purpose=Handle.Purpose.PREFIX)
        .order_by("key")[: limit + 1]
    )
    return Page(rows=rows[:limit], next=rows[limit - 1].key if len(rows) > limit else "")


def live_row(identifier: Identifier, *, lock: bool = False) -> Handle:
    """The live row of a parsed identifier, locked until the transaction ends if asked; raises `NotFound`."""
    rows = Handle.objects.select_for_update() if lock else Handle.objects.all()
    row = rows.filter(key=key_of(identifier), deleted_at=None).first()
    if row is None:
        raise NotFound(pointer="identifier", what="标识", name=identifier.text)
    return row


def served_prefix(name: str, user: User | None = None) -> Prefix:
    """The prefix under which this node registers identifiers, if the person may; raises `PrefixNotServed`, `NotAllowed`."""
    prefix = Prefix.objects.filter(name=name).first() or Prefix.objects.filter(name=name.lower()).first()
    if (
        prefix is None
        or prefix.status != Prefix.Status.ENABLED
        or not (prefix.is_own or prefix.hosting == Prefix.Hosting.HOSTED)
        or prefix.name.startswith("0.")
    ):
        raise PrefixNotServed(pointer="identifier", prefix=name)
    _check_holder(user, prefix.name, name=name)
    return prefix


def _write(
    *,
    actor: object,
    found: Identifier,
    shown: str,
    values: object,
    user: User | None,
    probe: bool,
    must_be_new: bool = False,
    version: int | None = None,
) -> Handle:
    stored, faults = check_values(values)
    if faults:
        raise ValuesRefused(faults) if len(faults) > 1 else faults[0]
    with transaction.atomic(), change_set(actor=actor, channels=(PUBLICATION,)) as changes:
        owner, prefix = _owner_of(found, user)
        row = put_handle(
            changes,
            key=key_of(found),
            spelled=shown,
            values=stored,
            owner=owner,
            purpose=Handle.Purpose.PROBE if probe else Handle.Purpose.IDENTIFIER,
            prefix=prefix,
            must_be_new=must_be_new,
            expected_version=version,
        )
        record(
            actor=actor,
            action="identifier.create" if must_be_new else "identifier.replace",
            subject=row.spelled,
            detail={"version": row.version},
        )
    return row


def _owner_of(found: Identifier, user: User | None) -> tuple[str, Prefix | None]:
    """The prefix an identifier is counted for, and its row for Handles."""
    if found.system is System.HANDLE:
        prefix = served_prefix(found.routing_key, user)
        return prefix.name, prefix
    routing = found.routing_bytes()
    # The narrowest decides, as in resolution: what a claim inside it has handed on is not registered here.
    active = RouteClaim.objects.filter(system=found.system.value, state=RouteClaim.State.ACTIVE)
    claim = active.filter(low__lte=routing, high__gt=routing).order_by("-low", "high").first()
    if claim is None or not claim.final:
        raise PrefixNotServed(pointer="identifier", prefix=f"{found.system.value} {found.routing_key}")
    _check_holder(user, claim.owner, name=found.text)
    return claim.owner, None


def _check_holder(user: User | None, prefix: str, *, name: str) -> None:
    if user is not None and not holds(user, prefix):
        raise NotAllowed(pointer="identifier", name=name)


def as_row(row: Handle) -> dict[str, Any]:
    """What the API says of an identifier."""
    system = System.from_number(int(row.key.partition(":")[0]))
    return {
        "identifier": row.spelled,
        "system": system.value,
        "canonical": row.key.partition(":")[2],
        "prefix": row.owner,
        "values": row.values,
        "version": row.version,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }
