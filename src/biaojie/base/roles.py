"""Roles, as data: what a node of each role runs, and what a person of each role may do.

One table for nodes (DESIGN §2) and one for people. Processes, planner rows, url trees and permissions are read from
here; nothing else lists them. Separation of system, security and audit administration follows 等保 2.0 practice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRole:
    """One row of the node matrix."""

    code: str
    title: str
    processes: tuple[str, ...]
    has_database: bool
    parent: str = ""


NODE_ROLES: Mapping[str, NodeRole] = {
    row.code: row
    for row in (
        NodeRole(code="top", title="国家顶级节点", processes=("web", "worker", "resolver"), has_database=True),
        NodeRole(code="second", title="二级节点", processes=("web", "worker", "resolver"), has_database=True, parent="top"),
        NodeRole(
            code="enterprise", title="企业节点", processes=("web", "worker", "resolver"), has_database=True, parent="second"
        ),
        NodeRole(code="recursive", title="递归节点", processes=("recursor",), has_database=False),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonRole:
    """What a signed-in person may do; permissions are verbs of the registry and of the node, not database tables."""

    code: str
    title: str
    permissions: frozenset[str]


_REGISTRY_READ = frozenset({"registry.read"})

PERSON_ROLES: Mapping[str, PersonRole] = {
    row.code: row
    for row in (
        PersonRole(
            code="system",
            title="系统管理员",
            permissions=_REGISTRY_READ | {"accounts.manage", "nodes.manage", "settings.read", "jobs.read"},
        ),
        PersonRole(
            code="security", title="安全管理员", permissions=frozenset({"accounts.lock", "nodes.block", "policies.manage"})
        ),
        PersonRole(code="audit", title="审计管理员", permissions=frozenset({"audit.read"})),
        PersonRole(
            code="reviewer",
            title="业务审核",
            permissions=_REGISTRY_READ | {"prefixes.review", "routing.approve", "registrants.review"},
        ),
        PersonRole(
            code="operator",
            title="操作员",
            permissions=_REGISTRY_READ
            | {"registrants.write", "prefixes.apply", "routing.propose", "identifiers.write", "identifiers.bulk"},
        ),
        PersonRole(
            code="enterprise",
            title="企业用户",
            permissions=_REGISTRY_READ | {"prefixes.apply", "routing.propose", "identifiers.write", "identifiers.bulk"},
        ),
    )
}


def permits(role: str, permission: str) -> bool:
    """Whether a person of this role may do it; an unknown role may do nothing."""
    row = PERSON_ROLES.get(role)
    return row is not None and permission in row.permissions
