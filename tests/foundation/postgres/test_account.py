"""Who runs the server."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

import pytest

from biaojie.foundation.postgres.account import PREFERRED_NAMES, Account, server_account
from biaojie.foundation.postgres.errors import ForeignOwner

pytestmark = pytest.mark.web
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
NOBODY = Account(uid=65534, gid=65534, name="nobody", is_other=True)


@needs_root
def test_server_account_of_root_exists_and_is_not_root() -> None:
    account = server_account()

    assert account.name in PREFERRED_NAMES
    assert pwd.getpwuid(account.uid).pw_name == account.name
    assert account.uid != 0
    assert account.is_other


@needs_root
def test_server_account_of_root_for_an_existing_home_is_its_owner(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)

    assert server_account(tmp_path).uid == 65534


@needs_root
def test_server_account_for_a_home_of_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ForeignOwner):
        server_account(tmp_path)


@needs_root
@pytest.mark.parametrize(
    ("mode", "owner", "group"),
    [(0o700, 0, 0), (0o711, 0, 0), (0o710, 0, 65534), (0o701, 0, 65534), (0o600, 65534, 0), (0o100, 65534, 0), (0o755, 0, 0)],
)
def test_reaches_agrees_with_the_kernel(open_folder: Path, mode: int, owner: int, group: int) -> None:
    folder = open_folder / "f"
    inner = folder / "inner"
    inner.mkdir(parents=True)
    os.chown(folder, owner, group)
    folder.chmod(mode)
    step = ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(inner)]

    kernel = subprocess.run(step, capture_output=True, cwd="/", **NOBODY.popen_identity()).returncode == 0

    assert NOBODY.reaches(inner) == kernel


def test_own_account_reaches_everything_it_was_given() -> None:
    me = Account(uid=os.geteuid(), gid=os.getegid(), name="me", is_other=False)

    assert me.reaches(Path("/"))
    assert me.popen_identity() == {}
