"""The enforcer's client at an authorization server, as configured; errors are in `mistakes/servers-*`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from harness.signing import key

from enforcer.config.authorization_server import CertificateClient, Client, KeyClient, SecretClient, client, endpoints
from enforcer.config.load import Loaded, load_with_document
from enforcer.secret import Secret
from enforcer.settings.authorization_server import AuthorizationServer

Loads = Callable[..., Loaded]
SECRET = Secret("hunter2")
URL = "introspection_endpoint: http://127.0.0.1:8085/introspect"
AUTH = "https://auth.example.org"


@pytest.fixture
def server(loads: Loads, certificate: str, tmp_path: Path) -> Callable[[str], AuthorizationServer]:
    """Return a function that loads the settings of an authorization server."""
    (tmp_path / "private.pem").write_bytes(key("ES256", 7).as_pem(private=True))
    original = f"{URL}, client_id: enforcer, client_secret: {{env: SECRET}}"

    def server(settings: str) -> AuthorizationServer:
        tls = f"{{certificate: {certificate}/one.crt, key: {certificate}/one.key}}"
        return loads(changed={original: settings.replace("TLS", tls)}).config.authorization_servers[0]

    return server


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("client_secret: {env: SECRET}", SecretClient("e", SECRET, "client_secret_basic")),
        (
            "client_secret: {env: SECRET}, client_authentication: client_secret_post",
            SecretClient("e", SECRET, "client_secret_post"),
        ),
        (
            "client_key: {file: private.pem}, client_authentication: private_key_jwt",
            KeyClient("e", Secret(key("ES256", 7).as_pem(private=True).decode().removesuffix("\n"))),
        ),
        ("tls: TLS, client_authentication: tls_client_auth", CertificateClient("e")),
    ],
)
@pytest.mark.parametrize("own_token", ["", f", own_token: {{token_endpoint: {AUTH}/token}}"])
def test_each_client_authentication_can_be_configured(
    settings: str, expected: Client, own_token: str, server: Callable[[str], AuthorizationServer]
) -> None:
    """With and without a token of the enforcer's own."""
    endpoint = f"introspection_endpoint: {AUTH}/introspect"
    assert client(server(f"{endpoint}, client_id: e, {settings}{own_token}")) == expected


CLIENT = "client_id: e, client_secret: {env: SECRET}"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (f"{URL}, {CLIENT}", {"introspection_endpoint": "http://127.0.0.1:8085/introspect"}),
        (f"issuer: {AUTH}, {CLIENT}", {"introspection_endpoint": None}),
        (f"issuer: {AUTH}, verify: jwt", {"jwks_uri": None}),
        (f"issuer: {AUTH}, signed_answers: true, {CLIENT}", {"introspection_endpoint": None, "jwks_uri": None}),
        (f"issuer: countries, verify: jwt, jwks_uri: {AUTH}/keys", {"jwks_uri": f"{AUTH}/keys"}),
        (
            f"issuer: {AUTH}, verify: jwt_then_introspect, jwks_uri: {AUTH}/keys, own_token: {{}}, {CLIENT}",
            {"introspection_endpoint": None, "jwks_uri": f"{AUTH}/keys", "token_endpoint": None},
        ),
    ],
)
def test_an_endpoint_that_is_not_set_comes_from_the_metadata(
    settings: str, expected: dict[str, str | None], server: Callable[[str], AuthorizationServer]
) -> None:
    """Only endpoints that are used; if all are set, the issuer may be any name."""
    assert endpoints(server(settings)) == expected


def test_a_client_key_is_not_read_without_the_environment(
    server: Callable[[str], AuthorizationServer], tmp_path: Path
) -> None:
    """Policy tools need no secrets."""
    server(f"{URL}, client_id: e, client_key: {{file: private.pem}}, client_authentication: private_key_jwt")
    (tmp_path / "private.pem").unlink()
    loaded, _ = load_with_document(tmp_path / "config.yaml", None)
    assert loaded.config.authorization_servers[0].client_key == Secret("")
