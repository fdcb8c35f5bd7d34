"""From what the server printed to an error that says what to do."""

from __future__ import annotations

import errno
import re
from pathlib import Path

from biaojie.foundation.postgres.errors import (
    AlreadyRunning,
    DiskFull,
    FolderUnwritable,
    PathTooLong,
    PostgresError,
    StartFailed,
    UnknownAccount,
)

_TAIL_OCTETS = 8000
_FAULT = re.compile(r"(?:FATAL|PANIC|ERROR|error):\s+(.*)")


def of_output(output: str, *, path: Path, log: Path) -> PostgresError:
    """The coded error for a server or `initdb` that gave up, judged by its output (locale C)."""
    faults = [found.group(1).strip() for found in _FAULT.finditer(output)]
    reason = faults[-1] if faults else (output.strip().splitlines() or ["没有输出"])[-1]
    everything = "\n".join(faults) or output
    if "No space left on device" in everything or "Disk quota exceeded" in everything:
        return DiskFull(path=str(path), reason=reason)
    if "Read-only file system" in everything or "Permission denied" in everything:
        return FolderUnwritable(path=str(path), reason=reason)
    if re.search(r'lock file "[^"]*" already exists', everything):
        holder = re.search(r"\(PID (\d+)\)", output)
        return AlreadyRunning(path=str(path), pid=holder.group(1) if holder else "?")
    if found := re.search(r"could not look up effective user ID (\d+)", everything):
        return UnknownAccount(uid=found.group(1))
    return StartFailed(reason=reason, log=str(log))


def of_os_error(problem: OSError, *, path: Path) -> PostgresError:
    """The coded error for a folder operation that failed."""
    where, reason = str(problem.filename or path), problem.strerror or str(problem)
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(path=where, reason=reason)
    if problem.errno == errno.ENAMETOOLONG:
        return PathTooLong(length=len(str(path).encode()), limit=255)
    return FolderUnwritable(path=where, reason=reason)


def tail(file: Path, *, since: int = 0) -> str:
    """The last lines of a log, none from before octet `since`; nothing where it is missing or unreadable."""
    try:
        return file.read_bytes()[since:][-_TAIL_OCTETS:].decode("utf-8", "replace")
    except OSError:
        return ""


def newest_log(folder: Path) -> Path:
    """The file the server's own log last went to (or would go to)."""
    try:
        return max(folder.glob("*.log"), key=lambda file: file.stat().st_mtime)
    except (ValueError, OSError):
        return folder / "postgresql.log"
