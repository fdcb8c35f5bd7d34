"""Faults of jobs.

JobsError
├── UnknownTask     JOB-101  a task nobody registered
├── UnknownLane     JOB-102  a lane that does not exist
└── BadCadence      JOB-103  a cadence that cannot be read
"""

from __future__ import annotations

from biaojie.base.errors import BiaojieError


class JobsError(BiaojieError):
    """后台任务错误"""

    code = "JOB-100"


class UnknownTask(JobsError):
    """没有名为 {task} 的后台任务"""

    code = "JOB-101"


class UnknownLane(JobsError):
    """没有名为 {lane} 的任务通道"""

    code = "JOB-102"


class BadCadence(JobsError):
    """周期 {cadence} 不正确，应如 every 5 minutes、daily 01:30、weekly 1 02:00、monthly 1 01:00"""

    code = "JOB-103"
