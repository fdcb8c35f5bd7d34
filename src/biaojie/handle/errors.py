"""What can go wrong between bytes and values.

HandleError
├── DecodeError            1xx  the peer's bytes are wrong; `pointer` is the octet offset
│   ├── Truncated, LimitExceeded, TrailingBytes, UnexpectedValue, WrongDirection
│   ├── EncryptedMessage, InvalidKey, InvalidJson, InconsistentPackets
├── EncodeError            2xx  our value does not fit the wire
├── CredentialError        3xx  a signature or MAC is missing, wrong or not verifiable
├── ChallengeError         4xx  an answer to a challenge is wrong or too costly
├── SessionError           5xx  a session's group, counter or cipher text is refused
└── NoServer               6xx  a site names no server that could be asked
"""

from __future__ import annotations

from biaojie.base.errors import BiaojieError


class HandleError(BiaojieError):
    """Handle 协议错误"""

    code = "HDL-000"


class DecodeError(HandleError):
    """报文无法解析：{reason}"""

    code = "HDL-100"


class Truncated(DecodeError):
    """报文不完整：{field} 需要 {needed} 字节，只剩 {remaining} 字节"""

    code = "HDL-101"


class LimitExceeded(DecodeError):
    """超出限制：{field} 为 {actual}，上限 {limit}"""

    code = "HDL-102"


class TrailingBytes(DecodeError):
    """{field} 之后还有 {count} 个多余字节"""

    code = "HDL-103"


class UnexpectedValue(DecodeError):
    """{field} 的取值 {actual} 不允许"""

    code = "HDL-104"


class WrongDirection(DecodeError):
    """应为{expected}报文，但响应码为 {actual}"""

    code = "HDL-105"


class EncryptedMessage(DecodeError):
    """报文已用会话 {session_id} 加密，须先解密"""

    code = "HDL-106"


class InvalidKey(DecodeError):
    """密钥数据不正确：{reason}"""

    code = "HDL-107"


class InvalidJson(DecodeError):
    """JSON 形式不正确：{reason}"""

    code = "HDL-108"


class InconsistentPackets(DecodeError):
    """UDP 分片不一致：{reason}"""

    code = "HDL-109"


class EncodeError(HandleError):
    """无法编码 {field}：{reason}"""

    code = "HDL-200"


class CredentialError(HandleError):
    """报文凭证错误：{reason}"""

    code = "HDL-300"


class MissingCredential(CredentialError):
    """报文没有凭证"""

    code = "HDL-301"


class BadSignature(CredentialError):
    """报文签名或校验码不正确"""

    code = "HDL-302"


class UnsupportedCredential(CredentialError):
    """不支持的报文凭证：{reason}"""

    code = "HDL-303"


class ChallengeError(HandleError):
    """质询应答错误：{reason}"""

    code = "HDL-400"


class UnknownAlgorithm(ChallengeError):
    """不支持的质询算法：{algorithm}"""

    code = "HDL-401"


class AnswerTooCostly(ChallengeError):
    """质询应答要求的计算量过大：{field} 为 {actual}，上限 {limit}"""

    code = "HDL-402"


class SessionError(HandleError):
    """会话错误：{reason}"""

    code = "HDL-500"


class WeakGroup(SessionError):
    """会话的 DH 参数不安全：{reason}"""

    code = "HDL-501"


class ReplayedCounter(SessionError):
    """会话计数器 {counter} 重复或过旧"""

    code = "HDL-502"


class DecryptionFailed(SessionError):
    """会话报文解密失败"""

    code = "HDL-503"


class NoServer(HandleError):
    """站点没有可用的服务器"""

    code = "HDL-601"


class WrongPassphrase(HandleError):
    """私钥文件的口令不正确，或需要口令"""

    code = "HDL-602"
