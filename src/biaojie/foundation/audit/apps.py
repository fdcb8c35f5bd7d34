"""The Django app of this room."""

from __future__ import annotations

from django.apps import AppConfig


class AuditConfig(AppConfig):
    """Label `audit`."""

    name = "biaojie.foundation.audit"
    label = "audit"
    verbose_name = "审计"
