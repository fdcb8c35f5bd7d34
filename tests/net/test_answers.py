from __future__ import annotations

from node_under_test import question

from biaojie.net.answers import HEAD, TAIL_AT, KeptAnswers


def look_up(kept: KeptAnswers, request: bytes) -> tuple[bytes, int, str] | None:
    """As the loop does it."""
    version, _, shape = HEAD.unpack_from(request)
    return kept.by_version.get(version, {}).get(shape, {}).get(request[TAIL_AT:])


def test_keep_same_question_with_other_id_and_expiration_is_found() -> None:
    kept = KeptAnswers()
    kept.keep(question("88.100.1/a", request_id=1), b"reply", "88.100.1")

    found = look_up(kept, question("88.100.1/a", request_id=2, expiration=77))

    assert found == (b"reply", 5, "88.100.1")


def test_keep_other_spelling_flags_or_serial_is_another_question() -> None:
    kept = KeptAnswers()
    kept.keep(question("88.100.1/a"), b"reply", "88.100.1")

    others = [question("88.100.1/A"), question("88.100.1/a", flags=0x01000000), question("88.100.1/a", site_serial=3)]

    assert [look_up(kept, other) for other in others] == [None, None, None]


def test_stand_at_new_state_forgets_everything() -> None:
    kept = KeptAnswers()
    kept.stand_at(("s", 1), 0.0)
    kept.keep(question("88.100.1/a"), b"reply", "88.100.1")

    kept.stand_at(("s", 1), 1.0)
    before = len(kept)
    kept.stand_at(("s", 2), 1.0)

    assert (before, len(kept), look_up(kept, question("88.100.1/a"))) == (1, 0, None)


def test_stand_at_after_its_lifetime_forgets_everything() -> None:
    kept = KeptAnswers(lifetime_s=60)
    kept.stand_at("state", 0.0)
    kept.keep(question("88.100.1/a"), b"reply", "88.100.1")

    kept.stand_at("state", 60.0)

    assert len(kept) == 0


def test_keep_more_than_the_limit_stays_bounded_and_pauses_where_it_saves_nothing() -> None:
    kept = KeptAnswers(limit=10, pause_s=5)
    sizes = []

    for number in range(100):
        kept.stand_at("state", 0.0)
        kept.keep(question(f"88.100.1/{number}"), b"reply", "88.100.1")
        sizes.append(len(kept))
    kept.stand_at("state", 6.0)
    kept.keep(question("88.100.1/a"), b"reply", "88.100.1")

    assert max(sizes) == 10
    assert sizes[-1] == 0
    assert len(kept) == 1


def test_keep_round_with_many_hits_goes_on_keeping() -> None:
    kept = KeptAnswers(limit=10)

    for number in range(25):
        kept.stand_at("state", 0.0)
        kept.keep(question(f"88.100.1/{number}"), b"reply", "88.100.1")
        kept.hits += 5

    assert len(kept) == 5
