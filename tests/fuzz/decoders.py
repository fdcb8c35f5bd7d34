"""Every decoder of what strangers, files and operators give us: how it is run on octets, and from what fuzzing starts.

A run returns nothing and lets out whatever is not one of the decoder's declared errors. Those of `biaojie.handle` lie in
`fuzz_targets`; the others are here. `EXPOSED` marks what anybody on the network reaches, or what reads another node's files.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import fuzz_targets
import msgspec
import seeds
from reference_node import entries as published_entries

from biaojie.base import settings
from biaojie.base.errors import SettingError
from biaojie.client import web
from biaojie.client.errors import BadReply
from biaojie.codes import parsing, ranges
from biaojie.codes.errors import CodeError
from biaojie.codes.systems import System
from biaojie.foundation.nodes import card, signing
from biaojie.foundation.nodes.errors import NodeError
from biaojie.foundation.nodes.nonces import MemoryNonces
from biaojie.handle import json_form, values
from biaojie.handle.datagrams import Reassembler
from biaojie.handle.errors import DecodeError
from biaojie.handle.messages import decode_response
from biaojie.net.responder import Responder
from biaojie.registry import bulk_rows
from biaojie.registry.errors import BulkRefused
from biaojie.resolution import container, counters, publication
from biaojie.resolution import entries as publication_entries
from biaojie.resolution.cache import Endpoint
from biaojie.resolution.errors import ContainerError, EntryInvalid, ManifestInvalid, SpoolInvalid
from biaojie.resolution.index import Index

NOW_S = 1_700_000_000.0
_ENDPOINT = Endpoint("http", "192.0.2.1", 8080)
_SYSTEMS = tuple(System)
_PEERS = {seeds.NODE_KEY.key_id: seeds.NODE_KEY.public}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoder:
    """One decoder; `words` are tokens worth inserting, `longest` is the most octets a fuzzer gives it."""

    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    exposed: bool = False
    longest: int = 2048
    words: tuple[str, ...] = ()


def answer_message(data: bytes) -> None:
    """The whole way of a node: whatever comes, an answer that can be read or silence, and the same by the fast way."""
    node = _node()
    node.renew(NOW_S)
    try:
        for transport in ("udp", "tcp"):
            reply = node.authority.answer_message(data, transport, NOW_S)
            assert reply is None or decode_response(reply.data).response_code == reply.response_code
        recognised = node.recognise(data)
        assert recognised is None or (reply is not None and recognised[0] == reply.data)
    finally:
        node.release()


def join_datagrams(data: bytes) -> None:
    """Several packets of several peers, as long as the first octet of each says, through one bounded reassembler."""
    joiner = Reassembler(max_bytes=4096, per_peer=3)
    position, number = 0, 0
    while position < len(data) and number < 24:
        size = 2 * data[position]
        packet = data[position + 1 : position + 1 + size]
        position += 1 + size
        number += 1
        with contextlib.suppress(DecodeError):
            joiner.add(number % 3, packet, number / 4)
        assert joiner.held_bytes <= 4096
        assert len(joiner) <= 9


def read_value_json(data: bytes) -> None:
    """A value's JSON: what is accepted comes back the same from its own JSON."""
    try:
        form = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    with contextlib.suppress(DecodeError):
        value = json_form.value_from_json(form)
        again = json_form.value_from_json(json_form.value_to_json(value))
        assert (again.index, again.data, again.ttl, again.references) == (value.index, value.data, value.ttl, value.references)


def parse_identifier(data: bytes) -> None:
    """An identifier of whatever system it looks like: its canonical form is read as itself, keys are made of it."""
    text = data.decode("utf-8", "surrogateescape")
    with contextlib.suppress(CodeError):
        found = parsing.parse(text)
        again = parsing.parse(found.canonical, found.system)
        assert again.canonical == found.canonical
        found.key()
        found.routing_bytes()


def parse_identifier_of(data: bytes) -> None:
    """An identifier of the system its first octet chooses."""
    text = data[1:].decode("utf-8", "surrogateescape")
    with contextlib.suppress(CodeError):
        found = parsing.parse(text, _SYSTEMS[data[0] % len(_SYSTEMS)] if data else None)
        assert parsing.parse(found.canonical, found.system).canonical == found.canonical


def read_coverage(data: bytes) -> None:
    """A prefix or range of the system its first octet chooses: its canonical text reads as itself."""
    system = _SYSTEMS[data[0] % len(_SYSTEMS)] if data else System.HANDLE
    with contextlib.suppress(CodeError):
        found = ranges.parse_coverage(system, data[1:].decode("utf-8", "surrogateescape"))
        assert ranges.parse_coverage(system, found.canonical) == found


