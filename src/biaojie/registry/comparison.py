"""Proof that a resolver's index says what the registry holds: entry by entry, both ways."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from django.db import connection, transaction

from biaojie.registry.publication import current_entries
from biaojie.resolution.entries import Entry, digest_of, index_key
from biaojie.resolution.index import Index

SHOWN: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The two digests, and the first differences where they are not equal."""

    registry: str
    index: str
    differences: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        return self.registry == self.index


def compare(index: Index) -> Comparison:
    """Compare an index's live entries with the registry of this moment; both are streamed while they are equal."""
    registry, held = digest_of(_registry()), index.digest()
    if registry == held:
        return Comparison(registry=registry, index=held)
    return Comparison(registry=registry, index=held, differences=tuple(_differences(index)))


def _differences(index: Index) -> Iterator[str]:
    # Digests in place of contents: of a million identifiers, only these fit into memory.
    by_key = {(entry.kind, index_key(entry.key)): (entry.version, _digest(entry)) for entry in index.items()}
    found = 0
    for entry in _registry():
        other = by_key.pop((entry.kind, index_key(entry.key)), None)
        if other is None:
            yield f"索引缺少 {_name(entry.kind, entry.key)}"
        elif other != (entry.version, _digest(entry)):
            yield f"内容不同 {_name(entry.kind, entry.key)}：注册第 {entry.version} 版，索引第 {other[0]} 版"
        else:
            continue
        found += 1
        if found >= SHOWN:
            return
    for kind, key in list(by_key)[: SHOWN - found]:
        yield f"索引多出 {_name(kind, key)}"


def _digest(entry: Entry) -> bytes:
    return hashlib.blake2b(entry.content or b"", digest_size=16).digest()


def _name(kind: str, key: bytes) -> str:
    return f"{kind} {key.lstrip(bytes(range(1, 7))).decode('utf-8', 'backslashreplace')}"


def _registry() -> Iterator[Entry]:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield from current_entries()
