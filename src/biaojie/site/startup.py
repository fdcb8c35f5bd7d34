"""What a web or worker process must have before it begins; without it, a plain sentence and no start."""

from __future__ import annotations

from biaojie.base.errors import SettingError
from biaojie.base.settings import Settings

KEY_MIN_LENGTH = 32


def check(node: Settings) -> None:
    """Raises `SettingError` when the node has no database address or no usable secret key."""
    if not node.database_url:
        raise SettingError(pointer="database_url", name="database_url", reason="Web 与后台进程需要数据库连接串")
    path = node.secret_key_file
    try:
        key = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingError(pointer=str(path), name="secret_key_file", reason=f"无法读取 {path}：{error.strerror}") from error
    if len(key) < KEY_MIN_LENGTH:
        raise SettingError(pointer=str(path), name="secret_key_file", reason=f"密钥至少 {KEY_MIN_LENGTH} 个字符")
