"""Authlib on Flask, with two clients of the country app and one that introspects: `python server.py PORT`.

It implements what Authlib leaves to the application, in memory: clients, tokens, JWKS and metadata.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from typing import Any

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # plain HTTP, only on this machine

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator, JWTIntrospectionEndpoint
from flask import Flask, Response
from joserfc.jwk import KeySet, RSAKey

PORT = int(sys.argv[1])
ISSUER = f"http://localhost:{PORT}"
SCOPES = ["country.read", "country.write"]
KEY = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)


@dataclass
class Client(ClientMixin):
    client_id: str
    client_secret: str
    signed: bool = False

    def get_client_id(self) -> str:
        return self.client_id

    def get_allowed_scope(self, scope: str | None) -> str:
        return " ".join(name for name in (scope or "").split() if name in SCOPES)

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == self.client_secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "client_credentials"


@dataclass
class Token(TokenMixin):
    client: Client
    scope: str
    issued: int
    expires: int
    revoked: bool = False

    def check_client(self, client: Client) -> bool:
        return client is self.client

    def is_expired(self) -> bool:
        return self.expires < time.time()

    def is_revoked(self) -> bool:
        return self.revoked


clients = {
    client.client_id: client
    for client in (
        Client("country-client", "country-client-secret"),
        Client("country-client-jwt", "country-client-jwt-secret", signed=True),
        Client("enforcer", "enforcer-secret"),
    )
}
tokens: dict[str, Token] = {}


def save(token: dict[str, Any], request: Any) -> None:
    """Store an opaque token."""
    now = int(time.time())
    tokens[token["access_token"]] = Token(request.client, token.get("scope", ""), now, now + token["expires_in"])


class Signer(JWTBearerTokenGenerator):
    def get_jwks(self) -> RSAKey:
        return KEY

    def get_audiences(self, client: Client, user: Any, scope: str) -> str:
        return "https://countries.example"


class SignedTokens(JWTIntrospectionEndpoint):
    def get_jwks(self) -> RSAKey:
        return KEY

    def check_permission(self, token: Any, client: Client, request: Any) -> bool:
        return client.client_id == "enforcer"


class OpaqueTokens(IntrospectionEndpoint):
    def query_token(self, token_string: str, token_type_hint: str | None) -> Token | None:
        return tokens.get(token_string)

    def check_permission(self, token: Any, client: Client, request: Any) -> bool:
        return client.client_id == "enforcer"

    def introspect_token(self, token: Token) -> dict[str, Any]:
        return {
            "client_id": token.client.client_id,
            "sub": token.client.client_id,
            "token_type": "Bearer",
            "scope": token.scope,
            "iss": ISSUER,
            "iat": token.issued,
            "exp": token.expires,
        }


class Revocation(RevocationEndpoint):
    def query_token(self, token_string: str, token_type_hint: str | None) -> Token | None:
        return tokens.get(token_string)

    def revoke_token(self, token: Token, request: Any) -> None:
        token.revoked = True


app = Flask(__name__)
server = AuthorizationServer(app, query_client=clients.get, save_token=save)
opaque, signed = server.create_bearer_token_generator(app.config), Signer(ISSUER)
server.register_token_generator(
    "default", lambda client, **request: (signed if client.signed else opaque)(client=client, **request)
)
server.register_grant(ClientCredentialsGrant)
server.register_endpoint(SignedTokens(ISSUER))
server.register_endpoint(OpaqueTokens)
server.register_endpoint(Revocation)


@app.post("/token")
def token() -> Response:
    return server.create_token_response()


@app.post("/introspect")
def introspect() -> Response:
    return server.create_endpoint_response("introspection")


@app.post("/revoke")
def revoke() -> Response:
    return server.create_endpoint_response("revocation")


@app.get("/jwks")
def jwks() -> dict[str, Any]:
    return dict(KeySet([KEY]).as_dict(private=False))


@app.get("/.well-known/oauth-authorization-server")
def metadata() -> dict[str, Any]:
    return {
        "issuer": ISSUER,
        "token_endpoint": f"{ISSUER}/token",
        "introspection_endpoint": f"{ISSUER}/introspect",
        "revocation_endpoint": f"{ISSUER}/revoke",
        "jwks_uri": f"{ISSUER}/jwks",
        "response_types_supported": [],
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic"],
    }


if __name__ == "__main__":
    app.run("127.0.0.1", PORT)
