"""GS1: check digits, element strings, Digital Link, routing of one company prefix."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stdnum import ean

from biaojie.codes.errors import BadCheckDigit, CodeError
from biaojie.codes.gs1 import has_valid_check_digit, read_gs1, valid_check_digit


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("9501101530003", "(01)09501101530003"),
        ("09501101530003", "(01)09501101530003"),
        ("614141000036", "(01)00614141000036"),
        ("96385074", "(01)00000096385074"),
        ("106141412345678908", "(00)106141412345678908"),
        ("(01)09501101530003(21)SN1", "(01)09501101530003(21)SN1"),
        ("(01)9501101530003(21)sn1", "(01)09501101530003(21)sn1"),
        ("(21)SN1(10)L(7)(01)09501101530003", "(01)09501101530003(10)L(7)(21)SN1"),
        ("(01)09501101530003(17)250101(10)L1", "(01)09501101530003(10)L1"),
        ("(414)9501101530003(254)A1", "(414)9501101530003(254)A1"),
        ("(8003)09501101530003X7", "(8003)09501101530003X7"),
        ("(8004)95011015A7", "(8004)95011015A7"),
        ("(253)9501101530003ABC", "(253)9501101530003ABC"),
        ("(8018)950110153000123455", None),
        ("https://id.gs1.org/01/09501101530003/21/SN1", "(01)09501101530003(21)SN1"),
        ("https://shop.example/a/b/01/9501101530003/10/L%2F1?17=250101&x=y", "(01)09501101530003(10)L/1"),
        ("http://shop.example:8080/01/09501101530003/21/1234", "(01)09501101530003(21)1234"),
        ("https://id.gs1.org/414/9501101530003/254/A1", "(414)9501101530003(254)A1"),
    ],
)
def test_read_gs1_valid_gives_the_canonical_element_string(text: str, canonical: str | None) -> None:
    if canonical is None:  # a GSRN: 17 digits and the check digit, worked out here
        payload = text[len("(8018)") : -1]
        text = canonical = f"(8018){payload}{valid_check_digit(payload)}"

    value = read_gs1(text)

    assert value.canonical == canonical
    assert read_gs1(value.canonical).canonical == canonical


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("9501101530004", "CODE-161"),
        ("(01)09501101530004", "CODE-161"),
        ("(00)106141412345678907", "CODE-161"),
        ("(414)9501101530004", "CODE-161"),
        ("(8003)09501101530004X7", "CODE-161"),
        ("https://id.gs1.org/01/09501101530004", "CODE-161"),
        ("123", "CODE-162"),
        ("abc", "CODE-162"),
        ("(01)123", "CODE-163"),
        ("(01)", "CODE-163"),
        ("(01)0950110153000３", "CODE-163"),
        ("(05)123", "CODE-163"),
        ("(01)09501101530003(21)瓶", "CODE-163"),
        ("(01)09501101530003(21)" + "A" * 21, "CODE-163"),
        ("(8004)AB12345", "CODE-163"),
        ("https://id.gs1.org/01/09501101530003/21/A(10)B", "CODE-163"),
        ("(10)L1", "CODE-164"),
        ("https://example.com/abc", "CODE-165"),
        ("https://id.gs1.org/01/09501101530003/21", "CODE-165"),
        ("https://id.gs1.org/01/09501101530003/21/A/10/B", "CODE-165"),
        ("http://[/01/09501101530003", "CODE-165"),
        ("(01)09501101530003(10)A(10)B", "CODE-166"),
    ],
)
def test_read_gs1_faulty_is_refused_with_its_code(text: str, code: str) -> None:
    with pytest.raises(CodeError) as caught:
        read_gs1(text)

    assert caught.value.code == code


def test_read_gs1_wrong_check_digit_says_which_is_right() -> None:
    with pytest.raises(BadCheckDigit) as caught:
        read_gs1("6901234567893")

    assert caught.value.message == "GTIN-13“6901234567893”的校验位是 3，应为 2"


def test_read_gs1_attributes_are_kept_noted_and_do_not_identify() -> None:
    value = read_gs1("(01)09501101530003(17)250101(3103)000195")

    assert value.attributes == (("17", "250101"), ("3103", "000195"))
    assert value.notes == ("（17）是属性，不参与标识", "（3103）是属性，不参与标识")


@pytest.mark.parametrize(
    ("text", "routing_key"),
    [
        ("6901234567892", "690123456789"),
        ("16901234567899", "690123456789"),
        ("(414)6901234567892", "690123456789"),
        ("614141000036", "061414100003"),
        ("96385074", "000009638507"),
        ("106141412345678908", "0614141234567890"),
        ("(8003)06901234567892X", "690123456789"),
        ("(8004)690123456A7", "690123456"),
    ],
)
def test_read_gs1_routing_key_begins_with_the_company_prefix(text: str, routing_key: str) -> None:
    value = read_gs1(text)

    assert value.routing_key == routing_key


@settings(max_examples=200)
@given(st.sampled_from([7, 11, 12, 13]).flatmap(lambda n: st.from_regex(rf"[0-9]{{{n}}}", fullmatch=True)), st.integers(0, 9))
def test_check_digit_any_digits_agree_with_an_independent_implementation(payload: str, last: int) -> None:
    digits = f"{payload}{last}"

    assert has_valid_check_digit(digits) == ean.is_valid(digits)
    assert str(valid_check_digit(payload)) == ean.calc_check_digit(payload)
