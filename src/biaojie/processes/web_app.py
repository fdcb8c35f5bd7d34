"""What granian's worker loads: the WSGI application, in a process that ends with granian's main one."""

from __future__ import annotations

from biaojie.processes.lifeline import tie_to_parent

tie_to_parent()

from biaojie.site.wsgi import application  # noqa: E402  # the lifeline comes first

__all__ = ["application"]