def read_container(data: bytes) -> None:
    """A sealed file to its end."""
    with contextlib.suppress(ContainerError):
        for record in container.ContainerReader(io.BytesIO(data)):
            assert record


def read_entry(data: bytes) -> None:
    """A publication record: what passes the check can be taken apart."""
    with contextlib.suppress(EntryInvalid):
        entry = publication_entries.decode_entry(data)
        publication_entries.check_entry(entry)
        if entry.kind == "handle" and entry.content is not None:
            content = publication_entries.handle_content(entry)
            flags, public = publication_entries.split_public(content.values)
            assert len(public) <= len(content.values)
            assert sum(1 for _ in publication_entries.spans(public)) == int.from_bytes(public[:4], "big")
            assert flags or public == content.values


def read_value_list(data: bytes) -> None:
    """The index's own walk over a value list, held to the decoder's word."""
    try:
        publication_entries.split_public(data)
    except ValueError:
        return
    with contextlib.suppress(DecodeError):
        assert len(values.decode_values(data)) == int.from_bytes(data[:4], "big")


def read_manifest(data: bytes) -> None:
    with contextlib.suppress(ManifestInvalid):
        publication.decode_manifest(data)


def read_spool(data: bytes) -> None:
    """A counter file, from a real one on disk, and merged with itself."""
    path = _folder() / "spool.json"
    path.write_bytes(data)
    with contextlib.suppress(SpoolInvalid):
        spool = counters.read_spool(path)
        counters.merge_spools([spool, spool])


def read_settings(data: bytes) -> None:
    """A configuration file, from a real one on disk."""
    path = _folder() / "node.toml"
    path.write_bytes(data)
    with contextlib.suppress(SettingError):
        settings.load({"BIAOJIE_CONFIG": str(path)})


def read_card(data: bytes) -> None:
    """A node card as a stranger sends it."""
    with contextlib.suppress(NodeError):
        card.verify_card(card.read_card(data), now=datetime(2026, 3, 2, 1, tzinfo=UTC))


def read_bulk_json(data: bytes) -> None:
    """An NDJSON body in two blocks: every row becomes a row for COPY or a fault."""
    _check_chunks(bulk_rows.ndjson_chunks(_blocks(data), bulk_rows.RowReader("88.100.1"), first=1, done=0))


def read_bulk_csv(data: bytes) -> None:
    """A CSV body in two blocks."""
    with contextlib.suppress(BulkRefused):
        _check_chunks(bulk_rows.csv_chunks(_blocks(data), bulk_rows.RowReader("88.100.1"), first=1, done=0))


