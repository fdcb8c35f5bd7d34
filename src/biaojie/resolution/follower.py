"""The reading side of a publication: brings an index to what a folder or URL says, and keeps it there.

`poll` takes the deltas after the index's serial; where they do not lead on (a gap, a new session, an unreadable or wrong
file) it heals itself from the snapshot and says so. It never goes back: a snapshot older than what is already served
is not loaded to get round a damaged delta. It never raises for what the source or its files are like.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from biaojie.base.errors import BiaojieError
from biaojie.resolution import policy
from biaojie.resolution.environment import State
from biaojie.resolution.errors import (
    ContainerError,
    EntryError,
    IndexDamaged,
    PublicationError,
    PublicationGap,
    PublicationMissing,
    ResolutionError,
    SessionMismatch,
)
from biaojie.resolution.index import Index
from biaojie.resolution.publication import DeltaFile, Manifest, decode_manifest
from biaojie.resolution.sources import FolderSource, HttpSource, Source

UNCHANGED = "unchanged"
DELTAS = "deltas"
SNAPSHOT = "snapshot"
WAITING = "waiting"


class FollowReport(msgspec.Struct, frozen=True):
    """What one poll did: `how` (unchanged, deltas, snapshot, waiting), where the index stands, entries that took effect.

    `healed` is the fault that made it fall back to the snapshot; `problem` the one that it could not get round.
    """

    how: str
    session: str
    serial: int
    entries: int = 0
    healed: BiaojieError | None = None
    problem: BiaojieError | None = None


class Follower:
    """Follows one publication into one index; `tally` counts what it met since it was made."""

    def __init__(self, source: Source | Path | str, index: Index, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`source` is a folder, an http(s) URL, or a ready `Source`."""
        if isinstance(source, str) and source.startswith(("http://", "https://")):
            source = HttpSource(source, index.folder / "incoming")
        elif isinstance(source, str | Path):
            source = FolderSource(Path(source))
        self._source: Source = source
        self._index = index
        self._monotonic = monotonic
        self._pause_s = 0.0
        self._not_before = 0.0
        self._manifest: Manifest | None = None
        self.tally = dict.fromkeys(("polls", "deltas", "snapshots", "entries", "healed", "problems"), 0)

    def poll(self) -> FollowReport:
        """Bring the index to the newest the source says, as far as it can be read."""
        self.tally["polls"] += 1
        try:
            self._index.clear_stale_readers()
            changed = self._source.changed_manifest()
            if changed is not None:
                self._manifest, self._pause_s, self._not_before = None, 0.0, 0.0
                self._manifest = decode_manifest(changed)
            report = self._follow()
        except PublicationMissing as error:
            return self._report(WAITING, problem=error)
        except ResolutionError as error:
            report = self._report(WAITING, problem=error)
            if self._manifest is None:
                self._source.forget()
        if report.problem is not None:
            self.tally["problems"] += 1
            self._pause_s = min(max(self._pause_s * 2, policy.RETRY_FIRST_S.value), policy.RETRY_LONGEST_S.value)
            self._not_before = self._monotonic() + self._pause_s
        if report.healed is not None:
            self.tally["healed"] += 1
        self.tally["entries"] += report.entries
        return report

    def close(self) -> None:
        """Release the source."""
        self._source.close()

    def _follow(self) -> FollowReport:
        manifest, held = self._manifest, self._index.state
        if manifest is None:
            return self._report(WAITING)
        if (held.session, held.serial) == (manifest.session, manifest.serial):
            return self._report(UNCHANGED)
        if self._monotonic() < self._not_before:
            return self._report(WAITING)
        if held.session != manifest.session:
            # A first start or a new session: to begin with the snapshot is the ordinary way.
            return self._load(manifest, None)
        chain = manifest.after(held.serial)
        if chain is None:
            first = manifest.deltas[0].from_serial if manifest.deltas else manifest.serial
            return self._load(manifest, PublicationGap(held=held.serial, wanted=first))
        done, fault = self._apply(manifest, chain)
        if fault is None:
            return self._report(DELTAS, entries=done)
        if isinstance(fault, IndexDamaged | SessionMismatch) or manifest.snapshot.serial > self._index.serial:
            return self._load(manifest, fault)
        return self._report(DELTAS if done else WAITING, entries=done, problem=fault)

    def _load(self, manifest: Manifest, healed: ResolutionError | None) -> FollowReport:
        """Start over from the snapshot and go on with the deltas after it."""
        with self._source.entries(manifest, manifest.snapshot) as entries:
            built = self._index.rebuild(entries, session=manifest.session, serial=manifest.snapshot.serial)
        self.tally["snapshots"] += 1
        done, fault = self._apply(manifest, manifest.after(manifest.snapshot.serial) or [])
        return self._report(SNAPSHOT, entries=built.handles + built.others + done, healed=healed, problem=fault)

    def _apply(self, manifest: Manifest, chain: list[DeltaFile]) -> tuple[int, ResolutionError | None]:
        """Apply deltas one by one; gives the entries that took effect and the fault that stopped it."""
        done = 0
        for delta in chain:
            try:
                with self._source.entries(manifest, delta) as entries:
                    done += self._index.apply(entries, session=manifest.session, serial=delta.to_serial)
            except (ContainerError, EntryError, PublicationError, IndexDamaged, SessionMismatch) as error:
                return done, error
            self.tally["deltas"] += 1
        return done, None

    def _report(
        self, how: str, *, entries: int = 0, healed: ResolutionError | None = None, problem: ResolutionError | None = None
    ) -> FollowReport:
        state: State = self._index.state
        return FollowReport(how, state.session, state.serial, entries, healed, problem)
