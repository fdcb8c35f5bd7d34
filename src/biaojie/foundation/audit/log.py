"""The one verb of the room: `record`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest

from biaojie.base import clock
from biaojie.foundation.audit.models import AuditRecord


def record(
    *,
    actor: object,
    action: str,
    subject: object,
    detail: Mapping[str, Any] | None = None,
    request: HttpRequest | None = None,
) -> AuditRecord:
    """Writes one row in the caller's transaction, so that act and record stand or fall together.

    `actor` and `subject` are kept as their text; `action` is a verb like `token.issue`. From `request` come the peer's
    address (never a header a stranger may set) and the request id.
    """
    return AuditRecord.objects.create(
        at=clock.now(),
        actor=_storable(str(actor))[:200],
        action=action,
        subject=_storable(str(subject))[:500],
        detail=_storable(dict(detail or {})),
        source_ip=_address(request),
        request_id=getattr(request, "request_id", ""),
    )


def _address(request: HttpRequest | None) -> str | None:
    address = request.META.get("REMOTE_ADDR", "") if request is not None else ""
    return address or None


def _storable(value: Any) -> Any:
    """PostgreSQL holds no NUL; a hostile name must still leave its trace."""
    if isinstance(value, str):
        return value.replace("\x00", "\N{SYMBOL FOR NULL}")
    if isinstance(value, Mapping):
        return {_storable(str(key)): _storable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_storable(item) for item in value]
    return value
