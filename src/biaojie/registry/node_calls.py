"""Signed calls to the parent, with its refusals and silences told in this room's words.

Every call may be repeated: the parent answers the second as it answered the first.
"""

from __future__ import annotations

from typing import Any

from biaojie.foundation.nodes import operations as nodes
from biaojie.foundation.nodes.enrolment import envelope_data
from biaojie.foundation.nodes.errors import AnswerRefused, CallError, NoParent
from biaojie.foundation.nodes.models import Peer
from biaojie.registry.errors import ParentMissing, ParentRefused, ParentSilent
from biaojie.registry.policies import CALL_TIMEOUT_S


def parent_or_none() -> Peer | None:
    """The node above, if this one is enrolled."""
    try:
        return nodes.parent()
    except NoParent:
        return None


def ask_parent(method: str, path: str, *, name: str = "", json: Any = None, may_miss: bool = False) -> dict[str, Any] | None:
    """`data` of the parent's answer; None when `may_miss` and it knows nothing of that name.

    Raises `ParentMissing`, `ParentRefused` (its reason, and its own error rows in `data["errors_there"]`) or
    `ParentSilent`.
    """
    above = parent_or_none()
    if above is None:
        raise ParentMissing(name=name, state="未入网", act="向上级提交")
    try:
        with nodes.client_for(above, timeout_s=CALL_TIMEOUT_S.value) as client:
            response = client.request(method, f"/api/v1/peer{path}", **({} if json is None else {"json": json}))
            if may_miss and response.status_code == 404:
                return None
            return envelope_data(response)
    except AnswerRefused as error:
        reason = error.data.get("reason") or error.message
        raise ParentRefused(
            reason=reason, status=error.data.get("status"), errors_there=error.data.get("errors_there")
        ) from error
    except CallError as error:
        raise ParentSilent(reason=error.message) from error
