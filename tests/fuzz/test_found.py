"""Inputs that once did what they must not, kept by what they did. Those that a running node met go to a running node."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from decoders import DECODERS
from node_under_test import Node, ask_udp, question, read
from reference_node import row, start_reference_node

from biaojie.base import settings
from biaojie.base.errors import SettingError
from biaojie.resolution.publication import MANIFEST, PublicationWriter, decode_manifest

DEEP = b"[" * 30_000
FOUND = (
    # Octets that are skipped because nothing asks for them nest deeper than the interpreter: RecursionError, not a DecodeError.
    ("manifest", b'{"x":' + DEEP),
    ("spool", b'{"x":' + DEEP),
    ("container", b"BJC1" + (5 + len(DEEP)).to_bytes(4, "big") + b'{"x":' + DEEP),
    ("entry", b"\x94\xa6handle\xc4\x02\x01A\x01\xc5\x75\x30\x81\xa1x" + b"\x91" * 29_997),
    ("entry", b"\x94\xa4zone\xc4\x02\x01A\x01\xc5\x75\x30\x81\xa1x" + b"\x91" * 29_997),
    ("entry", b"\x94\xa5route\xc4\x02\x01A\x01\xc5\x75\x30\x81\xa1x" + b"\x91" * 29_997),
    ("settings", b"node = " + DEEP),
    # A number of more digits than `int` takes is not a TOML error.
    ("settings", b"web_threads = " + b"9" * 5_000),
    # The same for `int` itself: the whole upload failed.
    ("bulk_csv", b"handle,1:URL,ttl\n88.100.1/a,x," + b"9" * 5_000 + b"\n"),
    ("bulk_csv", b"handle," + b"9" * 5_000 + b":URL\n88.100.1/a,x\n"),
    # A name that is half a character, as the standard library's JSON takes it: UnicodeEncodeError.
    ("json", b'{"index": 1, "p\\ud800Rata": "bare"}'),
)


@pytest.mark.parametrize(("name", "octets"), FOUND, ids=[f"{number}-{name}" for number, (name, _) in enumerate(FOUND)])
def test_input_that_once_failed_is_refused_with_a_declared_error(name: str, octets: bytes) -> None:
    decoder = DECODERS[name]

    result = decoder.run(octets)

    assert result is None  # nothing but a declared error came out, which the target takes


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e999"])
def test_setting_that_is_no_finite_number_is_refused(number: str) -> None:
    with pytest.raises(SettingError) as refused:
        settings.load({"BIAOJIE_CLOCK_SCALE": number, "BIAOJIE_ENVIRONMENT": "test"})

    assert refused.value.data["name"] == "clock_scale"


def until(condition: Callable[[], bool]) -> bool:
    """Whether something comes to hold within ten seconds."""
    for _ in range(200):
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    running = start_reference_node(tmp_path_factory.mktemp("found"))
    yield running
    running.stop()


def test_follower_that_met_a_deeply_nested_manifest_goes_on_following(node: Node) -> None:
    manifest = node.folder / "publication" / MANIFEST
    good = manifest.read_bytes()

    (node.folder / "next").write_bytes(b'{"x":' + DEEP)
    (node.folder / "next").replace(manifest)
    noticed = until(lambda: "RES-131" in (node.folder / "resolver.log").read_text(encoding="utf-8"))
    (node.folder / "next").write_bytes(good)
    (node.folder / "next").replace(manifest)
    serial = decode_manifest(good).serial
    PublicationWriter(node.folder / "publication", node="second").append(
        [row("86.100.1/after")], from_serial=serial, to_serial=serial + 1
    )

    # There, without a value.
    assert until(lambda: read(ask_udp(node.udp[0], question("86.100.1/after"))).response_code == 200)
    assert noticed


def test_index_of_thousands_of_digits_is_refused_without_a_trace_in_the_log(node: Node) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{node.http[0]}/api/handles/86.100.1/item-0000042?index={'9' * 5_000}", timeout=5)

    with refused.value:
        assert refused.value.code == 400
    assert "Traceback" not in (node.folder / "resolver.log").read_text(encoding="utf-8")
