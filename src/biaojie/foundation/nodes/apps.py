"""The Django app of this room."""

from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings
from django.core import checks


class NodesConfig(AppConfig):
    """Label `nodes`."""

    name = "biaojie.foundation.nodes"
    label = "nodes"
    verbose_name = "节点"

    def ready(self) -> None:
        """Hands our error rows to the one table of answers."""
        from biaojie.foundation.nodes.answers import ANSWERS
        from biaojie.foundation.ui.answers import add_answers

        add_answers(ANSWERS)


@checks.register
def check_signed_answers(app_configs: object, **_: object) -> list[checks.CheckMessage]:
    """Without the middleware every neighbour would refuse our answers as unsigned."""
    if "biaojie.foundation.nodes.middleware.SignedAnswers" in settings.MIDDLEWARE:
        return []
    return [checks.Warning("MIDDLEWARE lacks biaojie.foundation.nodes.middleware.SignedAnswers", id="nodes.W001")]
