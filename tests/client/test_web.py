"""Paths out and JSON in, without sockets."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biaojie.client.errors import BadReply
from biaojie.client.web import content_path, plain_reason, read_content, read_path, read_route, route_path
from biaojie.resolution.cache import Endpoint

HERE = Endpoint("http", "192.0.2.1", 8080)


def test_content_path_encodes_everything_of_an_identifier() -> None:
    assert content_path("88.1/a b?/中", (1, 2), ("URL",)) == "/api/handles/88.1%2Fa%20b%3F%2F%E4%B8%AD?index=1&index=2&type=URL"
    assert route_path("(01)1") == "/api/v1/routes?identifier=%2801%291"


@pytest.mark.parametrize("wrapped", [False, True])
def test_read_route_takes_the_bare_and_the_wrapped_form(wrapped: bool) -> None:
    form = (
        b'{"system":"OID","matched":"1.2","next":[{"ip_type":"IPv4","ip":"192.0.2.2","protocol":"HTTP","port":80},'
        b'{"ip_type":"IPv4","ip":"192.0.2.2","protocol":"UDP","port":2641}],"final":true}'
    )

    route = read_route(b'{"status":1,"data":' + form + b"}" if wrapped else form, 200, HERE)

    assert (route.matched, route.final) == ("1.2", True)
    assert route.next == (Endpoint("http", "192.0.2.2", 80),)


def test_read_route_of_404_without_route_is_no_route() -> None:
    assert read_route(b'{"system":"OID","matched":null,"next":[],"final":false}', 404, HERE).next == ()


def test_read_route_of_a_server_error_is_a_bad_reply() -> None:
    with pytest.raises(BadReply):
        read_route(b'{"message":"x"}', 500, HERE)


@settings(max_examples=80)
@given(st.binary(max_size=200))
def test_readers_of_any_octets_give_a_value_or_a_bad_reply(data: bytes) -> None:
    for read in (read_content, read_route, read_path):
        try:
            read(data, 200, HERE)
        except BadReply as error:
            assert error.code == "CLI-103"


def test_read_content_of_a_code_no_answer_can_have_is_a_bad_reply() -> None:
    for code in (0, -1, 1 << 32):
        with pytest.raises(BadReply):
            read_content(b'{"responseCode":%d}' % code, 200, HERE)


@pytest.mark.parametrize("data", [b"[" * 200_000, b'{"responseCode":1,"values":[' + b'{"x":' * 100_000])
def test_readers_of_deeply_nested_json_raise_bad_reply(data: bytes) -> None:
    for read in (read_content, read_route, read_path):
        with pytest.raises(BadReply):
            read(data, 200, HERE)


def test_plain_reason_finds_the_cause_below() -> None:
    try:
        try:
            raise OSError(errno.ECONNREFUSED, "Connection refused")
        except OSError as inner:
            raise RuntimeError("wrapped") from inner
    except RuntimeError as error:
        assert plain_reason(error) == "对方拒绝连接"
