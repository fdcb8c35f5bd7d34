"""Where the cluster of a folder DIR lives, who holds it, and how a moved or copied DIR is recognised.

In DIR: `pg` (the home itself, or a link to it), `pg.json` (identity), `pg.lock` (held by the running launcher, names its
pid), `pg-start.log` (what the server said before its own log opened). The home (0700, the server account's) holds
`data`, `log` and `s` (the socket). Root's home for a path that is closed to the account is `<shared root>/<id>`, with
`<id>.json` beside it naming DIR. Root writes nothing inside a home: its owner could have laid links there.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import stat
import tempfile
import time
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from biaojie.foundation.postgres.account import Account, server_account
from biaojie.foundation.postgres.binaries import ensure_shared_root
from biaojie.foundation.postgres.errors import (
    AlreadyRunning,
    ClusterLost,
    CopiedFolder,
    NotInitialised,
    PathTooLong,
    UnsafeFolder,
)

FORM = "biaojie-cluster/1"
SOCKET_NAME = ".s.PGSQL.5432"
SOCKET_PATH_LIMIT = 107  # sockaddr_un.sun_path is 108 octets with its closing NUL
DATA_PATH_LIMIT = 900  # PostgreSQL's MAXPGPATH is 1024 and it appends file names


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The folders of one cluster, all absolute with symlinks resolved."""

    directory: Path
    id: str
    home: Path
    sockets: Path

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def link(self) -> Path:
        return self.directory / "pg"

    @property
    def identity(self) -> Path:
        return self.directory / "pg.json"

    @property
    def is_inside(self) -> bool:
        """Whether the home is a folder of DIR and so moves with it."""
        return self.home == self.link

    @property
    def record(self) -> Path:
        """The note beside a home outside DIR that names DIR."""
        return self.home.parent / f"{self.id}.json"

    def save(self) -> None:
        """Write the identity, atomically."""
        home = "pg" if self.is_inside else str(self.home)
        sockets = "pg/s" if self.sockets == self.link / "s" else str(self.sockets)
        _write_json(self.identity, {"form": FORM, "id": self.id, "home": home, "sockets": sockets})


