"""The protocol's numbers as rows: operation codes, response codes, flags, and the HTTP status each answer gets.

Enums keep numbers nobody registered (`OpCode(2000)` is a member of its own), because strangers on this network use them.
Sources: RFC 3652 §2.2.2, and the codes that are in use beyond it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple, Self


class CodeRow(NamedTuple):
    """One number with its wire name, Chinese and English title; `note` says where it comes from when not the RFC."""

    number: int
    name: str
    title: str
    english: str
    note: str = ""


class _OpenEnum(IntEnum):
    """An IntEnum in which an unknown 32-bit number is a nameless member instead of an error."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, int) or not 0 <= value <= 0xFFFFFFFF:
            return None
        member = int.__new__(cls, value)
        member._name_ = f"UNKNOWN_{value}"
        member._value_ = value
        return member

    @property
    def is_known(self) -> bool:
        return self._value_ in type(self)._value2member_map_


class OpCode(_OpenEnum):
    """What a message asks for (RFC 3652 §2.2.2.1)."""

    RESERVED = 0
    RESOLUTION = 1
    GET_SITE_INFO = 2
    CREATE_HANDLE = 100
    DELETE_HANDLE = 101
    ADD_VALUE = 102
    REMOVE_VALUE = 103
    MODIFY_VALUE = 104
    LIST_HANDLES = 105
    LIST_DERIVED_PREFIXES = 106
    CHALLENGE_ANSWER = 200
    VERIFY_CHALLENGE = 201
    HOME_PREFIX = 300
    UNHOME_PREFIX = 301
    LIST_HOMED_PREFIXES = 302
    SESSION_SETUP = 400
    SESSION_TERMINATE = 401
    SESSION_EXCHANGE_KEY = 402
    GET_NEXT_TRANSACTION_ID = 1000
    RETRIEVE_TRANSACTION_LOG = 1001
    DUMP_HANDLES = 1002
    BACKUP_SERVER = 1003


class ResponseCode(_OpenEnum):
    """How a request ended; 0 in requests (RFC 3652 §2.2.2.2)."""

    RESERVED = 0
    SUCCESS = 1
    ERROR = 2
    SERVER_TOO_BUSY = 3
    PROTOCOL_ERROR = 4
    OPERATION_NOT_SUPPORTED = 5
    RECURSION_COUNT_TOO_HIGH = 6
    SERVER_READ_ONLY = 7
    HANDLE_NOT_FOUND = 100
    HANDLE_ALREADY_EXISTS = 101
    INVALID_HANDLE = 102
    VALUES_NOT_FOUND = 200
    VALUE_ALREADY_EXISTS = 201
    INVALID_VALUE = 202
    OUT_OF_DATE_SITE_INFO = 300
    SERVER_NOT_RESPONSIBLE = 301
    SERVICE_REFERRAL = 302
    PREFIX_REFERRAL = 303
    INVALID_ADMIN = 400
    INSUFFICIENT_PERMISSIONS = 401
    AUTHENTICATION_NEEDED = 402
    AUTHENTICATION_FAILED = 403
    INVALID_CREDENTIAL = 404
    AUTHENTICATION_TIMEOUT = 405
    AUTHENTICATION_ERROR = 406
    SESSION_TIMEOUT = 500
    SESSION_FAILED = 501
    INVALID_SESSION_KEY = 502
    NEED_RSA_KEY_FOR_SESSION = 503
    INVALID_SESSION_SETUP = 504
    SESSION_MESSAGE_REJECTED = 505


OP_CODE_ROWS: tuple[CodeRow, ...] = (
    CodeRow(0, "RESERVED", "保留", "reserved"),
    CodeRow(1, "RESOLUTION", "解析", "resolve a handle"),
    CodeRow(2, "GET_SITE_INFO", "取站点信息", "get the site record"),
    CodeRow(100, "CREATE_HANDLE", "创建标识", "create a handle"),
    CodeRow(101, "DELETE_HANDLE", "删除标识", "delete a handle"),
    CodeRow(102, "ADD_VALUE", "添加标识值", "add values"),
    CodeRow(103, "REMOVE_VALUE", "移除标识值", "remove values"),
    CodeRow(104, "MODIFY_VALUE", "修改标识值", "modify values"),
    CodeRow(105, "LIST_HANDLES", "列出标识", "list the handles of a prefix"),
    CodeRow(106, "LIST_DERIVED_PREFIXES", "列出派生前缀", "list derived prefixes"),
    CodeRow(200, "CHALLENGE_ANSWER", "质询应答", "answer a challenge"),
    CodeRow(201, "VERIFY_CHALLENGE", "核验质询应答", "verify another server's challenge"),
    CodeRow(300, "HOME_PREFIX", "前缀落户", "home a prefix"),
    CodeRow(301, "UNHOME_PREFIX", "前缀迁出", "unhome a prefix"),
    CodeRow(302, "LIST_HOMED_PREFIXES", "列出落户前缀", "list homed prefixes"),
    CodeRow(400, "SESSION_SETUP", "建立会话", "set up a session"),
    CodeRow(401, "SESSION_TERMINATE", "结束会话", "end a session"),
    CodeRow(402, "SESSION_EXCHANGE_KEY", "会话换钥", "exchange a session key", "not in the RFC"),
    CodeRow(1000, "GET_NEXT_TRANSACTION_ID", "取下一事务号", "next transaction id", "replication, not in the RFC"),
    CodeRow(1001, "RETRIEVE_TRANSACTION_LOG", "取事务日志", "retrieve transactions", "replication, not in the RFC"),
    CodeRow(1002, "DUMP_HANDLES", "导出标识", "dump all handles", "replication, not in the RFC"),
    CodeRow(1003, "BACKUP_SERVER", "备份服务器", "back the server up", "administration, not in the RFC"),
    CodeRow(2000, "OC_LOGIN", "登录", "log in", "used in China"),
    CodeRow(2001, "OC_LOGIN_ID_SYSTEM", "标识系统登录", "log in to the identifier system", "used in China"),
)

