"""Signing in through the API: tokens, refusals, locks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client

from biaojie.base import clock
from biaojie.foundation.accounts import lockout, operations, tokens
from biaojie.foundation.accounts.models import ApiToken, Lock, User
from biaojie.foundation.audit.models import AuditRecord

pytestmark = pytest.mark.django_db

PASSWORD = "qingdao-2026-harbour"


@pytest.fixture
def user() -> User:
    return operations.create_user(actor="test", username="li.na", password=PASSWORD, role="operator", display_name="李娜")


def sign_in(client: Client, password: str = PASSWORD, username: str = "li.na", **more: Any) -> Any:
    return client.post("/api/v1/token", {"username": username, "password": password, **more}, content_type="application/json")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_token_right_password_gives_a_token_that_signs_in(client: Client, user: User) -> None:
    answer = sign_in(client)

    body = answer.json()
    assert (answer.status_code, body["status"], body["message"]) == (200, 1, "success")
    person = client.get("/api/v1/account", headers=bearer(body["data"]["token"])).json()
    assert person["data"]["username"] == "li.na"
    assert person["data"]["role_title"] == "操作员"
    assert "identifiers.write" in person["data"]["permissions"]
    assert ApiToken.objects.get().digest == tokens.digest_of(body["data"]["token"])


@pytest.mark.parametrize(("username", "password"), [("li.na", "wrong"), ("nobody", PASSWORD), ("li\x00na", PASSWORD)])
def test_token_wrong_name_or_password_refused_alike(client: Client, user: User, username: str, password: str) -> None:
    answer = sign_in(client, password, username)

    assert answer.status_code == 401
    assert answer.json() == {
        "status": -1,
        "message": "用户名或密码不正确",
        "data": None,
        "errors": [{"code": "ACC-101", "pointer": "/body/password", "message": "用户名或密码不正确"}],
    }
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_token_fifth_failure_locks_the_name_for_a_quarter_of_an_hour(client: Client, user: User) -> None:
    with time_machine.travel("2026-11-23T08:00:00Z", tick=False) as now:
        failures = [sign_in(client, "wrong").status_code for _ in range(5)]
        locked = sign_in(client)
        now.shift(timedelta(minutes=16))
        later = sign_in(client)

    assert failures == [401] * 5
    assert (locked.status_code, locked.json()["status"], locked.json()["errors"][0]["code"]) == (423, -2, "ACC-103")
    assert "15 分钟" in locked.json()["message"]
    assert later.status_code == 200
    assert not Lock.objects.exists()
    assert AuditRecord.objects.filter(action="sign_in.failed", detail__locked=True).count() == 1


def test_token_attempts_under_way_when_the_name_is_closed_learn_nothing(
    client: Client, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        sign_in(client, "wrong")
    check = User.check_password

    def check_while_another_fails(self: User, raw: str) -> bool:
        lockout.count_failure(self.username)
        return check(self, raw)

    with monkeypatch.context() as patched:
        patched.setattr(User, "check_password", check_while_another_fails)
        right = sign_in(client).status_code
    Lock.objects.filter(username="li.na").update(failures=4, until=None)
    with monkeypatch.context() as patched:
        patched.setattr(User, "check_password", check_while_another_fails)
        wrong = sign_in(client, "wrong").status_code

    assert (right, wrong) == (423, 423)


def test_unlock_by_administrator_opens_at_once(client: Client, user: User) -> None:
    for _ in range(5):
        sign_in(client, "wrong")

    operations.unlock(actor="security", username="li.na")

    assert sign_in(client).status_code == 200


def test_token_revoked_expired_or_of_a_closed_account_no_longer_signs_in(client: Client, user: User) -> None:
    revoked, expired, closed = (sign_in(client, lifetime_s=60).json()["data"]["token"] for _ in range(3))

    client.delete("/api/v1/token", headers=bearer(revoked))
    codes = [client.get("/api/v1/account", headers=bearer(revoked)).status_code]
    with time_machine.travel(clock.now() + timedelta(seconds=61)):
        codes.append(client.get("/api/v1/account", headers=bearer(expired)).status_code)
    operations.close_account(actor="test", user=user)
    codes.append(client.get("/api/v1/account", headers=bearer(closed)).status_code)

    assert codes == [401, 401, 401]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer x"}, {"Authorization": "Basic eDp5"}])
def test_account_without_valid_token_refused_as_not_signed_in(client: Client, headers: dict[str, str]) -> None:
    answer = client.get("/api/v1/account", headers=headers)

    assert (answer.status_code, answer.json()["status"]) == (401, -1)


def test_token_scope_narrows_permissions_and_cannot_widen_them(client: Client, user: User) -> None:
    narrow = sign_in(client, scope=["identifiers.write"]).json()["data"]["token"]
    wide = sign_in(client, scope=["audit.read"])

    person = client.get("/api/v1/account", headers=bearer(narrow)).json()["data"]
    assert person["permissions"] == ["identifiers.write"]
    assert (wide.status_code, wide.json()["errors"][0]["code"]) == (422, "ACC-105")


def test_token_bad_body_each_fault_named_in_chinese(client: Client) -> None:
    answer = client.post("/api/v1/token", {"username": "", "extra": 1}, content_type="application/json")

    assert (answer.status_code, answer.json()["status"]) == (422, -2)
    assert answer.json()["errors"] == [
        {"code": "API-422", "pointer": "/body/username", "message": "至少 1 个字符"},
        {"code": "API-422", "pointer": "/body/password", "message": "缺少此项"},
        {"code": "API-422", "pointer": "/body/extra", "message": "不允许出现此项"},
    ]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"username": "a b"}, "ACC-105"),
        ({"role": "king"}, "ACC-105"),
        ({"password": "1234567890"}, "ACC-105"),
        ({"username": "li.na"}, "ACC-106"),
    ],
)
def test_create_user_bad_account_refused(user: User, change: dict[str, str], code: str) -> None:
    wanted = {"username": "wang", "password": PASSWORD, "role": "operator"} | change

    with pytest.raises(Exception, match=code):
        operations.create_user(actor="test", **wanted)

    assert User.objects.count() == 1


def test_set_password_ends_every_token(client: Client, user: User) -> None:
    token = sign_in(client).json()["data"]["token"]

    operations.set_password(actor="test", user=user, password="another-harbour-2027")

    assert client.get("/api/v1/account", headers=bearer(token)).status_code == 401
    assert sign_in(client, "another-harbour-2027").status_code == 200


def test_failure_counted_when_a_success_takes_the_row_away_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    made, calls = Lock.objects.bulk_create, []

    def make_and_lose(*args: Any, **options: Any) -> Any:
        rows = made(*args, **options)
        calls.append(1)
        if len(calls) == 1:
            lockout.forget_failures("li.na")
        return rows

    monkeypatch.setattr(Lock.objects, "bulk_create", make_and_lose)
    lockout.count_failure("li.na")

    assert Lock.objects.get(username="li.na").failures == 1


def test_failures_that_no_longer_count_are_purged_and_a_lock_is_kept() -> None:
    with time_machine.travel("2026-11-23T08:00:00Z", tick=False) as now:
        lockout.count_failure("passer-by")
        now.shift(timedelta(minutes=14))
        for _ in range(5):
            lockout.count_failure("locked")
        now.shift(timedelta(minutes=14))

        purged = lockout.purge()

    assert (purged, [row.username for row in Lock.objects.all()]) == (1, ["locked"])
