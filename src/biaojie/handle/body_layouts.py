"""How bodies lie on the wire: one layout per body, and the table that joins them to operation codes.

A body is chosen by operation code, direction and response code. Octets behind the end of a body are ignored, as all software
in use does; a code nobody registered gives a `RawBody`, so that such messages can be shown and passed on.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from biaojie.handle.bodies import (
    Acknowledgement,
    AddValueRequest,
    Body,
    ChallengeAnswer,
    ChallengeResponse,
    CreateHandleRequest,
    CreateHandleResponse,
    DeleteHandleRequest,
    ErrorResponse,
    GetSiteInfoRequest,
    GetSiteInfoResponse,
    HomePrefixRequest,
    ListDerivedPrefixesRequest,
    ListHandlesRequest,
    ListHandlesResponse,
    ListHomedRequest,
    ListHomedResponse,
    ModifyValueRequest,
    RawBody,
    ReferralResponse,
    RemoveValueRequest,
    RequestDigest,
    ResolutionRequest,
    ResolutionResponse,
    SessionMode,
    SessionSetupRequest,
    SessionSetupResponse,
    SessionTerminateRequest,
    UnhomePrefixRequest,
    VerifyChallengeRequest,
    VerifyChallengeResponse,
)
from biaojie.handle.codes import OpCode, ResponseCode
from biaojie.handle.errors import EncodeError, UnexpectedValue
from biaojie.handle.kinds import BYTES, HANDLE, I32, STRING, U8, U32, ListOf, Maybe, Named, Padding, Raw, Rest
from biaojie.handle.layout import Field, Layout, Reader
from biaojie.handle.sites import SITE
from biaojie.handle.values import VALUES

DIGEST_SIZES = {1: 16, 2: 20, 3: 32}
_DIGEST_NAMES = {1: "MD5", 2: "SHA-1", 3: "SHA-256"}
_MODE_NAMES = {1: "客户端公钥", 2: "服务器公钥", 3: "标识中的公钥", 4: "Diffie-Hellman"}

_HANDLE = Field("handle", HANDLE, "标识")
_VALUES = Field("values", VALUES, "标识值")
_INDEXES = Field("indexes", ListOf(I32), "索引")
_HANDLES = Field("handles", ListOf(HANDLE), "标识")
_MODE = Field("mode", Named("int2", "H", _MODE_NAMES), "密钥交换方式")
_SETUP = (_MODE, Field("timeout", U32, "超时秒数"), Field("handle", HANDLE, "身份标识"), Field("index", I32, "身份索引"))
# The Java encoder ends both session bodies with two zero octets and counts them.
_TAIL = Field("", Padding(2), "填充")


def _with_key(mode: int, timeout: int, handle: str, index: int, public_key: bytes) -> SessionSetupRequest:
    return SessionSetupRequest(mode, timeout, handle, index, public_key)


def _with_handle(mode: int, timeout: int, handle: str, index: int, key_handle: str, key_index: int) -> SessionSetupRequest:
    return SessionSetupRequest(mode, timeout, handle, index, b"", key_handle, key_index)


def _error(message: str, indexes: tuple[int, ...]) -> ErrorResponse:
    return ErrorResponse(0, message, indexes)


def _verdict(octet: int) -> VerifyChallengeResponse:
    return VerifyChallengeResponse(octet != 0)


RESOLUTION_REQUEST = Layout(
    "ResolutionRequest", ResolutionRequest, _HANDLE, _INDEXES, Field("types", ListOf(STRING), "类型"), title="解析请求"
)
RESOLUTION_RESPONSE = Layout("ResolutionResponse", ResolutionResponse, _HANDLE, _VALUES, title="解析应答")
SITE_REQUEST = Layout(
    "GetSiteInfoRequest",
    GetSiteInfoRequest,
    Field("handle", Maybe(HANDLE, "/", always=True), "标识（不用）"),
    title="取站点信息请求",
)
SITE_RESPONSE = Layout("GetSiteInfoResponse", GetSiteInfoResponse, Field("site", SITE, "站点"), title="取站点信息应答")
CREATE_REQUEST = Layout("CreateHandleRequest", CreateHandleRequest, _HANDLE, _VALUES, title="创建标识请求")
CREATE_RESPONSE = Layout(
    "CreateHandleResponse", CreateHandleResponse, Field("handle", Maybe(HANDLE, "", always=True), "标识"), title="创建标识应答"
)
DELETE_REQUEST = Layout("DeleteHandleRequest", DeleteHandleRequest, _HANDLE, title="删除标识请求")
ADD_REQUEST = Layout("AddValueRequest", AddValueRequest, _HANDLE, _VALUES, title="添加标识值请求")
REMOVE_REQUEST = Layout("RemoveValueRequest", RemoveValueRequest, _HANDLE, _INDEXES, title="移除标识值请求")
MODIFY_REQUEST = Layout("ModifyValueRequest", ModifyValueRequest, _HANDLE, _VALUES, title="修改标识值请求")
LIST_REQUEST = Layout("ListHandlesRequest", ListHandlesRequest, _HANDLE, title="列出标识请求")
LIST_RESPONSE = Layout("ListHandlesResponse", ListHandlesResponse, _HANDLES, title="列出标识应答")
DERIVED_REQUEST = Layout("ListDerivedPrefixesRequest", ListDerivedPrefixesRequest, _HANDLE, title="列出派生前缀请求")
CHALLENGE_ANSWER = Layout(
    "ChallengeAnswer",
    ChallengeAnswer,
    Field("auth_type", STRING, "认证类型"),
    Field("handle", HANDLE, "身份标识"),
    Field("index", I32, "身份索引"),
    Field("signed_response", BYTES, "应答"),
    title="质询应答",
    source="RFC 3652 §3.5.2",
)
VERIFY_REQUEST = Layout(
    "VerifyChallengeRequest",
    VerifyChallengeRequest,
    _HANDLE,
    Field("index", I32, "索引"),
    Field("nonce", BYTES, "随机数"),
    Field("digest", BYTES, "请求摘要（含算法字节）"),
    Field("signed_response", BYTES, "应答"),
    title="核验质询应答请求",
    source="RFC 3652 §3.5.3",
)
VERIFY_RESPONSE = Layout(
    "VerifyChallengeResponse", _verdict, Field("valid", Named("int1", "B", {0: "不符", 1: "相符"}), "结果"), title="核验结果"
)
HOME_REQUEST = Layout("HomePrefixRequest", HomePrefixRequest, _HANDLE, title="前缀落户请求")
UNHOME_REQUEST = Layout("UnhomePrefixRequest", UnhomePrefixRequest, _HANDLE, title="前缀迁出请求")
HOMED_REQUEST = Layout(
    "ListHomedRequest",
    ListHomedRequest,
    Field("handle", Maybe(HANDLE, "/", always=True), "标识（不用）"),
    title="列出落户前缀请求",
)
HOMED_RESPONSE = Layout("ListHomedResponse", ListHomedResponse, _HANDLES, title="列出落户前缀应答")
SETUP_WITH_KEY = Layout(
    "SessionSetupRequest (mode 1, 4)",
    _with_key,
    *_SETUP,
    Field("public_key", BYTES, "公钥"),
    _TAIL,
    title="建立会话请求（自带公钥）",
)
SETUP_WITH_HANDLE = Layout(
    "SessionSetupRequest (mode 3)",
    _with_handle,
    *_SETUP,
    Field("key_handle", HANDLE, "公钥标识"),
    Field("key_index", I32, "公钥索引"),
    _TAIL,
    title="建立会话请求（标识中的公钥）",
)
SETUP_PLAIN = Layout("SessionSetupRequest (mode 2)", SessionSetupRequest, *_SETUP, _TAIL, title="建立会话请求（服务器公钥）")
SETUP_RESPONSE = Layout(
    "SessionSetupResponse", SessionSetupResponse, _MODE, Field("data", BYTES, "密钥数据"), _TAIL, title="建立会话应答"
)
TERMINATE_REQUEST = Layout("SessionTerminateRequest", SessionTerminateRequest, title="结束会话请求")
ACKNOWLEDGEMENT = Layout("Acknowledgement", Acknowledgement, title="完成（无内容）")
REFERRAL_RESPONSE = Layout(
    "ReferralResponse",
    ReferralResponse,
    Field("handle", Maybe(HANDLE, "", always=True), "服务标识"),
    Field("values", Maybe(VALUES, ()), "站点值"),
    title="转介应答",
)
ERROR_RESPONSE = Layout(
    "ErrorResponse",
    _error,
    Field("message", Maybe(STRING, "", always=True), "说明"),
    Field("indexes", Maybe(ListOf(I32), ()), "有误的索引"),
    title="错误应答",
)
RAW_BODY = Layout("RawBody", RawBody, Field("data", Rest(), "内容"), title="未登记操作的内容")
DIGEST_LAYOUTS: dict[int, Layout[RequestDigest]] = {
    number: Layout(
        f"RequestDigest ({_DIGEST_NAMES[number]})",
        RequestDigest,
        Field("algorithm", Named("int1", "B", _DIGEST_NAMES), "摘要算法"),
        Field("digest", Raw(size), "摘要"),
        title="请求摘要",
        source="RFC 3652 §2.2.3",
    )
    for number, size in DIGEST_SIZES.items()
}
NONCE = Layout("Nonce", lambda nonce: nonce, Field("nonce", BYTES, "随机数"), title="质询", source="RFC 3652 §3.5.1")


class OperationRow(NamedTuple):
    """One operation: number, class and layout of its request, class and layout of its successful answer."""

    op_code: int
    request: type[Body]
    request_layout: Layout[Any]
    response: type[Body]
    response_layout: Layout[Any]


OPERATIONS: tuple[OperationRow, ...] = (
    OperationRow(OpCode.RESOLUTION, ResolutionRequest, RESOLUTION_REQUEST, ResolutionResponse, RESOLUTION_RESPONSE),
    OperationRow(OpCode.GET_SITE_INFO, GetSiteInfoRequest, SITE_REQUEST, GetSiteInfoResponse, SITE_RESPONSE),
    OperationRow(OpCode.CREATE_HANDLE, CreateHandleRequest, CREATE_REQUEST, CreateHandleResponse, CREATE_RESPONSE),
    OperationRow(OpCode.DELETE_HANDLE, DeleteHandleRequest, DELETE_REQUEST, Acknowledgement, ACKNOWLEDGEMENT),
    OperationRow(OpCode.ADD_VALUE, AddValueRequest, ADD_REQUEST, Acknowledgement, ACKNOWLEDGEMENT),
    OperationRow(OpCode.REMOVE_VALUE, RemoveValueRequest, REMOVE_REQUEST, Acknowledgement, ACKNOWLEDGEMENT),
    OperationRow(OpCode.MODIFY_VALUE, ModifyValueRequest, MODIFY_REQUEST, Acknowledgement, ACKNOWLEDGEMENT),
    OperationRow(OpCode.LIST_HANDLES, ListHandlesRequest, LIST_REQUEST, ListHandlesResponse, LIST_RESPONSE),
    OperationRow(OpCode.LIST_DERIVED_PREFIXES, ListDerivedPrefixesRequest, DERIVED_REQUEST, ListHandlesResponse, LIST_RESPONSE),
    OperationRow(OpCode.CHALLENGE_ANSWER, ChallengeAnswer, CHALLENGE_ANSWER, Acknowledgement, ACKNOWLEDGEMENT),
    OperationRow(OpCode.VERIFY_CHALLENGE, VerifyChallengeRequest, VERIFY_REQUEST, VerifyChallengeResponse, VERIFY_RESPONSE),
    OperationRow(OpCode.HOME_PREFIX, HomePrefixRequest, HOME_REQUEST, Acknowledgement, ACKNOWLEDGEMENT),
    OperationRow(OpCode.UNHOME_PREFIX, UnhomePrefixRequest, UNHOME_REQUEST, Acknowledgement, ACKNOWLEDGEMENT),
    OperationRow(OpCode.LIST_HOMED_PREFIXES, ListHomedRequest, HOMED_REQUEST, ListHomedResponse, HOMED_RESPONSE),
    OperationRow(OpCode.SESSION_SETUP, SessionSetupRequest, SETUP_WITH_KEY, SessionSetupResponse, SETUP_RESPONSE),
    OperationRow(OpCode.SESSION_TERMINATE, SessionTerminateRequest, TERMINATE_REQUEST, Acknowledgement, ACKNOWLEDGEMENT),
)
_BY_OP = {int(row.op_code): row for row in OPERATIONS}
_OP_OF_REQUEST = {row.request: int(row.op_code) for row in OPERATIONS}
_LAYOUT_OF: dict[type[Body], Layout[Any]] = {
    **{row.request: row.request_layout for row in OPERATIONS},
    **{row.response: row.response_layout for row in OPERATIONS},
    ReferralResponse: REFERRAL_RESPONSE,
    ErrorResponse: ERROR_RESPONSE,
    RawBody: RAW_BODY,
}
_REFERRALS = (ResponseCode.SERVICE_REFERRAL, ResponseCode.PREFIX_REFERRAL)


def op_code_of(body: Body) -> int | None:
    """The operation a request body belongs to; None for answers and raw bodies."""
    return _OP_OF_REQUEST.get(type(body))


def response_code_of(body: Body) -> int | None:
    """The response code a body implies; None where the caller has to say (referrals, raw bodies)."""
    if isinstance(body, ErrorResponse):
        return body.code
    if isinstance(body, ChallengeResponse):
        return ResponseCode.AUTHENTICATION_NEEDED
    return None if isinstance(body, (ReferralResponse, RawBody)) else ResponseCode.SUCCESS


def encode_body(body: Body) -> bytes:
    """The body as octets, without a request digest unless it is a challenge."""
    if isinstance(body, ChallengeResponse):
        return encode_digest(RequestDigest(body.algorithm, body.digest)) + NONCE.pack(body)
    if isinstance(body, SessionSetupRequest):
        return _setup_layout(body.mode).pack(body)
    return _LAYOUT_OF[type(body)].pack(body)


def decode_request_body(op_code: int, reader: Reader) -> Body:
    """The body of a request; `RawBody` for an operation nobody registered."""
    if op_code == OpCode.SESSION_SETUP:
        octets = reader.data[reader.pos : min(reader.pos + 2, reader.end)]
        return _setup_layout(int.from_bytes(octets, "big")).unpack(reader)
    row = _BY_OP.get(op_code)
    body: Body = row.request_layout.unpack(reader) if row else RAW_BODY.unpack(reader)
    return body


def decode_response_body(op_code: int, response_code: int, digest: RequestDigest | None, reader: Reader) -> Body:
    """The body of an answer, the request digest already read; codes beyond success, challenge and referral are errors."""
    if response_code == ResponseCode.SUCCESS:
        row = _BY_OP.get(op_code)
        success: Body = row.response_layout.unpack(reader) if row else RAW_BODY.unpack(reader)
        return success
    if response_code == ResponseCode.AUTHENTICATION_NEEDED:
        if digest is None:
            raise reader.truncated("digest", 1)
        return ChallengeResponse(digest.algorithm, digest.digest, NONCE.unpack(reader))
    if response_code in _REFERRALS:
        return REFERRAL_RESPONSE.unpack(reader)
    error = ERROR_RESPONSE.unpack(reader)
    return ErrorResponse(response_code, error.message, error.indexes)


def encode_digest(digest: RequestDigest) -> bytes:
    """Algorithm octet and digest, without a length."""
    layout = DIGEST_LAYOUTS.get(digest.algorithm)
    if layout is None:
        raise EncodeError(field="digest", reason=str(digest.algorithm))
    return layout.pack(digest)


def decode_digest(reader: Reader) -> RequestDigest:
    """The request digest at the head of an answer's body."""
    start = reader.pos
    algorithm = U8.read(reader, "digest")
    layout = DIGEST_LAYOUTS.get(algorithm)
    if layout is None:
        raise UnexpectedValue(pointer=str(start), field="digest", actual=algorithm)
    reader.pos = start
    return layout.unpack(reader)


