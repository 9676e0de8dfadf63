"""An authorization server with metadata, keys, a token endpoint, and introspection, which records its requests."""

from __future__ import annotations

import json
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs

from harness.servers import Server, raw_server, response
from harness.signing import AnyKey, key, public, sign

_METADATA = "/.well-known/oauth-authorization-server"


class Issuer:
    """An authorization server whose attributes may be changed while it runs.

    `tokens` are the active tokens, `metadata_paths` the paths that serve its metadata, and `statuses` overrides the
    response status of a path. `paths` counts the requests by path; `forms`, `authorization_fields` and
    `introspected_tokens` record them in order. With `signs_responses`, introspection responses are signed (RFC 9701),
    with `claims` added.
    """

    def __init__(self, tokens: Mapping[str, Mapping[str, Any]], *, secure: bool = False) -> None:
        self.tokens = dict(tokens)
        self.server: Server
        self.scheme = "https" if secure else "http"
        self.metadata: dict[str, Any] = {}
        self.metadata_paths: tuple[str, ...] = (_METADATA,)
        self.statuses: dict[str, str] = {}
        self.key: AnyKey = key("ES256")
        self.issued_tokens = 0
        self.signs_responses = False
        self.claims: dict[str, Any] = {}
        self.expires_in = 600
        self.accepts: Callable[[bytes, Mapping[str, list[str]]], bool] = lambda head, form: True
        self.paths: Counter[str] = Counter()
        self.forms: list[dict[str, list[str]]] = []
        self.authorization_fields: list[str] = []

    @property
    def url(self) -> str:
        """The issuer identifier, which is also its base URL."""
        return f"{self.scheme}://localhost:{self.server.port}"

    @property
    def introspected_tokens(self) -> list[str]:
        """The tokens of all introspection requests, in order."""
        return [form["token"][0] for form in self.forms if "token" in form]

    def jwt(self, **claims: Any) -> str:
        """Return a signed access token (RFC 9068) of this issuer."""
        header = {"alg": "ES256", "typ": "at+jwt", "kid": "a"}
        members = {"iss": self.url, "sub": "joe", "exp": int(time.time()) + 600, **claims}
        return sign(header, members, self.key, "ES256").decode()

    def respond(self, head: bytes, body: bytes) -> bytes:
        """Return the response to a request."""
        path = head.split(b" ")[1].decode().partition("?")[0]
        self.paths[path] += 1
        line = head.partition(b"Authorization: ")[2].partition(b"\r\n")[0].decode()
        form: dict[str, list[str]] = {}
        if head.startswith(b"POST"):
            form = parse_qs(body.decode(), keep_blank_values=True, strict_parsing=True)
            self.authorization_fields.append(line)
            self.forms.append(form)
        if path in self.statuses:
            return response(b"{}", self.statuses[path])
        if path == "/keys":
            return _json({"keys": [public(self.key, kid="a")]})
        if path in self.metadata_paths:
            return _json(self._metadata())
        if path not in ("/token", "/introspect"):
            return response(b"", "404 Not Found")
        if not self.accepts(head, form):
            return response(b'{"error": "invalid_client"}', "401 Unauthorized")
        if path == "/token":
            self.issued_tokens += 1
            return _json(
                {"access_token": f"own{self.issued_tokens}", "token_type": "Bearer", "expires_in": self.expires_in}
            )
        claims = self.tokens.get(form["token"][0])
        introspection = {"active": False} if claims is None else {"active": True, "iss": self.url, **claims}
        if not self.signs_responses or b"Accept: application/token-introspection+jwt\r\n" not in head:
            return _json(introspection)
        members = {
            "iss": self.url,
            "aud": "enforcer",
            "iat": int(time.time()),
            "token_introspection": introspection,
            **self.claims,
        }
        return response(
            sign({"alg": "ES256", "typ": "token-introspection+jwt", "kid": "a"}, members, self.key, "ES256")
        )

    def _metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "introspection_endpoint": f"{self.url}/introspect",
            "jwks_uri": f"{self.url}/keys",
            "token_endpoint": f"{self.url}/token",
            **self.metadata,
        }


@contextmanager
def running_issuer(
    tokens: Mapping[str, Mapping[str, Any]] | None = None, tls: ssl.SSLContext | None = None
) -> Iterator[Issuer]:
    """Run an authorization server until the block ends."""
    issuer = Issuer(tokens or {}, secure=tls is not None)
    with raw_server(issuer.respond, tls) as issuer.server:
        yield issuer


def _json(members: Any) -> bytes:
    return response(json.dumps(members).encode(), "200 OK", "Content-Type: application/json")
