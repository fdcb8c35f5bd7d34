"""The Django app of this chapter."""

from __future__ import annotations

from django.apps import AppConfig


class RegistryConfig(AppConfig):
    """Label `registry`."""

    name = "biaojie.registry"
    label = "registry"
    verbose_name = "注册"

    def ready(self) -> None:
        """Hands our error rows to the one table of answers."""
        from biaojie.foundation.ui.answers import add_answers
        from biaojie.registry.answers import ANSWERS

        add_answers(ANSWERS)
