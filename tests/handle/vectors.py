"""Messages exchanged with a running reference server, as octets, and strategies that make values of every kind."""

from __future__ import annotations

import ipaddress

from hypothesis import strategies as st

from biaojie.handle.messages import ResolutionResponse, decode_request, encode_message, make_response
from biaojie.handle.sites import Interface, Server, Site
from biaojie.handle.values import HandleValue, Reference

RESOLVE_REQUEST = bytes.fromhex(
    "020b020b0000000001020304000000000000003d"
    "000000010000000019000000ffff00007fffffff00000021"
    "0000001538362e3130302e312f6974656d2d30303030303432"
    "0000000000000000"
    "00000000"
)
RESOLVE_RESPONSE = bytes.fromhex(
    "020b020b000000000102030400000000000000eb000000010000000199000000000100006b0397f4000000cf0000001538362e3130302e312f69"
    "74656d2d3030303030343200000003000000016553f10000000151800e0000000355524c0000001e68747470733a2f2f69642e6578616d706c65"
    "2e6f72672f6974656d2f343200000000000000026553f10000000151800e000000044445534300000020696e647573747269616c207061727420"
    "6e756d626572203432206c6f7420343200000000000000646553f10000000151800e0000000848535f41444d494e000000170fff0000000d302e"
    "4e412f38362e3130302e310000012c0000000000000000"
)
NOT_FOUND_REQUEST = bytes.fromhex(
    "020b020b00000000010203040000000000000035000000010000000019000000ffff00007fffffff000000190000000d38362e3130302e312f4e"
    "4f5045000000000000000000000000"
)
NOT_FOUND_RESPONSE = bytes.fromhex(
    "020b020b00000000010203040000000000000020000000010000006499000000000100006b0397f4000000040000000000000000"
)
CREATE_REQUEST = bytes.fromhex(
    "020b020b0000000001020304000000000000009b000000640000000018000000ffff00007fffffff0000007f0000000e38362e3130302e312f4e"
    "45572d3100000002000000010000000000000151800e0000000355524c0000001368747470733a2f2f6e2e6578616d706c652f31000000000000"
    "00640000000000000151800e0000000848535f41444d494e000000170fff0000000d302e4e412f38362e3130302e310000012c00000000000000"
    "00"
)
CREATE_CHALLENGE = bytes.fromhex(
    "020b020b00000003010203040000000000000051000000640000019298800000000100006b03982f00000035030616431c1b3203da49ae7939f3"
    "5334af26cc3606d2f313ce3c297118d3dd7c6c00000010908cf9e6082031c445e2ce3f22d3384800000000"
)
CREATE_ANSWER = bytes.fromhex(
    "020b020b000000030a0b0c0d0000000000000077000000c80000000018000000ffff00007fffffff0000005b0000000948535f5345434b455900"
    "00000d302e4e412f38362e3130302e310000012d0000003522000000100101010101010101010101010101010100002710000000a000000014fb"
    "ef5a0b5a0779210fed8027a8979a1b4753d17500000000"
)
CREATE_DONE = bytes.fromhex(
    "020b020b000000000a0b0c0d000000000000002e000000640000000198000000000100006b03982f000000120000000e38362e3130302e312f4e"
    "45572d3100000000"
)
EARLY_UNKNOWN_OPERATION = bytes.fromhex(
    "0203020b00000000ffffffff000000000000003c000000000000000419000000ffff00006b0397f4000000200000001c556e6b6e6f776e206f70"
    "436f646520696e206d6573736167653a203000000000"
)
EARLY_NOT_ADMIN = bytes.fromhex(
    "0203020b00000000ffffffff000000000000004d000000650000000419000000ffff00006b0397f4000000310000002d52656365697665642061"
    "646d696e2072657175657374206f6e206e6f6e2d61646d696e20696e7465726661636500000000"
)
MESSAGES = {
    "resolve request": RESOLVE_REQUEST,
    "resolve response": RESOLVE_RESPONSE,
    "not found request": NOT_FOUND_REQUEST,
    "not found response": NOT_FOUND_RESPONSE,
    "create request": CREATE_REQUEST,
    "create challenge": CREATE_CHALLENGE,
    "create answer": CREATE_ANSWER,
    "create done": CREATE_DONE,
    "early unknown operation": EARLY_UNKNOWN_OPERATION,
    "early not admin": EARLY_NOT_ADMIN,
}


def response_of(content_length: int) -> bytes:
    """An answer with exactly that many octets behind the envelope."""
    request = decode_request(NOT_FOUND_REQUEST)
    empty = encode_message(make_response(request, _body(b""), expiration=1))
    return encode_message(make_response(request, _body(bytes(content_length + 20 - len(empty))), expiration=1))


def _body(data: bytes) -> ResolutionResponse:
    return ResolutionResponse("86.100.1/NOPE", (HandleValue(1, "T", data),))


def request_of(content_length: int) -> bytes:
    """The same with response code 0, which makes it count as a request when it is cut."""
    response = response_of(content_length)
    return response[:24] + bytes(4) + response[28:]


u8 = st.integers(0, 0xFF)
u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
i32 = st.integers(-0x80000000, 0x7FFFFFFF)
# Whatever octets a stranger sends as text; the surrogate escapes of valid UTF-8 never come from the wire.
texts = st.binary(max_size=24).map(lambda octets: octets.decode("utf-8", "surrogateescape"))
octets = st.binary(max_size=40)
references = st.builds(Reference, handle=texts, index=i32)
handle_values = st.builds(
    HandleValue,
    index=i32,
    type=texts,
    data=octets,
    ttl_type=u8,
    ttl=u32,
    timestamp=u32,
    permissions=u8,
    references=st.lists(references, max_size=2).map(tuple),
)
value_tuples = st.lists(handle_values, max_size=3).map(tuple)
addresses = st.one_of(
    st.ip_addresses(v=4).filter(lambda address: address != ipaddress.IPv4Address("0.0.0.1")), st.ip_addresses(v=6)
)
interfaces = st.builds(Interface, kind=u8, protocol=u8, port=u32)
servers = st.builds(
    Server, server_id=i32, address=addresses, public_key=octets, interfaces=st.lists(interfaces, max_size=3).map(tuple)
)
sites = st.builds(
    Site,
    version=u16,
    major=u8,
    minor=u8,
    serial=u16,
    primary=st.booleans(),
    multi_primary=st.booleans(),
    hash_option=u8,
    hash_filter=octets,
    attributes=st.lists(st.tuples(texts, texts), max_size=2).map(tuple),
    servers=st.lists(servers, max_size=3).map(tuple),
)
