"""Walks over real sockets: sharing, forgetting, the root file."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_nodes import RealNode, handle, value, zone

from biaojie.client.aio import Client
from biaojie.client.errors import NoNode
from biaojie.client.walker import RootFile, Walker
from biaojie.codes.parsing import parse
from biaojie.handle.sites import Site, encode_site
from biaojie.resolution.memory import Memory
from biaojie.resolution.questions import Policy

URL = value(1, "URL", "https://example.cn/318")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[RealNode]:
    node = RealNode(tmp_path / "root")
    node.start(
        [
            zone("0.NA/"), zone("88.100"), handle("0.NA/88.100", node.site_value()),
            *(handle(f"88.100/{n}", URL) for n in range(20)),
        ]
    )  # fmt: skip
    yield node
    node.stop()


def walker(client: Client, site: Site, **policy: object) -> Walker:
    return Walker(client, lambda: site, policy=Policy(allow_private=True, **policy), memory=Memory())  # type: ignore[arg-type]


def test_equal_walks_and_equal_questions_of_different_walks_are_shared(root: RealNode) -> None:
    async def run() -> None:
        async with Client() as client:
            ours = walker(client, root.site)
            outcomes = await asyncio.gather(*(ours.resolve(parse(f"88.100/{n % 20}")) for n in range(60)))

        assert {outcome.response_code for outcome in outcomes} == {1}
        # One question for the prefix, one for each of the twenty.
        assert (ours.tally.walks, ours.tally.shared, ours.tally.questions) == (20, 40, 21)
        assert ours.tally.in_flight == 0

    asyncio.run(run())


def test_impatient_asker_does_not_end_the_walk_of_the_others(root: RealNode) -> None:
    async def run() -> None:
        async with Client() as client:
            ours = walker(client, root.site)
            first = asyncio.create_task(ours.resolve(parse("88.100/1")))
            second = asyncio.create_task(ours.resolve(parse("88.100/1")))
            await asyncio.sleep(0)
            first.cancel()

            assert (await second).response_code == 1
            assert ours.tally.walks == 1

    asyncio.run(run())


def test_fresh_walk_asks_past_the_cached_answer(root: RealNode) -> None:
    async def run() -> None:
        async with Client() as client:
            ours = walker(client, root.site)
            await ours.resolve(parse("88.100/1"))
            cached = await ours.resolve(parse("88.100/1"))
            fresh = await ours.resolve(parse("88.100/1"), fresh=True)

        assert (cached.cached, fresh.cached, fresh.response_code) == (True, False, 1)

    asyncio.run(run())


@pytest.mark.parametrize("protocol", ["udp", "tcp", "http"])
def test_walk_by_one_protocol_alone_reaches_the_answer(root: RealNode, protocol: str) -> None:
    async def run() -> None:
        async with Client() as client:
            outcome = await walker(client, root.site, protocols=(protocol,)).resolve(parse("88.100/1"))

        assert (outcome.response_code, {step.protocol for step in outcome.trace if step.protocol}) == (1, {protocol})

    asyncio.run(run())


def test_other_root_makes_it_forget(root: RealNode) -> None:
    async def run() -> None:
        sites = [root.site, Site(serial=2, servers=root.site.servers)]
        async with Client() as client:
            ours = Walker(client, lambda: sites[0], policy=Policy(allow_private=True), memory=Memory())
            await ours.resolve(parse("88.100/1"))
            sites.pop(0)
            outcome = await ours.resolve(parse("88.100/1"))

        assert not outcome.cached

    asyncio.run(run())


def test_root_file_is_read_again_when_replaced_and_kept_when_damaged(tmp_path: Path) -> None:
    path = tmp_path / "bootstrap.bin"
    root_file = RootFile(path)
    with pytest.raises(NoNode):
        root_file()
    path.write_bytes(encode_site(Site(serial=1)))
    assert root_file().serial == 1

    for serial, octets in ((2, encode_site(Site(serial=2))), (2, b"garbage"), (3, encode_site(Site(serial=3)))):
        other = tmp_path / "new"
        other.write_bytes(octets)
        other.replace(path)
        root_file._looked_s = float("-inf")

        assert root_file().serial == serial
