"""The client credentials grant: the token's data and the granted scope."""

import pytest

from authserver.clients import Client
from authserver.errors import OAuthError
from authserver.grants import grant
from authserver.tokens import Token

APP = Client(client_id="app", secret="s", scopes=("read", "write"), audience=("api", "other"))


def granted(form: dict[str, str], client: Client = APP) -> Token:
    return grant(client, form, issuer="https://as.example", jti="7d2f", now=1_800_000_000)


def test_a_token_has_its_client_audience_scope_and_four_hours() -> None:
    """All its data is known when it is granted."""
    assert Token(
        jti="7d2f",
        iss="https://as.example",
        client_id="app",
        aud=("api", "other"),
        scope="read",
        iat=1_800_000_000,
        exp=1_800_014_400,
    ) == granted({"grant_type": "client_credentials", "scope": "read"})


@pytest.mark.parametrize(
    ("requested", "scope"),
    [({}, "read write"), ({"scope": "write"}, "write"), ({"scope": "write read write"}, "write read")],
)
def test_the_scope_is_the_requested_one_or_all_registered_scopes(requested: dict[str, str], scope: str) -> None:
    """RFC 6749 §3.3. A scope that is requested twice is granted once."""
    assert scope == granted({"grant_type": "client_credentials", **requested}).scope


@pytest.mark.parametrize(
    "scope", ["admin", "read admin", "READ", "read,write", "read  write", " read", "read\twrite", " "]
)
def test_an_unregistered_or_malformed_scope_is_invalid(scope: str) -> None:
    """The registered part of a request is not granted."""
    with pytest.raises(OAuthError) as refusal:
        granted({"grant_type": "client_credentials", "scope": scope})
    assert (refusal.value.code, refusal.value.status) == ("invalid_scope", 400)


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "Client_Credentials"}, "unsupported_grant_type"),
    ],
)
def test_only_the_client_credentials_grant_is_supported(form: dict[str, str], code: str) -> None:
    """RFC 6749 §5.2."""
    with pytest.raises(OAuthError) as refusal:
        granted(form)
    assert (code, 400) == (refusal.value.code, refusal.value.status)


def test_a_client_without_scopes_gets_no_token() -> None:
    """It may be registered for introspection only."""
    with pytest.raises(OAuthError) as refusal:
        granted({"grant_type": "client_credentials"}, APP.model_copy(update={"scopes": ()}))
    assert (refusal.value.code, refusal.value.status) == ("unauthorized_client", 400)
