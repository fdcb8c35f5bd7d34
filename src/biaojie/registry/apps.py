"""The Django app of this chapter."""

from __future__ import annotations

from django.apps import AppConfig


class RegistryConfig(AppConfig):
    """Label `registry`."""

    name = "biaojie.registry"
    label = "registry"
    verbose_name = "注册"
