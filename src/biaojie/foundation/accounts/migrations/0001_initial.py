"""Accounts, tokens, locks."""

from __future__ import annotations

from typing import ClassVar

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.migrations.operations.base import Operation


class Migration(migrations.Migration):
    initial = True

    dependencies: ClassVar[list[tuple[str, str]]] = []

    operations: ClassVar[list[Operation]] = [
        migrations.CreateModel(
            name="User",
            fields=[
                ("password", models.CharField(max_length=128, verbose_name="password")),
                ("last_login", models.DateTimeField(blank=True, null=True, verbose_name="last login")),
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("username", models.CharField(max_length=64, unique=True, verbose_name="用户名")),
                ("display_name", models.CharField(blank=True, default="", max_length=100, verbose_name="姓名")),
                ("role", models.CharField(max_length=32, verbose_name="角色")),
                ("is_active", models.BooleanField(default=True, verbose_name="启用")),
                ("created_at", models.DateTimeField(verbose_name="创建时间")),
            ],
            options={
                "verbose_name": "账号",
            },
        ),
        migrations.CreateModel(
            name="Lock",
            fields=[
                ("username", models.CharField(max_length=64, primary_key=True, serialize=False, verbose_name="用户名")),
                ("failures", models.IntegerField(default=0, verbose_name="失败次数")),
                ("since", models.DateTimeField(verbose_name="首次失败")),
                ("until", models.DateTimeField(null=True, verbose_name="锁定至")),
            ],
            options={
                "verbose_name": "登录锁定",
            },
        ),
        migrations.CreateModel(
            name="ApiToken",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("digest", models.CharField(max_length=64, unique=True, verbose_name="摘要")),
                ("hint", models.CharField(max_length=12, verbose_name="开头几位")),
                ("scope", models.JSONField(default=list, verbose_name="权限范围")),
                ("created_at", models.DateTimeField(verbose_name="签发时间")),
                ("expires_at", models.DateTimeField(verbose_name="到期时间")),
                ("last_used_at", models.DateTimeField(null=True, verbose_name="最近使用")),
                ("revoked_at", models.DateTimeField(null=True, verbose_name="吊销时间")),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="tokens", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "verbose_name": "访问令牌",
                "indexes": [models.Index(fields=["expires_at"], name="accounts_token_expiry")],
            },
        ),
    ]
