"""Business verbs of identifiers: create, replace, delete, read and list, one at a time."""

from __future__ import annotations

from biaojie.registry.handle_rows import put_handle, remove_handle

__all__ = ["put_handle", "remove_handle"]
