"""The Django app of this room."""

from __future__ import annotations

from django.apps import AppConfig


class WorkflowConfig(AppConfig):
    """Label `workflow`."""

    name = "biaojie.foundation.workflow"
    label = "workflow"
    verbose_name = "流程"
