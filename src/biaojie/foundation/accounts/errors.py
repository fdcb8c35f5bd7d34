"""Faults of signing in and of accounts.

AccountError
├── WrongCredentials  ACC-101  unknown name or wrong password (never says which)
├── NotSignedIn       ACC-102  no token, or one that is not valid any more
├── AccountLocked     ACC-103  closed for a while after repeated failures
├── NotPermitted      ACC-104  the role or the token's scope does not permit it
├── BadAccount        ACC-105  an account that cannot be created as asked
└── NameTaken         ACC-106  the user name exists
"""

from __future__ import annotations

from biaojie.base.errors import BiaojieError


class AccountError(BiaojieError):
    """账号错误"""

    code = "ACC-100"


class WrongCredentials(AccountError):
    """用户名或密码不正确"""

    code = "ACC-101"


class NotSignedIn(AccountError):
    """未登录，或令牌已失效"""

    code = "ACC-102"


class AccountLocked(AccountError):
    """连续登录失败次数过多，账号已锁定，请于 {minutes} 分钟后再试"""

    code = "ACC-103"


class NotPermitted(AccountError):
    """没有权限：{permission}"""

    code = "ACC-104"


class BadAccount(AccountError):
    """账号信息不正确：{reason}"""

    code = "ACC-105"


class NameTaken(AccountError):
    """用户名 {username} 已存在"""

    code = "ACC-106"
