"""Settings of an authorization server: defaults, units and choices."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from enforcer.settings.authorization_server import AuthorizationServer, MetadataSettings, OwnTokenSettings


def read(values: dict[str, Any]) -> AuthorizationServer:
    return TypeAdapter(AuthorizationServer).validate_python(values)


def test_the_defaults_introspect_every_token_with_a_secret() -> None:
    """So that a revocation is noticed; signed responses and an own token are opt-in."""
    server = read({})
    assert (server.name, server.verify, server.client_authentication) == (
        "default",
        "introspect",
        "client_secret_basic",
    )
    assert (server.signed_answers, server.own_token, server.tls, server.audience) == (False, None, None, ())


def test_units_are_read() -> None:
    """Durations become seconds, sizes bytes."""
    server = read({"timeout": "500ms", "max_answer": "16KiB", "retry_after": "1m", "own_token": {"renew_ahead": "0s"}})
    assert (server.timeout, server.max_answer, server.retry_after) == (0.5, 16384, 60.0)
    assert server.own_token == OwnTokenSettings(renew_ahead=0.0)
    assert read({"metadata": {"refresh": "2h"}}).metadata == MetadataSettings(refresh=7200.0)


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"name": ""}, "name"),
        ({"issuer": ""}, "issuer"),
        ({"audience": "x"}, "audience"),
        ({"audience": [""]}, "audience"),
        ({"verify": "jwt_or_introspect"}, "verify"),
        ({"client_authentication": "none"}, "client_authentication"),
        ({"introspection_endpoint": "auth.example.org/introspect"}, "introspection_endpoint"),
        ({"jwks_uri": "https://user:word@auth.example.org/keys"}, "jwks_uri"),
        ({"timeout": "0s"}, "timeout"),
        ({"timeout": 2}, "timeout"),
        ({"max_answer": "0B"}, "max_answer"),
        ({"signed_answers": "yes"}, "signed_answers"),
        ({"own_token": {"lifetime": "0s"}}, "own_token"),
        ({"metadata": {"pause": "0s"}}, "metadata"),
    ],
)
def test_an_invalid_value_is_an_error_at_its_key(values: dict[str, Any], key: str) -> None:
    """Nothing is coerced, and a URL cannot contain a password."""
    with pytest.raises(ValidationError) as refused:
        read(values)
    assert {error["loc"][0] for error in refused.value.errors()} == {key}
    assert "word" not in "".join(error["msg"] for error in refused.value.errors())
