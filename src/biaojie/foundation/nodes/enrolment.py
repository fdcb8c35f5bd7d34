"""How two nodes become parent and child: a one-time code against a pinned key.

The parent's operator issues a code bound to a role and prefixes; the child's operator enters it with the parent's address
and, better, the parent's fingerprint. The child first reads the parent's card and compares the fingerprint, and only then
sends card and code. Each side pins the other's keys; what is granted is written into the child's card.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx2
from django.db import transaction

from biaojie.base import clock
from biaojie.base.digests import sha256_hex
from biaojie.base.roles import NODE_ROLES
from biaojie.foundation.audit import log as audit
from biaojie.foundation.nodes.card import NodeCard, SignedCard, read_card, verify_card
from biaojie.foundation.nodes.errors import (
    AlreadyEnrolled,
    AnswerMalformed,
    AnswerRefused,
    CardOutOfScope,
    CodeBindingInvalid,
    CodeRefused,
    EnvironmentDiffers,
    FingerprintDiffers,
    PeerBlocked,
    PeerUnreachable,
    TooManyAttempts,
)
from biaojie.foundation.nodes.identity import Identity, set_prefixes, this_node
from biaojie.foundation.nodes.keys import decode_public, fingerprint, is_same_fingerprint
from biaojie.foundation.nodes.models import EnrolmentAttempt, EnrolmentCode, Peer, Relation, ThisNode
from biaojie.foundation.nodes.peers import covers, one_at_a_time, pin

# Crockford's letters and digits: nothing that looks like something else. 20 of them are 100 bits.
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CODE_LENGTH = 20
VALID_FOR = timedelta(hours=24)

ATTEMPT_WINDOW = timedelta(minutes=10)
ATTEMPTS_PER_SOURCE = 10
ATTEMPTS_IN_ALL = 100

TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedCode:
    """A fresh code; `code` is shown once and kept nowhere. `fingerprint` is ours, for the child's operator to enter."""

    code: str
    fingerprint: str
    role: str
    prefixes: tuple[str, ...]
    expires_at: Any


def issue_code(*, actor: object, role: str, prefixes: Sequence[str] = (), valid_for: timedelta = VALID_FOR) -> IssuedCode:
    """A one-time code that admits one node of `role` holding `prefixes`. Raises `CodeBindingInvalid`."""
    node = this_node()
    row = NODE_ROLES.get(role)
    if row is None or role in ("top", node.role) or row.parent not in ("", node.role):
        raise CodeBindingInvalid(pointer="/role", reason=f"本节点不能接纳角色 {role} 的节点")
    # The top node is the root of the deployment: what it may delegate is its registry's decision, not its card's.
    if node.role != "top" and not all(covers(node.prefixes, prefix) for prefix in prefixes):
        raise CodeBindingInvalid(pointer="/prefixes", reason="前缀不在本节点的前缀之下")
    if not timedelta(0) < valid_for <= timedelta(days=30):
        raise CodeBindingInvalid(pointer="/valid_for", reason="有效期应在 30 天以内")
    letters = "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))
    code = "-".join(letters[start : start + 5] for start in range(0, CODE_LENGTH, 5))
    now = clock.now()
    with transaction.atomic():
        kept = EnrolmentCode.objects.create(
            digest=_digest(code),
            role=role,
            prefixes=list(prefixes),
            issued_by=str(actor),
            issued_at=now,
            expires_at=now + valid_for,
        )
        detail = {"role": role, "prefixes": list(prefixes), "expires_at": kept.expires_at.isoformat()}
        audit.record(actor=actor, action="nodes.code.issue", subject=f"code:{kept.id}", detail=detail)
    return IssuedCode(code=code, fingerprint=node.fingerprint, role=role, prefixes=tuple(prefixes), expires_at=kept.expires_at)


