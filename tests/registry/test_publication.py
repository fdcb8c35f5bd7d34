"""The publication says the same from the tables as from the journal, whatever has happened."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served import make_prefix, url

from biaojie.base import clock
from biaojie.base.errors import BiaojieError
from biaojie.codes.ranges import parse_coverage
from biaojie.codes.systems import System
from biaojie.foundation.records.channel import Reader
from biaojie.foundation.records.journal import change_set
from biaojie.handle.values import decode_values
from biaojie.registry import bulk
from biaojie.registry import operations_handles as handles
from biaojie.registry.bulk_body import Body
from biaojie.registry.handle_rows import PUBLICATION, prefix_record_key, put_handle, remove_handle
from biaojie.registry.models import Handle, OwnSite, Prefix, RouteClaim
from biaojie.registry.publication import (
    current_entries,
    entries_of,
    route_content_of,
    route_key,
    site_content_of,
    zone_content_of,
    zone_keys,
)
from biaojie.registry.workflows import move_claim
from biaojie.resolution.entries import Entry, check_entry, handle_content, route_content, zone_content

NAMES = ("88.100.2/a", "88.100.2/B", "88.100.2/件")
STEP = st.tuples(
    st.sampled_from(
        ["create", "probe", "replace", "delete", "bulk", "record", "unrecord", "disable", "enable", "claim", "unclaim", "site"]
    ),
    st.sampled_from(NAMES),
    st.sampled_from([url("x"), url("y", 5, ttl=60), url("z", timestamp="2026-01-05T08:00:00Z"), url("s", permissions="1100")]),
)


def folded() -> dict[tuple[str, bytes], Entry]:
    """What a follower of the journal from its beginning holds."""
    held: dict[tuple[str, bytes], Entry] = {}
    with Reader("publication") as reader:
        for _, changes in reader.read(after=0):
            for change in changes:
                for entry in entries_of(change):
                    check_entry(entry)
                    before = held.get((entry.kind, entry.key))
                    assert before is None or entry.version > before.version
                    held[entry.kind, entry.key] = entry
    return {key: entry for key, entry in held.items() if entry.content is not None}


def current() -> dict[tuple[str, bytes], Entry]:
    return {(entry.kind, entry.key): entry for entry in current_entries()}


@pytest.mark.django_db(transaction=True)
@given(st.lists(STEP, max_size=14))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_current_entries_after_any_history_equal_the_folded_journal(steps: list[tuple[str, str, Any]]) -> None:
    with emptied():
        make_prefix("88.100.2")
        make_prefix("88.100", is_own=True, hosting=1)
        for verb, name, value in steps:
            # A verb that is refused leaves no trace, which is part of what is compared.
            with suppress(BiaojieError):
                do(verb, name, value)

        assert current() == folded()


def do(verb: str, name: str, value: Any) -> None:
    """One step of a history, by the verbs or, for what other operations write, in their way."""
    if verb in ("create", "probe"):
        handles.create_identifier(actor="wu", identifier=name, values=[value], probe=verb == "probe")
    elif verb == "replace":
        handles.replace_identifier(actor="wu", identifier=name, values=[value])
    elif verb == "bulk":
        order = bulk.Order(prefix="88.100.2", mode="upsert")
        line = json.dumps({"handle": name, "values": [value]}).encode()
        bulk.receive(actor="wu", load=bulk.open_load(actor="wu", order=order), order=order, body=Body(io.BytesIO(line).read))
    elif verb == "delete":
        handles.delete_identifier(actor="wu", identifier=name)
    else:
        with transaction.atomic(), change_set(actor="wu", channels=(PUBLICATION,)) as changes:
            _other(changes, verb, value)


def _other(changes: Any, verb: str, value: Any) -> None:
    prefix = Prefix.objects.select_for_update().get(name="88.100.2")
    if verb == "record":
        put_handle(
            changes, key=prefix_record_key("88.100.9"), spelled="0.NA/88.100.9", values=[value], owner="88.100", purpose="prefix"
        )
    elif verb == "unrecord":
        remove_handle(changes, key=prefix_record_key("88.100.9"))
    elif verb in ("disable", "enable"):
        served = verb == "enable"
        prefix.status = Prefix.Status.ENABLED if served else Prefix.Status.DISABLED
        prefix.version += 1
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            prefix.save()
            cursor.execute("SET LOCAL session_replication_role = origin")
        for key in zone_keys(prefix):
            if served:
                changes.put(kind="zone", key=key, version=prefix.version, content=zone_content_of(prefix))
            else:
                changes.remove(kind="zone", key=key, version=prefix.version)
    elif verb == "claim":
        _claim(changes)
    elif verb == "unclaim":
        claim = RouteClaim.objects.filter(removed_at=None).first()
        if claim is not None:
            claim.version += 1
            claim.save()
            move_claim(claim, "withdraw", actor="test", fields={"removed_at": clock.now()})
            changes.remove(kind="route", key=route_key(claim), version=claim.version)
    elif verb == "site":
        version = OwnSite.objects.count() and OwnSite.objects.get().version
        OwnSite.objects.update_or_create(id=1, defaults={"site": b"\0\1site", "version": version + 1})
        changes.put(kind="site", key="self", version=version + 1, content=site_content_of(b"\0\1site"))


def _claim(changes: Any) -> None:
    if RouteClaim.objects.filter(removed_at=None).exists():
        return
    low, high = parse_coverage(System.OID, "1.2.156.3001").interval()
    last = RouteClaim.objects.order_by("-version").first()
    RouteClaim.objects.all().delete()  # given up before: the verb would take up its row again
    claim = RouteClaim.objects.create(
        system="OID",
        coverage="1.2.156.3001",
        low=low,
        high=high,
        owner="88.100",
        holder="单位",
        addresses=[{"ip_type": 4, "ip": "192.0.2.1", "protocol": "HTTP", "port": 8080}],
        final=True,
        created_at=clock.now(),
        version=last.version + 1 if last else 1,
    )
    move_claim(claim, "confirm", actor="test")
    changes.put(kind="route", key=route_key(claim), version=claim.version, content=route_content_of(claim))


class emptied:  # noqa: N801  # reads as a word
    """A database emptied before an example of a property, since the fixture does so once for all examples."""

    def __enter__(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")
            cursor.execute(
                "TRUNCATE registry_handle, registry_routeclaim, registry_ownsite, registry_prefix, registry_registrant,"
                " records_channel, records_stamp, records_change, records_changeset CASCADE"
            )
            cursor.execute("SET session_replication_role = origin")

    def __exit__(self, *_: object) -> None:
        return


@pytest.mark.django_db
def test_current_entries_speak_of_every_kind() -> None:
    make_prefix("88.100.2")
    make_prefix("88.100", is_own=True, hosting=1)
    make_prefix("88.100.7", status=0)
    handles.create_identifier(
        actor="wu", identifier="88.100.2/a", values=[url("x", timestamp="2026-01-05T08:00:00Z")], probe=True
    )
    with change_set(actor="wu", channels=(PUBLICATION,)) as changes:
        _claim(changes)
        _other(changes, "site", None)

    entries = {(entry.kind, entry.key): entry for entry in current_entries()}

    zones = {key: zone_content(entry).owner for (kind, key), entry in entries.items() if kind == "zone"}
    assert zones == {b"88.100.2": "88.100.2", b"88.100": "88.100", b"0.NA/88.100": "88.100"}
    content = handle_content(entries["handle", b"\x0188.100.2/A"])
    assert (content.owner, content.own) == ("88.100.2", True)
    assert [(value.data, value.timestamp) for value in decode_values(content.values)] == [(b"x", 1_767_600_000)]
    assert route_content(entries["route", b"\x021.2.156.3001"]).final
    assert entries["site", b"self"].content == b"\0\1site"


@pytest.mark.django_db
def test_current_entries_one_unusable_record_stops_no_other(hosted: Prefix) -> None:
    for name in ("a", "b"):
        handles.create_identifier(actor="wu", identifier=f"88.100.2/{name}", values=[url("x")])
    Handle.objects.filter(key="1:88.100.2/A").update(values=[{"index": 1}])

    keys = [entry.key for entry in current_entries() if entry.kind == "handle"]

    assert keys == [b"\x0188.100.2/B"]
