"""What the HTTP face asks: an identifier of any of the six systems, the route of one, the node's own site.

A text is first taken as the handle it may be (a handle may look like anything); only where no handle answers is it read as
an identifier of the system it looks like, and looked up by that system's key. A VAA is looked up by its Handle form.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from biaojie.base import clock
from biaojie.codes.errors import CodeError
from biaojie.codes.identifier import Identifier
from biaojie.codes.parsing import parse, recognise, resolution_form
from biaojie.codes.systems import System
from biaojie.handle.codes import FLAG_CA, FLAG_PO, FLAG_REC, ResponseCode
from biaojie.handle.sites import decode_site, site_to_json
from biaojie.handle.values import HandleValue, decode_values, type_matches
from biaojie.net.responder import Responder
from biaojie.resolution.authority import Authority

_NO_HANDLE: Final = frozenset({ResponseCode.HANDLE_NOT_FOUND, ResponseCode.SERVER_NOT_RESPONSIBLE, ResponseCode.PREFIX_REFERRAL})
_REFERRALS: Final = frozenset({ResponseCode.SERVICE_REFERRAL, ResponseCode.PREFIX_REFERRAL})


class Found(NamedTuple):
    """The answer about an identifier; `values` None = the answer has none to speak of."""

    response_code: int
    handle: str
    values: Sequence[HandleValue] | None = None
    message: str = ""
    owner: str = ""
    found: bool = False
    own: bool = False


class Lookup:
    """Look-ups through one responder: same view, same counters, same limit."""

    def __init__(self, responder: Responder) -> None:
        self._responder = responder
        self._authority: Authority = responder.authority

    def identifier(self, text: str, *, indexes: Sequence[int], types: Sequence[str], public_only: bool, host: bytes) -> Found:
        """The values of an identifier as the path gave it; counted, and refused (RC 3) beyond the source's rate."""
        if not self._responder.admits(host):
            return Found(ResponseCode.SERVER_TOO_BUSY, text, message="请求过于频繁，请稍后再试")
        began_s = time.perf_counter()
        self._authority.renew()
        try:
            found = self._handle(text, indexes, types, public_only)
            if found.response_code in _NO_HANDLE and (identifier := _other(text)) is not None:
                found = self._by_key(identifier, text, indexes, types, public_only) or found
        finally:
            self._authority.release()
        took_us = (time.perf_counter() - began_s) * 1e6
        self._responder.count(found.owner, host, found=found.found, own=found.own, took_us=took_us, now_s=clock.time_s())
        return found

    def site(self) -> dict[str, Any] | None:
        """The node's own site record in its JSON form, None before one is published."""
        answer = self._authority.site_info()
        if answer.response_code != ResponseCode.SUCCESS:
            return None
        return site_to_json(decode_site(answer.body))

    def route(self, text: str) -> tuple[bool, dict[str, Any]]:
        """Whether there is a route, and the answer; raises `CodeError` for what is no identifier."""
        identifier = resolution_form(parse(text))
        with_none: dict[str, Any] = {"system": identifier.system.value, "matched": None, "next": [], "final": False}
        self._authority.renew()
        try:
            route = self._authority.reader.best_route(identifier.system.number, identifier.routing_bytes())
        finally:
            self._authority.release()
        if route is None:
            return False, with_none | {"message": f"{identifier.system.value} 编码 {identifier.canonical} 暂无解析路由"}
        hops = [{"ip_type": row[0], "ip": row[1], "protocol": row[2], "port": row[3]} for row in route.addresses]
        return True, {"system": route.system, "matched": route.coverage, "next": hops, "final": route.final}

    def _handle(self, text: str, indexes: Sequence[int], types: Sequence[str], public_only: bool) -> Found:
        flags = FLAG_REC | FLAG_CA | (FLAG_PO if public_only else 0)
        answer = self._authority.resolve(text.encode("utf-8", "surrogateescape"), indexes, types, flags)
        code = ResponseCode.AUTHENTICATION_NEEDED if answer.needs_authentication else answer.response_code
        values: list[HandleValue] | None = None
        if code in (ResponseCode.SUCCESS, ResponseCode.VALUES_NOT_FOUND) or code in _REFERRALS:
            values = decode_values(answer.values)
        return Found(code, text, values, answer.message, answer.owner, answer.found, answer.own)

    def _by_key(
        self, identifier: Identifier, text: str, indexes: Sequence[int], types: Sequence[str], public_only: bool
    ) -> Found | None:
        record = self._authority.reader.get_handle(identifier.key())
        if record is None:
            if identifier.system is System.HANDLE:
                return None
            return Found(ResponseCode.HANDLE_NOT_FOUND, text)
        owner = self._authority.reader.owner(record.owner_id)
        every = decode_values(record.public if public_only else record.all_values)
        chosen = [value for value in every if _is_wanted(value, indexes, types)]
        hidden = [value for value in chosen if not value.public_read]
        if any(not value.admin_read for value in hidden):
            return Found(ResponseCode.INSUFFICIENT_PERMISSIONS, text, message="所请求的值不可读取", owner=owner, own=record.own)
        if hidden:
            return Found(ResponseCode.AUTHENTICATION_NEEDED, text, message="所请求的值需要认证", owner=owner, own=record.own)
        code = ResponseCode.SUCCESS if chosen else ResponseCode.VALUES_NOT_FOUND
        return Found(code, text, chosen, owner=owner, found=bool(chosen), own=record.own)


def _other(text: str) -> Identifier | None:
    """The identifier of another system (or the Handle of a VAA) that a text writes, None when it is neither."""
    system = recognise(text)
    if system is None or (system is System.HANDLE and "://" not in text and not text.lower().startswith("hdl:")):
        return None
    try:
        return resolution_form(parse(text, system))
    except CodeError:
        return None


def _is_wanted(value: HandleValue, indexes: Sequence[int], types: Sequence[str]) -> bool:
    return not (indexes or types) or value.index in indexes or any(type_matches(value.type, wanted) for wanted in types)