RESPONSE_CODE_ROWS: tuple[CodeRow, ...] = (
    CodeRow(0, "RESERVED", "请求", "a request"),
    CodeRow(1, "SUCCESS", "成功", "success"),
    CodeRow(2, "ERROR", "一般错误", "general error"),
    CodeRow(3, "SERVER_TOO_BUSY", "服务器繁忙", "server too busy"),
    CodeRow(4, "PROTOCOL_ERROR", "协议错误", "protocol error"),
    CodeRow(5, "OPERATION_NOT_SUPPORTED", "不支持的操作", "operation not supported"),
    CodeRow(6, "RECURSION_COUNT_TOO_HIGH", "递归次数过多", "recursion count too high"),
    CodeRow(7, "SERVER_READ_ONLY", "服务器暂时只读", "server is read-only"),
    CodeRow(100, "HANDLE_NOT_FOUND", "标识不存在", "handle not found"),
    CodeRow(101, "HANDLE_ALREADY_EXISTS", "标识已存在", "handle already exists"),
    CodeRow(102, "INVALID_HANDLE", "标识不合法", "invalid handle"),
    CodeRow(200, "VALUES_NOT_FOUND", "没有所要的标识值", "values not found"),
    CodeRow(201, "VALUE_ALREADY_EXISTS", "标识值已存在", "value already exists"),
    CodeRow(202, "INVALID_VALUE", "标识值不合法", "invalid value"),
    CodeRow(300, "OUT_OF_DATE_SITE_INFO", "站点信息过期", "out-of-date site information"),
    CodeRow(301, "SERVER_NOT_RESPONSIBLE", "不归本服务器负责", "server not responsible"),
    CodeRow(302, "SERVICE_REFERRAL", "指向别的服务", "referral to a service"),
    CodeRow(303, "PREFIX_REFERRAL", "指向前缀的服务", "referral to a prefix's service", "older name: NA delegate"),
    CodeRow(400, "INVALID_ADMIN", "不是管理员", "not an administrator"),
    CodeRow(401, "INSUFFICIENT_PERMISSIONS", "权限不足", "insufficient permissions"),
    CodeRow(402, "AUTHENTICATION_NEEDED", "需要认证", "authentication needed"),
    CodeRow(403, "AUTHENTICATION_FAILED", "认证失败", "authentication failed"),
    CodeRow(404, "INVALID_CREDENTIAL", "凭证不正确", "invalid credential"),
    CodeRow(405, "AUTHENTICATION_TIMEOUT", "认证超时", "authentication timed out"),
    CodeRow(406, "AUTHENTICATION_ERROR", "认证出错", "authentication error"),
    CodeRow(500, "SESSION_TIMEOUT", "会话超时", "session timed out"),
    CodeRow(501, "SESSION_FAILED", "会话失败", "session failed"),
    CodeRow(502, "INVALID_SESSION_KEY", "会话密钥不正确", "invalid session key"),
    CodeRow(503, "NEED_RSA_KEY_FOR_SESSION", "会话换钥需要 RSA 密钥", "RSA key needed", "not in the RFC"),
    CodeRow(504, "INVALID_SESSION_SETUP", "会话请求不合法", "invalid session setup", "not in the RFC"),
    CodeRow(505, "SESSION_MESSAGE_REJECTED", "会话报文被拒（重复）", "session message rejected", "not in the RFC"),
    CodeRow(900, "TRYING", "处理中", "trying", "RFC only, unused"),
    CodeRow(901, "FORWARDED", "已转发", "forwarded", "RFC only, unused"),
    CodeRow(902, "QUEUED", "已排队", "queued", "RFC only, unused"),
)

