"""Bounded TTL stores and the order in which addresses are tried."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biaojie.resolution.cache import DOWN_FOR_S, Endpoint, Latencies, TtlCache

A = Endpoint("udp", "192.0.2.1", 2641)
B = Endpoint("udp", "192.0.2.2", 2641)
C = Endpoint("tcp", "192.0.2.1", 2641)


def test_get_before_expiry_returns_value_and_what_is_left() -> None:
    cache: TtlCache[str, str] = TtlCache(10)
    cache.put("k", "v", ttl_s=60, now_s=1000)

    found = cache.get_with_age("k", 1015)

    assert found == ("v", 45)


def test_get_at_expiry_returns_none_and_forgets() -> None:
    cache: TtlCache[str, str] = TtlCache(10)
    cache.put("k", "v", ttl_s=60, now_s=1000)

    found = cache.get("k", 1060)

    assert (found, len(cache), cache.weight) == (None, 0, 0)


def test_get_after_clock_went_back_far_returns_none() -> None:
    cache: TtlCache[str, str] = TtlCache(10)
    cache.put("k", "v", ttl_s=60, now_s=100_000)

    found = cache.get("k", 1000)

    assert found is None


def test_put_with_zero_ttl_replaces_and_does_not_keep() -> None:
    cache: TtlCache[str, str] = TtlCache(10)
    cache.put("k", "old", ttl_s=60, now_s=0)

    cache.put("k", "new", ttl_s=0, now_s=1)

    assert cache.get("k", 2) is None


def test_put_beyond_capacity_drops_the_least_recently_used() -> None:
    cache: TtlCache[str, int] = TtlCache(2)
    cache.put("a", 1, ttl_s=60, now_s=0)
    cache.put("b", 2, ttl_s=60, now_s=0)
    cache.get("a", 1)

    cache.put("c", 3, ttl_s=60, now_s=1)

    assert [cache.get(key, 2) for key in "abc"] == [1, None, 3]


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 700), st.integers(0, 50)), max_size=80))
def test_put_any_sequence_never_exceeds_either_bound(puts: list[tuple[int, int, int]]) -> None:
    cache: TtlCache[int, int] = TtlCache(5, 1000)

    for now, (key, weight, ttl) in enumerate(puts):
        cache.put(key, weight, ttl_s=ttl, now_s=now, weight=weight)

        assert len(cache) <= 5
        assert cache.weight == sum(held.weight for held in cache._held.values()) <= 1000


def test_order_puts_alive_before_failed_then_protocol_then_latency() -> None:
    latencies = Latencies()
    latencies.observe(A, 30)
    latencies.observe(B, 5)
    latencies.observe(C, 1)

    assert latencies.order([A, B, C], 0) == (B, A, C)

    latencies.failed(B, 0)

    assert latencies.order([A, B, C], 1) == (A, C, B)
    assert latencies.order([A, B, C], DOWN_FOR_S + 1) == (B, A, C)


def test_order_leaves_out_protocols_not_wanted() -> None:
    assert Latencies().order([A, C], 0, ("tcp",)) == (C,)


def test_observe_smooths_and_clears_failure() -> None:
    latencies = Latencies()
    latencies.observe(A, 10)
    latencies.failed(A, 0)

    latencies.observe(A, 20)

    assert latencies.ms(A) == pytest.approx(13)
    assert not latencies.is_down(A, 0)


@pytest.mark.parametrize(("protocol", "port"), [("sctp", 1), ("udp", 0), ("udp", 65536)])
def test_endpoint_with_impossible_parts_is_refused(protocol: str, port: int) -> None:
    with pytest.raises(ValueError):
        Endpoint(protocol, "192.0.2.1", port)


def test_endpoint_of_ipv6_is_written_in_brackets() -> None:
    assert str(Endpoint("tcp", "2001:db8::1", 2641)) == "tcp://[2001:db8::1]:2641"
