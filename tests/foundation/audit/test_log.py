"""The audit log keeps what was recorded, whoever asks to change it."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import RequestFactory

from biaojie.foundation.audit.log import record
from biaojie.foundation.audit.models import AuditRecord

pytestmark = pytest.mark.django_db


def test_record_act_kept_with_peer_address_not_a_header() -> None:
    request = RequestFactory().post("/", REMOTE_ADDR="192.0.2.7", HTTP_X_FORWARDED_FOR="203.0.113.9")

    row = record(actor="li", action="prefix.apply", subject="88.100.1", detail={"原因": "新建"}, request=request)

    found = AuditRecord.objects.get(pk=row.pk)
    assert (found.actor, found.action, found.subject, found.detail) == ("li", "prefix.apply", "88.100.1", {"原因": "新建"})
    assert found.source_ip == "192.0.2.7"


def test_record_in_a_transaction_that_fails_leaves_nothing() -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        record(actor="li", action="a", subject="b")
        raise ZeroDivisionError

    assert AuditRecord.objects.count() == 0


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_auditrecord SET actor = 'x'",
        "DELETE FROM audit_auditrecord",
        "TRUNCATE audit_auditrecord",
        "TRUNCATE audit_auditrecord CASCADE",
    ],
)
def test_records_update_delete_truncate_refused_by_the_database(statement: str) -> None:
    record(actor="li", action="a", subject="b")

    with pytest.raises(IntegrityError, match="只能追加"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)

    assert AuditRecord.objects.get().actor == "li"
