"""The server's settings as rows: value, first version that knows it, and why.

`TUNED` goes into `postgresql.conf` when the cluster is made, so an operator may change it there or by ALTER SYSTEM.
What must hold at every start (`fixed`) goes on the command line, where nothing in the folder can override it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Option:
    """One setting; `since` is the first major version that knows it."""

    name: str
    value: str
    why: str
    since: int = 15


# Sized for two cores and 2 GB shared with the node's own processes.
TUNED = (
    Option("max_connections", "200", "several nodes of a demo chain share one cluster"),
    Option("shared_buffers", "64MB", "the page cache of the system does the rest"),
    Option("effective_cache_size", "512MB", "planner's view of that page cache"),
    Option("work_mem", "4MB", "times connections: stays within the machine"),
    Option("maintenance_work_mem", "64MB", "index builds of a restored deposit"),
    Option("max_wal_size", "512MB", "bounds both disk use and crash recovery"),
    Option("min_wal_size", "80MB", "recycled segments kept"),
    Option("wal_compression", "pglz", "full-page images are most of the log; the only method every build has"),
    Option("random_page_cost", "1.1", "solid-state disks"),
    Option("huge_pages", "off", "64 MB do not need them; saves a failing attempt at start"),
    Option("jit", "off", "short queries only; the wheel has no LLVM"),
    Option("max_worker_processes", "6", "two cores"),
    Option("max_parallel_workers", "2", "two cores"),
    Option("max_parallel_workers_per_gather", "1", "leave one core to the resolver"),
    Option("io_workers", "1", "two cores", since=18),
    Option("autovacuum", "on", "the journal and the jobs table churn"),
    Option("autovacuum_max_workers", "2", "two cores"),
    Option("timezone", "UTC", "time is UTC inside"),
    Option("log_timezone", "Asia/Shanghai", "read by people"),
    Option("log_min_duration_statement", "2s", "slow queries leave a trace"),
    Option("log_line_prefix", "%m [%p] %q%u@%d ", "who, where, when"),
    Option("idle_in_transaction_session_timeout", "15min", "a forgotten transaction must not stop vacuum for ever"),
)


def tuned(major: int) -> dict[str, str]:
    """Settings written once, into the new cluster."""
    return {row.name: row.value for row in TUNED if row.since <= major}


def fixed(*, tag: str, sockets: Path) -> dict[str, str]:
    """Settings of every start: a private socket, no network, a log of seven daily files that overwrite each other."""
    return {
        "cluster_name": tag,  # shows in process titles, by which a launcher knows its own again
        "listen_addresses": "",
        "port": "5432",  # only names the socket file
        "unix_socket_directories": '"' + str(sockets).replace('"', '""') + '"',
        "unix_socket_permissions": "0700",
        "update_process_title": "on",
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "restart_after_crash": "on",
        "recovery_init_sync_method": "syncfs",  # one call a file system instead of an fsync for each of thousands of files
        "logging_collector": "on",
        "log_destination": "stderr",
        "log_directory": "../log",  # beside the data, also after the folder has moved
        "log_filename": "postgresql-%a.log",
        "log_rotation_age": "1d",
        "log_rotation_size": "0",
        "log_truncate_on_rotation": "on",
        "lc_messages": "C",  # `diagnosis` reads English
    }


def arguments(options: Mapping[str, str]) -> list[str]:
    """As `postgres` takes them on its command line."""
    return [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