def accept_enrolment(card: SignedCard, code: str) -> Peer:
    """Pins the node of `card` as our child and uses up `code`: both or neither, and a code once even if sent twice at once.

    The same node repeating its own accepted call (its answer was lost) gets the same result again. Raises the errors of
    `verify_card`, `EnvironmentDiffers`, `CodeRefused` (the same answer for wrong, used and expired), `CardOutOfScope`,
    `CardKeyTaken` or `PeerBlocked`.
    """
    now = clock.now()
    node = this_node()
    value = verify_card(card, now=now)
    if value.environment != node.environment:
        raise EnvironmentDiffers(pointer="/card/environment", theirs=value.environment, ours=node.environment)
    digest = _digest(code)
    with transaction.atomic():
        one_at_a_time()
        row = EnrolmentCode.objects.select_for_update().filter(digest=digest).first()
        is_right = hmac.compare_digest(row.digest if row else "0" * 64, digest)
        if row is None or not is_right or row.expires_at <= now:
            raise CodeRefused(pointer="/code")
        if row.used_at is not None:
            return _repeated(row, card, value)
        _check_scope(row, value)
        peer = pin(card, value, relation=Relation.CHILD, granted=row.prefixes, now=now)
        row.used_at, row.used_by = now, value.node_id
        row.save(update_fields=["used_at", "used_by"])
        detail = {"code": row.id, "name": value.name, "role": value.role, "prefixes": list(value.prefixes)}
        audit.record(actor=peer, action="nodes.enrol.accept", subject=peer, detail=detail)
        return peer


def check_attempts(source: str) -> None:
    """Refuses a source, or everybody, after too many wrong codes within ten minutes. Raises `TooManyAttempts`."""
    since = clock.now() - ATTEMPT_WINDOW
    recent = EnrolmentAttempt.objects.filter(at__gt=since)
    if recent.count() >= ATTEMPTS_IN_ALL or recent.filter(source=source).count() >= ATTEMPTS_PER_SOURCE:
        raise TooManyAttempts(retry_after_s=int(ATTEMPT_WINDOW.total_seconds()))


def note_attempt(source: str) -> None:
    """Counts one wrong code from a source, and forgets the old ones."""
    now = clock.now()
    EnrolmentAttempt.objects.filter(at__lte=now - ATTEMPT_WINDOW).delete()
    EnrolmentAttempt.objects.create(source=source, at=now)


def enrol_with_parent(*, actor: object, parent_url: str, code: str, expected_fingerprint: str | None = None) -> Peer:
    """Enrols this node at `parent_url` and pins the parent; may be repeated with the same code.

    Without `expected_fingerprint` the first key seen is trusted, and its fingerprint is shown for comparison afterwards.
    Raises `FingerprintDiffers` before the code is sent, `AlreadyEnrolled`, `EnvironmentDiffers`, `PeerUnreachable`,
    `AnswerRefused` with the parent's reason, or the errors of `verify_card`.
    """
    node = this_node()
    url = parent_url.rstrip("/")
    with httpx2.Client(timeout=TIMEOUT_S, trust_env=False) as client:
        shown_card = read_card(_data(client, "GET", f"{url}/api/v1/nodes/card").get("card") or {})
        shown = verify_card(shown_card, now=clock.now())
        _check_parent(node, shown, expected_fingerprint)
        body = {"card": node.card.as_object(), "code": code}
        answer = _data(client, "POST", f"{url}/api/v1/nodes/enrol", json=body)
    parent_card = read_card(answer.get("card") or {})
    # The answer must come from the node whose fingerprint was compared, even if it issued a new card in between.
    parent = verify_card(parent_card, now=clock.now(), trusted=shown.valid_keys(clock.now()))
    with transaction.atomic():
        one_at_a_time()
        is_new = not Peer.objects.filter(node_id=parent.node_id, relation=Relation.PARENT).exists()
        peer = pin(parent_card, parent, relation=Relation.PARENT, granted=list(parent.prefixes), now=clock.now())
        detail = {"url": url, "fingerprints": _fingerprints(parent), "compared": expected_fingerprint is not None}
        audit.record(actor=actor, action="nodes.enrol", subject=peer, detail=detail)
        ThisNode.objects.update(pushed_serial=node.serial)
        if is_new:
            Peer.objects.update(relayed_serial=0)
    granted = answer.get("prefixes")
    if isinstance(granted, list) and all(isinstance(item, str) for item in granted) and granted:
        set_prefixes(actor=actor, prefixes=granted)
    return peer


