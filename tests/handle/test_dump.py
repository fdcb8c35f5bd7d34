from __future__ import annotations

import pytest
import vectors
from hypothesis import given
from hypothesis import strategies as st

from biaojie.handle import credentials
from biaojie.handle.dump import dump, problem


@pytest.mark.parametrize("name", vectors.MESSAGES)
def test_dump_of_an_observed_message_shows_every_octet_once(name: str) -> None:
    data = vectors.MESSAGES[name]

    report = dump(data)

    # The fields of an HS_ADMIN value's data are shown below the 23 octets of data they repeat.
    repeated = 23 * report.count("AdminRecord")
    assert problem(data) is None
    assert len(_octets(report)) == len(data) + repeated
    assert repeated or _octets(report) == data


def test_dump_of_the_observed_response_labels_fields_and_admin_data() -> None:
    lines = dump(vectors.RESOLVE_RESPONSE).splitlines()

    assert lines[8].endswith("op_code 操作码: 1 RESOLUTION 解析")
    assert any(line.startswith("00004d  65 53 f1 00") and "timestamp 修改时间: 1700000000" in line for line in lines)
    assert any("管理员标识" in line and '"0.NA/86.100.1"' in line for line in lines)
    assert lines[-1].startswith("0000fb  00 00 00 00") and lines[-1].endswith("credential 凭证: [0]")


def test_dump_of_a_truncated_message_goes_as_far_as_it_can_and_names_the_error() -> None:
    report = dump(vectors.RESOLVE_RESPONSE[:90])

    assert '"86.100.1/item-0000042"' in report
    assert "index 索引: 1" in report
    assert report.splitlines()[-1].startswith("错误 [HDL-101]")


def test_dump_of_a_truncated_message_shows_the_octets_it_could_not_read() -> None:
    report = dump(vectors.RESOLVE_RESPONSE[:103])

    assert "未能解析的字节" in report


def test_dump_of_nothing_names_the_error() -> None:
    assert dump(b"").startswith("错误 [HDL-101]")


def test_dump_of_a_signed_message_opens_the_credential() -> None:
    report = dump(credentials.mac_message(vectors.RESOLVE_RESPONSE, bytes(32), 5))

    assert "counter 会话计数器: 5" in report
    assert '"HS_MAC"' in report


def test_octets_behind_a_message_are_shown() -> None:
    assert "报文之后的字节: 4 字节" in dump(vectors.NOT_FOUND_REQUEST + b"junk")


@given(data=st.binary(max_size=200))
def test_dump_of_any_octets_is_text_and_agrees_with_the_decoder(data: bytes) -> None:
    report = dump(data)

    report.encode("utf-8")
    assert ("\n错误 [HDL-1" in "\n" + report) == (problem(data) is not None)


def _octets(report: str) -> bytes:
    return b"".join(bytes.fromhex(line[8:55]) for line in report.splitlines() if "…" not in line[8:55])
