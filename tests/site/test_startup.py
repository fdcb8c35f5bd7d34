"""A process without what it needs says so and does not start."""

from __future__ import annotations

from pathlib import Path

import pytest

from biaojie.base import settings
from biaojie.base.errors import SettingError
from biaojie.site import startup


def node(folder: Path, **more: str) -> settings.Settings:
    return settings.load({"BIAOJIE_NODE_DIR": str(folder)} | more)


def test_check_without_database_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="database_url"):
        startup.check(node(tmp_path))


@pytest.mark.parametrize("key", [None, "short"])
def test_check_without_usable_key_refused(tmp_path: Path, key: str | None) -> None:
    if key is not None:
        (tmp_path / "secret.key").write_text(key)

    with pytest.raises(SettingError, match="secret_key_file"):
        startup.check(node(tmp_path, BIAOJIE_DATABASE_URL="postgresql:///x"))


def test_check_with_both_passes(tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_text("k" * 32)

    startup.check(node(tmp_path, BIAOJIE_DATABASE_URL="postgresql:///x"))
