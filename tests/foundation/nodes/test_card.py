"""The node card: form, signatures, rollover."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biaojie.foundation.nodes.card import (
    CARD_LIMIT_OCTETS,
    HandleAddresses,
    NodeCard,
    SignedCard,
    card_key,
    read_card,
    sign_card,
    verify_card,
)
from biaojie.foundation.nodes.errors import (
    CardError,
    CardKeyNotPinned,
    CardMalformed,
    CardSignatureInvalid,
    CardVersionUnknown,
)
from biaojie.foundation.nodes.keys import NodeKey, make_key, node_id_of

NOW = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
YEAR = timedelta(days=365)


def make_card(key: NodeKey, **changes: Any) -> NodeCard:
    card = NodeCard(
        node_id=node_id_of(key.key_id),
        name="江南轴承二级节点",
        role="second",
        environment="test",
        prefixes=("88.100",),
        web_url="https://second.example.com",
        handle=HandleAddresses(udp="192.0.2.8:2641", tcp="192.0.2.8:2641", http="http://192.0.2.8:8080"),
        status_url="https://second.example.com/healthz",
        keys=(card_key(key, not_before=NOW - YEAR, not_after=NOW + YEAR),),
        serial=1,
        issued_at=NOW,
    )
    return msgspec.structs.replace(card, **changes)


def test_card_signed_and_read_back_is_the_same_value() -> None:
    key = make_key()
    card = make_card(key)

    found = verify_card(read_card(sign_card(card, [key]).to_json()), now=NOW)

    assert found == card


def test_card_stored_in_another_order_and_layout_still_verifies() -> None:
    key = make_key()
    signed = sign_card(make_card(key), [key])
    text = json.dumps(dict(reversed(list(json.loads(signed.to_json())["card"].items()))), indent=3, ensure_ascii=True)

    found = verify_card(SignedCard(card=json.loads(text), signatures=signed.signatures), now=NOW)

    assert found.name == "江南轴承二级节点"


def test_card_with_members_of_a_later_version_keeps_its_signature() -> None:
    key = make_key()
    plain = sign_card(make_card(key), [key]).as_object()["card"] | {"motto": "一物一码"}
    octets = json.dumps(plain, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    import base64

    signature = {"key_id": key.key_id, "signature": base64.b64encode(key.sign(octets)).decode()}

    found = verify_card(read_card({"card": plain, "signatures": [signature]}), now=NOW)

    assert found == make_card(key)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("name", "别的节点"),
        ("role", "top"),
        ("environment", "production"),
        ("prefixes", ["88.100", "88.101"]),
        ("web_url", "https://elsewhere.example.com"),
        ("status_url", ""),
        ("handle", {"udp": "198.51.100.1:2641", "tcp": "", "http": ""}),
        ("serial", 2),
        ("issued_at", "2026-03-02T01:29:59Z"),
    ],
)
def test_card_altered_in_any_member_is_refused(member: str, value: object) -> None:
    key = make_key()
    plain = sign_card(make_card(key), [key]).as_object()
    plain["card"][member] = value

    with pytest.raises(CardSignatureInvalid):
        verify_card(read_card(plain), now=NOW)


def test_card_with_another_signers_signature_is_refused() -> None:
    key, stranger = make_key(), make_key()
    plain = sign_card(make_card(key), [stranger]).as_object()

    with pytest.raises(CardSignatureInvalid):
        verify_card(read_card(plain), now=NOW)

    plain["signatures"][0]["key_id"] = key.key_id
    with pytest.raises(CardSignatureInvalid):
        verify_card(read_card(plain), now=NOW)


def test_card_listing_a_key_it_does_not_hold_is_refused() -> None:
    key, someone_elses = make_key(), make_key()
    keys = tuple(card_key(item, not_before=NOW - YEAR, not_after=NOW + YEAR) for item in (key, someone_elses))

    with pytest.raises(CardSignatureInvalid) as caught:
        verify_card(sign_card(make_card(key, keys=keys), [key]), now=NOW)

    assert someone_elses.key_id in caught.value.message


def test_card_of_a_stranger_is_refused_where_a_key_is_pinned() -> None:
    key, pinned = make_key(), make_key()

    with pytest.raises(CardKeyNotPinned):
        verify_card(sign_card(make_card(key), [key]), now=NOW, trusted={pinned.key_id: pinned.public})


def test_card_signed_by_a_stranger_under_a_pinned_key_id_is_refused() -> None:
    key, pinned = make_key(), make_key()
    plain = sign_card(make_card(key), [key]).as_object()
    plain["signatures"].append({"key_id": pinned.key_id, "signature": plain["signatures"][0]["signature"]})

    with pytest.raises(CardKeyNotPinned):
        verify_card(read_card(plain), now=NOW, trusted={pinned.key_id: pinned.public})


def test_rollover_card_signed_by_the_old_key_brings_the_new_one() -> None:
    old, new = make_key(), make_key()
    keys = (
        card_key(old, not_before=NOW - YEAR, not_after=NOW + timedelta(days=30)),
        card_key(new, not_before=NOW, not_after=NOW + YEAR),
    )
    rollover = sign_card(make_card(old, keys=keys, serial=2), [old, new])

    found = verify_card(rollover, now=NOW, trusted={old.key_id: old.public})

    assert set(found.valid_keys(NOW)) == {old.key_id, new.key_id}
    assert set(found.valid_keys(NOW + timedelta(days=60))) == {new.key_id}


def test_card_after_a_rollover_is_signed_by_the_new_key_and_keeps_the_node_id() -> None:
    old, new = make_key(), make_key()
    later = NOW + timedelta(days=60)
    keys = (
        card_key(old, not_before=NOW - YEAR, not_after=NOW + timedelta(days=30)),
        card_key(new, not_before=NOW, not_after=NOW + YEAR),
    )
    signed = sign_card(make_card(old, keys=keys, serial=3, issued_at=later), [new])

    found = verify_card(signed, now=later, trusted={new.key_id: new.public})

    assert found.node_id == node_id_of(old.key_id)


@pytest.mark.parametrize(
    ("pointer", "changes"),
    [
        ("/card/name", {"name": "甲\n乙"}),
        ("/card/role", {"role": ""}),
        ("/card/prefixes", {"prefixes": ("88.100/1",)}),
        ("/card/web_url", {"web_url": "ftp://second.example.com"}),
        ("/card/web_url", {"web_url": "https://second.example.com/?a=1"}),
        ("/card/web_url", {"web_url": "https://user@second.example.com"}),
        ("/card/serial", {"serial": 0}),
        ("/card/keys", {"keys": ()}),
        ("/card/issued_at", {"issued_at": datetime(2026, 3, 2)}),
        ("/card/node_id", {"node_id": node_id_of(make_key().key_id)}),
        ("/card/keys", {"issued_at": NOW + 3 * YEAR}),
    ],
)
def test_sign_card_with_a_wrong_member_refuses_naming_it(pointer: str, changes: dict[str, Any]) -> None:
    key = make_key()

    with pytest.raises(CardMalformed) as caught:
        sign_card(make_card(key, **changes), [key])

    assert caught.value.pointer == pointer


def test_card_issued_in_the_future_is_refused() -> None:
    key = make_key()
    signed = sign_card(make_card(key, issued_at=NOW + timedelta(minutes=6)), [key])

    with pytest.raises(CardMalformed) as caught:
        verify_card(signed, now=NOW)

    assert caught.value.pointer == "/card/issued_at"


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_card_of_another_version_is_refused_by_name(version: object) -> None:
    key = make_key()
    plain = sign_card(make_card(key), [key]).as_object()
    plain["card"]["version"] = version

    with pytest.raises(CardVersionUnknown):
        verify_card(read_card(plain), now=NOW)


def test_read_card_too_large_is_refused_before_parsing() -> None:
    with pytest.raises(CardMalformed):
        read_card(b'{"card":{"a":"' + b"x" * CARD_LIMIT_OCTETS + b'"},"signatures":[]}')


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_read_and_verify_card_of_any_octets_give_a_card_error(data: bytes) -> None:
    with pytest.raises(CardError):
        verify_card(read_card(data), now=NOW)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["version", "node_id", "name", "role", "prefixes", "web_url", "handle", "keys", "serial", "issued_at"]),
    json_values,
)
def test_verify_card_with_any_value_in_any_member_gives_a_card_error(member: str, value: object) -> None:
    plain = sign_card(make_card(KEY), [KEY]).as_object()
    if plain["card"][member] == value:
        return
    plain["card"][member] = value

    with pytest.raises(CardError):
        verify_card(read_card(plain), now=NOW)


KEY = make_key()
