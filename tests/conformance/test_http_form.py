"""The JSON interface as another program's client reads it, and in the recorded form."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import pytest
from node_under_test import Node


def got(node: Node, path: str) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(node.http[0] + path, timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_record_has_the_recorded_form(node: Node) -> None:
    status, form = got(node, "/api/handles/86.100.1/item-0000042")

    common = {"ttl": 86400, "timestamp": "2023-11-14T22:13:20Z"}
    assert status == 200
    assert list(form) == ["responseCode", "handle", "values"]
    assert form["values"] == [
        {"index": 1, "type": "URL", "data": {"format": "string", "value": "https://id.example.org/item/42"}, **common},
        {"index": 2, "type": "DESC", "data": {"format": "string", "value": "industrial part number 42 lot 42"}, **common},
        {
            "index": 100,
            "type": "HS_ADMIN",
            "data": {"format": "admin", "value": {"handle": "0.NA/86.100.1", "index": 300, "permissions": "111111111111"}},
            **common,
        },
    ]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("86.100.1/NOPE", 404, 100),
        ("86.100.1/item-0000042?type=NONE", 200, 200),
        ("86.100.1/hidden", 200, 200),
        ("99.1/x", 400, 301),
        ("0.NA/88.100.77", 300, 303),
    ],
)
def test_other_answers_have_the_recorded_status_and_code(node: Node, path: str, status: int, code: int) -> None:
    answered, form = got(node, f"/api/handles/{path}")

    assert (answered, form["responseCode"]) == (status, code)
    assert form["handle"] == path.partition("?")[0]
    assert form.get("values") == ([] if code == 200 else form.get("values"))


@pytest.mark.parametrize("text", ["9" * 4_301, "9" * 20_000, "2147483648"], ids=["4301 digits", "20000 digits", "2^31"])
def test_index_beyond_any_number_is_refused_and_no_failure(node: Node, text: str) -> None:
    status, form = got(node, f"/api/handles/86.100.1/item-0000042?index={text}")

    assert (status, form["responseCode"]) == (400, 4)


def test_pyhandle_reads_records(node: Node) -> None:
    handleclient = pytest.importorskip("pyhandle.handleclient", reason="pyhandle is not installed")
    client = handleclient.RESTHandleClient(node.http[0], HTTPS_verify=False)

    record = client.retrieve_handle_record_json("86.100.1/item-0000042")
    plain = client.retrieve_handle_record("86.100.1/item-0000042")
    description = client.get_value_from_handle("86.100.1/item-0000042", "DESC")
    absent = client.retrieve_handle_record_json("86.100.1/NOPE")

    assert [entry["index"] for entry in record["values"]] == [1, 2, 100]
    assert plain["URL"] == "https://id.example.org/item/42"
    assert description == "industrial part number 42 lot 42"
    assert absent is None
