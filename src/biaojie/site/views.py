"""What every web node answers beside API and pages: health, metrics, and errors in the envelope's form."""

from __future__ import annotations

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from biaojie.foundation.ui.answers import HTTP_MESSAGES
from biaojie.foundation.ui.envelope import Status, refusal


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 when the database answers, else 503; says nothing a stranger could use."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return JsonResponse({"status": "unavailable", "database": False}, status=503)
    return JsonResponse({"status": "ok", "database": True})


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """The process's metrics in Prometheus text."""
    return HttpResponse(generate_latest(), content_type=CONTENT_TYPE_LATEST)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> JsonResponse:
    """400."""
    return error_answer(400)


def forbidden(request: HttpRequest, exception: Exception | None = None) -> JsonResponse:
    """403."""
    return error_answer(403)


def csrf_refused(request: HttpRequest, reason: str = "") -> JsonResponse:
    """403 for an unsafe method without the page's own token."""
    return error_answer(403)


def not_found(request: HttpRequest, exception: Exception | None = None) -> JsonResponse:
    """404."""
    return error_answer(404)


def internal_error(request: HttpRequest) -> JsonResponse:
    """500, without a word about the cause."""
    return error_answer(500)


def error_answer(http: int) -> JsonResponse:
    """The envelope that says no more than an HTTP status does."""
    status, message = HTTP_MESSAGES.get(http, (Status.REFUSED, "请求被拒绝"))
    body = refusal(status, message, [{"code": f"API-{http}", "pointer": "", "message": message}])
    return JsonResponse(body, status=http, json_dumps_params={"ensure_ascii": False})