class Lock:
    """The hold of one launcher on DIR: released when it lets go or dies, whatever kills it."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "pg.lock"
        self._descriptor: int | None = None

    @property
    def is_held(self) -> bool:
        return self._descriptor is not None

    def acquire(self) -> None:
        """Raises AlreadyRunning, naming the holder's pid."""
        if self._descriptor is not None:
            return
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = _holder(descriptor)
            os.close(descriptor)
            raise AlreadyRunning(path=str(self._path.parent), pid=pid) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def read(directory: Path) -> Place:
    """The place that DIR's identity names. Raises NotInitialised, PermissionError."""
    directory = directory.resolve()
    try:
        fields = json.loads((directory / "pg.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise NotInitialised(path=str(directory)) from None
    home, sockets = directory / fields["home"], directory / fields["sockets"]  # an absolute part replaces DIR
    return Place(directory=directory, id=fields["id"], home=home, sockets=sockets)


def settle(directory: Path, *, shared_root: Path) -> tuple[Place, Account]:
    """Find or choose DIR's place and make its folders; call with DIR's lock held.

    Raises CopiedFolder, ClusterLost, ForeignOwner, NoServerAccount, PathTooLong, UnsafeFolder, OSError.
    """
    directory = directory.resolve()
    length = len(os.fsencode(directory / "pg" / "data"))
    if length > DATA_PATH_LIMIT:
        raise PathTooLong(length=length, limit=DATA_PATH_LIMIT)
    place = _known(directory)
    if place is None:
        place = _choose(directory, shared_root)
        account = server_account(place.home)
    else:
        account = server_account(place.home)
        place = _follow(place, account, shared_root)
    for folder in (place.home, place.home / "log"):
        _make_own(folder, account)
    if not place.is_inside:
        _relink(place)
    place = _with_sockets(place, account)
    place.save()
    return place, account


def forget(place: Place) -> None:
    """Remove the cluster with all its data, and every trace of it in DIR but the lock."""
    shutil.rmtree(place.home, ignore_errors=True)
    if not place.is_inside:
        place.record.unlink(missing_ok=True)
        if place.link.is_symlink():
            place.link.unlink()
    if place.home not in place.sockets.parents:
        shutil.rmtree(place.sockets, ignore_errors=True)
    place.identity.unlink(missing_ok=True)
    (place.directory / "pg-start.log").unlink(missing_ok=True)


def _known(directory: Path) -> Place | None:
    """The place recorded in DIR, or told by its `pg` where only the record was lost."""
    try:
        return read(directory)
    except NotInitialised:
        pass
    link = directory / "pg"
    if link.is_symlink() and link.exists():
        home = link.resolve()
        return Place(directory=directory, id=home.name, home=home, sockets=home / "s")
    if link.is_dir():
        return Place(directory=directory, id=_digest(directory), home=link, sockets=link / "s")
    return None


def _choose(directory: Path, shared_root: Path) -> Place:
    """A new place: in DIR, unless root's chosen account cannot step down to it."""
    link, account = directory / "pg", server_account()
    if link.is_symlink():  # a dangling link of a cluster that is gone
        link.unlink()
    if account.reaches(directory):
        return Place(directory=directory, id=_digest(directory), home=link, sockets=link / "s")
    return _outside(directory, shared_root, account)


def _outside(directory: Path, shared_root: Path, account: Account) -> Place:
    ensure_shared_root(shared_root)
    for attempt in count(1):  # the same path may have held another DIR, since moved or deleted, whose data we leave alone
        identifier = _digest(directory) + (f"-{attempt}" if attempt > 1 else "")
        home = shared_root.resolve() / identifier
        try:
            home.mkdir(mode=0o700)
            break
        except FileExistsError:
            continue
    account.own(home)
    place = Place(directory=directory, id=identifier, home=home, sockets=home / "s")
    _write_json(place.record, {"form": FORM, "directory": str(directory)})
    return place


def _follow(place: Place, account: Account, shared_root: Path) -> Place:
    """Take a known place over: DIR may have moved, been copied, lost its cluster, or had its path closed since."""
    if place.is_inside:
        if account.reaches(place.directory):
            return place
        outside = _outside(place.directory, shared_root, account)
        if place.home.exists():
            _move_home(place.home, outside.home, account)
        return outside
    if not place.home.is_dir():
        raise ClusterLost(path=str(place.directory), home=str(place.home))
    try:
        original = Path(json.loads(place.record.read_text(encoding="utf-8"))["directory"])
    except FileNotFoundError:
        original = place.directory
    if original != place.directory and _is_other_holder(original, place):
        raise CopiedFolder(path=str(place.directory), original=str(original))
    _write_json(place.record, {"form": FORM, "directory": str(place.directory)})
    return place


def orphans(shared_root: Path) -> list[tuple[Path, Path]]:
    """Homes outside whose DIR is gone or has another cluster by now, each with that DIR: for an operator to look at."""
    found = []
    for record in sorted(shared_root.glob("*.json")):
        home, directory = record.with_suffix(""), Path(json.loads(record.read_text(encoding="utf-8"))["directory"])
        try:
            is_in_use = read(directory).home == home.resolve()
        except (NotInitialised, OSError):
            is_in_use = False
        if home.is_dir() and not is_in_use:
            found.append((home, directory))
    return found


def _holder(descriptor: int) -> str:
    """The pid in a lock file; its holder may have taken it this very moment and be about to write it."""
    for _ in range(50):
        pid = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        if pid:
            return pid
        time.sleep(0.01)
    return "?"


def _is_other_holder(original: Path, place: Place) -> bool:
    try:
        there = read(original)
        return there.id == place.id and not there.identity.samefile(place.identity)
    except (NotInitialised, OSError):
        return False


def _move_home(source: Path, target: Path, account: Account) -> None:
    """Move a home out of DIR; across file systems by a copy that is complete before the source goes."""
    try:
        target.rmdir()
        source.rename(target)
        return
    except OSError as problem:
        if problem.errno != errno.EXDEV:
            raise
    aside = target.with_name(f"{target.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(source, aside, symlinks=True, ignore=lambda _, names: [n for n in names if n.startswith(SOCKET_NAME)])
    for parent, folders, files in os.walk(aside):
        for name in (".", *folders, *files):
            os.chown(Path(parent, name), account.uid, account.gid, follow_symlinks=False)
    os.sync()
    aside.rename(target)
    shutil.rmtree(source)


def _relink(place: Place) -> None:
    if place.link.is_symlink():
        if place.link.resolve() == place.home:
            return
        place.link.unlink()
    place.link.symlink_to(place.home)


def _with_sockets(place: Place, account: Account) -> Place:
    """A private folder whose socket path fits; far from DIR when DIR is long (the choice is kept in the identity)."""
    near = place.home / "s"
    # A comma in `host` separates hosts for libpq.
    if len(os.fsencode(near / SOCKET_NAME)) <= SOCKET_PATH_LIMIT and "," not in str(near):
        _make_own(near, account)
        return replace(place, sockets=near)
    far = place.sockets
    if far == near or not _is_private(far, account):
        far = Path(tempfile.mkdtemp(prefix="biaojie-pg-", dir="/tmp"))
        account.own(far)
    return replace(place, sockets=far)


def _is_private(folder: Path, account: Account) -> bool:
    """Whether the folder is there and nobody but the account can have touched it (/tmp is everybody's)."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == account.uid and stat.S_IMODE(found.st_mode) == 0o700


def _make_own(folder: Path, account: Account) -> None:
    """Make the folder private to the account, or make sure that it is; never through a link, never changing what is there."""
    try:
        folder.mkdir(mode=0o700)
        is_new = True
    except FileExistsError:
        is_new = False
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as problem:
        if problem.errno in (errno.ELOOP, errno.ENOTDIR):
            raise UnsafeFolder(path=str(folder), reason="不是文件夹") from None
        raise
    try:
        if is_new:
            os.fchmod(descriptor, 0o700)
            if account.is_other:
                os.fchown(descriptor, account.uid, account.gid)
        found = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if found.st_uid != account.uid or found.st_mode & 0o077:
        raise UnsafeFolder(path=str(folder), reason=f"应仅属于 {account.name}（0700）")


def _digest(directory: Path) -> str:
    return hashlib.sha256(os.fsencode(directory)).hexdigest()[:12]


def _write_json(path: Path, fields: dict[str, str]) -> None:
    """Replace `path` atomically (0600)."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(fields, file, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
