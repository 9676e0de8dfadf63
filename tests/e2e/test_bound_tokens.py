"""Sender-constrained tokens of the demo's authorization server, over TLS: only their holder can use them."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Any

import pytest
from harness import plain_http
from harness.certificates import Authority
from harness.clients import Client, Response
from harness.processes import Enforcer, authorization_server, enforcer
from harness.servers import echo_server
from harness.signing import key, proof

from enforcer.tokens.jwt.jws import sha256_base64url

OWN_KEY, OTHER_KEY = key("ES256", 1), key("ES256", 2)
CLIENTS: dict[str, dict[str, Any]] = {
    "opaque": {"secret": "s", "scopes": ["read"], "audience": ["app"]},
    "signed": {"secret": "s", "scopes": ["read"], "audience": ["app"], "token_format": "jwt"},
    "certified": {"secret": "s", "scopes": ["read"], "audience": ["app"], "token_format": "jwt"},
    "enforcer": {"secret": "s", "scopes": [], "audience": ["app"], "may_introspect": True},
}


class Stack:
    """An authorization server, an enforcer that serves TLS, and clients of both."""

    def __init__(self, issuer: str, process: Enforcer, authority: Authority) -> None:
        self._issuer = issuer
        self._process = process
        self._authority = authority

    def token(self, client_id: str, private: Any = None) -> str:
        """Get a token, bound to a key if one is given."""
        endpoint = f"{self._issuer}/oauth2/token"
        headers = {"DPoP": proof(private, "", "POST", endpoint, ath=None)} if private is not None else {}
        form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": "s"}
        granted = plain_http.post(endpoint, data=form, headers=headers).json()
        assert granted["token_type"] == ("DPoP" if private is not None else "Bearer")
        return str(granted["access_token"])

    def request(self, scheme: str, token: str, *proofs: str, certificate: tuple[Path, Path] | None = None) -> Response:
        """Send a request over TLS."""
        context = self._authority.client_context()
        if certificate is not None:
            context.load_cert_chain(*certificate)
        with Client(self._process.port, token=None, tls=context) as client:
            fields = [("Authorization", f"{scheme} {token}"), *(("DPoP", value) for value in proofs)]
            return client.request("GET", "/thing?a=b", fields)

    @property
    def url(self) -> str:
        """The URL of `request`, without the query."""
        return f"https://localhost:{self._process.port}/thing"


@pytest.mark.parametrize("verify", ["introspect", "jwt_then_introspect"])
def test_only_its_holder_can_use_a_bound_token(tmp_path: Path, verify: str) -> None:
    """Opaque or signed, introspected or verified with keys, bound to a key or to a certificate."""
    authority = Authority(tmp_path)
    own, other, listener = (authority.issue(name) for name in ("mine.example", "thief.example", "localhost"))
    thumbprint = sha256_base64url(ssl.PEM_cert_to_DER_cert(own[0].read_text()))
    clients = {**CLIENTS, "certified": {**CLIENTS["certified"], "certificate_thumbprint": thumbprint}}
    (tmp_path / "clients.yaml").write_text(json.dumps({"clients": clients}))
    with echo_server() as app, authorization_server("--clients", str(tmp_path / "clients.yaml")) as issuer:
        tls = {"certificate": str(listener[0]), "key": str(listener[1]), "client_ca": str(authority.ca)}
        base = issuer.replace("localhost", "127.0.0.1")
        server = {
            "issuer": issuer,
            "verify": verify,
            "introspection_endpoint": f"{base}/oauth2/introspect",
            "client_id": "enforcer",
            "client_secret": {"env": "ENFORCER_CLIENT_SECRET"},
            **({} if verify == "introspect" else {"jwks_uri": f"{base}/oauth2/jwks"}),
        }
        settings = {
            "listener": {"address": "127.0.0.1:0", "tls": {**tls, "client_certificate": "optional"}},
            "admin": {"address": "127.0.0.1:0"},
            "upstream": {"url": f"http://127.0.0.1:{app.port}"},
            "authorization_servers": [server],
            "rules": [{"name": "read", "path": "/thing", "scopes": ["read"]}],
        }
        with enforcer(json.dumps(settings), {"ENFORCER_CLIENT_SECRET": "s"}) as process:
            stack = Stack(issuer, process, authority)
            for client_id in ("opaque", "signed"):
                token = stack.token(client_id, OWN_KEY)
                used = proof(OWN_KEY, token, "GET", stack.url)
                assert stack.request("DPoP", token, used).status == 200
                assert stack.request("DPoP", token, used).status == 401
                assert stack.request("DPoP", token, proof(OTHER_KEY, token, "GET", stack.url)).status == 401
                assert stack.request("Bearer", token, proof(OWN_KEY, token, "GET", stack.url)).status == 401
                assert stack.request("DPoP", token, proof(OWN_KEY, token, "GET", stack.url)).status == 200
            token = stack.token("certified")
            assert stack.request("Bearer", token, certificate=own).status == 200
            assert stack.request("Bearer", token, certificate=other).status == 401
            assert stack.request("Bearer", token).status == 401
            assert stack.request("Bearer", stack.token("opaque")).status == 200
