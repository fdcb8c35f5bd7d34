"""Settings, declared as rows and read once at start.

A value comes from the environment (`BIAOJIE_<NAME>`), else from the TOML file named by `BIAOJIE_CONFIG`, else from the
row's default. An unknown key in either refuses to start: a misspelt limit is worse than none. `describe` and `check`
serve `biaojie check-config` and the reference page; nothing else in the product reads the environment.
"""

from __future__ import annotations

import difflib
import math
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biaojie.base.errors import SettingError, UnknownSetting

PREFIX = "BIAOJIE_"

# Read by the launcher before there are settings, or by the test suite; not settings of a node.
NOT_SETTINGS = frozenset({"CONFIG", "DATA", "TEST_DATABASE_URL"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One row: what may be set, in which form, and what it means."""

    name: str
    kind: str
    default: object
    doc: str
    unit: str = ""
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    secret: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A value in force and where it came from (`default`, `environment` or the file's path)."""

    setting: Setting
    value: Any
    origin: str


SETTINGS: tuple[Setting, ...] = (
    Setting(name="role", kind="choice", default="second", choices=("top", "second", "enterprise", "recursive", "probe", "escrow"), doc="节点角色"),
    Setting(name="node", kind="text", default="", doc="节点名称，例如 second-100；留空时取角色名"),
    Setting(name="environment", kind="choice", default="production", choices=("test", "production"), doc="环境：测试环境与生产环境互不接受对方的数据"),
    Setting(name="node_dir", kind="path", default=".", doc="本节点的目录：密钥、发布文件、索引、计数文件、日志"),
    Setting(name="database_url", kind="text", default="", secret=True, doc="PostgreSQL 15+ 连接串；留空时由 biaojie up 启动内置数据库"),
    Setting(name="secret_key_file", kind="path", default="secret.key", doc="会话签名密钥文件；相对路径相对于 node_dir"),
    Setting(name="web", kind="address", default="127.0.0.1:8000", doc="管理与接口服务的监听地址"),
    Setting(name="web_url", kind="text", default="", doc="外部访问本节点 Web 服务的地址；用于节点名片和签名核对；留空时取 http://{web}"),
    Setting(name="allowed_hosts", kind="list", default=("127.0.0.1", "localhost", "[::1]"), doc="允许的 Host 请求头"),
    Setting(name="web_threads", kind="integer", default=8, low=1, high=256, doc="Web 进程的工作线程数"),
    Setting(name="handle_udp", kind="addresses", default="127.0.0.1:2641", doc="标识解析 UDP 监听地址，可多个，用逗号分隔；空为不监听"),
    Setting(name="handle_tcp", kind="addresses", default="127.0.0.1:2641", doc="标识解析 TCP 监听地址，可多个；空为不监听"),
    Setting(name="handle_http", kind="addresses", default="127.0.0.1:8080", doc="标识解析 HTTP 监听地址，可多个；空为不监听"),
    Setting(name="udp_workers", kind="integer", default=1, low=1, high=64, doc="UDP 工作进程数（SO_REUSEPORT）"),
    Setting(name="publication", kind="text", default="publication", doc="解析器跟随的发布源：目录或 URL；相对路径相对于 node_dir"),
    Setting(name="rate_limit_per_s", kind="integer", default=0, low=0, unit="次/秒", doc="每个来源网段的解析速率上限；0 为不限"),
    Setting(name="tcp_idle_s", kind="integer", default=300, low=1, high=3600, unit="秒", doc="TCP 空闲连接断开时限"),
    Setting(name="delegation_ttl_s", kind="integer", default=60, low=1, high=300, unit="秒", doc="下级路由记录的 TTL；应急接管依赖它，不得超过 300"),
    Setting(name="bootstrap", kind="path", default="bootstrap.bin", doc="递归节点的根站点文件（HS_SITE）；相对路径相对于 node_dir"),
    Setting(name="cache_entries", kind="integer", default=200_000, low=100, unit="条", doc="递归节点缓存上限"),
    Setting(name="negative_ttl_s", kind="integer", default=30, low=1, high=3600, unit="秒", doc="递归节点对否定答复的缓存时间"),
    Setting(name="walk_timeout_ms", kind="integer", default=5000, low=100, high=60_000, unit="毫秒", doc="递归节点一次解析的总时限"),
    Setting(name="allow_private_addresses", kind="choice", default="auto", choices=("auto", "yes", "no"), doc="是否允许访问路由记录中的内网地址；auto 为仅测试环境允许"),
    Setting(name="clock_offset_s", kind="number", default=0.0, unit="秒", doc="时钟偏移，仅测试环境"),
    Setting(name="clock_scale", kind="number", default=1.0, low=0.001, high=1_000_000, doc="时钟倍速，仅测试环境"),
    Setting(name="clock_origin_s", kind="number", default=0.0, unit="秒", doc="时钟倍速的共同起点（Unix 时间），仅测试环境；0 为进程启动时"),
    Setting(name="log_level", kind="choice", default="info", choices=("debug", "info", "warning", "error"), doc="日志级别"),
)  # fmt: skip

BY_NAME: Mapping[str, Setting] = {row.name: row for row in SETTINGS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of this process's node; relative paths are already resolved against `node_dir`."""

    role: str
    node: str
    environment: str
    node_dir: Path
    database_url: str
    secret_key_file: Path
    web: str
    web_url: str
    allowed_hosts: tuple[str, ...]
    web_threads: int
    handle_udp: tuple[str, ...]
    handle_tcp: tuple[str, ...]
    handle_http: tuple[str, ...]
    udp_workers: int
    publication: str
    rate_limit_per_s: int
    tcp_idle_s: int
    delegation_ttl_s: int
    bootstrap: Path
    cache_entries: int
    negative_ttl_s: int
    walk_timeout_ms: int
    allow_private_addresses: bool
    clock_offset_s: float
    clock_scale: float
    clock_origin_s: float
    log_level: str


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings in force. Raises `SettingError` (`BASE-101`) or `UnknownSetting` (`BASE-102`)."""
    values = {found.setting.name: found.value for found in check(environ)}
    folder = values["node_dir"]
    test = values["environment"] == "test"
    if not test and (values["clock_offset_s"] or values["clock_scale"] != 1.0):
        raise SettingError(pointer="clock_scale", name="clock_offset_s / clock_scale", reason="生产环境不允许调整时钟")
    values["node"] = values["node"] or values["role"]
    values["web_url"] = (values["web_url"] or f"http://{values['web']}").rstrip("/")
    values["secret_key_file"] = folder / values["secret_key_file"]
    values["bootstrap"] = folder / values["bootstrap"]
    if "://" not in values["publication"]:
        values["publication"] = str(folder / values["publication"])
    private = values["allow_private_addresses"]
    values["allow_private_addresses"] = test if private == "auto" else private == "yes"
    return Settings(**values)


def check(environ: Mapping[str, str] | None = None) -> list[Found]:
    """Every row with its value and origin, in the order of declaration."""
    environ = os.environ if environ is None else environ
    path, file_values = _read_file(environ)
    for key in environ:
        name = key.removeprefix(PREFIX)
        if key.startswith(PREFIX) and name not in NOT_SETTINGS and name.lower() not in BY_NAME:
            raise UnknownSetting(pointer=key, name=key, hint=_hint(name.lower(), upper=True))
    found = []
    for row in SETTINGS:
        key = PREFIX + row.name.upper()
        if key in environ:
            found.append(Found(setting=row, value=_convert(row, environ[key], key), origin="environment"))
        elif row.name in file_values:
            found.append(Found(setting=row, value=_convert(row, file_values[row.name], row.name), origin=str(path)))
        else:
            found.append(Found(setting=row, value=_convert(row, row.default, row.name), origin="default"))
    return found


def split_address(text: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port` as a pair; raises ValueError for anything else."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ValueError("应为 主机:端口")
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1], int(port)
    if ":" in host:
        raise ValueError("IPv6 地址应写成 [地址]:端口")
    return host, int(port)


def _read_file(environ: Mapping[str, str]) -> tuple[Path | None, dict[str, Any]]:
    name = environ.get(PREFIX + "CONFIG", "")
    if not name:
        return None, {}
    path = Path(name)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(pointer=name, name="BIAOJIE_CONFIG", reason=f"无法读取 {name}：{error.strerror}") from error
    except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, a number of thousands of digits, nested too deep
        raise SettingError(pointer=name, name="BIAOJIE_CONFIG", reason=f"{name} 不是合法的 TOML：{error}") from error
    for key in values:
        if key not in BY_NAME:
            raise UnknownSetting(pointer=f"{name}#{key}", name=key, hint=_hint(key, upper=False))
    return path, values


def _hint(name: str, *, upper: bool) -> str:
    near = difflib.get_close_matches(name, BY_NAME, n=1)
    if not near:
        return ""
    return f"，是否指 {PREFIX + near[0].upper() if upper else near[0]}"


def _convert(row: Setting, raw: object, pointer: str) -> Any:
    try:
        value = _CONVERTERS[row.kind](raw)
    except (ValueError, TypeError) as error:
        raise SettingError(pointer=pointer, name=row.name, reason=str(error)) from error
    if row.choices and value not in row.choices:
        raise SettingError(pointer=pointer, name=row.name, reason=f"只能是 {'、'.join(row.choices)} 之一")
    if row.low is not None and value < row.low:
        raise SettingError(pointer=pointer, name=row.name, reason=f"不得小于 {row.low:g}")
    if row.high is not None and value > row.high:
        raise SettingError(pointer=pointer, name=row.name, reason=f"不得大于 {row.high:g}")
    return value


def _text(raw: object) -> str:
    if not isinstance(raw, str):
        raise ValueError("应为文本")
    return raw.strip()


def _integer(raw: object) -> int:
    if isinstance(raw, bool) or not isinstance(raw, (int, str)):
        raise ValueError("应为整数")
    try:
        return int(raw)
    except ValueError:
        raise ValueError("应为整数") from None


def _number(raw: object) -> float:
    if isinstance(raw, bool) or not isinstance(raw, (int, float, str)):
        raise ValueError("应为数字")
    try:
        number = float(raw)
    except (ValueError, OverflowError):
        raise ValueError("应为数字") from None
    if not math.isfinite(number):
        raise ValueError("应为有限的数字")
    return number


def _path(raw: object) -> Path:
    return Path(_text(raw))


def _items(raw: object) -> tuple[str, ...]:
    if isinstance(raw, str):
        raw = raw.split(",")
    if not isinstance(raw, (list, tuple)):
        raise ValueError("应为列表或以逗号分隔的文本")
    return tuple(item for item in (_text(part) for part in raw) if item)


def _address(raw: object) -> str:
    text = _text(raw)
    split_address(text)
    return text


def _addresses(raw: object) -> tuple[str, ...]:
    return tuple(_address(item) for item in _items(raw))


_CONVERTERS: Mapping[str, Callable[[object], Any]] = {
    "text": _text,
    "choice": _text,
    "path": _path,
    "integer": _integer,
    "number": _number,
    "list": _items,
    "address": _address,
    "addresses": _addresses,
}
