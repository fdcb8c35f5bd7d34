"""From server output to coded errors."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from biaojie.foundation.postgres import diagnosis, errors

pytestmark = pytest.mark.web
PLACE, LOG = Path("/srv/node"), Path("/srv/node/log")


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ('FATAL:  could not write lock file "postmaster.pid": No space left on device', errors.DiskFull),
        ('PANIC:  could not write to file "pg_wal/xlogtemp.1": No space left on device', errors.DiskFull),
        ('initdb: error: could not create directory "/x": Permission denied', errors.FolderUnwritable),
        ('FATAL:  could not open file "x": Read-only file system', errors.FolderUnwritable),
        ("initdb: error: could not look up effective user ID 4242: user does not exist", errors.UnknownAccount),
        (
            'FATAL:  lock file "postmaster.pid" already exists\nHINT:  Is another postmaster (PID 77) running?',
            errors.AlreadyRunning,
        ),
        ('LOG:  x\nFATAL:  unrecognized configuration parameter "y"', errors.StartFailed),
        ("", errors.StartFailed),
    ],
)
def test_output_of_a_server_that_gave_up_gives_the_fitting_error(output: str, expected: type[errors.PostgresError]) -> None:
    problem = diagnosis.of_output(output, path=PLACE, log=LOG)

    assert type(problem) is expected
    assert "{" not in problem.message


def test_output_names_the_pid_and_the_reason() -> None:
    running = diagnosis.of_output('FATAL:  lock file "a" already exists\nHINT:  (PID 77) x', path=PLACE, log=LOG)
    failed = diagnosis.of_output("LOG:  a\nFATAL:  the reason", path=PLACE, log=LOG)

    assert running.data["pid"] == "77"
    assert failed.data["reason"] == "the reason"


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, errors.DiskFull),
        (errno.EDQUOT, errors.DiskFull),
        (errno.EACCES, errors.FolderUnwritable),
        (errno.EROFS, errors.FolderUnwritable),
        (errno.ENAMETOOLONG, errors.PathTooLong),
    ],
)
def test_operating_system_error_gives_the_fitting_error(number: int, expected: type[errors.PostgresError]) -> None:
    problem = diagnosis.of_os_error(OSError(number, os.strerror(number), "/srv/x"), path=PLACE)

    assert type(problem) is expected


def test_tail_reads_only_what_came_since(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"old\nnew\n")

    assert diagnosis.tail(tmp_path / "a.log", since=4) == "new\n"
    assert diagnosis.tail(tmp_path / "missing.log") == ""
