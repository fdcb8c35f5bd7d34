"""What this node answers from its index: rights, filters, referrals; and octets in, octets out.

A zone decides what is ours: an ordinary handle's prefix exactly; for a prefix record (`0.NA/x`, or `x` without a slash) the
nearest `0.NA/<ancestor>`, else `0.NA/`. No zone: 301. A zone that refers elsewhere: 302. Inside a zone an absent handle is
100; an absent prefix record whose ancestor says where derived prefixes are served gives 303 with those values.

Only public reads are served. Values for administrators' eyes are answered 401 when not even administrators may read
them, else 5, with `needs_authentication` set: whoever serves authenticated reads takes the message from there. The same
goes for every operation from 100 up. Sessions are not kept here: an encrypted message is answered 501.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from biaojie.codes.handle_names import canonical_handle_bytes, parent_prefix
from biaojie.handle.codes import FLAG_DNRF, FLAG_PO, FLAG_RD, OpCode, ResponseCode
from biaojie.handle.envelope import Envelope, is_at_least
from biaojie.handle.errors import DecodeError, EncodeError, WrongDirection
from biaojie.handle.messages import (
    Message,
    RawBody,
    ResolutionRequest,
    decode_request,
    digest_request,
    early_error,
    encode_message,
    make_response,
)
from biaojie.handle.values import ADMIN_READ, PUBLIC_READ, ascii_upper
from biaojie.resolution import policy
from biaojie.resolution.answers import Answer, Reply
from biaojie.resolution.early import Unserved, read_head, refusal_of
from biaojie.resolution.entries import EMPTY_VALUES, Span, ZoneContent, pick, spans
from biaojie.resolution.index import Index
from biaojie.resolution.reader import HandleRecord

PREFIX_RECORDS: Final = b"0.NA/"
DELEGATIONS: Final = ("HS_SITE.PREFIX", "HS_SERV.PREFIX", "HS_NA_DELEGATE")
"""Types that say where the prefixes derived from one are served; the last is the first one's old name."""
HANDLE_SYSTEM: Final = b"\x01"
_FLAG_PRIMARY: Final = 0x80
_log: Final = logging.getLogger(__name__)


