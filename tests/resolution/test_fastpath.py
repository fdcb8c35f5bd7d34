from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from biaojie.handle.codes import FLAG_AT, FLAG_CA, FLAG_CT, FLAG_DNRF, FLAG_ENC, FLAG_KC, FLAG_PO, FLAG_RD, FLAG_REC
from biaojie.handle.messages import ResolutionRequest, encode_message, make_request
from biaojie.handle.sites import Site, encode_site
from biaojie.handle.values import HandleValue, encode_values
from biaojie.resolution.authority import Authority
from biaojie.resolution.entries import Entry, handle_entry, removal, site_entry, zone_entry
from biaojie.resolution.fastpath import FastPath
from biaojie.resolution.index import Index

NOW_S = 1_800_000_000.7
NAMES = [
    "88.100.1/a",
    "88.100.1/Zeichen-ß-中文",
    "88.100.1/with/slashes",
    "88.100.1/" + "L" * 460,
    "88.100.1/" + "M" * 700,
    "88.100.1/mixed",
    "88.100.1/secret",
    "88.100.1/empty",
    "88.100.1/probe",
    "88.100.1/long",
    "88.100.1/absent",
    "88.100.2/referred",
    "88.100.3/stray",
    "0.NA/88.100.1",
    "0.NA/88.100.9",
    "88.100.1",
    "/x",
    "",
]


def put(name: str, values: list[HandleValue], *, own: bool = False) -> Entry:
    key = b"\x01" + name.encode().upper()
    return handle_entry(key, 1, owner=name.partition("/")[0], values=encode_values(values), own=own)


def entries() -> list[Entry]:
    shown, secret = HandleValue(1, "URL", b"https://id.example.org/"), HandleValue(2, "KEY", b"k", permissions=12)
    rows = {
        "88.100.1/mixed": [shown, secret],
        "88.100.1/secret": [secret],
        "88.100.1/empty": [],
        "88.100.1/long": [HandleValue(number, "BLOB", bytes(50_000)) for number in range(1, 8)],
    }
    found = [
        name
        for name in NAMES
        if "/" in name and name not in rows and "absent" not in name and name not in ("/x", "0.NA/88.100.9")
    ]
    return [
        zone_entry(b"88.100.1", 1, owner="88.100.1"),
        zone_entry(b"88.100.2", 1, owner="88.100.2", refer="0.SERV/2"),
        zone_entry(b"0.NA/", 1, owner="88"),
        site_entry(encode_site(Site(serial=513)), 1),
        *(put(name, [shown, HandleValue(5, "DESC", name.encode())], own=name.endswith("probe")) for name in found),
        *(put(name, values) for name, values in rows.items()),
    ]


@pytest.fixture
def authority(index: Index) -> Iterator[Authority]:
    index.rebuild(entries(), session="s", serial=1)
    made = Authority(index)
    made.renew()
    yield made
    made.close()


@pytest.fixture
def fast(authority: Authority) -> FastPath:
    made = FastPath(authority)
    made.bind(NOW_S)
    return made


def request(name: str = "88.100.1/a", flags: int = FLAG_REC | FLAG_CA | FLAG_PO) -> bytes:
    return encode_message(make_request(ResolutionRequest(name), request_id=0x01020304, op_flags=flags))


