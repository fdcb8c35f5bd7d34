"""Makes a table append-only in the database itself, whatever the code above it does.

`protect("audit_auditrecord")` is a migration operation. The trigger refuses UPDATE, DELETE and TRUNCATE with SQLSTATE
`23000`, for every database user; inserts cost nothing.
"""

from __future__ import annotations

from django.db import migrations

# One function serves every table; it names the table and the act it refused.
FUNCTION = """
CREATE OR REPLACE FUNCTION biaojie_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '表 % 只能追加，不允许 %', TG_TABLE_NAME, TG_OP USING ERRCODE = 'integrity_constraint_violation';
END $$;
"""


def protect_sql(table: str) -> str:
    """The statements that close `table` (a name known at development time, never user input)."""
    return (
        FUNCTION
        + f"""
CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION biaojie_refuse_change();
CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION biaojie_refuse_change();
"""
    )


def unprotect_sql(table: str) -> str:
    """The way back, for reversing a migration."""
    return f"""
DROP TRIGGER IF EXISTS {table}_append_only ON {table};
DROP TRIGGER IF EXISTS {table}_no_truncate ON {table};
"""


def protect(table: str) -> migrations.RunSQL:
    """The migration operation."""
    return migrations.RunSQL(sql=protect_sql(table), reverse_sql=unprotect_sql(table))
