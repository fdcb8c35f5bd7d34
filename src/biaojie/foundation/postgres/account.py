"""Who runs the server: the caller, or, when the caller is root, an unprivileged account that already exists.

PostgreSQL refuses to run as root, and `initdb` refuses a uid without a passwd entry. Accounts are chosen, never created,
and no folder that is not ours ever gets another mode: a closed path is answered by moving the cluster (see `place`).
"""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biaojie.foundation.postgres.errors import ForeignOwner, NoServerAccount

PREFERRED_NAMES = ("postgres", "nobody")  # most fitting first


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account of the operating system; `is_other` says that the caller (root) must change to it."""

    uid: int
    gid: int
    name: str
    is_other: bool

    def popen_identity(self) -> dict[str, Any]:
        """The `subprocess` keywords that make a child run as this account and nothing more."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.is_other else {}

    def own(self, path: Path) -> None:
        """Give a folder that we have just made to this account, and to it alone (0700)."""
        path.chmod(0o700)
        if self.is_other:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def reaches(self, path: Path) -> bool:
        """Whether this account may step down to `path` (absolute, symlinks resolved), judged by mode bits.

        Access lists are not read: where they matter, running the program is the proof (`binaries`).
        """
        if not self.is_other:
            return True
        return all(self._may(folder, stat.S_IXUSR) for folder in (path, *path.parents))

    def may_read(self, path: Path) -> bool:
        """Whether this account may read the file or folder itself, judged by mode bits."""
        return not self.is_other or self._may(path, stat.S_IRUSR)

    def _may(self, path: Path, owner_bit: int) -> bool:
        try:
            found = path.stat()
        except OSError:
            return False
        if found.st_uid == self.uid:
            return bool(found.st_mode & owner_bit)
        if found.st_gid == self.gid:
            return bool(found.st_mode & (owner_bit >> 3))
        return bool(found.st_mode & (owner_bit >> 6))


def server_account(home: Path | None = None) -> Account:
    """The account for the cluster in `home`: its owner where the folder exists, else the best there is.

    Raises ForeignOwner when the caller may not act for the owner, NoServerAccount when root finds nobody to be.
    """
    me = os.geteuid()
    owner = _owner(home)
    if me != 0:
        if owner is not None and owner != me:
            raise ForeignOwner(path=str(home), owner=_name(owner), user=_name(me))
        return Account(uid=me, gid=os.getegid(), name=_name(me), is_other=False)
    if owner == 0:
        raise ForeignOwner(path=str(home), owner="root", user="root")
    if owner is not None:
        return Account(uid=owner, gid=_primary_group(owner), name=_name(owner), is_other=True)
    for name in PREFERRED_NAMES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(uid=entry.pw_uid, gid=entry.pw_gid, name=name, is_other=True)
    raise NoServerAccount()


def _owner(home: Path | None) -> int | None:
    if home is None:
        return None
    try:
        return home.stat().st_uid
    except FileNotFoundError:
        return None


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _primary_group(uid: int) -> int:
    try:
        return pwd.getpwuid(uid).pw_gid
    except KeyError:
        return uid