def random_request(chance: random.Random) -> bytes:
    """A request that is often common, sometimes odd, at times broken."""
    plain = chance.choice(NAMES[:4] if chance.random() < 0.5 else NAMES)
    name = "".join(chance.choice((c.lower(), c.upper())) if c.isascii() else c for c in plain)
    flags = 0 if chance.random() < 0.1 else FLAG_PO
    for flag in (FLAG_AT, FLAG_REC, FLAG_CA, FLAG_KC, FLAG_DNRF):
        flags |= flag if chance.random() < 0.4 else 0
    for flag in (FLAG_CT, FLAG_ENC, FLAG_RD, 0x7, 0x04000000, 0x00600000):
        flags |= flag if chance.random() < 0.03 else 0
    odd = chance.random()
    message = make_request(
        ResolutionRequest(name, (1, 5) if 0.8 < odd < 0.85 else (), ("URL",) if 0.82 < odd < 0.9 else ()),
        request_id=chance.randrange(1 << 32),
        op_flags=flags,
        session_id=77 if odd > 0.97 else 0,
        site_serial=chance.choice((0xFFFF, 0, 1, 9)),
        recursion_count=chance.choice((0, 0, 11)),
        expiration=chance.randrange(1 << 32),
        version=chance.choice(((2, 11), (2, 11), (2, 10), (2, 1), (2, 15), (3, 0), (5, 0), (1, 0))),
    )
    octets = bytearray(encode_message(message))
    octets[2:4] = chance.choice((octets[2:4], bytes((2, 11)), bytes((0, 0)), bytes((2, 5)), bytes((3, 0)), bytes((0xE2, 11))))
    if chance.random() < 0.2:
        octets[chance.randrange(len(octets))] = chance.randrange(256)
    if chance.random() < 0.05:
        octets += bytes(chance.randrange(8))
    if chance.random() < 0.05:
        del octets[chance.randrange(len(octets)) :]
    return bytes(octets)


def test_recognised_requests_get_octet_for_octet_the_reply_of_the_full_path(authority: Authority, fast: FastPath) -> None:
    chance = random.Random(20_270_101)
    recognised = 0

    for _ in range(6_000):
        octets = random_request(chance)
        found = fast.answer(octets)
        full = authority.answer_message(octets, "udp", NOW_S)
        if found is not None:
            recognised += 1
            assert full is not None
            assert found == (full.data, full.owner), octets.hex()
            assert (full.found, full.own) == (True, False)

    assert recognised > 500


@pytest.mark.parametrize("name", ["88.100.1/a", "88.100.1/Zeichen-ß-中文", "88.100.1/with/slashes", NAMES[3], "0.NA/88.100.1"])
def test_common_requests_are_recognised(fast: FastPath, name: str) -> None:
    found = fast.answer(request(name))

    assert found is not None
    assert found[1] == name.partition("/")[0]
    assert fast.try_answer(request(name)) == found[0]


@pytest.mark.parametrize("name", [name for name in NAMES[4:] if name != "0.NA/88.100.1"])
def test_everything_that_needs_thought_is_left_to_the_full_path(fast: FastPath, name: str) -> None:
    assert fast.answer(request(name)) is None


@pytest.mark.parametrize("flags", [0, FLAG_PO | FLAG_RD, FLAG_PO | FLAG_CT, FLAG_PO | FLAG_ENC, FLAG_PO | 1])
def test_flags_that_change_the_reply_are_left_to_the_full_path(fast: FastPath, flags: int) -> None:
    assert fast.answer(request(flags=flags)) is None


def test_bind_after_changes_answers_from_the_new_state(authority: Authority, index: Index) -> None:
    fast = FastPath(authority)
    answers = []

    def ask(now_s: float) -> None:
        authority.renew()
        fast.bind(now_s)
        found = fast.answer(request())
        full = authority.answer_message(request(), "udp", now_s)
        answers.append(found is not None)
        assert found is None or (full is not None and found[0] == full.data)

    ask(NOW_S)
    authority.release()
    index.apply([site_entry(encode_site(Site(serial=514, primary=False)), 2)], session="s", serial=2)
    ask(NOW_S + 5)
    index.apply([removal("zone", b"88.100.1", 2)], session="s", serial=3)
    ask(NOW_S)
    rows = entries()
    index.rebuild([put("77/other-owner-first", [HandleValue(1, "URL", b"")]), *rows], session="t", serial=1)
    ask(NOW_S)

    assert answers == [True, True, False, True]
    assert fast.answer(request()) == (fast.try_answer(request()), "88.100.1")


def test_derived_zones_leave_prefix_records_to_the_full_path(index: Index) -> None:
    rows = [*entries(), zone_entry(b"0.NA/88", 1, owner="88", refer="0.SERV/88")]
    index.rebuild(rows, session="s", serial=1)
    authority = Authority(index)
    fast = FastPath(authority)
    authority.renew()
    fast.bind(NOW_S)

    found = fast.answer(request("0.NA/88.100.1"))
    authority.close()

    assert found is None