class Authority:
    """Answers for one thread from one index.

    Between `renew` and `release` all questions see one state (for batches); outside, each question sees the newest.
    """

    def __init__(self, index: Index) -> None:
        self.reader = index.reader()
        self.reader.release()

    def renew(self) -> None:
        """Begin a batch at the newest state."""
        self.reader.renew()

    def release(self) -> None:
        """End a batch; call it before waiting for the next one."""
        self.reader.release()

    def close(self) -> None:
        """Give the reader back."""
        self.reader.close()

    def resolve(
        self,
        handle: bytes,
        indexes: Sequence[int] = (),
        types: Sequence[str] = (),
        flags: int = FLAG_PO,
        *,
        session_id: int = 0,
        refers: bool = True,
    ) -> Answer:
        """The answer for a handle as the client spelled it; `refers` is whether the client understands a prefix referral."""
        if not self.reader.active:
            self.reader.renew()
            try:
                return self._resolve(handle, indexes, types, flags, session_id, refers)
            finally:
                self.reader.release()
        return self._resolve(handle, indexes, types, flags, session_id, refers)

    def site_info(self) -> Answer:
        """The node's own site record."""
        if not self.reader.active:
            self.reader.renew()
            try:
                return self.site_info()
            finally:
                self.reader.release()
        site = self.reader.site
        if site is None:
            return failure(ResponseCode.ERROR, "本节点尚未发布站点信息")
        return Answer(response_code=ResponseCode.SUCCESS, body=site)

    def answer_message(self, data: bytes, transport: str, now_s: float) -> Reply | None:
        """The reply to one whole message, None for silence; never raises, whatever the octets.

        `transport` is "udp", "tcp" or "http". Over UDP a message that is itself an answer gets silence: two servers would
        otherwise complain to each other for ever.
        """
        expiration = int(now_s) + policy.EXPIRATION_S.value
        try:
            return self._answer(bytes(data), transport, expiration)
        except (Unserved, DecodeError, EncodeError) as error:
            if transport == "udp" and isinstance(error, WrongDirection):
                return None
            return _early(data, *refusal_of(error), expiration)
        except Exception:
            # The last line of defence for the service: one message must not stop the others, and says nothing of our inside.
            _log.exception("a message could not be answered")
            return _early(data, ResponseCode.ERROR, "服务器内部错误", expiration)

    def _answer(self, data: bytes, transport: str, expiration: int) -> Reply | None:
        if not data:
            return None
        envelope, header = read_head(data)
        if header.op_code in (OpCode.RESOLUTION, OpCode.GET_SITE_INFO):
            request = decode_request(data)
            answer = self._ask(request)
        else:
            request = Message(envelope=envelope, header=header, body=RawBody())
            answer = failure(ResponseCode.OPERATION_NOT_SUPPORTED, "本接口尚不提供标识管理", needs_authentication=True)
        serial, primary = site_marks(self.reader.tables.site)
        reply = make_response(
            request,
            RawBody(answer.body),
            response_code=answer.response_code,
            expiration=expiration,
            primary=primary,
            site_serial=serial,
            digest=digest_request(data) if header.op_flags & FLAG_RD else None,
        )
        return Reply(
            data=encode_message(reply),
            response_code=answer.response_code,
            owner=answer.owner,
            found=answer.found,
            own=answer.own,
            needs_authentication=answer.needs_authentication,
        )

    def _ask(self, request: Message) -> Answer:
        body = request.body
        if not isinstance(body, ResolutionRequest):
            return self.site_info()
        envelope: Envelope = request.envelope
        return self.resolve(
            body.handle.encode("utf-8", "surrogateescape"),
            body.indexes,
            body.types,
            request.op_flags,
            session_id=envelope.session_id,
            refers=is_at_least(envelope.suggested_version, 2, policy.REFERRAL_VERSION_MINOR.value),
        )

    def _resolve(
        self, handle: bytes, indexes: Sequence[int], types: Sequence[str], flags: int, session_id: int, refers: bool
    ) -> Answer:
        canonical = canonical_handle_bytes(handle)
        if b"/" not in canonical:
            canonical = PREFIX_RECORDS + canonical
        refers = refers and not flags & FLAG_DNRF
        zone = self._zone(canonical)
        if zone is None:
            return failure(ResponseCode.SERVER_NOT_RESPONSIBLE, "本节点不负责该前缀")
        if zone.refer:
            if not refers:
                return failure(ResponseCode.SERVER_NOT_RESPONSIBLE, "该前缀由其他服务解析", owner=zone.owner)
            return referral(ResponseCode.SERVICE_REFERRAL, zone.refer.encode(), EMPTY_VALUES, zone.owner)
        record = self.reader.get_handle(HANDLE_SYSTEM + canonical)
        if record is not None:
            return self._values(handle, record, indexes, types, flags, session_id)
        if refers and canonical.startswith(PREFIX_RECORDS):
            delegation = self._delegation(canonical)
            if delegation is not None:
                return referral(ResponseCode.PREFIX_REFERRAL, b"", delegation, zone.owner)
        return failure(ResponseCode.HANDLE_NOT_FOUND, "", owner=zone.owner)

    def _zone(self, canonical: bytes) -> ZoneContent | None:
        zone_of = self.reader.zone_of
        if not canonical.startswith(PREFIX_RECORDS):
            return zone_of(canonical[: canonical.index(b"/")])
        for ancestor in _ancestors(canonical):
            if (zone := zone_of(ancestor)) is not None:
                return zone
        return zone_of(PREFIX_RECORDS)

    def _delegation(self, canonical: bytes) -> bytes | None:
        """The public values of the nearest ancestor that say where derived prefixes are served."""
        for ancestor in _ancestors(canonical):
            record = self.reader.get_handle(HANDLE_SYSTEM + ancestor)
            if record is not None:
                values = pick(record.public, _chosen(record.public, (), DELEGATIONS))
                if values != EMPTY_VALUES:
                    return values
        return None

    def _values(
        self, handle: bytes, record: HandleRecord, indexes: Sequence[int], types: Sequence[str], flags: int, session_id: int
    ) -> Answer:
        owner, own = self.reader.owner(record.owner_id), record.own
        if flags & FLAG_PO:
            values = record.public
            if indexes or types:
                values = pick(values, _chosen(values, indexes, types))
        else:
            values = record.all_values
            chosen = list(_chosen(values, indexes, types))
            hidden = [span for span in chosen if not span.permissions & PUBLIC_READ]
            if any(not span.permissions & ADMIN_READ for span in hidden):
                return failure(ResponseCode.INSUFFICIENT_PERMISSIONS, "所请求的值不可读取", owner=owner, own=own)
            if hidden or (chosen and session_id):
                return failure(
                    ResponseCode.OPERATION_NOT_SUPPORTED,
                    "所请求的值需要认证，本接口尚不提供认证读取",
                    owner=owner,
                    own=own,
                    needs_authentication=True,
                )
            values = pick(values, chosen) if indexes or types else values
        if values == EMPTY_VALUES:
            return failure(ResponseCode.VALUES_NOT_FOUND, "", owner=owner, own=own)
        return Answer(
            response_code=ResponseCode.SUCCESS,
            body=len(handle).to_bytes(4, "big") + handle + values,
            values=values,
            owner=owner,
            found=True,
            own=own,
        )


