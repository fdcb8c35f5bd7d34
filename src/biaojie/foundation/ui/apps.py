"""The Django app of this room."""

from __future__ import annotations

from django.apps import AppConfig


class UiConfig(AppConfig):
    """Label `ui`."""

    name = "biaojie.foundation.ui"
    label = "ui"
    verbose_name = "界面"
