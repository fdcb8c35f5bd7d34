"""DID:BID: ACSN, letters, suffix."""

from __future__ import annotations

import pytest

from biaojie.codes.bid import BidValue, read_bid
from biaojie.codes.errors import CodeError

SUFFIX = "214PmkhKndUcArDQPgD5J4fFVwqJFPt"


def test_read_bid_main_chain_has_no_acsn() -> None:
    value = read_bid(f"did:bid:ef{SUFFIX}")

    assert value == BidValue(acsn="", enc_type="e", code_type="f", suffix=SUFFIX)
    assert (value.canonical, value.routing_key) == (f"did:bid:ef{SUFFIX}", "")


def test_read_bid_with_acsn_routes_by_it_and_lower_cases_the_scheme_only() -> None:
    value = read_bid(f"DID:BID:byo1:zf{SUFFIX}")

    assert (value.canonical, value.routing_key) == (f"did:bid:byo1:zf{SUFFIX}", "byo1")


@pytest.mark.parametrize("code", ["es" + "a+/-" * 8, "st" + "q" * 42, "zf" + "A" * 22])
def test_read_bid_every_encoding_is_accepted(code: str) -> None:
    value = read_bid(f"did:bid:{code}")

    assert value.canonical == f"did:bid:{code}"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("did:web:x", "CODE-131"),
        ("did:bid:", "CODE-131"),
        ("did:bid:ef", "CODE-131"),
        (f"did:bid:BYO1:ef{SUFFIX}", "CODE-132"),
        (f"did:bid:abc:ef{SUFFIX}", "CODE-132"),
        (f"did:bid:a:byo1:ef{SUFFIX}", "CODE-132"),
        (f"did:bid::ef{SUFFIX}", "CODE-132"),
        (f"did:bid:xf{SUFFIX}", "CODE-133"),
        (f"did:bid:ex{SUFFIX}", "CODE-134"),
        ("did:bid:ef" + "A" * 21, "CODE-135"),
        ("did:bid:ef" + "A" * 32, "CODE-135"),
        ("did:bid:es" + "A" * 31, "CODE-135"),
        ("did:bid:ef0" + "A" * 22, "CODE-136"),
        ("did:bid:et" + "Q" * 42, "CODE-136"),
        (f"did:bid:ef{SUFFIX}#key-1", "CODE-136"),
    ],
)
def test_read_bid_faulty_is_refused_with_its_code(text: str, code: str) -> None:
    with pytest.raises(CodeError) as caught:
        read_bid(text)

    assert caught.value.code == code
