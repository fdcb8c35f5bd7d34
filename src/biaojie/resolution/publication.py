"""The writing side of a publication: one folder of immutable files and a manifest that is replaced last.

    manifest.json  {"form", "node", "session", "serial", "snapshot": {…}, "deltas": [{"from", "to", …}…], "created"}

Deltas run without a hole up to `serial`; the first begins at the snapshot's serial or a little before it, so that a
follower slightly behind need not load a new snapshot. A file is synced, named by its content and its folder synced
before the manifest speaks of it: ended at any moment, the folder is consistent. What no manifest names any more stays
for a time of grace (followers, HTTP caches), then goes; half-written files of an ended writer go at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from biaojie.base import clock
from biaojie.resolution import policy
from biaojie.resolution.container import ContainerHeader, sync_folder, write_container
from biaojie.resolution.entries import Entry, check_entry, encode_entry
from biaojie.resolution.errors import FileMismatch, ManifestInvalid, PublicationGap, PublicationMissing, WriterBusy

FORM: Final = "biaojie-publication/1"
MANIFEST: Final = "manifest.json"
SNAPSHOT: Final = "snapshot"
DELTA: Final = "delta"
_FILE_NAME: Final = re.compile(r"(?:snapshot|delta)-[0-9A-Za-z-]{1,100}\.bjp", re.ASCII)
_LOCK: Final = ".writer.lock"


class SnapshotFile(msgspec.Struct, frozen=True):
    """The whole state at one serial."""

    serial: int
    file: str
    size: int
    sha256: str
    entries: int


class DeltaFile(msgspec.Struct, frozen=True, rename={"from_serial": "from", "to_serial": "to"}):
    """What changed after `from_serial` up to and with `to_serial`."""

    from_serial: int
    to_serial: int
    file: str
    size: int
    sha256: str
    entries: int


class Manifest(msgspec.Struct, frozen=True):
    """The publication as it stands: where it is (session, serial) and the files that lead there."""

    form: str
    node: str
    session: str
    serial: int
    snapshot: SnapshotFile
    deltas: list[DeltaFile]
    created: str

    def after(self, serial: int) -> list[DeltaFile] | None:
        """The deltas that lead from `serial` to the newest, oldest first; None when no unbroken chain begins there."""
        if serial == self.serial:
            return []
        for number, delta in enumerate(self.deltas):
            if delta.from_serial == serial:
                return self.deltas[number:]
        return None

    def files(self) -> list[SnapshotFile | DeltaFile]:
        """Every file the manifest names."""
        return [self.snapshot, *self.deltas]


_decoder: Final = msgspec.json.Decoder(Manifest)


def decode_manifest(data: bytes) -> Manifest:
    """The manifest in these octets; raises `ManifestInvalid` on a wrong form, an unsafe file name or a hole."""
    if len(data) > policy.MANIFEST_OCTETS_MAX.value:
        raise ManifestInvalid(reason="清单过长")
    try:
        manifest = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestInvalid(reason=str(error)) from None
    if manifest.form != FORM:
        raise ManifestInvalid(reason=f"不认识的格式 {manifest.form[:40]}")
    for row in manifest.files():
        if not _FILE_NAME.fullmatch(row.file):
            raise ManifestInvalid(reason="文件名不正确")
    serial = manifest.deltas[0].from_serial if manifest.deltas else manifest.serial
    for delta in manifest.deltas:
        if delta.from_serial != serial or delta.to_serial <= serial:
            raise ManifestInvalid(reason=f"增量在序号 {serial} 处不连续")
        serial = delta.to_serial
    if serial != manifest.serial or manifest.after(manifest.snapshot.serial) is None:
        raise ManifestInvalid(reason="增量未从快照连到最新序号")
    return manifest


class PublicationWriter:
    """Writes one node's publication into a folder; only one process at a time may (`WriterBusy`).

    Every verb returns the manifest it left behind. Entries are checked before they are published (`EntryInvalid`: then
    nothing changed). Opening removes what an ended writer left half done.
    """

    def __init__(self, folder: Path | str, *, node: str) -> None:
        self.folder = Path(folder)
        self.node = node
        self.folder.mkdir(parents=True, exist_ok=True)
        # A writer at work elsewhere is not an error before we want to write ourselves.
        with contextlib.suppress(WriterBusy), self._alone():
            for leftover in self.folder.glob("*.part"):
                leftover.unlink(missing_ok=True)
            self._clean()

    def manifest(self) -> Manifest | None:
        """The manifest in the folder, None before the first `start`; raises `ManifestInvalid`."""
        try:
            return decode_manifest((self.folder / MANIFEST).read_bytes())
        except FileNotFoundError:
            return None

    def start(self, entries: Iterable[Entry], serial: int) -> Manifest:
        """Begin a new session with a snapshot of `entries` at `serial`: every follower starts over from it."""
        with self._alone():
            session = secrets.token_hex(16)
            return self._publish(session, serial, self._snapshot(session, entries, serial), [])

    def append(self, entries: Iterable[Entry], *, from_serial: int, to_serial: int) -> Manifest:
        """Add what changed from one serial to the next. Serials already published are left alone (a repeat is harmless).

        Raises `PublicationGap` when `from_serial` is not where the publication stands, `PublicationMissing` before `start`.
        """
        with self._alone():
            held = self._held()
            if to_serial <= held.serial:
                return held
            if from_serial != held.serial:
                raise PublicationGap(held=held.serial, wanted=from_serial)
            header = self._header(DELTA, held.session, from_serial, to_serial)
            name, size, sha256, count = self._write(header, entries)
            delta = DeltaFile(from_serial, to_serial, name, size, sha256, count)
            return self._publish(held.session, to_serial, held.snapshot, [*held.deltas, delta])

    def snapshot(self, entries: Iterable[Entry], serial: int) -> Manifest:
        """Replace the snapshot within the session; a serial before the published one raises `PublicationGap`.

        Of the deltas that lead to `serial` the newest few stay; a serial beyond the published one keeps none.
        """
        with self._alone():
            held = self._held()
            if serial < held.serial:
                raise PublicationGap(held=held.serial, wanted=serial)
            kept = held.deltas[-policy.DELTAS_KEPT.value :] if serial == held.serial else []
            return self._publish(held.session, serial, self._snapshot(held.session, entries, serial), kept)

    def needs_snapshot(self) -> bool:
        """Whether a new snapshot is due: none usable, a file missing or cut short, or too much in deltas since the last."""
        try:
            manifest = self.manifest()
        except ManifestInvalid:
            return True
        if manifest is None:
            return True
        for row in manifest.files():
            try:
                if (self.folder / row.file).stat().st_size != row.size:
                    return True
            except FileNotFoundError:
                return True
        since = manifest.after(manifest.snapshot.serial) or []
        octets = sum(delta.size for delta in since)
        share = manifest.snapshot.size * policy.DELTA_SHARE_PERCENT.value // 100
        return len(since) > policy.DELTAS_MAX.value or octets > max(policy.DELTA_OCTETS_FLOOR.value, share)

    def verify(self) -> Manifest:
        """Read every file the manifest names and compare size and SHA-256; raises `FileMismatch` naming the first wrong one."""
        manifest = self._held()
        for row in manifest.files():
            digest = hashlib.sha256()
            try:
                with (self.folder / row.file).open("rb") as stream:
                    while chunk := stream.read(policy.CHUNK_OCTETS.value):
                        digest.update(chunk)
            except FileNotFoundError:
                raise FileMismatch(file=row.file, reason="文件不存在") from None
            if digest.hexdigest() != row.sha256:
                raise FileMismatch(file=row.file, reason="摘要不符")
        return manifest

    def _held(self) -> Manifest:
        manifest = self.manifest()
        if manifest is None:
            raise PublicationMissing(place=self.folder)
        return manifest

    def _header(self, form: str, session: str, from_serial: int, to_serial: int) -> ContainerHeader:
        return ContainerHeader(form, self.node, session, from_serial, to_serial, clock.now().isoformat(timespec="seconds"))

    def _snapshot(self, session: str, entries: Iterable[Entry], serial: int) -> SnapshotFile:
        name, size, sha256, count = self._write(self._header(SNAPSHOT, session, serial, serial), entries)
        return SnapshotFile(serial, name, size, sha256, count)

    def _write(self, header: ContainerHeader, entries: Iterable[Entry]) -> tuple[str, int, str, int]:
        """Write, sync and name one file; its name carries its digest, so that no cache can mix two of one serial."""
        part = self.folder / f"{header.form}-{secrets.token_hex(8)}.part"
        try:
            with part.open("wb") as stream:
                sealed = write_container(stream, header, _checked(entries))
                stream.flush()
                os.fsync(stream.fileno())
            serials = f"{header.to_serial}" if header.form == SNAPSHOT else f"{header.from_serial}-{header.to_serial}"
            name = f"{header.form}-{serials}-{sealed.sha256[:16]}.bjp"
            part.rename(self.folder / name)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        sync_folder(self.folder)
        return name, sealed.size, sealed.sha256, sealed.entries

    def _publish(self, session: str, serial: int, snapshot: SnapshotFile, deltas: list[DeltaFile]) -> Manifest:
        created = clock.now().isoformat(timespec="seconds")
        manifest = Manifest(FORM, self.node, session, serial, snapshot, deltas, created)
        part = self.folder / f"manifest-{secrets.token_hex(8)}.part"
        with part.open("wb") as stream:
            stream.write(msgspec.json.encode(manifest))
            stream.flush()
            os.fsync(stream.fileno())
        part.rename(self.folder / MANIFEST)
        sync_folder(self.folder)
        self._clean()
        return manifest

    def _clean(self) -> None:
        """Remove files no manifest names once their grace is over; grace starts when they are first seen unnamed."""
        with contextlib.suppress(ManifestInvalid):
            manifest = self.manifest()
            named = {row.file for row in manifest.files()} if manifest else set()
            dropped = {path.name for path in self.folder.glob("*.bjp")} - named
            marks = {path.name.removesuffix(".dropped") for path in self.folder.glob("*.dropped")}
            for name in dropped - marks:
                (self.folder / f"{name}.dropped").touch()
            for name in marks:
                mark = self.folder / f"{name}.dropped"
                if name not in dropped:
                    mark.unlink(missing_ok=True)
                elif _age_s(mark) > policy.UNREFERENCED_GRACE_S.value:
                    (self.folder / name).unlink(missing_ok=True)
                    mark.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with (self.folder / _LOCK).open("ab") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise WriterBusy(folder=self.folder) from None
            yield


def _checked(entries: Iterable[Entry]) -> Iterator[bytes]:
    for entry in entries:
        check_entry(entry)
        yield encode_entry(entry)


def _age_s(path: Path) -> float:
    # Files live on the machine's time, whatever the product's clock is told to say.
    return time.time() - path.stat().st_mtime
