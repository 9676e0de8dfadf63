"""Bound tokens of the real authorization server, over TLS: worth something to their holder, and to nobody else."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness.certificates import Authority
from harness.clients import Client, Response
from harness.processes import Enforcer, authorization_server, enforcer
from harness.servers import echo_server
from harness.signing import key, proof

from enforcer.tokens.dpop.binding import digest

MINE, THIEFS = key("ES256", 1), key("ES256", 2)
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
        """Ask for a token, bound to a key where there is one."""
        endpoint = f"{self._issuer}/oauth2/token"
        headers = {"DPoP": proof(private, "", "POST", endpoint, ath=None)} if private is not None else {}
        form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": "s"}
        answer = httpx.post(endpoint, data=form, headers=headers).json()
        assert answer["token_type"] == ("DPoP" if private is not None else "Bearer")
        return str(answer["access_token"])

    def ask(self, scheme: str, token: str, *proofs: str, certificate: tuple[Path, Path] | None = None) -> Response:
        """Send a request over TLS."""
        context = self._authority.client_context()
        if certificate is not None:
            context.load_cert_chain(*certificate)
        with Client(self._process.port, token=None, tls=context) as client:
            fields = [("Authorization", f"{scheme} {token}"), *(("DPoP", one) for one in proofs)]
            return client.request("GET", "/thing?a=b", fields)

    @property
    def url(self) -> str:
        """The URL that `ask` asks for, without query."""
        return f"https://localhost:{self._process.port}/thing"


@pytest.mark.parametrize("verify", ["introspect", "jwt_then_introspect"])
def test_a_bound_token_is_worth_something_to_its_holder_alone(tmp_path: Path, verify: str) -> None:
    """Opaque or signed, introspected or verified by the server's keys, bound to a key or to a certificate."""
    authority = Authority(tmp_path)
    mine, thiefs, front = (authority.issue(name) for name in ("mine.example", "thief.example", "localhost"))
    thumbprint = digest(ssl.PEM_cert_to_DER_cert(mine[0].read_text()))
    clients = {**CLIENTS, "certified": {**CLIENTS["certified"], "certificate_thumbprint": thumbprint}}
    (tmp_path / "clients.yaml").write_text(json.dumps({"clients": clients}))
    with echo_server() as app, authorization_server("--clients", str(tmp_path / "clients.yaml")) as issuer:
        tls = {"certificate": str(front[0]), "key": str(front[1]), "client_ca": str(authority.ca)}
        reached = issuer.replace("localhost", "127.0.0.1")
        server = {
            "issuer": issuer,
            "verify": verify,
            "introspection_endpoint": f"{reached}/oauth2/introspect",
            "client_id": "enforcer",
            "client_secret": {"env": "ENFORCER_CLIENT_SECRET"},
            **({} if verify == "introspect" else {"jwks_uri": f"{reached}/oauth2/jwks"}),
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
                token = stack.token(client_id, MINE)
                shown = proof(MINE, token, "GET", stack.url)
                assert stack.ask("DPoP", token, shown).status == 200
                assert stack.ask("DPoP", token, shown).status == 401
                assert stack.ask("DPoP", token, proof(THIEFS, token, "GET", stack.url)).status == 401
                assert stack.ask("Bearer", token, proof(MINE, token, "GET", stack.url)).status == 401
                assert stack.ask("DPoP", token, proof(MINE, token, "GET", stack.url)).status == 200
            token = stack.token("certified")
            assert stack.ask("Bearer", token, certificate=mine).status == 200
            assert stack.ask("Bearer", token, certificate=thiefs).status == 401
            assert stack.ask("Bearer", token).status == 401
            assert stack.ask("Bearer", stack.token("opaque")).status == 200
