"""What the registry refuses, and why (`REG-1xx`).

RegistryError
├── Refused                      a rule says no; the caller can mend it
│   ├── PrefixRefused            the prefix itself: form, place, reserved, taken, look-alike
│   ├── StateRefused             the life cycle does not allow it now
│   ├── RoutingRefused           addresses: form, private, unreachable, no port, open change
│   ├── RouteRefused             prefix or range of another code system: form, overlap
│   └── HandleRefused            identifier or values
├── NotFound                     nothing of that name
├── Conflict                     somebody else changed it meanwhile
└── NotAllowed                   the caller may not
"""

from __future__ import annotations

from biaojie.base.errors import BiaojieError


class RegistryError(BiaojieError):
    """注册业务错误"""

    code = "REG-100"


class Refused(RegistryError):
    """请求不符合注册规则"""

    code = "REG-110"


class NotFound(RegistryError):
    """没有找到{what} {name}"""

    code = "REG-101"


class Conflict(RegistryError):
    """{what} {name} 已被他人修改（现为第 {version} 版），请重新读取后再提交"""

    code = "REG-102"


class NotAllowed(RegistryError):
    """无权操作 {name}"""

    code = "REG-103"


class PrefixRefused(Refused):
    """前缀 {name} 不能使用：{reason}"""

    code = "REG-111"


class PrefixForm(PrefixRefused):
    """前缀 {name} 格式不正确：{reason}"""

    code = "REG-112"


class PrefixPlace(PrefixRefused):
    """前缀 {name} 不在 {parent} 之下，不能由本节点分配"""

    code = "REG-113"


class PrefixReserved(PrefixRefused):
    """前缀 {name} 为保留前缀"""

    code = "REG-114"


class PrefixTaken(PrefixRefused):
    """前缀 {name} 已由 {holder} 持有"""

    code = "REG-115"


class PrefixLookAlike(PrefixRefused):
    """前缀 {name} 与 {holder} 持有的 {other} 仅前导零不同，容易混淆"""

    code = "REG-116"


class RegistrantForm(Refused):
    """单位信息不正确：{reason}"""

    code = "REG-117"


class StateRefused(Refused):
    """{name} 当前为“{state}”，不能{act}"""

    code = "REG-120"


class ReasonMissing(Refused):
    """驳回必须给出理由代码和说明"""

    code = "REG-121"


class TopApprovalMissing(StateRefused):
    """{name} 尚未经国家顶级节点审核通过，不能配置解析路由"""

    code = "REG-122"


class SamePerson(StateRefused):
    """提交人不能审核自己提交的路由，须由另一人审核"""

    code = "REG-123"


class ParentMissing(StateRefused):
    """本节点尚未入网，无法向上级节点提交"""

    code = "REG-124"


class ParentRefused(Refused):
    """上级节点拒绝了请求：{reason}"""

    code = "REG-125"


class ParentSilent(RegistryError):
    """上级节点没有应答：{reason}"""

    code = "REG-126"


class RoutingRefused(Refused):
    """解析路由不正确：{reason}"""

    code = "REG-130"


class PortMissing(RoutingRefused):
    """TCP、UDP、HTTP 端口至少填写一个"""

    code = "REG-131"


class PrivateAddress(RoutingRefused):
    """{ip} 是本机、内网或保留地址，在本节点的环境中不能作为解析服务地址"""

    code = "REG-132"


class AddressKind(RoutingRefused):
    """{ip} 不是 IPv{ip_type} 地址"""

    code = "REG-133"


class Unreachable(RoutingRefused):
    """新地址核对未通过：{reason}"""

    code = "REG-134"


class ChangeOpen(RoutingRefused):
    """前缀 {name} 已有一项未完成的路由变更（{change}），请先完成或回退"""

    code = "REG-135"


class RouteRefused(Refused):
    """编码路由不正确：{reason}"""

    code = "REG-140"


class RouteOverlap(RouteRefused):
    """{system} 的 {coverage} 与 {holder} 持有的 {other} 重叠"""

    code = "REG-141"


class HandleRefused(Refused):
    """标识不正确：{reason}"""

    code = "REG-150"


class HandleExists(HandleRefused):
    """标识 {handle} 已存在"""

    code = "REG-151"


class HandleElsewhere(HandleRefused):
    """标识 {handle} 不在前缀 {prefix} 之下"""

    code = "REG-152"


class HandleTooLong(HandleRefused):
    """标识长 {length} 个字符，超过上限 {limit}"""

    code = "REG-153"


class PrefixNotServed(HandleRefused):
    """前缀 {prefix} 不由本节点提供标识注册服务"""

    code = "REG-154"


class NoValues(HandleRefused):
    """标识至少要有一个值"""

    code = "REG-155"


class ValueRefused(HandleRefused):
    """值不正确：{reason}"""

    code = "REG-156"


class IndexRepeated(ValueRefused):
    """索引 {index} 重复"""

    code = "REG-157"


class ValueTooLong(ValueRefused):
    """索引 {index} 的值长 {length} 字节，超过上限 {limit}"""

    code = "REG-158"


class TypeReserved(ValueRefused):
    """类型 {type} 由系统维护，不能由标识携带"""

    code = "REG-159"


class BulkRefused(Refused):
    """批量任务不正确：{reason}"""

    code = "REG-160"


class BulkRowForm(BulkRefused):
    """该行不是合法的 {format}：{reason}"""

    code = "REG-161"


class BulkRepeated(BulkRefused):
    """与第 {other} 行的标识重复"""

    code = "REG-162"


class BulkLengthMissing(BulkRefused):
    """请求正文不完整：应有 {expected}，实收 {received}"""

    code = "REG-163"


class BulkDigestWrong(BulkRefused):
    """请求正文与 Content-Digest 不符"""

    code = "REG-164"


class BulkRepeatedEarlier(BulkRefused):
    """与本次任务前面某一行的标识重复"""

    code = "REG-165"


class BulkGap(BulkRefused):
    """本次任务已处理到第 {done} 行，请从第 {next} 行继续提交"""

    code = "REG-166"


class BulkMismatch(BulkRefused):
    """任务 {load} 已以不同的前缀、格式或方式开始"""

    code = "REG-167"


class BulkBusy(RegistryError):
    """同时进行的批量任务已达上限 {limit} 个，请稍后再试"""

    code = "REG-168"


class BulkAtomicFailed(BulkRefused):
    """有 {count} 行不正确，未写入任何一行"""

    code = "REG-169"


class BulkDiffers(BulkRefused):
    """正文前 {count} 行与任务 {load} 已接收的内容不同，不能续传；请核对正文，或新开任务"""

    code = "REG-172"


class BulkSilent(RegistryError):
    """正文长时间没有数据到达，接收已中止；任务保留，可以续传"""

    code = "REG-173"


class BulkBusyAccount(BulkBusy):
    """本账号同时进行的批量任务已达上限 {limit} 个，请等待完成后再试"""

    code = "REG-174"


class BulkMovedOn(RegistryError):
    """任务 {load} 正由另一次上传推进，已处理到第 {done} 行；请待其结束后从第 {next} 行继续提交"""

    code = "REG-175"


class HandleBlanks(HandleRefused):
    """标识首尾含有空格和换行以外的空白字符，请删除后重新提交"""

    code = "REG-176"


class BulkLengthRequired(BulkRefused):
    """chunked 传输的 atomic 任务须给出 X-Row-Count 或 Content-Digest，否则无法发现中断的正文"""

    code = "REG-171"