def _blocks(data: bytes) -> list[bytes]:
    return [data[: len(data) // 2], data[len(data) // 2 :]]


def _check_chunks(chunks: Iterable[bulk_rows.Chunk]) -> None:
    """What COPY reads has its four columns in each line, as many lines as there are rows, and nothing it would choke on."""
    for chunk in chunks:
        text = chunk.text()
        lines = text.decode("utf-8").split("\n")
        assert lines.pop() == ""
        assert len(lines) == len(chunk.lines)
        assert all(line.count("\t") == 3 for line in lines)
        assert b"\0" not in text
        msgspec.json.encode(chunk.faults)


def verify_call(data: bytes) -> None:
    """A signed call as a stranger sends it: signature-input, signature and digest on a line each, then the body."""
    lines = data.split(b"\n", 3)
    if len(lines) == 4:
        names = ("Signature-Input", "Signature", "Content-Digest")
        headers = {name: line.decode("latin-1") for name, line in zip(names, lines, strict=False)}
        with contextlib.suppress(NodeError):
            call = signing.verify_request("POST", seeds.CALL_URL, headers, lines[3], _PEERS.get, MemoryNonces(), seeds.CALL_AT)
            assert call.body == lines[3]


def read_web_reply(data: bytes) -> None:
    """Another node's JSON."""
    for read in (web.read_content, web.read_route, web.read_path):
        with contextlib.suppress(BadReply):
            read(data, 200, _ENDPOINT)


@functools.cache
def _node() -> Responder:
    index = Index.open(_folder() / "index")
    index.rebuild(published_entries(), session="s", serial=1)
    return Responder(index, None, transport="udp")


@functools.cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="biaojie-fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _runs_of_packets() -> list[bytes]:
    packets = [packet for packet in seeds.packets() if len(packet) <= 512]
    pieces = [packet[:510] for packet in packets[-6:]]
    return [b"".join(bytes([(len(piece) + 1) // 2]) + piece.ljust(len(piece) + len(piece) % 2, b"\0") for piece in pieces)]


def _streams() -> list[bytes]:
    packets = seeds.packets()
    return [*packets, packets[0] * 3, b"".join(packets[-6:])]


_JSON_WORDS = ("{", "}", "[", "]", '"', ":", ",", "null", "true", "1e9", "\\u0000", "\\ud800", "format", "value", "index", "type")
_VALUE_WORDS = (*_JSON_WORDS, "admin", "vlist", "site", "key", "base64", "hex", "string", "permissions", "references", "servers")
_CODE_WORDS = (
    "88.100",
    "0.NA/",
    "urn:oid:",
    "did:bid:",
    "VAA",
    "E=",
    "Ecode:",
    "(01)",
    "(10)",
    "/01/",
    "https://",
    "%2F",
    "-",
    "～",
)
_CALL_WORDS = (
    "sig1=",
    "biaojie=",
    '("@method"',
    ";created=",
    ";keyid=",
    ";expires=",
    "sha-256=:",
    ":",
    '"',
    ")",
    "1e9",
    "?1",
    ";sf",
    ";bs",
)
_CSV_WORDS = ("handle", ",ttl", "1:URL", "88.100.1/", '"', '""', "\r\n", "\n", "\ufeff", "\u2028", "\0", "HS_SITE")
_TOML_WORDS = ("[", "]", "=", '"', "\n", ".", "role", "clock_scale", "nan", "inf", "1979-05-27", "0x", "handle_udp", "::1")


def _handle(name: str, start: Callable[[], list[bytes]], *, exposed: bool = False, words: tuple[str, ...] = ()) -> Decoder:
    run = getattr(fuzz_targets, f"fuzz_{name}")
    return Decoder(name=name, run=run, seeds=start, exposed=exposed, words=words)


DECODERS: dict[str, Decoder] = {
    row.name: row
    for row in (
        Decoder(name="answer_message", run=answer_message, seeds=seeds.packets, exposed=True),
        _handle("message", seeds.packets, exposed=True),
        _handle("request", seeds.packets, exposed=True),
        Decoder(name="datagrams", run=join_datagrams, seeds=_runs_of_packets, exposed=True, longest=4096),
        _handle("stream", _streams, exposed=True),
        _handle("site", seeds.site_records, exposed=True),
        _handle("values", lambda: [values.encode_values(seeds.values())], exposed=True),
        Decoder(name="value_json", run=read_value_json, seeds=seeds.value_forms, exposed=True, words=_VALUE_WORDS),
        Decoder(name="identifier", run=parse_identifier, seeds=seeds.identifiers, exposed=True, longest=256, words=_CODE_WORDS),
        Decoder(name="identifier_of", run=parse_identifier_of, seeds=seeds.coverages, longest=256, words=_CODE_WORDS),
        Decoder(name="coverage", run=read_coverage, seeds=seeds.coverages, longest=256, words=_CODE_WORDS),
        Decoder(name="card", run=read_card, seeds=seeds.cards, words=_JSON_WORDS),
        Decoder(name="signed_call", run=verify_call, seeds=seeds.calls, exposed=True, words=_CALL_WORDS),
        Decoder(name="bulk_json", run=read_bulk_json, seeds=seeds.bulk_lines, exposed=True, words=_VALUE_WORDS),
        Decoder(name="bulk_csv", run=read_bulk_csv, seeds=seeds.bulk_tables, exposed=True, words=_CSV_WORDS),
        Decoder(name="web_reply", run=read_web_reply, seeds=seeds.web_replies, words=_VALUE_WORDS, longest=4096),
        Decoder(name="manifest", run=read_manifest, seeds=seeds.manifests, words=_JSON_WORDS),
        Decoder(name="container", run=read_container, seeds=seeds.container_files),
        Decoder(name="entry", run=read_entry, seeds=seeds.entry_records),
        Decoder(name="value_list_walk", run=read_value_list, seeds=lambda: [values.encode_values(seeds.values())]),
        Decoder(name="spool", run=read_spool, seeds=seeds.spools, words=_JSON_WORDS),
        Decoder(name="settings", run=read_settings, seeds=seeds.settings_files, words=_TOML_WORDS),
        _handle("envelope", seeds.packets),
        _handle("header", lambda: [packet[20:] for packet in seeds.packets()]),
        _handle("response", seeds.packets),
        _handle("packet", seeds.packets),
        _handle("dump", seeds.packets),
        _handle("admin", seeds.raw_data),
        _handle("value_list", seeds.raw_data),
        _handle("public_key", seeds.public_keys),
        _handle("key_file", seeds.private_key_files),
        _handle("credential", seeds.packets),
        _handle("secret_response", seeds.secret_responses),
        _handle("decryption", seeds.packets),
        _handle("json", seeds.value_forms, exposed=True, words=_VALUE_WORDS),
        _handle("json_data", seeds.raw_data),
    )
}
EXPOSED = tuple(name for name, row in DECODERS.items() if row.exposed)
