"""Workflows as rows, enforced twice: by `advance` in code and by a trigger in the database.

Reading order: `rows` (workflow, state, transition: pure), `errors`, `guard` (the trigger made from the rows, and its migration
operation), `models` (history), `progress` (`advance`), `diagram` (mermaid for the docs). The workflows themselves are declared by
the chapters; dates are counted by the calendar of `base`.
"""
