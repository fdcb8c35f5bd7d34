"""The registry's API, put together: `router` under `/api/v1/`, `public_router` under `/api/` (Handle.net form)."""

from __future__ import annotations

from ninja import Router

from biaojie.registry import api_bulk, api_identifiers, api_nodes, api_prefixes, api_routing, api_usage
from biaojie.registry.api_handles import public_router

__all__ = ["public_router", "router"]

router = Router()
router.add_router("", api_prefixes.router)
router.add_router("", api_routing.router)
router.add_router("", api_nodes.router)
router.add_router("", api_identifiers.router)
router.add_router("", api_bulk.router)
router.add_router("", api_usage.router)
