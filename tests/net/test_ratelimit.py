from __future__ import annotations

import pytest

from biaojie.net.ratelimit import RateLimiter


def test_allows_after_the_burst_refuses_until_time_has_passed() -> None:
    limiter = RateLimiter(10)
    host = bytes([192, 0, 2, 1])

    at_once = [limiter.allows(host, 100.0) for _ in range(25)]
    later = [limiter.allows(host, 100.5) for _ in range(10)]

    assert at_once == [True] * 20 + [False] * 5
    assert later == [True] * 5 + [False] * 5
    assert limiter.refused == 10


def test_allows_neighbours_in_a_network_share_and_others_do_not() -> None:
    limiter = RateLimiter(1)

    shared = [limiter.allows(bytes([192, 0, 2, last]), 0.0) for last in (1, 2, 3)]
    other = limiter.allows(bytes([192, 0, 3, 1]), 0.0)
    same_56 = [limiter.allows(bytes.fromhex("20010db8000001") + bytes([last]) * 9, 0.0) for last in (1, 2, 3)]

    assert shared == [True, True, False]
    assert other is True
    assert same_56 == [True, True, False]


def test_len_under_forged_sources_stays_bounded() -> None:
    limiter = RateLimiter(1, generation=100)

    for number in range(10_000):
        limiter.allows(number.to_bytes(3, "big") + b"\1", 0.0)

    assert len(limiter) <= 200


def test_allows_a_busy_source_amid_forged_ones_is_still_limited() -> None:
    limiter = RateLimiter(1, generation=100)
    host = bytes([192, 0, 2, 1])
    granted = 0

    for number in range(1000):
        granted += limiter.allows(host, 0.0)
        limiter.allows(number.to_bytes(3, "big") + b"\1", 0.0)

    assert granted == 2


def test_rate_limiter_with_no_rate_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        RateLimiter(0)
