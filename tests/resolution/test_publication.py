from __future__ import annotations

import fcntl
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biaojie.resolution import policy
from biaojie.resolution.container import ContainerReader
from biaojie.resolution.entries import Entry, decode_entry
from biaojie.resolution.errors import (
    EntryInvalid,
    FileMismatch,
    ManifestInvalid,
    PublicationGap,
    PublicationMissing,
    WriterBusy,
)
from biaojie.resolution.publication import FORM, DeltaFile, Manifest, PublicationWriter, SnapshotFile, decode_manifest

MakeItem = Callable[..., Entry]


@pytest.fixture
def writer(tmp_path: Path) -> PublicationWriter:
    return PublicationWriter(tmp_path / "publication", node="second-88.100")


def entries_in(writer: PublicationWriter, file: str) -> list[Entry]:
    with (writer.folder / file).open("rb") as stream:
        return [decode_entry(record) for record in ContainerReader(stream)]


class TestWriting:
    def test_manifest_before_start_is_none_and_a_snapshot_is_needed(self, writer: PublicationWriter, make_item: MakeItem) -> None:
        assert writer.manifest() is None
        assert writer.needs_snapshot()
        with pytest.raises(PublicationMissing):
            writer.append([make_item("88.100/1")], from_serial=0, to_serial=1)

    def test_start_and_append_leave_a_chain_of_files(self, writer: PublicationWriter, make_item: MakeItem) -> None:
        one, two, three = (make_item(f"88.100.1/{number}") for number in (1, 2, 3))

        writer.start([one], 5)
        writer.append([two], from_serial=5, to_serial=6)
        manifest = writer.append(iter([three]), from_serial=6, to_serial=9)

        assert manifest == writer.manifest() == writer.verify()
        assert (manifest.node, manifest.serial, manifest.snapshot.serial) == ("second-88.100", 9, 5)
        assert entries_in(writer, manifest.snapshot.file) == [one]
        assert [(d.from_serial, d.to_serial, entries_in(writer, d.file)) for d in manifest.deltas] == [
            (5, 6, [two]),
            (6, 9, [three]),
        ]
        assert not writer.needs_snapshot()

    def test_append_again_of_published_serials_changes_nothing(self, writer: PublicationWriter, make_item: MakeItem) -> None:
        writer.start([], 0)
        manifest = writer.append([make_item("88.100.1/1")], from_serial=0, to_serial=3)

        again = writer.append([make_item("88.100.1/1")], from_serial=0, to_serial=3)

        assert again == manifest == writer.manifest()

    def test_append_beyond_a_hole_is_refused(self, writer: PublicationWriter, make_item: MakeItem) -> None:
        writer.start([], 3)

        with pytest.raises(PublicationGap):
            writer.append([make_item("88.100.1/1")], from_serial=4, to_serial=5)

    def test_append_of_a_wrong_entry_changes_nothing(self, writer: PublicationWriter) -> None:
        before = writer.start([], 3)

        with pytest.raises(EntryInvalid):
            writer.append([Entry("handle", b"\1a", 1, b"garbage")], from_serial=3, to_serial=4)

        assert writer.manifest() == before
        assert not list(writer.folder.glob("*.part"))

    def test_start_again_begins_another_session(self, writer: PublicationWriter) -> None:
        first = writer.start([], 3)

        second = writer.start([], 3)

        assert first.session != second.session

    def test_snapshot_keeps_session_and_newest_deltas(
        self, writer: PublicationWriter, make_item: MakeItem, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(policy, "DELTAS_KEPT", policy.Row(2, "deltas", "test"))
        session = writer.start([], 0).session
        items = [make_item(f"88.100.1/{number}") for number in range(5)]
        for number, entry in enumerate(items):
            writer.append([entry], from_serial=number, to_serial=number + 1)

        manifest = writer.snapshot(items, 5)

        assert (manifest.session, manifest.serial, manifest.snapshot.serial) == (session, 5, 5)
        assert [delta.to_serial for delta in manifest.deltas] == [4, 5]
        assert manifest.after(4) == manifest.deltas[1:]
        assert manifest.after(5) == []
        assert manifest.after(2) is None
        writer.append([items[0]], from_serial=5, to_serial=6)
        writer.verify()

    def test_snapshot_before_the_published_serial_is_refused_and_beyond_it_starts_a_new_chain(
        self, writer: PublicationWriter, make_item: MakeItem
    ) -> None:
        writer.start([], 0)
        writer.append([make_item("88.100.1/1")], from_serial=0, to_serial=5)

        with pytest.raises(PublicationGap):
            writer.snapshot([], 4)
        manifest = writer.snapshot([], 8)

        assert (manifest.serial, manifest.deltas) == (8, [])

    def test_snapshot_is_needed_after_too_many_deltas(
        self, writer: PublicationWriter, make_item: MakeItem, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(policy, "DELTAS_MAX", policy.Row(3, "deltas", "test"))
        writer.start([], 0)

        needed = []
        for number in range(4):
            writer.append([make_item("88.100.1/1")], from_serial=number, to_serial=number + 1)
            needed.append(writer.needs_snapshot())

        assert needed == [False, False, False, True]
        writer.snapshot([], 4)
        assert not writer.needs_snapshot()

    def test_snapshot_is_needed_when_deltas_grow_beyond_half_of_it(
        self, writer: PublicationWriter, make_item: MakeItem, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(policy, "DELTA_OCTETS_FLOOR", policy.Row(0, "octets", "test"))
        items = [make_item(f"88.100.1/{number}", text=random.Random(number).randbytes(100).hex()) for number in range(300)]
        writer.start(items, 0)

        writer.append(items[:50], from_serial=0, to_serial=1)
        before = writer.needs_snapshot()
        writer.append(items[50:250], from_serial=1, to_serial=2)

        assert (before, writer.needs_snapshot()) == (False, True)

    @pytest.mark.parametrize("damage", ["missing", "cut", "manifest"])
    def test_snapshot_is_needed_when_files_are_damaged(self, writer: PublicationWriter, damage: str) -> None:
        file = writer.folder / writer.start([], 0).snapshot.file
        if damage == "missing":
            file.unlink()
        elif damage == "cut":
            file.write_bytes(file.read_bytes()[:-1])
        else:
            (writer.folder / "manifest.json").write_bytes(b"{")

        assert writer.needs_snapshot()

    def test_verify_of_a_changed_file_names_it(self, writer: PublicationWriter) -> None:
        file = writer.folder / writer.start([], 0).snapshot.file
        octets = bytearray(file.read_bytes())
        octets[-1] ^= 1
        file.write_bytes(octets)

        with pytest.raises(FileMismatch, match=file.name):
            writer.verify()

    def test_dropped_files_go_after_their_grace_only(self, writer: PublicationWriter, monkeypatch: pytest.MonkeyPatch) -> None:
        old = writer.folder / writer.start([], 0).snapshot.file

        writer.start([], 1)
        kept = old.exists()
        monkeypatch.setattr(policy, "UNREFERENCED_GRACE_S", policy.Row(-1, "s", "test"))
        current = writer.start([], 2)

        assert kept and not old.exists()
        assert sorted(path.name for path in writer.folder.iterdir() if not path.name.startswith(".")) == sorted(
            ["manifest.json", current.snapshot.file, *(p.name for p in writer.folder.glob("*1-*.bjp*"))]
        )

    def test_writer_at_work_elsewhere_is_said(self, writer: PublicationWriter) -> None:
        writer.start([], 0)
        with (writer.folder / ".writer.lock").open("ab") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)

            with pytest.raises(WriterBusy):
                writer.append([], from_serial=0, to_serial=1)
            PublicationWriter(writer.folder, node="second-88.100")


class TestManifest:
    @given(st.binary(max_size=200))
    def test_decode_of_any_octets_raises_manifest_invalid(self, octets: bytes) -> None:
        with pytest.raises(ManifestInvalid):
            decode_manifest(octets)

    @pytest.mark.parametrize(
        ("file", "serials", "serial"),
        [
            ("../../etc/passwd", [(1, 2)], 2),
            ("snapshot-1/../x.bjp", [(1, 2)], 2),
            ("snapshot-1.bjp", [(1, 2), (3, 4)], 4),
            ("snapshot-1.bjp", [(1, 2)], 3),
            ("snapshot-1.bjp", [(2, 3)], 3),
            ("snapshot-1.bjp", [(1, 1)], 1),
        ],
        ids=["climbing name", "slash in name", "hole", "chain ends early", "chain begins late", "empty delta"],
    )
    def test_decode_of_an_inconsistent_manifest_is_refused(self, file: str, serials: list[tuple[int, int]], serial: int) -> None:
        deltas = [DeltaFile(a, b, "delta-1-2.bjp", 1, "", 0) for a, b in serials]
        manifest = Manifest(FORM, "n", "s", serial, SnapshotFile(1, file, 1, "", 0), deltas, "")

        with pytest.raises(ManifestInvalid):
            decode_manifest(msgspec.json.encode(manifest))

    def test_manifest_has_the_documented_names(self, writer: PublicationWriter) -> None:
        writer.start([], 0)
        writer.append([], from_serial=0, to_serial=1)

        form = msgspec.json.decode((writer.folder / "manifest.json").read_bytes())

        assert set(form) == {"form", "node", "session", "serial", "snapshot", "deltas", "created"}
        assert set(form["snapshot"]) == {"serial", "file", "size", "sha256", "entries"}
        assert set(form["deltas"][0]) == {"from", "to", "file", "size", "sha256", "entries"}


WRITER = """
import sys
from biaojie.resolution import policy
from biaojie.resolution.entries import handle_entry
from biaojie.resolution.publication import PublicationWriter
policy.UNREFERENCED_GRACE_S = policy.Row(-1, "s", "test")
writer = PublicationWriter(sys.argv[1], node="n")
serial = writer.manifest().serial if writer.manifest() else 0
if not serial: writer.start([], 0)
print("ready", flush=True)
while True:
    serial += 1
    entries = [handle_entry(b"\\1%06d" % serial, serial, owner="o", values=bytes(4))]
    writer.append(entries, from_serial=serial - 1, to_serial=serial)
    if serial % 7 == 0: writer.snapshot([handle_entry(b"\\1%06d" % n, n, owner="o", values=bytes(4)) for n in range(1, serial + 1)], serial)
    if serial % 3 == 0: print(serial, flush=True)
"""


def test_writer_killed_at_any_moment_leaves_a_consistent_folder_that_goes_on(tmp_path: Path) -> None:
    reached = 0
    for wait_ms in (3, 11, 24, 37, 52, 80):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(wait_ms / 1000)
        process.send_signal(signal.SIGKILL)
        said = process.communicate()[0].split()

        writer = PublicationWriter(tmp_path, node="n")
        manifest = writer.verify()
        rows = {entry.key for file in manifest.files() for entry in entries_in(writer, file.file)}
        assert manifest.serial >= max(map(int, said), default=reached)
        assert rows == {b"\x01%06d" % number for number in range(1, manifest.serial + 1)}
        assert not list(tmp_path.glob("*.part"))
        reached = manifest.serial
    assert reached > 0


def test_opening_removes_half_written_files_and_orphans_of_an_ended_writer(
    writer: PublicationWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = writer.start([], 0)
    (writer.folder / "delta-0123.part").write_bytes(b"half")
    orphan = writer.folder / "delta-0-1-0123456789abcdef.bjp"
    orphan.write_bytes(b"whole, but never named")
    PublicationWriter(writer.folder, node="n")
    monkeypatch.setattr(policy, "UNREFERENCED_GRACE_S", policy.Row(-1, "s", "test"))

    PublicationWriter(writer.folder, node="n")

    assert {path.name for path in writer.folder.iterdir()} == {".writer.lock", "manifest.json", manifest.snapshot.file}
