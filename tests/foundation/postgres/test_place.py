"""Where a folder's cluster lives, and who holds it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from biaojie.foundation.postgres import place
from biaojie.foundation.postgres.errors import AlreadyRunning, NotInitialised, UnsafeFolder

pytestmark = pytest.mark.web
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")


def test_lock_held_twice_names_the_holder(tmp_path: Path) -> None:
    first, second = place.Lock(tmp_path), place.Lock(tmp_path)
    first.acquire()

    with pytest.raises(AlreadyRunning) as caught:
        second.acquire()
    first.release()
    second.acquire()

    assert caught.value.data["pid"] == str(os.getpid())
    assert second.is_held
    second.release()


def test_settle_twice_gives_the_same_place(open_folder: Path, shared_root: Path) -> None:
    first, _ = place.settle(open_folder, shared_root=shared_root)

    second, _ = place.settle(open_folder, shared_root=shared_root)

    assert second == first == place.read(open_folder)


def test_settle_without_the_identity_file_finds_the_cluster_by_its_folder(open_folder: Path, shared_root: Path) -> None:
    first, _ = place.settle(open_folder, shared_root=shared_root)
    first.identity.unlink()

    second, _ = place.settle(open_folder, shared_root=shared_root)

    assert second == first


@needs_root
def test_settle_without_identity_and_link_target_elsewhere_follows_the_link(tmp_path: Path, shared_root: Path) -> None:
    first, _ = place.settle(tmp_path, shared_root=shared_root)
    first.identity.unlink()

    second, _ = place.settle(tmp_path, shared_root=shared_root)

    assert second == first
    assert second.home.parent == shared_root
    place.forget(second)


@needs_root
def test_settle_refuses_a_link_that_the_account_laid_into_its_home(open_folder: Path, shared_root: Path) -> None:
    settled, _ = place.settle(open_folder, shared_root=shared_root)
    victim = open_folder / "victim"
    victim.mkdir(mode=0o755)
    (settled.home / "log").rmdir()
    (settled.home / "log").symlink_to(victim)

    with pytest.raises(UnsafeFolder):
        place.settle(open_folder, shared_root=shared_root)

    assert (victim.stat().st_uid, victim.stat().st_mode & 0o777) == (0, 0o755)


def test_settle_refuses_a_socket_folder_that_others_may_enter(open_folder: Path, shared_root: Path) -> None:
    settled, _ = place.settle(open_folder, shared_root=shared_root)
    settled.sockets.chmod(0o755)

    with pytest.raises(UnsafeFolder) as caught:
        place.settle(open_folder, shared_root=shared_root)

    assert str(settled.sockets) in caught.value.message


def test_short_socket_folder_that_a_stranger_opened_is_not_used_again(open_folder: Path, shared_root: Path) -> None:
    deep = open_folder / ("d" * 120)
    deep.mkdir()
    first, _ = place.settle(deep, shared_root=shared_root)
    first.sockets.chmod(0o777)

    second, _ = place.settle(deep, shared_root=shared_root)

    assert second.sockets != first.sockets
    assert second.sockets.stat().st_mode & 0o777 == 0o700
    first.sockets.rmdir()
    place.forget(second)
    assert not second.sockets.exists()


def test_folder_with_a_comma_gets_its_socket_elsewhere(open_folder: Path, shared_root: Path) -> None:
    folder = open_folder / "a,b"
    folder.mkdir()

    settled, _ = place.settle(folder, shared_root=shared_root)

    assert "," not in str(settled.sockets)
    place.forget(settled)


def test_read_of_an_empty_folder_says_not_initialised(tmp_path: Path) -> None:
    with pytest.raises(NotInitialised):
        place.read(tmp_path)


@needs_root
def test_orphans_lists_homes_whose_folder_is_gone(tmp_path: Path, shared_root: Path, new_cluster: Callable[..., Any]) -> None:
    kept, _ = place.settle(_folder(tmp_path / "kept"), shared_root=shared_root)
    lost, _ = place.settle(_folder(tmp_path / "lost"), shared_root=shared_root)
    (tmp_path / "lost").rename(tmp_path / "out of sight")

    found = place.orphans(shared_root)

    assert (lost.home, tmp_path / "lost") in found
    assert kept.home not in [home for home, _ in found]
    assert json.loads(lost.record.read_text())["directory"] == str(tmp_path / "lost")
    place.forget(kept)
    place.forget(place.settle(tmp_path / "out of sight", shared_root=shared_root)[0])
    assert place.orphans(shared_root) == []


def _folder(path: Path) -> Path:
    path.mkdir(mode=0o700)
    return path
