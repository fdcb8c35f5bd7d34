"""What granian's worker loads: the WSGI application, in a process that ends with granian's main one."""

from __future__ import annotations

from biaojie.processes.lifeline import tie_to_parent

tie_to_parent()

from biaojie.base import settings  # noqa: E402  # the lifeline comes first
from biaojie.processes import log_lines  # noqa: E402  # the lifeline comes first
from biaojie.site.wsgi import application  # noqa: E402  # the lifeline comes first

log_lines.configure(settings.load().log_level)

__all__ = ["application"]
