"""What can go wrong when processes are started and kept (`PROC-1xx`).

ProcessError
├── PortTaken        a port of the block named by the operator is in use
├── AlreadyRunning   another supervisor holds the folder
├── NotRunning       no supervisor answers for the folder
├── ChildFailed      a process did not become ready
├── NoSuchNode       the chain has no node or process of that name
└── SetupFailed      a node refused a step of its setting up
"""

from __future__ import annotations

from biaojie.base.errors import BiaojieError


class ProcessError(BiaojieError):
    """进程管理错误"""

    code = "PROC-100"


class PortTaken(ProcessError):
    """端口 {port} 已被占用；请停止占用它的程序，或用 --port-base 另选一段端口"""

    code = "PROC-101"


class AlreadyRunning(ProcessError):
    """{directory} 已由进程 {pid} 运行；先执行 biaojie down --data {directory}"""

    code = "PROC-102"


class NotRunning(ProcessError):
    """{directory} 没有在运行；先执行 biaojie up --data {directory}，若数据目录在别处，请用 --data 或 BIAOJIE_DATA 指明"""

    code = "PROC-103"


class ChildFailed(ProcessError):
    """{name} 未能在 {seconds:g} 秒内就绪；日志见 {log}"""

    code = "PROC-104"


class NoSuchNode(ProcessError):
    """没有名为 {name} 的节点或进程；可用：{known}"""

    code = "PROC-105"


class SetupFailed(ProcessError):
    """{step} 未成功：{reason}"""

    code = "PROC-106"
