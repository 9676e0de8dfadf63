"""Client authentication: both methods, and errors that reveal nothing."""

from base64 import b64encode
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authserver.authentication import authenticate
from authserver.clients import Client
from authserver.errors import OAuthError

SECRET = "s:3 c+%r&t"
APP = Client(client_id="app: 1%+", secret=SECRET, scopes=("read",), audience=("api",))
CLIENTS = {APP.client_id: APP}
POST = {"client_id": APP.client_id, "client_secret": SECRET}


def basic(client_id: str, secret: str) -> str:
    return "Basic " + b64encode(f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()).decode()


def refusal(authorization: list[str], form: dict[str, str]) -> tuple[str, int]:
    with pytest.raises(OAuthError) as refused:
        authenticate(CLIENTS, authorization, form)
    return refused.value.code, refused.value.status


def test_a_client_authenticates_in_the_form() -> None:
    """The method client_secret_post."""
    assert APP is authenticate(CLIENTS, [], POST)


@pytest.mark.parametrize("scheme", ["Basic ", "basic ", "BASIC   "])
def test_a_client_authenticates_with_basic_form_urlencoded(scheme: str) -> None:
    """The method client_secret_basic (RFC 6749 §2.3.1) decodes colons, spaces and plus signs."""
    assert APP is authenticate(CLIENTS, [scheme + basic(APP.client_id, SECRET)[6:]], {})


def test_the_client_id_may_be_repeated_in_the_form() -> None:
    """Many clients repeat it; without a secret it is not a second authentication method."""
    assert APP is authenticate(CLIENTS, [basic(APP.client_id, SECRET)], {"client_id": APP.client_id})


@pytest.mark.parametrize(
    ("authorization", "form"),
    [
        ([basic(APP.client_id, SECRET)], POST),
        ([basic(APP.client_id, SECRET)], {"client_secret": SECRET}),
        ([basic(APP.client_id, SECRET)] * 2, {}),
        ([basic(APP.client_id, SECRET)], {"client_id": "other"}),
        ([], {"client_secret": SECRET}),
    ],
)
def test_two_methods_or_half_of_one_are_an_invalid_request(authorization: list[str], form: dict[str, str]) -> None:
    """RFC 6749 §2.3: not more than one authentication method in a request."""
    assert refusal(authorization, form) == ("invalid_request", 400)


@pytest.mark.parametrize(
    ("authorization", "form"),
    [
        ([], {}),
        ([], {"client_id": APP.client_id}),
        ([], {**POST, "client_secret": SECRET + "x"}),
        ([], {**POST, "client_secret": SECRET[:-1]}),
        ([], {**POST, "client_secret": "Å"}),
        ([], {**POST, "client_id": "unknown"}),
        ([basic("unknown", SECRET)], {}),
        ([basic("unknown", "")], {}),
        ([basic(APP.client_id, "wrong")], {}),
        ([basic(APP.client_id, "")], {}),
        (["Basic " + b64encode(f"{APP.client_id}:{SECRET}".encode()).decode()], {}),
        (["Basic"], {}),
        (["Basic !!!"], {}),
        (["Basic Å"], {}),
        (["Basic " + b64encode(b"no colon").decode()], {}),
        (["Basic " + b64encode(b"\xff:\xff").decode()], {}),
        (["Basic " + b64encode(b"%FF:%FF").decode()], {}),
        (["Bearer abc"], {}),
        ([""], {}),
    ],
)
def test_any_other_credentials_are_an_invalid_client(authorization: list[str], form: dict[str, str]) -> None:
    """Missing, wrong, unknown and malformed credentials get the same error."""
    assert refusal(authorization, form) == ("invalid_client", 401)


def test_an_unknown_client_gets_the_same_error_as_a_wrong_secret() -> None:
    """The response does not reveal which clients are registered."""
    errors = set()
    for client_id in (APP.client_id, "unknown"):
        with pytest.raises(OAuthError) as refused:
            authenticate(CLIENTS, [], {"client_id": client_id, "client_secret": "wrong"})
        errors.add((refused.value.code, refused.value.status, refused.value.description))
    assert len(errors) == 1


@given(st.text(min_size=1), st.text(min_size=1))
def test_only_the_right_credentials_are_accepted(client_id: str, secret: str) -> None:
    """For any client identifier and secret in the form, the result is the client or an OAuthError."""
    if (client_id, secret) != (APP.client_id, SECRET):
        assert refusal([], {"client_id": client_id, "client_secret": secret}) == ("invalid_client", 401)


@given(st.text(st.characters(max_codepoint=255)))
def test_any_authorization_field_is_handled(value: str) -> None:
    """Arbitrary octets in the field get an OAuthError."""
    assert refusal([value], {}) == ("invalid_client", 401)
    assert refusal([f"Basic {value}"], {}) == ("invalid_client", 401)
