"""The 24 octets between envelope and body: what is asked or answered (RFC 3652 §2.2.2)."""

from __future__ import annotations

import msgspec

from biaojie.handle.codes import FLAG_NAMES, OP_TITLES, RESPONSE_TITLES
from biaojie.handle.kinds import U8, U16, U32, Flags, Named, Reserved
from biaojie.handle.layout import Field, Layout

HEADER_SIZE = 24
UNKNOWN_SERIAL = 0xFFFF
"""The site serial number of a peer that holds no site information."""


class Header(msgspec.Struct, frozen=True):
    """One header. Codes and flags are plain numbers, because unknown ones must survive; times are seconds since 1970."""

    op_code: int
    response_code: int = 0
    op_flags: int = 0
    site_serial: int = UNKNOWN_SERIAL
    recursion_count: int = 0
    expiration: int = 0
    body_length: int = 0


HEADER = Layout(
    "Header",
    Header,
    Field("op_code", Named("int4", "I", OP_TITLES), "操作码"),
    Field("response_code", Named("int4", "I", RESPONSE_TITLES), "响应码"),
    Field("op_flags", Flags("int4", "I", FLAG_NAMES), "操作标志"),
    Field("site_serial", U16, "站点信息序列号"),
    Field("recursion_count", U8, "递归次数"),
    Field("", Reserved(1), "保留"),
    Field("expiration", U32, "过期时间"),
    Field("body_length", U32, "消息体长度"),
    title="消息头",
    source="RFC 3652 §2.2.2",
)
