"""A node's key file, key id and fingerprint."""

from __future__ import annotations

import base64
import hashlib
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from biaojie.foundation.nodes import keys
from biaojie.foundation.nodes.errors import CardMalformed, KeyFileInvalid, KeyFileMissing, KeyFileOpen


def test_key_file_saved_and_loaded_is_the_same_key(tmp_path: Path) -> None:
    key = keys.make_key()
    path = tmp_path / "node.key"

    keys.save_key(key, path)

    assert keys.load_key(path).key_id == key.key_id
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    assert [item.name for item in tmp_path.iterdir()] == ["node.key"]


def test_save_key_over_another_key_refuses_and_keeps_the_old(tmp_path: Path) -> None:
    old, path = keys.make_key(), tmp_path / "node.key"
    keys.save_key(old, path)

    with pytest.raises(FileExistsError):
        keys.save_key(keys.make_key(), path)

    assert keys.load_key(path).key_id == old.key_id


def test_load_or_make_key_started_ten_times_at_once_gives_one_key(tmp_path: Path) -> None:
    path, found, barrier = tmp_path / "node.key", list[str](), threading.Barrier(10)

    def start() -> None:
        barrier.wait()
        found.append(keys.load_or_make_key(path).key_id)

    threads = [threading.Thread(target=start) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 10
    assert len(set(found)) == 1


def test_load_key_readable_by_others_is_refused_saying_the_mode(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    keys.save_key(keys.make_key(), path)
    path.chmod(0o640)

    with pytest.raises(KeyFileOpen) as caught:
        keys.load_key(path)

    assert "0640" in caught.value.message


def test_load_key_absent_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    with pytest.raises(KeyFileMissing):
        keys.load_key(path)
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for content in (b"", b"no key", other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())):
        path.write_bytes(content)
        path.chmod(0o600)

        with pytest.raises(KeyFileInvalid):
            keys.load_key(path)


def test_fingerprint_is_the_grouped_digest_of_the_public_key() -> None:
    public = keys.make_key().public
    digest = hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest().upper()

    text = keys.fingerprint(public)

    assert text.replace(" ", "") == digest
    assert [len(group) for group in text.split(" ")] == [4] * 16


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda text: text, True),
        (lambda text: text.lower(), True),
        (lambda text: text.replace(" ", ":"), True),
        (lambda text: text.replace(" ", ""), True),
        (lambda text: text[:-5], False),
        (lambda text: text[:-1] + ("0" if text[-1] != "0" else "1"), False),
        (lambda text: "", False),
    ],
)
def test_is_same_fingerprint_ignores_spelling_but_no_digit(change, same) -> None:  # type: ignore[no-untyped-def] # parametrised
    text = keys.make_key().fingerprint

    assert keys.is_same_fingerprint(change(text), text) is same


def test_key_shown_never_shows_the_secret() -> None:
    key = keys.make_key()

    assert repr(key) == f"NodeKey(key_id='{key.key_id}')"


def test_public_key_encoded_and_decoded_is_the_same_and_garbage_is_refused() -> None:
    public = keys.make_key().public

    assert keys.decode_public(keys.encode_public(public)) == public
    for text in ("", "*", base64.b64encode(b"x" * 44).decode()):
        with pytest.raises(CardMalformed):
            keys.decode_public(text)
