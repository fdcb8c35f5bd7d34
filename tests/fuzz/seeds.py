"""Valid messages, values, files and texts of every kind: what mutations start from and what coverage-guided fuzzing is fed.

Everything is the same in every run, the keys too: a mutation is found again by its number.
"""

from __future__ import annotations

import base64
import io
import ipaddress
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import vectors
from cryptography.hazmat.primitives.asymmetric import dsa, ed25519, rsa

from biaojie.base.settings import SETTINGS
from biaojie.codes.systems import System
from biaojie.foundation.nodes.card import HandleAddresses, NodeCard, card_key, sign_card
from biaojie.foundation.nodes.keys import NodeKey, key_id_of, node_id_of
from biaojie.foundation.nodes.signing import sign_request
from biaojie.handle import bodies, credentials, json_form, key_files, keys, sessions, system_values
from biaojie.handle.challenges import secret_response
from biaojie.handle.codes import FLAG_RD, RESOLUTION_FLAGS
from biaojie.handle.datagrams import split
from biaojie.handle.messages import decode_request, digest_request, encode_message, make_request, make_response
from biaojie.handle.sessions import Session
from biaojie.handle.sites import Interface, Server, Site, encode_site
from biaojie.handle.values import HandleValue, Reference, encode_values
from biaojie.resolution import entries
from biaojie.resolution.container import ContainerHeader, write_container
from biaojie.resolution.counters import FORM as SPOOL_FORM
from biaojie.resolution.counters import Latency, Spool, Tally
from biaojie.resolution.publication import FORM as PUBLICATION_FORM
from biaojie.resolution.publication import DeltaFile, Manifest, SnapshotFile

SESSION = Session(session_id=1, key=bytes(range(32)))
"""The session `fuzz_targets.fuzz_decryption` reads with."""
_REFERENCE = Reference("0.NA/86.100.1", 300)
_SECRET = b"key"
CALL_URL = "https://top.example.com/api/v1/nodes/card"
CALL_AT = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
_ED25519 = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
NODE_KEY = NodeKey(private=_ED25519, key_id=key_id_of(_ED25519.public_key()))


def _rsa() -> rsa.RSAPrivateKey:
    """A key of two Mersenne primes: the same in every run, and of no use to anybody."""
    p, q, e = 2**521 - 1, 2**607 - 1, 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    crt = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
    return rsa.RSAPrivateNumbers(p, q, d, *crt, rsa.RSAPublicNumbers(e, p * q)).private_key()


def _dsa() -> dsa.DSAPublicKey:
    """Numbers of the right lengths; nothing is ever signed with them."""
    return dsa.DSAPublicNumbers(2**1000 + 1, dsa.DSAParameterNumbers(2**1023 + 1155, 2**159 + 7, 2**900 + 3)).public_key()


def public_keys() -> list[bytes]:
    """Public keys of each type."""
    p = sessions.GROUP_2048
    return [
        keys.encode_public_key(key)
        for key in (_rsa().public_key(), _dsa(), _ED25519.public_key(), keys.DhPublicKey(y=pow(2, 4711, p), p=p, g=2))
    ]


def site_records() -> list[bytes]:
    """HS_SITE octets: none, one and several servers, both families, keys, attributes."""
    server = Server(
        server_id=1,
        address=ipaddress.ip_address("192.0.2.1"),
        public_key=public_keys()[2],
        interfaces=(Interface(3, 1, 2641), Interface(2, 0, 2641), Interface(3, 2, 8000)),
    )
    other = Server(server_id=2, address=ipaddress.ip_address("2001:db8::2"), interfaces=(Interface(2, 3, 443),))
    return [
        encode_site(site)
        for site in (
            Site(),
            Site(serial=7, attributes=(("desc", "样例节点"), ("domain", "id.example.org")), servers=(server,)),
            Site(multi_primary=True, hash_option=0, hash_filter=b"x", servers=(server, other, server)),
        )
    ]


