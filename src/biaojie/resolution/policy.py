"""The numbers this package obeys, each with its unit and its reason; code reads them from here and nowhere else."""

from __future__ import annotations

from typing import Final, NamedTuple


class Row(NamedTuple):
    """One number: what it is, in which unit, and why it is so."""

    value: int
    unit: str
    reason: str


# Container
HEADER_OCTETS_MAX: Final = Row(65_536, "octets", "a header is a few hundred octets; refuse before allocating")
RECORD_OCTETS_MAX: Final = Row(
    4 << 20, "octets", "an entry's values must fit a message of 262,144 octets; a deposit row is larger"
)
CHUNK_OCTETS: Final = Row(256 << 10, "octets", "what is compressed, hashed or read in one step")
ZSTD_LEVEL: Final = Row(3, "level", "ratio near 6 on registry data at disk speed")
ZSTD_WINDOW_MAX: Final = Row(8 << 20, "octets", "a file may not make its reader allocate more than this")

# Publication
DELTAS_MAX: Final = Row(512, "deltas", "a follower opens each file; and the manifest stays near 100 kB")
DELTA_OCTETS_FLOOR: Final = Row(1 << 20, "octets", "below this a new snapshot saves nothing")
DELTA_SHARE_PERCENT: Final = Row(50, "% of the snapshot", "beyond half, loading the snapshot anew is the shorter way")
DELTAS_KEPT: Final = Row(64, "deltas", "deltas older than the snapshot that a follower a little behind may still take")
UNREFERENCED_GRACE_S: Final = Row(600, "seconds", "a follower or an HTTP cache may still be fetching what the manifest dropped")
MANIFEST_OCTETS_MAX: Final = Row(4 << 20, "octets", "a manifest names at most some hundred files")

# Follower
HTTP_TIMEOUT_S: Final = Row(10, "seconds", "without a single octet for this long a source counts as away")
RETRY_FIRST_S: Final = Row(1, "seconds", "first pause after a snapshot could not be loaded; doubles each time")
RETRY_LONGEST_S: Final = Row(60, "seconds", "longest pause between attempts to load a snapshot")

# Index
MAP_OCTETS: Final = Row(8 << 30, "octets", "address space, not memory: some 20 M identifiers before the map must grow")
MAP_FULL_PERCENT: Final = Row(80, "%", "a map fuller than this is doubled before the next delta, not in its midst")
READERS_MAX: Final = Row(1024, "readers", "threads and processes reading one index on one host")
KEY_OCTETS_MAX: Final = Row(480, "octets", "LMDB takes 511; longer keys are cut and digested")
KEY_OCTETS_KEPT: Final = Row(448, "octets", "what stays readable of a longer key, before its 32-octet digest")
RUN_RECORDS: Final = Row(100_000, "records", "sorted in memory at a time while an index is built; two runs are held at once")
RUN_OCTETS: Final = Row(64 << 20, "octets", "memory for one sorted run, whichever of both is reached first")
SWAP_CHECK_MS: Final = Row(100, "milliseconds", "how often a reader looks whether another generation is live")
GROW_WAIT_MS: Final = Row(2_000, "milliseconds", "how long growth waits for this process's readers to pause")

# Authority
EXPIRATION_S: Final = Row(43_200, "seconds", "the reference's default life of a reply, 12 h")
REFERRAL_VERSION_MINOR: Final = Row(10, "minor version", "clients before 2.10 do not understand a prefix referral")

ANCESTORS_MAX: Final = Row(16, "arcs", "how far up a prefix's ancestors are looked for; real prefixes have three or four arcs")
OVERLONG_OCTETS: Final = Row(
    250_000, "octets", "longer lists may not fit a message (262,144) beside the handle and are looked at twice"
)

# Counters
SOURCES_MAX: Final = Row(20_000, "addresses per owner and spool file", "forged source addresses must not eat the memory")
