"""Every error becomes the right answer, once, in one table."""

from __future__ import annotations

import json

import pytest
from django.core.exceptions import RequestDataTooBig
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404
from django.test import RequestFactory
from ninja import NinjaAPI
from ninja.errors import HttpError

from biaojie.base.errors import BiaojieError
from biaojie.foundation.accounts.errors import AccountLocked, NotPermitted, NotSignedIn
from biaojie.foundation.records.errors import ChannelBusy, NotInTransaction
from biaojie.foundation.ui import answers
from biaojie.foundation.workflow.errors import NoTransition


class Unlisted(BiaojieError):
    """第 {row} 行不正确"""

    code = "TST-101"


class Child(NotSignedIn):
    """令牌格式不正确"""

    code = "ACC-199"


def answer_to(error: Exception) -> tuple[int, dict[str, object]]:
    api = NinjaAPI(urls_namespace="test-answers")
    answers.install(api)
    response = api.on_exception(RequestFactory().get("/"), error)
    return response.status_code, json.loads(response.content)


@pytest.mark.parametrize(
    ("error", "http", "status", "code"),
    [
        (NotSignedIn(), 401, -1, "ACC-102"),
        (Child(), 401, -1, "ACC-199"),
        (AccountLocked(minutes=3), 423, -2, "ACC-103"),
        (NotPermitted(permission="x"), 403, -3, "ACC-104"),
        (ChannelBusy(channel="x"), 409, -2, "REC-105"),
        (NoTransition(workflow="门", state="关", event="关门"), 409, -2, "WF-101"),
        (NotInTransaction(), 422, -2, "REC-101"),
        (Unlisted(row=3, pointer="/3"), 422, -2, "TST-101"),
        (BiaojieError("秘密"), 500, -4, "BASE-000"),
        (Http404(), 404, -2, "API-404"),
        (RequestDataTooBig(), 413, -2, "API-413"),
        (HttpError(429, "slow down"), 429, -2, "API-429"),
        (DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"), 422, -2, "API-422"),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), 422, -2, "API-422"),
        (OperationalError("terminating connection due to administrator command"), 503, -4, "API-503"),
        (InterfaceError("connection already closed"), 503, -4, "API-503"),
        (ZeroDivisionError("secret"), 500, -4, "API-500"),
    ],
)
def test_error_any_kind_answered_with_status_envelope_and_code(error: Exception, http: int, status: int, code: str) -> None:
    found_http, body = answer_to(error)

    assert (found_http, body["status"], body["data"]) == (http, status, None)
    assert [row["code"] for row in body["errors"]] == [code]  # type: ignore[attr-defined,index]  # JSON
    assert body["message"]


def test_error_of_our_own_pointer_and_message_listed() -> None:
    _, body = answer_to(Unlisted(row=3, pointer="/3"))

    assert body["errors"] == [{"code": "TST-101", "pointer": "/3", "message": "第 3 行不正确"}]


@pytest.mark.parametrize("error", [ZeroDivisionError("secret"), BiaojieError("secret")])
def test_error_unforeseen_its_text_never_leaves(error: Exception) -> None:
    _, body = answer_to(error)

    assert "secret" not in json.dumps(body)


def test_error_with_many_rows_all_listed() -> None:
    rows = [Unlisted(row=n, pointer=f"/{n}").as_row() for n in (1, 2)]

    _, body = answer_to(Unlisted(row=0, errors=rows))

    assert body["errors"] == rows


def test_add_answers_second_meaning_for_a_code_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "BY_CODE", dict(answers.BY_CODE))
    answers.add_answers({"TST": answers.Answer(http=410)})

    assert answer_to(Unlisted(row=1))[0] == 410
    with pytest.raises(ValueError, match="TST"):
        answers.add_answers({"TST": answers.Answer(http=411)})


def test_validation_unknown_kind_of_fault_still_answered() -> None:
    rows = answers.validation_rows([{"type": "new_kind", "loc": ("query", "limit"), "msg": "Odd"}])

    assert rows == [{"code": "API-422", "pointer": "/query/limit", "message": "Odd"}]