def values() -> list[HandleValue]:
    """A value of each system type and some others."""
    return [
        HandleValue(1, "URL", b"https://id.example.org/item/42", timestamp=1_700_000_000),
        HandleValue(2, "DESC", "深沟球轴承 6204".encode(), ttl_type=1, ttl=1_800_000_000, references=(_REFERENCE,)),
        HandleValue(3, "HS_SITE", site_records()[1]),
        HandleValue(4, "HS_SITE.PREFIX", site_records()[2]),
        HandleValue(5, "HS_PUBKEY", public_keys()[0]),
        HandleValue(6, "HS_SERV", b"88.100/service"),
        HandleValue(7, "HS_VLIST", system_values.encode_value_list([_REFERENCE, Reference("", 0)])),
        HandleValue(100, "HS_ADMIN", system_values.encode_admin(system_values.AdminRecord(0x0FFF, "0.NA/86.100.1", 300))),
        HandleValue(301, "HS_SECKEY", b"s3cret-key", permissions=0x0C),
    ]


def packets() -> list[bytes]:
    """Whole messages: the recorded ones, every operation's request, every form of answer, credentials, sessions, pieces."""
    some = tuple(values()[:2])
    requests = [
        bodies.ResolutionRequest("86.100.1/item-0000042", (1, 2, -1), ("URL", "HS_SITE.")),
        bodies.ResolutionRequest("0.NA/88.100.1"),
        bodies.ResolutionRequest("86.100.1/中文"),
        bodies.GetSiteInfoRequest(),
        bodies.CreateHandleRequest("86.100.1/NEW", tuple(values())),
        bodies.DeleteHandleRequest("86.100.1/OLD"),
        bodies.AddValueRequest("86.100.1/X", some),
        bodies.RemoveValueRequest("86.100.1/X", (1, 2)),
        bodies.ModifyValueRequest("86.100.1/X", some),
        bodies.ListHandlesRequest("0.NA/86.100.1"),
        bodies.ListDerivedPrefixesRequest("0.NA/86.100"),
        bodies.HomePrefixRequest("0.NA/86.100.1"),
        bodies.UnhomePrefixRequest("0.NA/86.100.1"),
        bodies.ListHomedRequest(),
        bodies.ChallengeAnswer("HS_SECKEY", "0.NA/86.100.1", 301, bytes(20)),
        bodies.VerifyChallengeRequest("0.NA/86.100.1", 301, bytes(16), bytes(33), bytes(20)),
        bodies.SessionSetupRequest(4, 3600, public_key=public_keys()[3]),
        bodies.SessionSetupRequest(3, 3600, key_handle="0.NA/86.100.1", key_index=300),
        bodies.SessionTerminateRequest(),
    ]
    asked = [encode_message(make_request(body, request_id=0x0A0B0C00 + number)) for number, body in enumerate(requests)]
    asked.append(encode_message(make_request(requests[0], request_id=7, op_flags=RESOLUTION_FLAGS | FLAG_RD)))
    question = decode_request(asked[-1])
    listing = decode_request(vectors.RESOLVE_REQUEST)
    digest = digest_request(asked[-1])
    answers = [
        make_response(question, bodies.ResolutionResponse("86.100.1/X", tuple(values())), expiration=1, digest=digest),
        make_response(question, bodies.ErrorResponse(202, "无效", (1, 2)), expiration=1, response_code=202, digest=digest),
        make_response(listing, bodies.ReferralResponse("88.100/service", some), expiration=1, response_code=302),
        make_response(listing, bodies.ReferralResponse("", some), expiration=1, response_code=303),
        make_response(listing, bodies.ListHandlesResponse(("86.100.1/A", "86.100.1/B")), expiration=1, op_code=105),
        make_response(listing, bodies.RawBody(site_records()[1]), expiration=1, response_code=1, op_code=2),
        make_response(listing, bodies.VerifyChallengeResponse(True), expiration=1, op_code=201),
        make_response(listing, bodies.SessionSetupResponse(4, b"\0\0\0\3" + public_keys()[3]), expiration=1, op_code=400),
    ]
    replied = [encode_message(answer) for answer in answers]
    sealed = [
        credentials.mac_message(asked[0], SESSION.key, 1),
        credentials.sign_message(asked[0], _rsa()),
        sessions.encrypt_message(asked[0], SESSION, bytes(16)),
    ]
    pieces = split(vectors.request_of(1_200), mark=True) + split(vectors.response_of(1_635))
    return [*vectors.MESSAGES.values(), *asked, *replied, *sealed, *pieces]


