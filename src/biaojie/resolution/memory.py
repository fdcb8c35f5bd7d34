"""What walks share: answers and absences, the nodes they were led to, and how fast each address is.

Everything in here may be dropped at any time. What it weighs follows from what strangers' nodes wrote, so that no record and
no message can make it larger than the octets it is given.
"""

from __future__ import annotations

from dataclasses import dataclass

from biaojie.handle.sites import Site
from biaojie.handle.values import HandleValue
from biaojie.resolution.cache import Endpoint, Latencies, TtlCache
from biaojie.resolution.errors import WalkError
from biaojie.resolution.questions import addresses_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the cache holds for one identifier."""

    response_code: int
    values: tuple[HandleValue, ...] = ()
    node: str = ""
    verified: bool = False
    message: str = ""
    error: WalkError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A node as a walk sees it: its sites, or bare addresses for routes; `key` is its cache key, empty for the root."""

    key: str
    node: str
    sites: tuple[Site, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    cached: bool = False


class Memory:
    """What walks share: answers, absences, delegations, latencies; forgets all when the root site changes."""

    def __init__(self, *, entries: int = 200_000, octets: int = 64 * 1024 * 1024) -> None:
        self.answers: TtlCache[str, Answer] = TtlCache(entries, octets)
        self.negatives: TtlCache[str, Answer] = TtlCache(max(1, entries // 4), octets // 4)
        self.delegations: TtlCache[str, Level] = TtlCache(max(1, entries // 4), octets // 2)
        self.latencies = Latencies()

    def clear(self) -> None:
        for cache in (self.answers, self.negatives, self.delegations):
            cache.clear()


def level_identity(level: Level) -> frozenset[Endpoint]:
    """The addresses by which a walk recognises a node it has been at."""
    return frozenset(level.endpoints) | {endpoint for site in level.sites for endpoint in addresses_of(site)}


def answer_weight(key: str, answer: Answer) -> int:
    """About how many octets a remembered answer takes; what a stranger's node wrote (types, messages) counts in full."""
    values = sum(160 + len(v.data) + len(v.type) + sum(96 + len(r.handle) for r in v.references) for v in answer.values)
    return 256 + 2 * len(key) + 2 * len(answer.message) + values


def level_weight(level: Level) -> int:
    """About how many octets a remembered node takes."""
    weight = 512 + 2 * len(level.key) + 128 * len(level.endpoints)
    for site in level.sites:
        weight += len(site.hash_filter) + sum(160 + len(name) + len(text) for name, text in site.attributes)
        weight += sum(256 + len(server.public_key) + 96 * len(server.interfaces) for server in site.servers)
    return weight
