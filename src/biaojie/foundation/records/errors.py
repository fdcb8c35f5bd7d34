"""Faults of the journal.

RecordsError
├── NotInTransaction   REC-101  a change set outside a transaction
├── ChangeSetTooLarge  REC-102  more changes than one set may hold
├── BadChange          REC-103  a change that cannot be written
├── UnknownChannel     REC-104  a channel nobody declared
└── ChannelBusy        REC-105  another reader holds the channel
"""

from __future__ import annotations

from biaojie.base.errors import BiaojieError


class RecordsError(BiaojieError):
    """变更日志错误"""

    code = "REC-100"


class NotInTransaction(RecordsError):
    """变更必须与业务数据在同一事务中写入"""

    code = "REC-101"


class ChangeSetTooLarge(RecordsError):
    """一个变更集最多 {limit} 条变更，请分块提交"""

    code = "REC-102"


class BadChange(RecordsError):
    """变更不正确：{reason}"""

    code = "REC-103"


class UnknownChannel(RecordsError):
    """没有名为 {channel} 的变更通道"""

    code = "REC-104"


class ChannelBusy(RecordsError):
    """变更通道 {channel} 正由另一个进程读取"""

    code = "REC-105"