def value_forms() -> list[bytes]:
    """Values in their JSON form, and forms with every data format."""
    forms: list[Any] = [json_form.value_to_json(value) for value in values()]
    forms += [
        {"index": 1, "type": "URL", "data": "bare"},
        {"index": 1, "type": "X", "data": {"format": "hex", "value": "00ff"}, "permissions": "1110"},
        {"index": 1, "type": "X", "data": {"format": "base64", "value": "AP8="}, "ttl": "2030-01-01T00:00:00Z"},
        {"index": 1, "type": "X", "data": "d", "references": [{"handle": "a/b", "index": 2}], "timestamp": "2023-11-14"},
    ]
    return [json.dumps(form, ensure_ascii=False).encode() for form in forms]


def identifiers() -> list[bytes]:
    """An identifier or more of each system, as people write them."""
    return [
        text.encode()
        for text in (
            "88.100.1/item-42",
            "https://hdl.handle.net/86.100.1/%E4%B8%AD",
            "0.NA/88.100",
            "urn:oid:1.2.156.3001.7",
            "2.16.156.1",
            "did:bid:ef214PmkhKndUcArDQPgD5J4fFVwqJFPt",
            "did:bid:by01:sf25JmQ2ZbHYaDPNSfVVPZ4LTYJVAbbgn",
            "VAA123456789012345",
            "VAA100000/0000000001",
            "E=10064010005123456789",
            "Ecode:064010005123456789",
            "V1|064|0005",
            "(01)06901234567892(10)A1(17)260101",
            "06901234567892",
            "https://id.gs1.org/01/06901234567892/10/A?17=260101",
            "106901234567892008",
        )
    ]


def coverages() -> list[bytes]:
    """Prefixes and ranges; the first octet chooses the system as `decoders.read_coverage` does."""
    texts = {
        System.HANDLE: ("88.100", "88.100.1-88.100.9"),
        System.OID: ("1.2.156", "1.2.156.1-1.2.156.9"),
        System.BID: ("by01", "did:bid:by01"),
        System.VAA: ("VAA123456", "123456-123460"),
        System.ECODE: ("1|064", "064-070"),
        System.GS1: ("690", "690-699", "6901234567890"),
    }
    systems = list(System)
    return [bytes([systems.index(system)]) + text.encode() for system, rows in texts.items() for text in rows]


def route_row() -> entries.RouteContent:
    """Where a range of GS1 is resolved."""
    address = ("IPv4", "192.0.2.7", "HTTP", 8080)
    return entries.RouteContent(
        system="GS1", coverage="690", low=b"690", high=b"691", addresses=[address], owner="88.100", final=True
    )


def entry_records() -> list[bytes]:
    """One record of each kind of publication entry."""
    rows = [
        entries.handle_entry(b"\x0186.100.1/X", 1, owner="86.100.1", values=encode_values(values())),
        entries.zone_entry(b"88.100", 2, owner="88.100", refer="88.100/service"),
        entries.route_entry(b"\x06690", 3, route_row()),
        entries.site_entry(site_records()[1], 4),
        entries.removal("handle", b"\x01X", 5),
    ]
    return [entries.encode_entry(row) for row in rows]


def container_files() -> list[bytes]:
    """Sealed files: empty, a few records, a few hundred."""
    header = ContainerHeader("snapshot", "second", "5e55", 0, 3, "2026-03-02T01:30:00Z", {"hint": "x"})
    files = []
    for rows in ([], entry_records(), entry_records() * 60):
        target = io.BytesIO()
        write_container(target, header, rows)
        files.append(target.getvalue())
    return files


def manifests() -> list[bytes]:
    """Publication manifests with and without deltas."""
    snapshot = SnapshotFile(3, "snapshot-3-abc.bjp", 100, "0" * 64, 3)
    deltas = [DeltaFile(3, 4, "delta-4-abc.bjp", 50, "1" * 64, 1), DeltaFile(4, 9, "delta-9-abc.bjp", 50, "2" * 64, 5)]
    return [
        msgspec.json.encode(Manifest(PUBLICATION_FORM, "second", "5e55", 3, snapshot, [], "2026-03-02T01:30:00Z")),
        msgspec.json.encode(Manifest(PUBLICATION_FORM, "second", "5e55", 9, snapshot, deltas, "2026-03-02T01:30:00Z")),
    ]


