"""What can go wrong between nodes.

NodeError                  NODE-100
  NotEstablished           NODE-101   this node has no key yet
  NoParent                 NODE-103
  PeerUnknown              NODE-104
  AlreadyEstablished       NODE-105   the key file and the database name different nodes
CardError                  NODE-110
  CardMalformed            NODE-111
  CardVersionUnknown       NODE-112
  CardSignatureInvalid     NODE-113
  CardKeyNotPinned         NODE-114
  CardNotNewer             NODE-115
  EnvironmentDiffers       NODE-116
  CardOutOfScope           NODE-117
  CardKeyTaken             NODE-118
KeyFileError               NODE-120
  KeyFileMissing           NODE-121
  KeyFileOpen              NODE-122
  KeyFileInvalid           NODE-123
SignatureError             NODE-130
  SignatureMissing         NODE-131
  SignatureInvalid         NODE-132
  SignatureStale           NODE-133
  DigestMismatch           NODE-134
  NonceReplayed            NODE-135
  KeyUnknown               NODE-136
  PeerBlocked              NODE-137
  RelationRefused          NODE-138
CallError                  NODE-140   the other side of a call we made
  PeerUnreachable          NODE-141
  AnswerNotSigned          NODE-142
  AnswerRefused            NODE-143
  AnswerMalformed          NODE-144
EnrolmentError             NODE-150
  CodeRefused              NODE-151
  TooManyAttempts          NODE-152
  FingerprintDiffers       NODE-153
  CodeBindingInvalid       NODE-154
  AlreadyEnrolled          NODE-155
"""

from __future__ import annotations

from biaojie.base.errors import BiaojieError


class NodeError(BiaojieError):
    """节点之间的操作失败"""

    code = "NODE-100"


class NotEstablished(NodeError):
    """本节点尚未初始化：没有节点密钥"""

    code = "NODE-101"


class NoParent(NodeError):
    """本节点尚未向上级节点登记"""

    code = "NODE-103"


class PeerUnknown(NodeError):
    """没有标识为 {node_id} 的节点"""

    code = "NODE-104"


class AlreadyEstablished(NodeError):
    """本节点已初始化，{what}与数据库中登记的不一致"""

    code = "NODE-105"


class CardError(NodeError):
    """节点名片不可接受"""

    code = "NODE-110"


class CardMalformed(CardError):
    """节点名片的内容不正确：{reason}"""

    code = "NODE-111"


class CardVersionUnknown(CardError):
    """节点名片的版本 {version} 不受支持，本节点支持版本 1"""

    code = "NODE-112"


class CardSignatureInvalid(CardError):
    """节点名片的签名不正确：{reason}"""

    code = "NODE-113"


class CardKeyNotPinned(CardError):
    """节点名片没有用已登记的密钥签名，请核对指纹后重新登记"""

    code = "NODE-114"


class CardNotNewer(CardError):
    """节点名片的序号 {serial} 不大于已登记的序号 {known}"""

    code = "NODE-115"


class EnvironmentDiffers(CardError):
    """对方节点的环境是 {theirs}，本节点的环境是 {ours}：测试环境与生产环境不能互通"""

    code = "NODE-116"


class CardOutOfScope(CardError):
    """节点名片中的{what}超出允许的范围"""

    code = "NODE-117"


class CardKeyTaken(CardError):
    """节点名片中的密钥 {key_id} 已属于另一个节点"""

    code = "NODE-118"


class KeyFileError(NodeError):
    """节点密钥文件不可用：{path}"""

    code = "NODE-120"


class KeyFileMissing(KeyFileError):
    """找不到节点密钥文件 {path}"""

    code = "NODE-121"


class KeyFileOpen(KeyFileError):
    """节点密钥文件 {path} 可被其他用户访问（权限 {mode}），请执行 chmod 600"""

    code = "NODE-122"


class KeyFileInvalid(KeyFileError):
    """节点密钥文件 {path} 不是 PKCS#8 PEM 格式的 Ed25519 私钥"""

    code = "NODE-123"


class SignatureError(NodeError):
    """节点签名核对失败"""

    code = "NODE-130"


class SignatureMissing(SignatureError):
    """请求没有节点签名"""

    code = "NODE-131"


class SignatureInvalid(SignatureError):
    """节点签名不正确：{reason}"""

    code = "NODE-132"


class SignatureStale(SignatureError):
    """节点签名不在有效时间内，请核对双方时钟：{reason}"""

    code = "NODE-133"


class DigestMismatch(SignatureError):
    """内容与 Content-Digest 摘要不一致"""

    code = "NODE-134"


class NonceReplayed(SignatureError):
    """此签名已使用过，拒绝重放"""

    code = "NODE-135"


class KeyUnknown(SignatureError):
    """没有登记密钥 {key_id}，或该密钥已过期"""

    code = "NODE-136"


class PeerBlocked(SignatureError):
    """节点 {node} 已被停用"""

    code = "NODE-137"


class RelationRefused(SignatureError):
    """节点 {node} 与本节点的关系不允许此操作"""

    code = "NODE-138"


class CallError(NodeError):
    """调用对方节点失败"""

    code = "NODE-140"


class PeerUnreachable(CallError):
    """无法连接 {url}：{reason}"""

    code = "NODE-141"


class AnswerNotSigned(CallError):
    """{url} 的答复没有用登记的密钥签名（HTTP {status}）：{reason}"""

    code = "NODE-142"


class AnswerRefused(CallError):
    """{url} 拒绝了请求（HTTP {status}）：{reason}"""

    code = "NODE-143"


class AnswerMalformed(CallError):
    """{url} 的答复无法理解：{reason}"""

    code = "NODE-144"


class EnrolmentError(NodeError):
    """节点登记失败"""

    code = "NODE-150"


class CodeRefused(EnrolmentError):
    """登记码不正确、已使用或已过期，请向上级节点重新索取"""

    code = "NODE-151"


class TooManyAttempts(EnrolmentError):
    """登记尝试过于频繁，请在 {retry_after_s} 秒后再试"""

    code = "NODE-152"


class FingerprintDiffers(EnrolmentError):
    """对方节点的密钥指纹是 {actual}，与预期的 {expected} 不符"""

    code = "NODE-153"


class CodeBindingInvalid(EnrolmentError):
    """登记码的签发条件不正确：{reason}"""

    code = "NODE-154"


class AlreadyEnrolled(EnrolmentError):
    """本节点已向 {parent} 登记，一个节点只有一个上级节点"""

    code = "NODE-155"
