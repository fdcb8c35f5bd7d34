"""What can go wrong between a question and a usable reply.

ClientError 100
├── NoReply 101            nothing came in time
├── ConnectionFailed 102   the address refuses, is unreachable, or closed before replying
├── BadReply 103           something came that is no reply to the question
├── NotVerified 104        the reply should be signed by the site's key and is not
├── UnsupportedProtocol 105
├── NoDatagram 108        as 101, where only UDP was to be asked
├── NoNode 106             no server was named and no recursive node is known
└── AllFailed 107          every address failed; `failures` lists them
"""

from __future__ import annotations

from biaojie.base.errors import BiaojieError


class ClientError(BiaojieError):
    """查询失败"""

    code = "CLI-100"


class NoReply(ClientError):
    """{address} 在 {timeout_ms} 毫秒内没有应答"""

    code = "CLI-101"


class ConnectionFailed(ClientError):
    """无法连接 {address}：{reason}"""

    code = "CLI-102"


class BadReply(ClientError):
    """{address} 的应答无法使用：{reason}"""

    code = "CLI-103"


class NotVerified(ClientError):
    """{address} 的应答未通过签名验证：{reason}"""

    code = "CLI-104"


class UnsupportedProtocol(ClientError):
    """不支持以 {protocol} 进行此项查询"""

    code = "CLI-105"


class NoDatagram(NoReply):
    """{address} 没有应答：UDP 无应答，可能因答复过长，请用 --protocol tcp"""

    code = "CLI-108"


class NoNode(ClientError):
    """没有指定服务器，也没有找到递归节点：{reason}"""

    code = "CLI-106"


class AllFailed(ClientError):
    """{tried} 个地址都没有可用的应答"""

    code = "CLI-107"