def _digest(code: str) -> str:
    """The digest of a code, however it was typed: without dashes and spaces, capital letters, O for 0, I and L for 1."""
    plain = "".join(code.upper().replace("-", "").split())
    return sha256_hex(plain.translate(str.maketrans("OIL", "011")).encode("utf-8", "replace"))


def _repeated(row: EnrolmentCode, card: SignedCard, value: NodeCard) -> Peer:
    """The peer a used code belongs to, if the very same node calls again with a key that is pinned."""
    peer = Peer.objects.filter(node_id=row.used_by, relation=Relation.CHILD).first()
    if peer is None or peer.node_id != value.node_id:
        raise CodeRefused(pointer="/code")
    pinned = set(peer.trusted_keys(clock.now()))
    if not pinned & set(value.valid_keys(value.issued_at)):
        raise CodeRefused(pointer="/code")
    if peer.is_blocked:
        raise PeerBlocked(node=peer.name)
    return peer


def _check_scope(row: EnrolmentCode, value: NodeCard) -> None:
    if value.role != row.role:
        raise CardOutOfScope(pointer="/card/role", what=f"角色 {value.role}")
    for place, prefix in enumerate(value.prefixes):
        if not covers(row.prefixes, prefix):
            raise CardOutOfScope(pointer=f"/card/prefixes/{place}", what=f"前缀 {prefix}")


def _check_parent(node: Identity, parent: NodeCard, expected: str | None) -> None:
    if parent.environment != node.environment:
        raise EnvironmentDiffers(pointer="/card/environment", theirs=parent.environment, ours=node.environment)
    wanted = NODE_ROLES[node.role].parent if node.role in NODE_ROLES else ""
    if parent.node_id == node.id or (wanted and parent.role != wanted):
        raise CardOutOfScope(pointer="/card/role", what=f"角色 {parent.role}")
    actual = _fingerprints(parent)
    if expected is not None and not any(is_same_fingerprint(expected, item) for item in actual):
        raise FingerprintDiffers(actual=" / ".join(actual), expected=expected)
    known = Peer.objects.filter(relation=Relation.PARENT).first()
    if known is not None and known.node_id != parent.node_id:
        raise AlreadyEnrolled(parent=known.name)


def _fingerprints(card: NodeCard) -> list[str]:
    return [fingerprint(decode_public(row.public)) for row in card.keys if row.is_valid_at(clock.now())]


def _data(client: httpx2.Client, method: str, url: str, **options: Any) -> dict[str, Any]:
    """`data` of an envelope that says success."""
    try:
        response = client.request(method, url, **options)
    except (httpx2.TransportError, httpx2.InvalidURL) as error:
        raise PeerUnreachable(pointer="/url", url=url, reason=str(error) or type(error).__name__) from error
    return envelope_data(response)


def envelope_data(response: httpx2.Response) -> dict[str, Any]:
    """`data` of an answer in our envelope. Raises `AnswerRefused` with its message, or `AnswerMalformed`."""
    url = str(response.request.url)
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or "status" not in body:
        raise AnswerMalformed(url=url, reason=f"HTTP {response.status_code}，不是约定的 JSON")
    if body["status"] != 1 or response.status_code >= 400:
        reason = str(body.get("message", ""))[:500]
        raise AnswerRefused(url=url, status=response.status_code, reason=reason, errors_there=body.get("errors"))
    data = body.get("data")
    if not isinstance(data, dict):
        raise AnswerMalformed(url=url, reason="缺少 data")
    return data
