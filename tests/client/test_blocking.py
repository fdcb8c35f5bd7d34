"""The client for plain code against a real node."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_nodes import HOST, RealNode, free_port, handle, value, zone

from biaojie.client.blocking import BlockingClient
from biaojie.client.errors import ConnectionFailed
from biaojie.handle.bodies import ResolutionRequest
from biaojie.resolution.cache import Endpoint

URL = value(1, "URL", "https://example.cn/318")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RealNode]:
    real = RealNode(tmp_path).start([zone("88.100.1"), handle("88.100.1/a", URL)])
    yield real
    real.stop()


@pytest.mark.parametrize("protocol", ["udp", "tcp", "http"])
def test_ask_over_each_protocol_gives_the_values(node: RealNode, protocol: str) -> None:
    with BlockingClient() as client:
        response = client.ask(getattr(node, protocol), ResolutionRequest("88.100.1/a"))

    assert response.values == (URL,)


def test_ask_from_many_threads_shares_one_connection(node: RealNode) -> None:
    codes: list[int] = []
    with BlockingClient() as client:
        client.ask(node.tcp, ResolutionRequest("88.100.1/a"))

        def work() -> None:
            codes.extend(client.ask(node.tcp, ResolutionRequest("88.100.1/a")).response_code for _ in range(20))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert codes == [1] * 80
    assert node._tcp_server.accepted == 1


def test_errors_of_the_asyncio_client_come_through() -> None:
    with BlockingClient() as client, pytest.raises(ConnectionFailed):
        client.ask(Endpoint("tcp", HOST, free_port()), ResolutionRequest("88.100.1/a"))


def test_close_twice_does_nothing() -> None:
    client = BlockingClient()
    client.close()

    client.close()

    assert not any(thread.name == "biaojie-client" for thread in threading.enumerate())
