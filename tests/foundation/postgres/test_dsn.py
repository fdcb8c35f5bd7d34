"""Database addresses in and out."""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biaojie.foundation.postgres import dsn, errors
from biaojie.foundation.postgres.cluster import Cluster

pytestmark = pytest.mark.web

words = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=20)


def test_parse_network_url_gives_django_and_libpq_forms() -> None:
    address = dsn.parse("postgresql://node:p%40ss%2F%E5%8F%A3@db.example.cn:6432/biaojie?sslmode=require&application_name=web")

    assert address.django() == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "biaojie",
        "USER": "node",
        "PASSWORD": "p@ss/口",
        "HOST": "db.example.cn",
        "PORT": "6432",
        "OPTIONS": {"sslmode": "require", "application_name": "web"},
    }
    assert address.libpq() == {
        "dbname": "biaojie",
        "user": "node",
        "password": "p@ss/口",
        "host": "db.example.cn",
        "port": "6432",
        "sslmode": "require",
        "application_name": "web",
    }


def test_parse_socket_url_gives_the_folder_as_host() -> None:
    address = dsn.parse("postgresql:///biaojie?host=/run/my%20pg")

    assert (address.name, address.host, address.user, address.port) == ("biaojie", "/run/my pg", "", "")
    assert address.libpq() == {"dbname": "biaojie", "host": "/run/my pg"}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mysql://u:topsecret@h/db",
        "postgresql://u:topsecret@h/",
        "postgresql://u:topsecret@h:99999/db",
        "postgresql://u:topsecret@h:port/db",
        "postgresql://u:topsecret%zz@h/db",
        "postgresql://u:topsecret@h/db?no_such=1",
        "postgresql://u:topsecret@[::1/db",
    ],
)
def test_parse_bad_url_is_refused_without_repeating_the_password(url: str) -> None:
    with pytest.raises(errors.BadDatabaseUrl) as caught:
        dsn.parse(url)

    assert "topsecret" not in str(caught.value)
    assert caught.value.__cause__ is None


@settings(max_examples=80, deadline=None)
@given(name=words.filter(bool), user=words, password=words, host=words, option=words.filter(bool))
def test_parse_of_url_gives_the_same_address(name: str, user: str, password: str, host: str, option: str) -> None:
    address = dsn.DatabaseAddress(
        name=name, user=user, password=password, host=host, port="5432", options={"application_name": option}
    )

    assert dsn.parse(address.url()) == address


def test_repr_hides_the_password() -> None:
    assert "topsecret" not in repr(dsn.parse("postgresql://u:topsecret@h/db"))


def test_check_version_of_a_live_server_gives_its_major_version(server: Cluster) -> None:
    assert dsn.check_version(server.dsn()) == 18


def test_check_version_below_the_oldest_is_refused(server: Cluster) -> None:
    with pytest.raises(errors.ServerTooOld) as caught:
        dsn.check_version(server.dsn(), oldest=99)

    assert caught.value.data == {"found": "18.4", "needed": 99} or caught.value.data["found"].startswith("18.")


def test_check_version_of_nobody_is_unreachable_without_the_password() -> None:
    with pytest.raises(errors.DatabaseUnreachable) as caught:
        dsn.check_version("postgresql://u:topsecret@127.0.0.1:1/db", timeout_s=2)

    assert "127.0.0.1:1/db" in caught.value.message
    assert "topsecret" not in str(caught.value)


def test_cluster_address_survives_parsing_and_connects(server: Cluster) -> None:
    address = dsn.parse(server.dsn())

    with psycopg.connect(**address.libpq()) as by_fields, psycopg.connect(address.url()) as by_url:
        users = (by_fields.info.user, by_url.info.user)

    assert users == ("biaojie", "biaojie")
