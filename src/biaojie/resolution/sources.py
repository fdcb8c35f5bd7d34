"""Where a follower reads a publication: a shared folder, or any HTTP server, cache or bucket in front of one.

A source gives the manifest's octets when they changed, and each file's entries as something that can be iterated more
than once. Every pass checks size, SHA-256, header and trailer, and raises before it ends if anything is not as the
manifest says: nothing half-read is ever taken for whole.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

import httpx2

from biaojie.resolution import policy
from biaojie.resolution.container import CheckedSource, ContainerReader
from biaojie.resolution.entries import Entry, decode_entry
from biaojie.resolution.errors import FileMismatch, ManifestInvalid, PublicationMissing, SourceUnreachable
from biaojie.resolution.publication import MANIFEST, DeltaFile, Manifest, SnapshotFile


class Source(Protocol):
    """A place that holds a publication."""

    name: str

    def changed_manifest(self) -> bytes | None:
        """The manifest's octets, None when they are those given last; raises `PublicationMissing`, `SourceUnreachable`."""

    def forget(self) -> None:
        """Give the manifest again next time, changed or not."""

    def entries(self, manifest: Manifest, row: SnapshotFile | DeltaFile) -> contextlib.AbstractContextManager[Iterable[Entry]]:
        """The entries of one file while the context is open; raises `FileMismatch`, `ContainerError`, `SourceUnreachable`."""

    def close(self) -> None:
        """Release connections."""


class FolderSource:
    """A publication in a folder this host can read."""

    def __init__(self, folder: Path) -> None:
        self.name = str(folder)
        self._folder = folder
        self._last = b""

    def changed_manifest(self) -> bytes | None:
        try:
            data = (self._folder / MANIFEST).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise PublicationMissing(place=self.name) from None
        except OSError as error:
            raise SourceUnreachable(source=self.name, reason=error.strerror or str(error)) from None
        if data == self._last:
            return None
        self._last = data
        return data

    def forget(self) -> None:
        self._last = b""

    @contextlib.contextmanager
    def entries(self, manifest: Manifest, row: SnapshotFile | DeltaFile) -> Iterator[Iterable[Entry]]:
        yield FileEntries(self._folder / row.file, manifest, row)

    def close(self) -> None:
        """Nothing is held open."""


class HttpSource:
    """A publication below a URL; the manifest is asked for conditionally (ETag), files are fetched whole."""

    def __init__(self, url: str, scratch: Path) -> None:
        """`scratch` is a folder for files being fetched; what an ended follower left there is removed."""
        self.name = url
        self._url = url.rstrip("/")
        self._scratch = scratch
        self._client = httpx2.Client(timeout=policy.HTTP_TIMEOUT_S.value, follow_redirects=True)
        self._validators: dict[str, str] = {}
        self._last = b""
        scratch.mkdir(parents=True, exist_ok=True)
        for leftover in scratch.glob("*.bjp"):
            leftover.unlink(missing_ok=True)

    def changed_manifest(self) -> bytes | None:
        with self._get(MANIFEST, self._validators) as response:
            if response.status_code == 304:
                return None
            data = bytearray()
            for chunk in response.iter_bytes():
                data += chunk
                if len(data) > policy.MANIFEST_OCTETS_MAX.value:
                    raise ManifestInvalid(reason="清单过长")
            etag = response.headers.get("etag")
        # A date has whole seconds, in which a second manifest may come: only an ETag may answer "unchanged".
        self._validators = {"If-None-Match": etag} if etag else {}
        if data == self._last:
            return None
        self._last = bytes(data)
        return self._last

    def forget(self) -> None:
        self._last = b""
        self._validators = {}

    @contextlib.contextmanager
    def entries(self, manifest: Manifest, row: SnapshotFile | DeltaFile) -> Iterator[Iterable[Entry]]:
        path = self._scratch / row.file
        try:
            with self._get(row.file, {}) as response, path.open("wb") as stream:
                size = 0
                for chunk in response.iter_bytes():
                    size += len(chunk)
                    if size > row.size:
                        raise FileMismatch(file=row.file, reason="比清单所列更长")
                    stream.write(chunk)
            yield FileEntries(path, manifest, row)
        finally:
            path.unlink(missing_ok=True)

    def close(self) -> None:
        self._client.close()

    @contextlib.contextmanager
    def _get(self, file: str, headers: dict[str, str]) -> Iterator[httpx2.Response]:
        try:
            with self._client.stream("GET", f"{self._url}/{file}", headers=headers) as response:
                if response.status_code == 404 and file == MANIFEST:
                    raise PublicationMissing(place=self.name)
                if response.status_code not in (200, 304):
                    raise SourceUnreachable(source=f"{self.name}/{file}", reason=f"HTTP {response.status_code}")
                yield response
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise SourceUnreachable(source=f"{self.name}/{file}", reason=str(error) or type(error).__name__) from None


class FileEntries:
    """The entries of one file on disk, checked against the manifest on every pass."""

    def __init__(self, path: Path, manifest: Manifest, row: SnapshotFile | DeltaFile) -> None:
        self._path = path
        self._manifest = manifest
        self._row = row

    def __iter__(self) -> Iterator[Entry]:
        row = self._row
        try:
            stream = self._path.open("rb")
        except OSError as error:
            raise FileMismatch(file=row.file, reason=error.strerror or str(error)) from None
        with stream:
            checked = CheckedSource(stream)
            reader = ContainerReader(checked)
            self._check_header(reader)
            for record in reader:
                yield decode_entry(record)
            if checked.size != row.size or checked.sha256 != row.sha256:
                raise FileMismatch(file=row.file, reason="大小或摘要不符")

    def _check_header(self, reader: ContainerReader) -> None:
        header, row = reader.header, self._row
        wanted = (
            ("snapshot", row.serial, row.serial) if isinstance(row, SnapshotFile) else ("delta", row.from_serial, row.to_serial)
        )
        if (header.form, header.from_serial, header.to_serial) != wanted or header.session != self._manifest.session:
            raise FileMismatch(file=row.file, reason="文件头与清单不符")
