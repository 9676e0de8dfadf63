"""Validation of countries."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from country_app.countries import MAX_NAME, Country, InvalidCountryError, parse_country


def problems(text: bytes, code: str | None = None) -> list[str]:
    with pytest.raises(InvalidCountryError) as error:
        parse_country(text, code)
    return [problem.partition(":")[0] for problem in error.value.problems]


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("Australia", "AUSTRALIA"),
        ("  Türkiye ", "TÜRKIYE"),
        ("CÔTE D'IVOIRE", "CÔTE D'IVOIRE"),
        ("A" * MAX_NAME, "A" * MAX_NAME),
    ],
)
def test_a_name_is_converted_to_upper_case(sent: str, name: str) -> None:
    """Letters of any alphabet with two cases."""
    assert parse_country(json.dumps({"code": "XYZ", "name": sent}).encode()) == Country(code="XYZ", name=name)


def test_all_errors_are_reported_at_once() -> None:
    """In the order of the members, unknown members last."""
    assert problems(b'{"code": "aus", "name": 3, "colour": "red"}') == ["code", "name", "colour"]
    assert problems(b'{"colour": "red"}') == ["code", "name", "colour"]
    assert problems(b'{"code": "AUT", "name": ""}', "AUS") == ["code", "name"]


@pytest.mark.parametrize("code", ["", "AU", "AUSS", "aus", "A1S", "AUS\n", "ÅUS", " AUS", "АUS"])
def test_a_code_is_three_upper_case_letters(code: str) -> None:
    """From A to Z, with nothing before or after them."""
    assert problems(json.dumps({"code": code, "name": "X"}).encode()) == ["code"]


@pytest.mark.parametrize("name", ["", "  ", "A" * (MAX_NAME + 1), "A\nB", "A\x00", "A\u202eB"])
def test_a_name_consists_of_printable_characters(name: str) -> None:
    """No characters, too many, and control characters are errors."""
    assert problems(json.dumps({"code": "XYZ", "name": name}).encode()) == ["name"]


@pytest.mark.parametrize(
    "text",
    [b"", b"AUS", b"{", b"[]", b"null", b'"AUS"', b'{"code": "XYZ", "name": "\xff"}', b"[" * 10_000, b'{"code": NaN'],
)
def test_a_body_that_is_not_a_json_object_is_an_error(text: bytes) -> None:
    """Also if it is deeply nested or not UTF-8."""
    assert problems(text) == ["body"]


@given(st.binary() | st.text().map(lambda name: json.dumps({"code": "XYZ", "name": name}).encode()))
def test_any_octets_are_a_country_or_an_error(text: bytes) -> None:
    """No other exception is raised, and a country survives a round trip through JSON."""
    with suppress(InvalidCountryError):
        country = parse_country(text)
        again = country.model_dump_json().encode()
        assert parse_country(again) == country
