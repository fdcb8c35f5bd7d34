"""The address tree of a role: API, health, metrics, and the pages of each chapter."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from biaojie.site import views
from biaojie.site.api import build_api


def assemble(role: str) -> list[URLPattern | URLResolver]:
    """Patterns of one role. The JSON API is mounted at `/api/`, so that its document is `/api/openapi.json`."""
    return [
        path("healthz", views.healthz, name="healthz"),
        path("metrics", views.metrics, name="metrics"),
        path("api/", build_api(role).urls),
    ]


handler400 = "biaojie.site.views.bad_request"
handler403 = "biaojie.site.views.forbidden"
handler404 = "biaojie.site.views.not_found"
handler500 = "biaojie.site.views.internal_error"
