"""The Django app of this room."""

from __future__ import annotations

from django.apps import AppConfig


class RecordsConfig(AppConfig):
    """Label `records`."""

    name = "biaojie.foundation.records"
    label = "records"
    verbose_name = "变更日志"
