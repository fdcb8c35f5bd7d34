"""Ecode: schemes, lengths by version."""

from __future__ import annotations

import pytest

from biaojie.codes.ecode import EcodeValue, read_ecode
from biaojie.codes.errors import CodeError


@pytest.mark.parametrize(
    "text",
    [
        "E=100016901234567892",
        "e=100016901234567892",
        "Ecode:100016901234567892",
        "ECODE = 100016901234567892",
        "1|0001|6901234567892",
        "100016901234567892",
        "https://www.iotroot.com/E=100016901234567892?lang=zh",
        "https://www.iotroot.com/api/query/search/E=100016901234567892",
    ],
)
def test_read_ecode_every_spelling_gives_the_same_parts(text: str) -> None:
    value = read_ecode(text)

    assert value == EcodeValue(v="1", nsi="0001", md="6901234567892")
    assert (value.canonical, value.routing_key) == ("E=100016901234567892", "100016901234567892")


@pytest.mark.parametrize(
    "text",
    ["E=00001" + "6" * 20, "E=10001" + "6" * 20, "E=20001" + "6" * 28, "E=300001" + "aZ9" * 13, "E=400001" + "瓶" * 512],
)
def test_read_ecode_of_the_longest_md_is_accepted(text: str) -> None:
    value = read_ecode(text)

    assert value.canonical == text


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("E=5000112", "CODE-151"),
        ("E=x", "CODE-151"),
        ("E=", "CODE-103"),
        ("E=1000", "CODE-152"),
        ("E=1000a1", "CODE-152"),
        ("E=30000", "CODE-152"),
        ("E=10001", "CODE-153"),
        ("E=10001" + "6" * 21, "CODE-153"),
        ("E=20001" + "6" * 29, "CODE-153"),
        ("E=300001" + "a" * 40, "CODE-153"),
        ("E=1000169a", "CODE-154"),
        ("E=300001瓶", "CODE-154"),
        ("https://www.iotroot.com/E=400001%ff", "CODE-155"),
        ("https://www.iotroot.com/E=400001%00", "CODE-105"),
    ],
)
def test_read_ecode_faulty_is_refused_with_its_code(text: str, code: str) -> None:
    with pytest.raises(CodeError) as caught:
        read_ecode(text)

    assert caught.value.code == code
