"""Faults of workflows.

WorkflowError
├── NoTransition   WF-101  the event is not possible in this state
├── NotTheMover    WF-102  the actor's role may not do it
├── GuardRefused   WF-103  the transition's own condition is not met
└── StateMoved     WF-104  somebody else moved the instance first
"""

from __future__ import annotations

from biaojie.base.errors import BiaojieError


class WorkflowError(BiaojieError):
    """流程错误"""

    code = "WF-100"


class NoTransition(WorkflowError):
    """{workflow}处于“{state}”状态，不能{event}"""

    code = "WF-101"


class NotTheMover(WorkflowError):
    """角色 {role} 不能对{workflow}执行“{event}”"""

    code = "WF-102"


class GuardRefused(WorkflowError):
    """条件不满足：{reason}"""

    code = "WF-103"


class StateMoved(WorkflowError):
    """{workflow}的状态已变为“{state}”，请刷新后再试"""

    code = "WF-104"
