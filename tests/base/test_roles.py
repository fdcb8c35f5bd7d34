"""The matrices of nodes and people."""

from __future__ import annotations

import pytest

from biaojie.base.roles import NODE_ROLES, PERSON_ROLES, permits


def test_every_parent_is_a_role() -> None:
    assert {row.parent for row in NODE_ROLES.values()} <= {"", *NODE_ROLES}


def test_administration_security_and_audit_are_apart() -> None:
    system, security, audit = (PERSON_ROLES[code].permissions for code in ("system", "security", "audit"))

    assert not security & audit
    assert not system & security
    assert "audit.read" not in system


@pytest.mark.parametrize(
    ("role", "permission", "expected"),
    [("operator", "identifiers.write", True), ("audit", "identifiers.write", False), ("nobody", "registry.read", False)],
)
def test_permits_follows_the_matrix(role: str, permission: str, *, expected: bool) -> None:
    assert permits(role, permission) is expected


def test_proposing_and_approving_a_route_are_different_roles() -> None:
    assert not any({"routing.propose", "routing.approve"} <= row.permissions for row in PERSON_ROLES.values())
