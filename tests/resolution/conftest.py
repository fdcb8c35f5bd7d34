"""Entries to publish and an index to publish them to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from biaojie.handle.values import DEFAULT_PERMISSIONS, HandleValue, encode_values
from biaojie.resolution.entries import Entry, handle_entry
from biaojie.resolution.index import Index

MakeItem = Callable[..., Entry]


def item(name: str, version: int = 1, *, text: str = "", permissions: int = DEFAULT_PERMISSIONS, own: bool = False) -> Entry:
    """A handle entry with one URL value; its owner is its prefix."""
    value = HandleValue(1, "URL", (text or f"https://id.example.org/{name}").encode(), permissions=permissions)
    owner = name.partition("/")[0].upper()
    return handle_entry(b"\x01" + name.upper().encode(), version, owner=owner, values=encode_values([value]), own=own)


@pytest.fixture(scope="session")
def make_item() -> MakeItem:
    return item


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with Index.open(tmp_path / "index") as opened:
        yield opened
