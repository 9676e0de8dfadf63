"""An authorization server with metadata, keys, a token endpoint and introspection, which keeps what it saw."""

from __future__ import annotations

import json
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs

from harness.servers import Server, response, serving
from harness.signing import AnyKey, key, public, sign

_METADATA = "/.well-known/oauth-authorization-server"


class Issuer:
    """One; what it says can be changed as long as it runs.

    `tokens` are those that it calls active, `places` those of its metadata, and `statuses` what it answers at a path
    instead of all else. `paths` counts what it was asked for, `shown` has each token that it was shown, `forms` the
    forms, and `lines` the Authorization fields, in their order. Where it `signs`, answers are signed (RFC 9701) with
    `claims` beside the usual ones.
    """

    def __init__(self, tokens: Mapping[str, Mapping[str, Any]], *, secure: bool = False) -> None:
        self.tokens = dict(tokens)
        self.server: Server
        self.scheme = "https" if secure else "http"
        self.metadata: dict[str, Any] = {}
        self.places: tuple[str, ...] = (_METADATA,)
        self.statuses: dict[str, str] = {}
        self.key: AnyKey = key("ES256")
        self.given = 0
        self.signs = False
        self.claims: dict[str, Any] = {}
        self.expires_in = 600
        self.accepts: Callable[[bytes, Mapping[str, list[str]]], bool] = lambda head, form: True
        self.paths: Counter[str] = Counter()
        self.forms: list[dict[str, list[str]]] = []
        self.lines: list[str] = []

    @property
    def url(self) -> str:
        """Its issuer, and where it listens."""
        return f"{self.scheme}://localhost:{self.server.port}"

    @property
    def shown(self) -> list[str]:
        """The tokens that it was asked about."""
        return [form["token"][0] for form in self.forms if "token" in form]

    def jwt(self, **claims: Any) -> str:
        """Sign an access token."""
        header = {"alg": "ES256", "typ": "at+jwt", "kid": "a"}
        members = {"iss": self.url, "sub": "joe", "exp": int(time.time()) + 600, **claims}
        return sign(header, members, self.key, "ES256").decode()

    def answer(self, head: bytes, body: bytes) -> bytes:
        """Answer a request."""
        path = head.split(b" ")[1].decode().partition("?")[0]
        self.paths[path] += 1
        line = head.partition(b"Authorization: ")[2].partition(b"\r\n")[0].decode()
        form: dict[str, list[str]] = {}
        if head.startswith(b"POST"):
            form = parse_qs(body.decode(), keep_blank_values=True, strict_parsing=True)
            self.lines.append(line)
            self.forms.append(form)
        if path in self.statuses:
            return response(b"{}", self.statuses[path])
        if path == "/keys":
            return _json({"keys": [public(self.key, kid="a")]})
        if path in self.places:
            return _json(self._metadata())
        if path not in ("/token", "/introspect"):
            return response(b"", "404 Not Found")
        if not self.accepts(head, form):
            return response(b'{"error": "invalid_client"}', "401 Unauthorized")
        if path == "/token":
            self.given += 1
            return _json({"access_token": f"own{self.given}", "token_type": "Bearer", "expires_in": self.expires_in})
        known = self.tokens.get(form["token"][0])
        told = {"active": False} if known is None else {"active": True, "iss": self.url, **known}
        if not self.signs or b"Accept: application/token-introspection+jwt\r\n" not in head:
            return _json(told)
        claims = {
            "iss": self.url,
            "aud": "enforcer",
            "iat": int(time.time()),
            "token_introspection": told,
            **self.claims,
        }
        return response(sign({"alg": "ES256", "typ": "token-introspection+jwt", "kid": "a"}, claims, self.key, "ES256"))

    def _metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "introspection_endpoint": f"{self.url}/introspect",
            "jwks_uri": f"{self.url}/keys",
            "token_endpoint": f"{self.url}/token",
            **self.metadata,
        }


@contextmanager
def issuing(
    tokens: Mapping[str, Mapping[str, Any]] | None = None, tls: ssl.SSLContext | None = None
) -> Iterator[Issuer]:
    """Run an authorization server until the block ends."""
    issuer = Issuer(tokens or {}, secure=tls is not None)
    with serving(issuer.answer, tls) as issuer.server:
        yield issuer


def _json(members: Any) -> bytes:
    return response(json.dumps(members).encode(), "200 OK", "Content-Type: application/json")
