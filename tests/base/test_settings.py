"""Settings: origins, conversion, refusals."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from biaojie.base import settings
from biaojie.base.errors import SettingError, UnknownSetting


def test_load_without_anything_gives_defaults() -> None:
    loaded = settings.load({})

    assert loaded.role == "second"
    assert loaded.node == "second"
    assert loaded.handle_udp == ("127.0.0.1:2641",)
    assert loaded.allow_private_addresses is False


def test_rows_and_fields_are_the_same() -> None:
    rows = {row.name for row in settings.SETTINGS}

    assert rows == {field.name for field in fields(settings.Settings)}


def test_environment_beats_file_beats_default(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('role = "top"\nhandle_udp = ["[::1]:2641", "127.0.0.1:2641"]\nudp_workers = 3\n', encoding="utf-8")

    found = {row.setting.name: row for row in settings.check({"BIAOJIE_CONFIG": str(file), "BIAOJIE_UDP_WORKERS": "2"})}

    assert (found["udp_workers"].value, found["udp_workers"].origin) == (2, "environment")
    assert (found["role"].value, found["role"].origin) == ("top", str(file))
    assert found["handle_udp"].value == ("[::1]:2641", "127.0.0.1:2641")
    assert found["node"].origin == "default"


@pytest.mark.parametrize(
    ("name", "hint"), [("BIAOJIE_ROEL", "BIAOJIE_ROLE"), ("BIAOJIE_UDP_WORKER", "BIAOJIE_UDP_WORKERS"), ("BIAOJIE_QQQQQQ", "")]
)
def test_load_unknown_variable_refuses_with_a_hint(name: str, hint: str) -> None:
    with pytest.raises(UnknownSetting) as refusal:
        settings.load({name: "x"})

    assert refusal.value.pointer == name
    assert (f"是否指 {hint}" in refusal.value.message) is bool(hint)


def test_load_unknown_key_in_file_refuses_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('roel = "top"\n', encoding="utf-8")

    with pytest.raises(UnknownSetting) as refusal:
        settings.load({"BIAOJIE_CONFIG": str(file)})

    assert refusal.value.pointer == f"{file}#roel"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BIAOJIE_ROLE", "boss"),
        ("BIAOJIE_UDP_WORKERS", "0"),
        ("BIAOJIE_UDP_WORKERS", "many"),
        ("BIAOJIE_DELEGATION_TTL_S", "301"),
        ("BIAOJIE_HANDLE_UDP", "127.0.0.1"),
        ("BIAOJIE_HANDLE_UDP", "::1:2641"),
        ("BIAOJIE_WEB", "127.0.0.1:70000"),
        ("BIAOJIE_CLOCK_SCALE", "fast"),
    ],
)
def test_load_bad_value_refuses_at_the_variable(name: str, value: str) -> None:
    with pytest.raises(SettingError) as refusal:
        settings.load({name: value})

    assert refusal.value.code == "BASE-101"
    assert refusal.value.pointer == name


@pytest.mark.parametrize("text", ["not toml =", "\x00"])
def test_load_unreadable_file_refuses(tmp_path: Path, text: str) -> None:
    file = tmp_path / "node.toml"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(SettingError):
        settings.load({"BIAOJIE_CONFIG": str(file)})


def test_load_missing_file_refuses(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="无法读取"):
        settings.load({"BIAOJIE_CONFIG": str(tmp_path / "absent.toml")})


def test_clock_may_not_be_moved_in_production() -> None:
    with pytest.raises(SettingError, match="生产环境"):
        settings.load({"BIAOJIE_CLOCK_OFFSET_S": "60"})

    assert settings.load({"BIAOJIE_CLOCK_OFFSET_S": "60", "BIAOJIE_ENVIRONMENT": "test"}).clock_offset_s == 60.0


def test_relative_paths_lie_in_the_nodes_folder() -> None:
    loaded = settings.load({"BIAOJIE_NODE_DIR": "/srv/n", "BIAOJIE_SECRET_KEY_FILE": "/etc/secret"})

    assert loaded.publication == "/srv/n/publication"
    assert loaded.bootstrap == Path("/srv/n/bootstrap.bin")
    assert loaded.secret_key_file == Path("/etc/secret")


def test_publication_url_is_left_alone() -> None:
    assert settings.load({"BIAOJIE_PUBLICATION": "https://n.example/p"}).publication == "https://n.example/p"