def spools() -> list[bytes]:
    """Counter files."""
    latency = Latency()
    latency.add(120.0, 3, 1_700_000_000.0)
    tally = Tally(3, 2, latency, {"192.0.2.1": 3}, {"1700000000": 3})
    full = Spool(SPOOL_FORM, "resolver", 1_700_000_000.0, 1_700_000_060.0, {"88.100": tally}, {"88.100": tally})
    return [msgspec.json.encode(row) for row in (full, Spool(SPOOL_FORM, "resolver", 0.0, 0.0))]


def settings_files() -> list[bytes]:
    """Every setting at its default, and a few written by hand."""
    rows = [f"{row.name} = {json.dumps(row.default, ensure_ascii=False)}" for row in SETTINGS]
    return ["\n".join(rows).encode(), b'role = "top"\nhandle_udp = ["[::1]:2641", "0.0.0.0:2641"]\nclock_scale = 2', b"[a]\nb=1"]


def cards() -> list[bytes]:
    """A signed node card."""
    key, now = NODE_KEY, datetime(2026, 3, 2, tzinfo=UTC)
    year = timedelta(days=365)
    card = NodeCard(
        node_id=node_id_of(key.key_id),
        name="江南轴承二级节点",
        role="second",
        environment="test",
        prefixes=("88.100",),
        web_url="https://second.example.com",
        handle=HandleAddresses(udp="192.0.2.8:2641", tcp="192.0.2.8:2641", http="http://192.0.2.8:8080"),
        status_url="",
        keys=(card_key(key, not_before=now - year, not_after=now + year),),
        serial=1,
        issued_at=now,
    )
    return [sign_card(card, [key]).to_json()]


def bulk_lines() -> list[bytes]:
    """NDJSON bodies of identifiers to register."""
    rows = [{"handle": f"88.100.1/A{number}", "values": [json.loads(form)]} for number, form in enumerate(value_forms())]
    lines = [json.dumps(row, ensure_ascii=False).encode() for row in rows]
    return [lines[0], b"\n".join(lines[:3]) + b"\n", b"\xef\xbb\xbf" + lines[1] + b"\n\n" + lines[-1]]


def bulk_tables() -> list[bytes]:
    """CSV bodies of the same."""
    return [
        b"handle,1:URL,2:DESC,ttl\n88.100.1/A,https://a.example,x,60\n88.100.1/B,,y,\n",
        'handle,2000:productName\r\n88.100.1/甲,"深沟球轴承, ""6204"""\r\n'.encode(),
        b"1:URL,handle\nu,88.100.1/C",
    ]


def calls() -> list[bytes]:
    """Signed calls in the form `decoders.verify_call` takes."""
    rows = []
    for body in (b'{"serial": 7}', b""):
        headers = sign_request(NODE_KEY, "POST", CALL_URL, body, now=CALL_AT, nonce="n" * 22)
        names = ("Signature-Input", "Signature", "Content-Digest")
        rows.append("\n".join(headers[name] for name in names).encode() + b"\n" + body)
    return rows


def web_replies() -> list[bytes]:
    """JSON replies a client reads: records, routes."""
    some = [json_form.value_to_json(value) for value in values()]
    hop = {"ip_type": 4, "ip": "192.0.2.7", "protocol": "http", "port": 8080}
    forms: list[dict[str, Any]] = [
        {"responseCode": 1, "handle": "86.100.1/X", "values": some},
        {"responseCode": 100, "handle": "86.100.1/X"},
        {"responseCode": 303, "referralHandle": "88.100/service", "handle": "86.100.1/X"},
        {"system": "GS1", "matched": "690", "next": [hop], "final": True},
        {"status": 1, "message": "", "data": {"system": "GS1", "matched": None, "next": [], "final": False}},
    ]
    return [json.dumps(form, ensure_ascii=False).encode() for form in forms]


def secret_responses() -> list[bytes]:
    """Answers to a challenge by a secret key, of each algorithm."""
    return [
        secret_response(_SECRET, bytes(16), bytes(32), algorithm=algorithm, salt=bytes(16), iterations=5)
        for algorithm in (1, 2, 3, 0x12, 0x13, 0x22)
    ]


def private_key_files() -> list[bytes]:
    """Private key files, plain and enclosed."""
    key = _rsa()
    return [key_files.encode_key_file(key), key_files.encode_key_file(key, passphrase=b"p", salt=bytes(16), iv=bytes(16))]


def raw_data() -> list[bytes]:
    """The data of values of each type."""
    return [value.data for value in values()] + [base64.b64decode("/w=="), b""]
