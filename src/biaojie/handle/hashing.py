"""Which server of a site a handle belongs to (RFC 3652 §3.1.3).

The chosen part of the handle, ASCII letters upper-cased, is hashed by MD5; the last four octets as a signed integer, made
positive, modulo the number of servers give the position in the server list. RFC 3651 takes all 16 octets; nobody does.
"""

from __future__ import annotations

import hashlib

from biaojie.handle.errors import NoServer
from biaojie.handle.sites import HashOption, Server, Site

ROOT_PREFIX = b"0.NA"

_UPPER = bytes(octet - 32 if 97 <= octet <= 122 else octet for octet in range(256))


def hash_part(handle: str, option: int) -> bytes:
    """The octets that are hashed; the prefix of a handle without "/" is 0.NA, its suffix the whole."""
    octets = handle.encode("utf-8", "surrogateescape").translate(_UPPER)
    prefix, slash, suffix = octets.partition(b"/")
    if option == HashOption.BY_PREFIX:
        return prefix if slash else ROOT_PREFIX
    if option == HashOption.BY_SUFFIX:
        return suffix if slash else octets
    return octets


def handle_hash(handle: str, option: int = HashOption.BY_ALL) -> int:
    """A number from 0 to 2,147,483,648; the same for all spellings that differ in ASCII case only."""
    digest = hashlib.md5(hash_part(handle, option), usedforsecurity=False).digest()
    return digest_number(digest)


def digest_number(digest: bytes) -> int:
    """The last four octets as a signed integer, made positive; 0x80000000, which Java cannot negate, becomes 2^31."""
    return abs(int.from_bytes(digest[-4:], "big", signed=True))


def server_position(site: Site, handle: str) -> int:
    """The position in `site.servers`, counted from 0; `NoServer` when the site has none."""
    if not site.servers:
        raise NoServer()
    if len(site.servers) == 1:
        return 0
    return handle_hash(handle, site.hash_option) % len(site.servers)


def choose_server(site: Site, handle: str) -> Server:
    """The server that answers for `handle`; `NoServer` when the site has none."""
    return site.servers[server_position(site, handle)]
