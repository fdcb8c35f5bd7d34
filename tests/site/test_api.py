"""The assembled API and the plain views of every role."""

from __future__ import annotations

import importlib

import pytest
from django.test import Client, override_settings

from biaojie.foundation.accounts import operations, tokens
from biaojie.foundation.ui.envelope import DOCUMENTED

ROLES = ("top", "second", "enterprise", "escrow")


@pytest.mark.parametrize("role", ROLES)
def test_urls_of_every_role_openapi_document_served(client: Client, role: str) -> None:
    with override_settings(ROOT_URLCONF=f"biaojie.site.urls.{role}"):
        document = client.get("/api/openapi.json").json()

    assert document["info"]["title"] == "标解"
    assert "/api/v1/token" in document["paths"]


def test_openapi_every_operation_documents_its_refusals(client: Client) -> None:
    document = client.get("/api/openapi.json").json()

    lacking = [
        (path, method)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if path.startswith("/api/v1/") and not {str(code) for code in DOCUMENTED} <= set(operation["responses"])
    ]
    assert lacking == []


@pytest.mark.django_db
def test_healthz_database_answers_ok(client: Client) -> None:
    answer = client.get("/healthz")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "database": True})


def test_metrics_prometheus_text(client: Client) -> None:
    assert b"python_info" in client.get("/metrics").content


def test_unknown_address_answered_in_the_envelope_with_strict_headers(client: Client) -> None:
    answer = client.get("/api/v1/nothing")

    assert (answer.status_code, answer.json()["status"]) == (404, -2)
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("role", ROLES)
def test_urls_module_of_every_role_names_its_error_views(role: str) -> None:
    module = importlib.import_module(f"biaojie.site.urls.{role}")

    assert [getattr(module, f"handler{code}").rpartition(".")[0] for code in (400, 403, 404, 500)] == ["biaojie.site.views"] * 4


def test_csrf_refused_answered_in_the_envelope() -> None:
    answer = Client(enforce_csrf_checks=True).generic("PROPFIND", "/healthz")

    assert (answer.status_code, answer.json()["status"]) == (403, -3)


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/prefixes/88.100%00", "/prefixes?after=%00", "/identifiers?prefix=%00"])
def test_text_that_no_column_holds_is_refused(client: Client, path: str) -> None:
    user = operations.create_user(actor="test", username="li.na", password="qingdao-2026-harbour", role="operator")
    token, _ = tokens.issue(user)

    answer = client.get(f"/api/v1{path}", headers={"Authorization": f"Bearer {token}"})

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "API-422")


@pytest.mark.parametrize(
    ("path", "method", "allow"),
    [
        ("/api/v1/token", "GET", {"POST", "DELETE", "OPTIONS"}),
        ("/api/v1/identifiers/bulk", "DELETE", {"GET", "HEAD", "POST", "OPTIONS"}),
        ("/api/v1/token", "HEAD", {"POST", "DELETE", "OPTIONS"}),
    ],
)
def test_method_not_known_answered_in_the_envelope(client: Client, path: str, method: str, allow: set[str]) -> None:
    answer = client.generic(method, path)

    assert (answer.status_code, answer.headers["Content-Type"]) == (405, "application/json")
    assert set(answer.headers["Allow"].split(", ")) == allow
    assert answer.headers["Content-Security-Policy"]
    if method != "HEAD":
        rows = [{"code": "API-405", "pointer": "", "message": "不支持该请求方法"}]
        assert answer.json() == {"status": -2, "message": "不支持该请求方法", "data": None, "errors": rows}


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/v1", "/api/nothing", "/api/v1/token/more"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "OPTIONS"])
def test_address_not_known_answered_in_the_envelope(client: Client, path: str, method: str) -> None:
    answer = client.generic(method, path)

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "API-404")


def test_handles_method_not_known_answered_in_the_handle_form(client: Client) -> None:
    answer = client.put("/api/handles/88.100.1/a")

    assert (answer.status_code, answer.json()) == (405, {"responseCode": 5, "message": "不支持该请求方法"})


def test_options_names_the_methods(client: Client) -> None:
    answer = client.options("/api/v1/identifiers/bulk")

    assert (answer.status_code, answer.content, answer.headers["Allow"]) == (204, b"", "GET, HEAD, OPTIONS, POST")


@pytest.mark.django_db
def test_head_answered_as_get_would_be_without_a_body(client: Client) -> None:
    got, head = client.get("/api/openapi.json"), client.head("/api/openapi.json")
    refused = client.head("/api/v1/identifiers/bulk?prefix=88.100")

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == got.headers["Content-Length"]
    assert (refused.status_code, refused.content) == (401, b"")
