"""Reading request parameters from a form."""

import pytest

from authserver.errors import OAuthError
from authserver.forms import parse_form, required

FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (b"", {}),
        (b"a=1&b=2", {"a": "1", "b": "2"}),
        (b"scope=country.read+country.write", {"scope": "country.read country.write"}),
        (b"%61=%C3%85&b==", {"a": "Å", "b": "="}),
        ("a=Å".encode(), {"a": "Å"}),
        (b"a=&b&c=1", {"c": "1"}),
    ],
)
def test_parameters_are_decoded_and_empty_ones_are_omitted(body: bytes, form: dict[str, str]) -> None:
    """RFC 6749 §3.2 and appendix B."""
    assert form == parse_form(FORM, body)


@pytest.mark.parametrize("body", [b"a=1&a=1", b"a=1&%61=2", b"a=&a=1", b"a&a"])
def test_a_repeated_parameter_is_an_invalid_request(body: bytes) -> None:
    """Even if both values are equal or one of them is empty."""
    with pytest.raises(OAuthError) as refusal:
        parse_form(FORM, body)
    assert (refusal.value.code, refusal.value.status) == ("invalid_request", 400)


@pytest.mark.parametrize("body", [b"a=\xff", b"a=%FF", b"%C3=1"])
def test_octets_that_are_not_utf_8_are_an_invalid_request(body: bytes) -> None:
    """Raw or percent-encoded."""
    with pytest.raises(OAuthError) as refusal:
        parse_form(FORM, body)
    assert refusal.value.code == "invalid_request"


@pytest.mark.parametrize("content_type", [FORM, FORM.upper(), f"{FORM}; charset=UTF-8", f"{FORM} ;x=y"])
def test_the_content_type_may_have_any_case_and_parameters(content_type: str) -> None:
    """Clients send both."""
    assert parse_form(content_type, b"a=1") == {"a": "1"}


@pytest.mark.parametrize("content_type", ["", "application/json", "multipart/form-data; boundary=x", f"{FORM}x"])
def test_another_content_type_is_an_invalid_request(content_type: str) -> None:
    """A JSON body is not read as an empty form."""
    with pytest.raises(OAuthError) as refusal:
        parse_form(content_type, b"a=1")
    assert refusal.value.code == "invalid_request"


def test_a_missing_required_parameter_is_an_invalid_request() -> None:
    """The description names it."""
    assert required({"a": "1"}, "a") == "1"
    with pytest.raises(OAuthError) as refusal:
        required({"a": "1"}, "token")
    assert (refusal.value.code, refusal.value.description) == ("invalid_request", "the parameter token is missing")
