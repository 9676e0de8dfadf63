"""The walk: checks what a client gets from the country app behind the enforcer, with tokens of a third-party server."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import httpx
from harness.processes import Enforcer

from interop.servers import AuthorizationServer, Method, Scenario
from interop.stack import KEY, SECRET, App

_COUNTRY: Final = "/ms-system/country/code/AUS"
_NEW: Final = {"code": "XIT", "name": "INTEROP"}
_SECRETS: Final[Mapping[Method, list[str]]] = {
    "introspect": ["credentials"],
    "signed_answers": ["credentials"],
    "own_token": ["own token"],
}
"""The findings of `enforcer doctor` if the client secret is wrong, for the methods that use one."""
_FORGED: Final = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.eyJzY29wZSI6ImNvdW50cnkucmVhZCJ9."
"""An unsigned JWT with a scope."""


class Expectation(NamedTuple):
    """An expected result and the actual one."""

    name: str
    expected: Any
    actual: Any

    @property
    def met(self) -> bool:
        """True if both are equal."""
        return bool(self.expected == self.actual)


class InteropWalk:
    """A walk with one enforcer and tokens of the server at `origin`."""

    def __init__(
        self, server: AuthorizationServer, scenario: Scenario, origin: str, enforcer: Enforcer, app: App
    ) -> None:
        self._server = server
        self._scenario = scenario
        self._origin = origin
        self._enforcer = enforcer
        self._app = app
        self._http = httpx.Client(trust_env=False, timeout=20.0)

    def expectations(self) -> Iterator[Expectation]:
        """Do the walk; yields each expectation when it has been checked."""
        yield Expectation("the doctor finds nothing wrong", [], self._doctor(SECRET))
        wrong = _SECRETS.get(self._scenario.method, [])
        yield Expectation("the doctor finds a wrong secret if one is used", wrong, self._doctor("wrong"))
        yield Expectation("without a token", (401, "Bearer"), self._read(None))
        token = self._token("country.read")
        yield Expectation("the token's format", self._scenario.format, _format(token))
        yield Expectation("with the scope", (200, None), self._read(token))
        yield Expectation("the identity at the app", self._expected_identity(), self._identity_fields())
        refused = (403, 'Bearer error="insufficient_scope", scope="country.write"')
        yield Expectation("without the scope", refused, self._write(token))
        yield Expectation("with both scopes", (201, None), self._write(self._token("country.read country.write")))
        invalid = (401, 'Bearer error="invalid_token"')
        for name, invalid_token in (
            ("a token that was never issued", "junk-that-nobody-issued"),
            ("an unsigned JWT", _FORGED),
            ("a JWT with a junk signature", _FORGED + "c2lnbmF0dXJl"),
            ("a modified token", token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")),
        ):
            yield Expectation(name, invalid, self._read(invalid_token))
        if self._scenario.unread is not None:
            unread = self._token("country.read", **self._scenario.unread)
            yield Expectation("a token that the endpoint does not introspect", invalid, self._read(unread))
            yield Expectation("a token with the scope after it", (200, None), self._read(token))
        if self._scenario.revocable and self._scenario.method != "jwt":
            token = self._token("country.read")
            self._revoke(token)
            yield Expectation("a revoked token", invalid, self._read(token))

    def _doctor(self, secret: str) -> list[str]:
        """Return what `enforcer doctor` reports as wrong."""
        ended = subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-m", "enforcer", "doctor", "--json", str(self._enforcer.config)],
            env={**os.environ, "ENFORCER_CLIENT_SECRET": secret, "ENFORCER_CLIENT_KEY": KEY},
            capture_output=True,
            check=False,
        )
        servers = json.loads(ended.stdout)["servers"]
        findings = [finding for server in servers for finding in server["findings"]]
        return [finding["what"] for finding in findings if finding["verdict"] == "wrong"]

    def _read(self, token: str | None) -> tuple[int, str | None]:
        return self._send("GET", _COUNTRY, token)

    def _write(self, token: str) -> tuple[int, str | None]:
        return self._send("POST", "/ms-system/country", token, json=_NEW)

    def _send(self, method: str, path: str, token: str | None, **content: Any) -> tuple[int, str | None]:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        url = f"http://127.0.0.1:{self._enforcer.port}{path}"
        response = self._http.request(method, url, headers=headers, **content)
        return response.status_code, response.headers.get("www-authenticate")

    def _expected_identity(self) -> dict[str, str]:
        """Return the identity fields that the app must get."""
        fields = {
            "x-auth-subject": self._scenario.subject,
            "x-auth-client": self._scenario.client if self._scenario.names_client else None,
            "x-auth-scope": "country.read",
        }
        return {name: value for name, value in fields.items() if value is not None}

    def _identity_fields(self) -> dict[str, str]:
        return {name: value for name, value in self._app.fields.items() if name.startswith("x-auth-")}

    def _token(self, scope: str, **parameters: str) -> str:
        form = {"grant_type": "client_credentials", "scope": scope, **self._scenario.parameters, **parameters}
        return str(self._post(self._server.token, form).json()["access_token"])

    def _revoke(self, token: str) -> None:
        self._post(self._server.revocation, {"token": token})

    def _post(self, path: str, form: dict[str, str]) -> httpx.Response:
        client = (self._scenario.client, f"{self._scenario.client}-secret")
        return self._http.post(self._origin + path, data=form, auth=client).raise_for_status()


def _format(token: str) -> str:
    """Return "jwt" if the first part of the token is a JOSE header, else "opaque"."""
    head = token.split(".", maxsplit=1)[0]
    try:
        return "jwt" if "alg" in json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4))) else "opaque"
    except ValueError:
        return "opaque"
