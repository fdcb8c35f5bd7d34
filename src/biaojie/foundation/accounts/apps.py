"""The Django app of this room."""

from __future__ import annotations

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Label `accounts`."""

    name = "biaojie.foundation.accounts"
    label = "accounts"
    verbose_name = "账号"
