"""Database addresses: `BIAOJIE_DATABASE_URL` in, Django's and libpq's forms out.

Any PostgreSQL 15 or later serves. Messages never repeat a password, nor the part of an address that may hold one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict

from biaojie.foundation.postgres.errors import BadDatabaseUrl, DatabaseUnreachable, ServerTooOld

OLDEST_VERSION = 15
_SCHEMES = ("postgresql://", "postgres://")
_OWN_FIELDS = ("dbname", "user", "password", "host", "port")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseAddress:
    """One database; empty fields are libpq's defaults. `host` may be a socket folder, `options` are libpq parameters."""

    name: str
    user: str = ""
    password: str = field(default="", repr=False)
    host: str = ""
    port: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    def libpq(self) -> dict[str, str]:
        """Keywords for `psycopg.connect`."""
        own = {"dbname": self.name, "user": self.user, "password": self.password, "host": self.host, "port": self.port}
        return {name: value for name, value in own.items() if value} | dict(self.options)

    def django(self) -> dict[str, Any]:
        """An entry of Django's `DATABASES`."""
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": self.name,
            "USER": self.user,
            "PASSWORD": self.password,
            "HOST": self.host,
            "PORT": self.port,
            "OPTIONS": dict(self.options),
        }

    def url(self) -> str:
        """The address as a URL, with its password: for configuration files (0600), never for a log."""
        login = quote(self.user, safe="")
        if self.password:
            login += ":" + quote(self.password, safe="")
        fields = {"host": self.host, "port": self.port} | dict(self.options)
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in fields.items() if value)
        return f"postgresql://{login}{'@' if login else ''}/{quote(self.name, safe='')}{'?' if query else ''}{query}"

    def place(self) -> str:
        """Where it is, for messages: `host:port/name`, without user and password."""
        return f"{self.host or '本机'}{':' if self.port else ''}{self.port}/{self.name}"

    def with_name(self, name: str) -> DatabaseAddress:
        """Another database of the same server."""
        return replace(self, name=name)


def parse(url: str) -> DatabaseAddress:
    """Read `postgresql://user:password@host:port/name?sslmode=…` or `postgresql:///name?host=/folder`. Raises BadDatabaseUrl."""
    if not url.startswith(_SCHEMES):
        raise BadDatabaseUrl(reason="应以 postgresql:// 开头")
    try:
        fields = {name: str(value) for name, value in conninfo_to_dict(url).items() if value not in (None, "")}
    except psycopg.Error:
        # libpq's own words quote the address, and with it the password.
        raise BadDatabaseUrl(reason="格式错误或含有未知参数；口令中的特殊字符应写成 %XX") from None
    if not fields.get("dbname"):
        raise BadDatabaseUrl(reason="缺少库名")
    for port in fields.get("port", "").split(","):
        if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise BadDatabaseUrl(reason="端口应为 1 至 65535 的整数")
    own = {name: fields.get(name, "") for name in _OWN_FIELDS}
    return DatabaseAddress(
        name=own["dbname"],
        user=own["user"],
        password=own["password"],
        host=own["host"],
        port=own["port"],
        options={name: value for name, value in fields.items() if name not in _OWN_FIELDS},
    )


def check_version(url: str, *, oldest: int = OLDEST_VERSION, timeout_s: int = 10) -> int:
    """The server's major version. Raises ServerTooOld, DatabaseUnreachable, BadDatabaseUrl."""
    address = parse(url)
    parameters: dict[str, Any] = {"connect_timeout": timeout_s} | address.libpq()
    try:
        with psycopg.connect(**parameters) as connection:
            number = connection.info.server_version
    except psycopg.OperationalError as problem:
        raise DatabaseUnreachable(place=address.place(), reason=_last_line(problem, address)) from None
    if number // 10000 < oldest:
        raise ServerTooOld(found=f"{number // 10000}.{number % 10000}", needed=oldest)
    return number // 10000


def _last_line(problem: psycopg.Error, address: DatabaseAddress) -> str:
    line = (str(problem).strip().splitlines() or [type(problem).__name__])[-1]
    return line.replace(address.password, "***") if address.password else line
