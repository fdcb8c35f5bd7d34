"""The JSON API of a role, put together from the rooms' routers."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from ninja import NinjaAPI

from biaojie.base.roles import NODE_ROLES
from biaojie.foundation.ui import answers

WEB_ROLES: frozenset[str] = frozenset(code for code, row in NODE_ROLES.items() if "web" in row.processes) | {"escrow"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterRow:
    """Where a room's router is mounted, and in which roles."""

    module: str
    name: str = "router"
    mount: str = "/v1"
    roles: frozenset[str] = WEB_ROLES


ROUTERS: tuple[RouterRow, ...] = (
    RouterRow(module="biaojie.foundation.accounts.api"),
    RouterRow(module="biaojie.foundation.nodes.api"),
    RouterRow(module="biaojie.registry.api"),
    # `GET /api/handles/…` in the Handle.net form, beside the envelope's world.
    RouterRow(module="biaojie.registry.api", name="public_router", mount=""),
)


ABOUT = "答复为 status、message、data；status 1 成功，-1 未登录，-2 被拒绝，-3 无权限，-4 系统错误。"


def build_api(role: str) -> NinjaAPI:
    """The API of `role`, mounted at `/api/`; its document is `/api/openapi.json`."""
    api = NinjaAPI(
        title="标解",
        version="1",
        description=f"标解 {role} 节点接口。{ABOUT}",
        urls_namespace=f"api-{role}",
        openapi_url="/openapi.json",
        docs_url=None,  # the page loads from a CDN, which the content policy forbids
    )
    answers.install(api)
    for row in ROUTERS:
        if role in row.roles:
            api.add_router(row.mount, getattr(import_module(row.module), row.name))
    return api
