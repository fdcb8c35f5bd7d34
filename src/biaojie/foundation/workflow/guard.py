"""The trigger that holds a column to its workflow, generated from the same rows that `progress.advance` reads."""

from __future__ import annotations

import re

from django.db import migrations

from biaojie.foundation.workflow.rows import StateCode, Workflow

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,40}")


def trigger_sql(workflow: Workflow, table: str, column: str) -> str:
    """Statements (repeatable) that refuse every undeclared change of `table.column` and every row that starts elsewhere.

    The refusal is SQLSTATE 23514; `SELECT`, and a write that leaves the state as it is, are not touched.
    Pass the *current* rows in a new migration whenever a workflow's states or steps change.
    """
    name = _trigger_name(workflow, table, column)
    starts = ", ".join(sorted(_literal(code) for code in workflow.initial))
    pairs = sorted({(_literal(row.source), _literal(row.target)) for row in workflow.transitions})
    steps = " OR ".join(f"(old_state = {source} AND new_state = {target})" for source, target in pairs) or "false"
    return f"""
CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    new_state text := NEW.{column}::text;
    old_state text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF new_state IN ({starts}) THEN RETURN NEW; END IF;
        RAISE EXCEPTION '流程 {workflow.name} 不能从状态 % 开始', new_state USING ERRCODE = 'check_violation';
    END IF;
    old_state := OLD.{column}::text;
    IF old_state = new_state OR {steps} THEN RETURN NEW; END IF;
    RAISE EXCEPTION '流程 {workflow.name} 不能从状态 % 到 %', old_state, new_state USING ERRCODE = 'check_violation';
END $$;
DROP TRIGGER IF EXISTS {name} ON {table};
CREATE TRIGGER {name} BEFORE INSERT OR UPDATE OF {column} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}();
"""


def remove_sql(workflow: Workflow, table: str, column: str) -> str:
    """The way back."""
    name = _trigger_name(workflow, table, column)
    return f"DROP TRIGGER IF EXISTS {name} ON {table}; DROP FUNCTION IF EXISTS {name}();"


def enforce(workflow: Workflow, table: str, column: str) -> migrations.RunSQL:
    """The migration operation."""
    return migrations.RunSQL(sql=trigger_sql(workflow, table, column), reverse_sql=remove_sql(workflow, table, column))


def _trigger_name(workflow: Workflow, table: str, column: str) -> str:
    for part in (workflow.name, table, column):
        if not _NAME.fullmatch(part):
            raise ValueError(f"{part!r} cannot be part of a trigger's name")
    name = f"{table}_{column}_flow"
    if len(name) > 63:
        raise ValueError(f"{name} is longer than PostgreSQL's names")
    return name


def _literal(code: StateCode) -> str:
    return "'" + str(code).replace("'", "''") + "'"
