"""Address tree of role `escrow`."""

from __future__ import annotations

from biaojie.site.urls.assembly import assemble, handler400, handler403, handler404, handler500

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]

urlpatterns = assemble("escrow")