FLAG_AT = 0x80000000
FLAG_CT = 0x40000000
FLAG_ENC = 0x20000000
FLAG_REC = 0x10000000
FLAG_CA = 0x08000000
FLAG_CN = 0x04000000
FLAG_KC = 0x02000000
FLAG_PO = 0x01000000
FLAG_RD = 0x00800000
FLAG_OVRW = 0x00400000
FLAG_MINT = 0x00200000
FLAG_DNRF = 0x00100000

FLAG_ROWS: tuple[CodeRow, ...] = (
    CodeRow(FLAG_AT, "AT", "权威应答", "authoritative: only a primary may answer; set in answers of a primary"),
    CodeRow(FLAG_CT, "CT", "要求签名", "certified: sign the answer"),
    CodeRow(FLAG_ENC, "ENC", "要求加密", "encrypt the answer (needs a session)"),
    CodeRow(FLAG_REC, "REC", "递归", "recursive"),
    CodeRow(FLAG_CA, "CA", "缓存认证", "cache authentication"),
    CodeRow(FLAG_CN, "CN", "后续还有报文", "continuous: more messages follow"),
    CodeRow(FLAG_KC, "KC", "保持连接", "keep the connection"),
    CodeRow(FLAG_PO, "PO", "仅公开值", "public values only"),
    CodeRow(FLAG_RD, "RD", "返回请求摘要", "return the request's digest"),
    CodeRow(FLAG_OVRW, "OVRW", "存在则覆盖", "overwrite when it exists", "newer than the RFC"),
    CodeRow(FLAG_MINT, "MINT", "由服务器生成后缀", "mint a new suffix", "newer than the RFC"),
    CodeRow(FLAG_DNRF, "DNRF", "不要转介", "do not refer", "newer than the RFC"),
    CodeRow(0x00000004, "RECU_AUTH", "递归认证", "recursive authentication", "used in China"),
    CodeRow(0x00000002, "DT", "可信验证", "trust verification", "used in China"),
    CodeRow(0x00000001, "TR", "可信结果", "trust result", "used in China"),
)

RESOLUTION_FLAGS = FLAG_REC | FLAG_CA | FLAG_PO
"""What a client asks by default: public values, recursion allowed."""

_ECHOED = FLAG_AT | FLAG_CT | FLAG_ENC | FLAG_REC | FLAG_CA | FLAG_PO | FLAG_RD | FLAG_DNRF

OP_TITLES: dict[int, str] = {row.number: f"{row.name} {row.title}" for row in OP_CODE_ROWS}
RESPONSE_TITLES: dict[int, str] = {row.number: f"{row.name} {row.title}" for row in RESPONSE_CODE_ROWS}
FLAG_NAMES: dict[int, str] = {row.number: row.name for row in FLAG_ROWS}

# Operations a query-only interface must refuse with PROTOCOL_ERROR.
ADMIN_OPERATIONS = frozenset(
    {
        OpCode.CREATE_HANDLE,
        OpCode.DELETE_HANDLE,
        OpCode.ADD_VALUE,
        OpCode.REMOVE_VALUE,
        OpCode.MODIFY_VALUE,
        OpCode.HOME_PREFIX,
        OpCode.UNHOME_PREFIX,
        OpCode.RETRIEVE_TRANSACTION_LOG,
        OpCode.DUMP_HANDLES,
    }
)

HTTP_STATUS: dict[int, int] = {
    1: 200,
    302: 300,
    303: 300,
    100: 404,
    101: 409,
    201: 409,
    4: 400,
    102: 400,
    200: 400,
    202: 400,
    301: 400,
    5: 501,
    3: 503,
    7: 503,
    402: 401,
    400: 403,
    401: 403,
    403: 403,
    404: 403,
}


def http_status(response_code: int, *, resolution: bool = False, created: bool = False) -> int:
    """The HTTP status an answer gets; anything not in the table is 500.

    A resolution in which no value matches (200) is still a 200; a handle that was created, not overwritten, gives 201.
    """
    if response_code == ResponseCode.VALUES_NOT_FOUND and resolution:
        return 200
    if response_code == ResponseCode.SUCCESS and created:
        return 201
    return HTTP_STATUS.get(response_code, 500)


def response_flags(request_flags: int, *, primary: bool) -> int:
    """The opFlags of an answer: those of the request that are repeated, and AT when a primary answers.

    KC, CN, OVRW, MINT and every unregistered bit come back as 0; CN and OVRW are set by who builds the answer.
    """
    return request_flags & _ECHOED | (FLAG_AT if primary else 0)


def op_title(number: int) -> str:
    """`RESOLUTION 解析`, or a word for a number nobody registered."""
    return OP_TITLES.get(number, f"UNKNOWN_{number} 未登记的操作")


def response_title(number: int) -> str:
    """`SUCCESS 成功`, or a word for a number nobody registered."""
    return RESPONSE_TITLES.get(number, f"UNKNOWN_{number} 未登记的响应码")