def _setup_layout(mode: int) -> Layout[SessionSetupRequest]:
    if mode in (SessionMode.CLIENT_KEY, SessionMode.DIFFIE_HELLMAN):
        return SETUP_WITH_KEY
    return SETUP_WITH_HANDLE if mode == SessionMode.KEY_IN_HANDLE else SETUP_PLAIN


LAYOUTS: tuple[Layout[Any], ...] = (
    RESOLUTION_REQUEST,
    RESOLUTION_RESPONSE,
    SITE_REQUEST,
    SITE_RESPONSE,
    CREATE_REQUEST,
    CREATE_RESPONSE,
    DELETE_REQUEST,
    ADD_REQUEST,
    REMOVE_REQUEST,
    MODIFY_REQUEST,
    LIST_REQUEST,
    LIST_RESPONSE,
    DERIVED_REQUEST,
    CHALLENGE_ANSWER,
    VERIFY_REQUEST,
    VERIFY_RESPONSE,
    HOME_REQUEST,
    UNHOME_REQUEST,
    HOMED_REQUEST,
    HOMED_RESPONSE,
    SETUP_WITH_KEY,
    SETUP_WITH_HANDLE,
    SETUP_PLAIN,
    SETUP_RESPONSE,
    TERMINATE_REQUEST,
    ACKNOWLEDGEMENT,
    NONCE,
    REFERRAL_RESPONSE,
    ERROR_RESPONSE,
    RAW_BODY,
    *DIGEST_LAYOUTS.values(),
)
