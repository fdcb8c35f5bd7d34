"""Accounts, tokens and locks."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models

from biaojie.base.roles import PERSON_ROLES, permits


class UserManager(BaseUserManager["User"]):
    """Finds users by name; `operations.create_user` makes them."""


class User(AbstractBaseUser):
    """A person or a program with one role of `base.roles.PERSON_ROLES`."""

    id = models.BigAutoField(primary_key=True)
    username = models.CharField("用户名", max_length=64, unique=True)
    display_name = models.CharField("姓名", max_length=100, default="", blank=True)
    role = models.CharField("角色", max_length=32)
    is_active = models.BooleanField("启用", default=True)
    created_at = models.DateTimeField("创建时间")

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "username"

    class Meta:
        verbose_name = "账号"

    def __str__(self) -> str:
        return self.username

    @property
    def role_title(self) -> str:
        """The role's Chinese name."""
        row = PERSON_ROLES.get(self.role)
        return row.title if row else self.role

    def may(self, permission: str) -> bool:
        """Whether the role permits it; a closed account may do nothing."""
        return self.is_active and permits(self.role, permission)


class ApiToken(models.Model):
    """A bearer token; only its digest is kept. `scope` narrows the role's permissions, an empty scope narrows nothing."""

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    digest = models.CharField("摘要", max_length=64, unique=True)
    hint = models.CharField("开头几位", max_length=12)
    scope = models.JSONField("权限范围", default=list)
    created_at = models.DateTimeField("签发时间")
    expires_at = models.DateTimeField("到期时间")
    last_used_at = models.DateTimeField("最近使用", null=True)
    revoked_at = models.DateTimeField("吊销时间", null=True)

    class Meta:
        verbose_name = "访问令牌"
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["expires_at"], name="accounts_token_expiry")]

    def is_valid(self, now: datetime) -> bool:
        """Whether it still signs somebody in."""
        return self.revoked_at is None and now < self.expires_at and self.user.is_active

    def may(self, permission: str) -> bool:
        """Whether both the role and the scope permit it."""
        return self.user.may(permission) and (not self.scope or permission in self.scope)


class Lock(models.Model):
    """Failures of one user name, known or not, since `since`; closed until `until`."""

    username = models.CharField("用户名", max_length=64, primary_key=True)
    failures = models.IntegerField("失败次数", default=0)
    since = models.DateTimeField("首次失败")
    until = models.DateTimeField("锁定至", null=True)

    class Meta:
        verbose_name = "登录锁定"
