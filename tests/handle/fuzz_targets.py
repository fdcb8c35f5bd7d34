"""One plain function per decoder: any octets go in, and nothing but a `DecodeError` may come out.

Used by the property tests here, by the mutation test and by coverage-guided fuzzing. A target returns nothing.
"""

from __future__ import annotations

import contextlib
import json

from biaojie.handle import challenges, credentials, dump, json_form, key_files, keys, sessions, sites, system_values, values
from biaojie.handle.datagrams import Reassembler
from biaojie.handle.envelope import decode_envelope
from biaojie.handle.errors import ChallengeError, CredentialError, DecodeError, SessionError, WrongPassphrase
from biaojie.handle.header import HEADER
from biaojie.handle.layout import Reader
from biaojie.handle.messages import decode_message, decode_request, decode_response, encode_message
from biaojie.handle.sessions import Session
from biaojie.handle.streams import FrameReader

_SESSION = Session(session_id=1, key=bytes(range(32)))


def fuzz_envelope(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        decode_envelope(Reader(data))


def fuzz_header(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        HEADER.unpack(Reader(data))


def fuzz_message(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        message = decode_message(data)
        encode_message(message)


def fuzz_request(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        decode_request(data)


def fuzz_response(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        decode_response(data)


def fuzz_values(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        assert values.encode_values(values.decode_values(data)) == data


def fuzz_site(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        sites.encode_site(sites.decode_site(data))


def fuzz_admin(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        system_values.decode_admin(data)


def fuzz_value_list(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        system_values.decode_value_list(data)


def fuzz_public_key(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        keys.encode_public_key(keys.decode_public_key(data))


def fuzz_key_file(data: bytes) -> None:
    with contextlib.suppress(DecodeError, WrongPassphrase):
        key_files.decode_key_file(data, None)


def fuzz_credential(data: bytes) -> None:
    with contextlib.suppress(DecodeError, CredentialError):
        credentials.verify_mac(data, bytes(32))


def fuzz_secret_response(data: bytes) -> None:
    with contextlib.suppress(DecodeError, ChallengeError):
        challenges.check_secret_response(data, b"key", bytes(16), bytes(32), max_iterations=10)


def fuzz_decryption(data: bytes) -> None:
    with contextlib.suppress(DecodeError, SessionError):
        sessions.decrypt_message(data, _SESSION)


def fuzz_packet(data: bytes) -> None:
    joiner = Reassembler()
    with contextlib.suppress(DecodeError):
        joiner.add("peer", data, 0.0)
        joiner.add("peer", data, 0.1)
    assert joiner.held_bytes <= len(data)


def fuzz_stream(data: bytes) -> None:
    stream = FrameReader()
    with contextlib.suppress(DecodeError):
        for start in range(0, len(data), 7):
            stream.feed(data[start : start + 7])


def fuzz_json(data: bytes) -> None:
    try:
        form = json.loads(data)
    except (ValueError, RecursionError):
        return
    with contextlib.suppress(DecodeError):
        json_form.value_from_json(form)


def fuzz_json_data(data: bytes) -> None:
    for type_ in ("URL", "HS_ADMIN", "HS_VLIST", "HS_SITE", "HS_PUBKEY"):
        form = json_form.data_to_json(type_, data)
        assert json_form.data_from_json(form) == data or type_ == "HS_PUBKEY"


def fuzz_dump(data: bytes) -> None:
    dump.dump(data)


TARGETS = [value for name, value in sorted(globals().items()) if name.startswith("fuzz_")]