def failure(code: int, message: str, *, owner: str = "", own: bool = False, needs_authentication: bool = False) -> Answer:
    """An answer that is an error: its body is the message."""
    text = message.encode()
    return Answer(
        response_code=code,
        body=len(text).to_bytes(4, "big") + text,
        message=message,
        owner=owner,
        own=own,
        needs_authentication=needs_authentication,
    )


def referral(code: int, handle: bytes, values: bytes, owner: str) -> Answer:
    """An answer that sends the client elsewhere: to a service handle, or to the sites in `values`."""
    body = len(handle).to_bytes(4, "big") + handle + (b"" if values == EMPTY_VALUES else values)
    return Answer(response_code=code, body=body, values=values, owner=owner)


def site_marks(site: bytes | None) -> tuple[int, bool]:
    """Serial number and "is primary" out of a site record; (1, True) before one is published."""
    if site is None or len(site) < 7:
        return 1, True
    return int.from_bytes(site[4:6], "big"), bool(site[6] & _FLAG_PRIMARY)


def _early(data: bytes, code: int, message: str, expiration: int) -> Reply:
    return Reply(data=early_error(data, expiration=expiration, code=code, message=message), response_code=code)


def _ancestors(canonical: bytes) -> Iterator[bytes]:
    """The records of the prefixes that `0.NA/a.b.c` derives from, nearest first: `0.NA/a.b`, `0.NA/a`."""
    prefix: str | None = canonical[len(PREFIX_RECORDS) :].decode("utf-8", "surrogateescape")
    for _ in range(policy.ANCESTORS_MAX.value):
        prefix = parent_prefix(prefix) if prefix else None
        if not prefix:
            return
        yield PREFIX_RECORDS + prefix.encode("utf-8", "surrogateescape")


def _chosen(values: bytes, indexes: Sequence[int], types: Iterable[str]) -> Iterator[Span]:
    """The values whose index or type is asked for; all of them when nothing is.

    The rule for types is `type_matches`, here for a long list at once: a request may name tens of thousands.
    """
    numbers = frozenset(indexes)
    names = frozenset(map(ascii_upper, types))
    beginnings = tuple(name for name in names if name.endswith("."))
    everything = not (numbers or names)
    for span in spans(values):
        have = ascii_upper(span.type)
        if everything or span.number in numbers or have in names or f"{have}." in names or have.startswith(beginnings):
            yield span
