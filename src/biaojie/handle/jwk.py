"""Public keys in JSON: a JWK (RFC 7517) for RSA, DSA and Ed25519, base64 of the key's octets for any other kind."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from biaojie.handle.errors import DecodeError, InvalidJson
from biaojie.handle.keys import decode_public_key, encode_public_key, signed


def key_to_json(data: bytes) -> dict[str, Any]:
    """`{"format": "key", "value": JWK}`, or `{"format": "base64", …}` when the JWK would not give the same key back."""
    try:
        jwk = _to_jwk(data)
        exact = jwk is not None and _same_key(data, _from_jwk(jwk))
    except (DecodeError, ValueError):
        exact = False
        jwk = None
    if jwk is None or not exact:
        return {"format": "base64", "value": base64.b64encode(data).decode("ascii")}
    return {"format": "key", "value": jwk}


def key_from_json(form: dict[str, Any]) -> bytes:
    """The key's octets; `InvalidJson` when the form is neither a JWK we know nor base64."""
    try:
        if form.get("format") == "key":
            return _from_jwk(form["value"])
        if form.get("format") == "base64":
            return base64.b64decode(form["value"], validate=True)
    except (KeyError, TypeError, AttributeError, ValueError, binascii.Error, UnsupportedAlgorithm, OverflowError) as error:
        raise InvalidJson(reason=str(error)) from error
    raise InvalidJson(reason=f"format {form.get('format')!r}")


def _same_key(left: bytes, right: bytes) -> bool:
    """Whether two spellings mean one key: the empty third part of an RSA key may be there or not."""
    return left == right or left + bytes(4) == right


def _to_jwk(data: bytes) -> dict[str, str] | None:
    key = decode_public_key(data)
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
    if isinstance(key, dsa.DSAPublicKey):
        dsa_numbers = key.public_numbers()
        group = dsa_numbers.parameter_numbers
        return {"kty": "DSA", "y": _number(dsa_numbers.y), "p": _number(group.p), "q": _number(group.q), "g": _number(group.g)}
    if isinstance(key, ed25519.Ed25519PublicKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": _url64(key.public_bytes(Encoding.Raw, PublicFormat.Raw))}
    return None


def _from_jwk(jwk: dict[str, str]) -> bytes:
    kind = jwk["kty"]
    if kind == "RSA":
        return encode_public_key(rsa.RSAPublicNumbers(_integer(jwk["e"]), _integer(jwk["n"])).public_key())
    if kind == "DSA":
        group = dsa.DSAParameterNumbers(_integer(jwk["p"]), _integer(jwk["q"]), _integer(jwk["g"]))
        return encode_public_key(dsa.DSAPublicNumbers(_integer(jwk["y"]), group).public_key())
    if kind == "OKP" and jwk.get("crv") == "Ed25519":
        return encode_public_key(ed25519.Ed25519PublicKey.from_public_bytes(_octets(jwk["x"])))
    raise InvalidJson(reason=f"kty {kind!r}")


def _number(value: int) -> str:
    return _url64(signed(value).lstrip(b"\0"))


def _url64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def _octets(text: str) -> bytes:
    if len(text) > 4096:
        raise InvalidJson(reason=f"{len(text)} > 4096")
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _integer(text: str) -> int:
    return int.from_bytes(_octets(text), "big")
