"""What the database itself refuses: undeclared steps of the life cycles, and overlapping routes of two owners."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations
from django.db.migrations.operations.base import Operation

from biaojie.foundation.workflow.guard import enforce
from biaojie.registry.triggers import INSTALL, REMOVE
from biaojie.registry.workflows import WORKFLOW_OF_CHANGES, WORKFLOW_OF_CLAIMS, WORKFLOWS


class Migration(migrations.Migration):
    dependencies: ClassVar[list[tuple[str, str]]] = [("registry", "0001_initial")]

    operations: ClassVar[list[Operation]] = [
        *(enforce(*row) for row in (*WORKFLOWS, WORKFLOW_OF_CHANGES, WORKFLOW_OF_CLAIMS)),
        migrations.RunSQL(sql=INSTALL, reverse_sql=REMOVE),
    ]
