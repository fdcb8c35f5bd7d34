"""A signed call as sign-in of the JSON API: `auth=NodeAuth(...)` puts the calling `Peer` into `request.auth`.

The address that was signed is rebuilt from this node's own `web_url`; `Host` and `X-Forwarded-*` are strangers' words.
"""

from __future__ import annotations

from collections.abc import Collection

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.conf import settings
from django.http import HttpRequest
from ninja.security.base import AuthBase

from biaojie.base import clock
from biaojie.foundation.audit import log as audit
from biaojie.foundation.nodes.database_nonces import DatabaseNonces
from biaojie.foundation.nodes.errors import KeyUnknown, PeerBlocked, RelationRefused, SignatureMissing
from biaojie.foundation.nodes.models import Peer, PeerKey, Relation
from biaojie.foundation.nodes.signing import VerifiedCall, verify_request


class NodeAuth(AuthBase):
    """Admits enabled peers of the given relations by their signature; the call is audited.

    Gives None where there is no signature at all, so that it may stand in a list beside `BearerAuth`. Raises the
    `SignatureError`s of `verify_request`, `PeerBlocked` (NODE-137) or `RelationRefused` (NODE-138).
    """

    openapi_type = "http"
    openapi_scheme = "signature"
    openapi_description = "RFC 9421，tag=biaojie，覆盖 @method、@target-uri、content-digest，含 created、expires、nonce、keyid"

    def __init__(self, *relations: Relation) -> None:
        """Without arguments: children, because children call parents (DESIGN §3.8)."""
        super().__init__()
        self.relations: Collection[Relation] = relations or (Relation.CHILD,)

    def __call__(self, request: HttpRequest) -> Peer | None:
        try:
            call = verify(request)
        except SignatureMissing:
            return None
        peer = Peer.objects.filter(keys__key_id=call.key_id).first()
        if peer is None:
            raise KeyUnknown(key_id=call.key_id)
        request.node_call = call  # type: ignore[attr-defined] # read by middleware.SignedAnswers
        act = {"method": call.method, "target": call.target_uri, "key_id": call.key_id}
        if peer.is_blocked:
            audit.record(actor=peer, action="nodes.call.refused", subject=request.path, detail=act, request=request)
            raise PeerBlocked(node=peer.name)
        if peer.relation not in self.relations:
            audit.record(actor=peer, action="nodes.call.refused", subject=request.path, detail=act, request=request)
            raise RelationRefused(node=peer.name)
        if request.method not in ("GET", "HEAD"):
            # Thousands of children ask for their verdict each minute; what they change is what an assessor looks for.
            audit.record(actor=peer, action="nodes.call", subject=request.path, detail=act, request=request)
        return peer


def peer_of(request: HttpRequest) -> Peer:
    """The peer that signed the request in; raises `SignatureMissing`."""
    peer = getattr(request, "auth", None)
    if not isinstance(peer, Peer):
        raise SignatureMissing()
    return peer


def verify(request: HttpRequest) -> VerifiedCall:
    """What the signature of a Django request proves; the errors are those of `verify_request`."""
    return verify_request(
        request.method or "", signed_url(request), request.headers, request.body, _find_key, DatabaseNonces(), clock.now()
    )


def signed_url(request: HttpRequest) -> str:
    """The address a caller must have signed: the configured one, then path and query as they arrived."""
    query = request.META.get("QUERY_STRING", "")
    return settings.NODE.web_url.rstrip("/") + request.path_info + (f"?{query}" if query else "")


def _find_key(key_id: str) -> Ed25519PublicKey | None:
    now = clock.now()
    row = PeerKey.objects.filter(key_id=key_id, not_before__lte=now, not_after__gte=now).first()
    return row.public_key() if row else None
