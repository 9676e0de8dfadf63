"""Signed tokens of the demo's authorization server, verified with its keys."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from harness import plain_http
from harness.processes import Enforcer, authorization_server, enforcer
from harness.servers import Server, echo_server

_CONFIG = """
listener: {{address: "127.0.0.1:0"}}
admin: {{address: "127.0.0.1:0"}}
upstream: {{url: "http://127.0.0.1:{app}"}}
authorization_servers:
  - issuer: {issuer}
    verify: jwt_then_introspect
    jwks_uri: {base}/oauth2/jwks
    introspection_endpoint: {base}/oauth2/introspect
    client_id: service-client-jwt
    client_secret: {{env: ENFORCER_CLIENT_SECRET}}
rules:
  - {{name: read, path: /read, scopes: [country.read]}}
"""


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with authorization_server() as running:
        yield running


@pytest.fixture
def app() -> Iterator[Server]:
    with echo_server() as running:
        yield running


def _token(issuer: str, client: str, scope: str) -> str:
    form = {
        "grant_type": "client_credentials",
        "client_id": client,
        "client_secret": "user-client-secret",
        "scope": scope,
    }
    return str(plain_http.post(f"{issuer}/oauth2/token", data=form).json()["access_token"])


def _get(proxy: Enforcer, token: str) -> httpx.Response:
    return plain_http.get(f"http://127.0.0.1:{proxy.port}/read", headers={"Authorization": f"Bearer {token}"})


def test_signed_and_opaque_tokens_of_one_server_are_equivalent(issuer: str, app: Server) -> None:
    """Rules cannot tell them apart."""
    text = _CONFIG.format(app=app.port, issuer=issuer, base=issuer.replace("localhost", "127.0.0.1"))
    with enforcer(text, {"ENFORCER_CLIENT_SECRET": "service-client-jwt-secret"}) as proxy:
        signed = _token(issuer, "user-client-jwt", "country.read")
        assert _get(proxy, signed).status_code == 200
        assert _get(proxy, _token(issuer, "user-client-opaque", "country.read")).status_code == 200
        assert _get(proxy, _token(issuer, "user-client-jwt", "profile")).status_code == 403
        assert _get(proxy, signed[:-8] + "AAAAAAAA").status_code == 401
        heads = [head for head, _ in app.requests]
    clients = [match[1] for head in heads if (match := re.search(rb"X-Auth-Client: (\S+)", head))]
    assert clients == [b"user-client-jwt", b"user-client-opaque"]


_DISCOVERED = """
listener: {{address: "127.0.0.1:0"}}
admin: {{address: "127.0.0.1:0"}}
upstream: {{url: "http://127.0.0.1:{app}"}}
authorization_servers:
  - {{issuer: "{issuer}", audience: [user-client-opaque, user-client-jwt], {settings}}}
rules:
  - {{name: read, path: /read, scopes: [country.read]}}
"""
_CLIENT = "client_id: service-client-jwt, client_secret: {env: ENFORCER_CLIENT_SECRET}"


@pytest.mark.parametrize(
    ("settings", "opaque"),
    [
        (_CLIENT, 200),
        (f"verify: jwt_then_introspect, {_CLIENT}", 200),
        (f"verify: jwt_then_introspect, client_authentication: client_secret_post, {_CLIENT}", 200),
        ("verify: jwt", 401),
    ],
)
def test_a_server_is_configured_by_its_issuer_only(settings: str, opaque: int, issuer: str, app: Server) -> None:
    """Its metadata has the rest; with `verify: jwt` no credentials are needed, and an opaque token is inactive."""
    text = _DISCOVERED.format(app=app.port, issuer=issuer, settings=settings)
    with enforcer(text, {"ENFORCER_CLIENT_SECRET": "service-client-jwt-secret"}) as proxy:
        signed = _token(issuer, "user-client-jwt", "country.read")
        statuses = [_get(proxy, token).status_code for token in (signed, signed[:-8] + "AAAAAAAA", "junk")]
        assert statuses == [200, 401, 401]
        assert _get(proxy, _token(issuer, "user-client-opaque", "country.read")).status_code == opaque
        assert _get(proxy, _token(issuer, "user-client-jwt", "profile")).status_code == 403
        assert len(app.requests) == 1 + (opaque == 200)
