"""Errors of the data plane.

ResolutionError
├── ContainerError          the file is not what it says: NotAContainer, ContainerDamaged, ContainerMismatch
├── EntryError              EntryInvalid
├── PublicationError        ManifestInvalid, PublicationMissing, PublicationGap, FileMismatch, SourceUnreachable
├── IndexFault              IndexDamaged, IndexBusy, SessionMismatch
├── CounterError            SpoolInvalid
└── WalkError               a walk that ended without the owner's word: NoAnswer, WalkTimeout, TooManyQuestions, ReferralLoop,
                            AliasLoop, TooManyAliases, UnusableReferral, UnknownPrefix, PrefixNotRouted, NoRoute, Refused
"""

from __future__ import annotations

from typing import ClassVar

from biaojie.base.errors import BiaojieError
from biaojie.handle.codes import ResponseCode


class ResolutionError(BiaojieError):
    """解析数据面错误"""

    code = "RES-100"


class ContainerError(ResolutionError):
    """容器文件不可用：{reason}"""

    code = "RES-110"


class NotAContainer(ContainerError):
    """不是标解容器文件：{reason}"""

    code = "RES-111"


class ContainerDamaged(ContainerError):
    """容器文件已损坏或不完整：{reason}"""

    code = "RES-112"


class ContainerMismatch(ContainerError):
    """容器内容与其记录数或摘要不符：{reason}"""

    code = "RES-113"


class RecordTooLong(ContainerError):
    """记录长 {octets} 字节，超过上限 {limit} 字节"""

    code = "RES-114"


class EntryError(ResolutionError):
    """发布条目错误"""

    code = "RES-120"


class EntryInvalid(EntryError):
    """发布条目 {kind} {key} 不正确：{reason}"""

    code = "RES-121"


class PublicationError(ResolutionError):
    """发布数据错误"""

    code = "RES-130"


class ManifestInvalid(PublicationError):
    """发布清单不正确：{reason}"""

    code = "RES-131"


class PublicationMissing(PublicationError):
    """尚无发布数据：{place}"""

    code = "RES-132"


class PublicationGap(PublicationError):
    """发布序号不连续：现有 {held}，需要 {wanted}"""

    code = "RES-133"


class FileMismatch(PublicationError):
    """发布文件 {file} 与清单不符：{reason}"""

    code = "RES-134"


class SourceUnreachable(PublicationError):
    """无法读取发布来源 {source}：{reason}"""

    code = "RES-135"


class WriterBusy(PublicationError):
    """另一进程正在写入发布目录 {folder}"""

    code = "RES-136"


class IndexFault(ResolutionError):
    """解析索引错误"""

    code = "RES-140"


class IndexDamaged(IndexFault):
    """解析索引 {folder} 已损坏：{reason}"""

    code = "RES-141"


class IndexBusy(IndexFault):
    """解析索引 {folder} 正忙：{reason}"""

    code = "RES-142"


class SessionMismatch(IndexFault):
    """解析索引属于发布会话 {held}，不能应用会话 {offered} 的增量"""

    code = "RES-143"


class CounterError(ResolutionError):
    """统计数据错误"""

    code = "RES-150"


class SpoolInvalid(CounterError):
    """统计文件 {file} 不正确：{reason}"""

    code = "RES-151"


class WalkError(ResolutionError):
    """解析未能完成"""

    code = "RES-160"
    response_code: ClassVar[int] = ResponseCode.ERROR


class NoAnswer(WalkError):
    """{node} 没有应答，已尝试 {tried} 个地址"""

    code = "RES-161"


class WalkTimeout(WalkError):
    """解析超过总时限 {limit_ms} 毫秒，最后询问 {node}"""

    code = "RES-162"


class TooManyQuestions(WalkError):
    """解析路径过长：已询问 {asked} 次"""

    code = "RES-163"
    response_code = ResponseCode.RECURSION_COUNT_TOO_HIGH


class ReferralLoop(WalkError):
    """转介成环：{handle} 又被转回 {node}"""

    code = "RES-164"


class AliasLoop(WalkError):
    """别名成环：{chain}"""

    code = "RES-165"


class UnusableReferral(WalkError):
    """{node} 的转介没有可用的地址"""

    code = "RES-166"


class TooManyAliases(WalkError):
    """别名层数超过上限 {limit}，停在 {handle}"""

    code = "RES-167"


class UnknownPrefix(WalkError):
    """前缀 {prefix} 未在{node}登记。"""

    code = "RES-170"
    response_code = ResponseCode.HANDLE_NOT_FOUND


class PrefixNotRouted(WalkError):
    """前缀 {prefix} 已登记，尚未配置解析地址。"""

    code = "RES-171"
    response_code = ResponseCode.HANDLE_NOT_FOUND


class Refused(WalkError):
    """{node} 拒绝查询：{reason}"""

    code = "RES-173"


class NoRoute(WalkError):
    """{system} 编码 {identifier} 暂无解析路由，已查询{nodes}。"""

    code = "RES-172"
    response_code = ResponseCode.HANDLE_NOT_FOUND
