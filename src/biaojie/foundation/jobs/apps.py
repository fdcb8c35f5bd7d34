"""The Django app of this room."""

from __future__ import annotations

from django.apps import AppConfig


class JobsConfig(AppConfig):
    """Label `jobs`."""

    name = "biaojie.foundation.jobs"
    label = "jobs"
    verbose_name = "后台任务"
