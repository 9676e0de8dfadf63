"""The walk: what a client sees of the country app behind the enforcer, with tokens of somebody else's server."""

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

from interop.servers import How, Run, Server
from interop.stack import KEY, SECRET, App

_COUNTRY: Final = "/ms-system/country/code/AUS"
_NEW: Final = {"code": "XIT", "name": "INTEROP"}
_SECRETS: Final[Mapping[How, list[str]]] = {
    "introspect": ["credentials"],
    "signed_answers": ["credentials"],
    "own_token": ["own token"],
}
"""What the doctor calls wrong when the secret is, where one is shown."""
_FORGED: Final = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.eyJzY29wZSI6ImNvdW50cnkucmVhZCJ9."
"""A JWT without a signature that claims a scope."""


class Step(NamedTuple):
    """One thing that must be so."""

    name: str
    expected: Any
    got: Any

    @property
    def right(self) -> bool:
        """Whether it is so."""
        return bool(self.expected == self.got)


class Walk:
    """A walk through one enforcer, with tokens of the server at `origin`."""

    def __init__(self, server: Server, run: Run, origin: str, enforcer: Enforcer, app: App) -> None:
        self._server = server
        self._run = run
        self._origin = origin
        self._enforcer = enforcer
        self._app = app
        self._http = httpx.Client(trust_env=False, timeout=20.0)

    def steps(self) -> Iterator[Step]:
        """Go the walk."""
        yield Step("the doctor finds nothing wrong", [], self._doctor(SECRET))
        wrong = _SECRETS.get(self._run.how, [])
        yield Step("the doctor sees a wrong secret where one is shown", wrong, self._doctor("wrong"))
        yield Step("without a token", (401, "Bearer"), self._read(None))
        token = self._token("country.read")
        yield Step("the token's format", self._run.format, _format(token))
        yield Step("with the scope", (200, None), self._read(token))
        yield Step("the identity at the app", self._identity(), self._told())
        refused = (403, 'Bearer error="insufficient_scope", scope="country.write"')
        yield Step("without the scope", refused, self._write(token))
        yield Step("with both scopes", (201, None), self._write(self._token("country.read country.write")))
        invalid = (401, 'Bearer error="invalid_token"')
        for name, worthless in (
            ("a token that nobody issued", "junk-that-nobody-issued"),
            ("a JWT that nobody signed", _FORGED),
            ("a JWT of nobody", _FORGED + "c2lnbmF0dXJl"),
            ("a token that was changed", token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")),
        ):
            yield Step(name, invalid, self._read(worthless))
        if self._run.unread is not None:
            unread = self._token("country.read", **self._run.unread)
            yield Step("a token that is not introspected", invalid, self._read(unread))
            yield Step("one with the scope after it", (200, None), self._read(token))
        if self._run.revocable and self._run.how != "jwt":
            token = self._token("country.read")
            self._revoke(token)
            yield Step("a token that was revoked", invalid, self._read(token))

    def _doctor(self, secret: str) -> list[str]:
        """Return what the doctor calls wrong."""
        ended = subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-m", "enforcer", "doctor", "--json", str(self._enforcer.config)],
            env={**os.environ, "ENFORCER_CLIENT_SECRET": secret, "ENFORCER_CLIENT_KEY": KEY},
            capture_output=True,
            check=False,
        )
        servers = json.loads(ended.stdout)["servers"]
        return [found["what"] for server in servers for found in server["findings"] if found["verdict"] == "wrong"]

    def _read(self, token: str | None) -> tuple[int, str | None]:
        return self._ask("GET", _COUNTRY, token)

    def _write(self, token: str) -> tuple[int, str | None]:
        return self._ask("POST", "/ms-system/country", token, json=_NEW)

    def _ask(self, method: str, path: str, token: str | None, **content: Any) -> tuple[int, str | None]:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        url = f"http://127.0.0.1:{self._enforcer.port}{path}"
        answer = self._http.request(method, url, headers=headers, **content)
        return answer.status_code, answer.headers.get("www-authenticate")

    def _identity(self) -> dict[str, str]:
        """Return the identity fields that the app must be told."""
        fields = {
            "x-auth-subject": self._run.subject,
            "x-auth-client": self._run.client if self._run.names_client else None,
            "x-auth-scope": "country.read",
        }
        return {name: value for name, value in fields.items() if value is not None}

    def _told(self) -> dict[str, str]:
        return {name: value for name, value in self._app.fields.items() if name.startswith("x-auth-")}

    def _token(self, scope: str, **others: str) -> str:
        form = {"grant_type": "client_credentials", "scope": scope, **self._run.parameters, **others}
        return str(self._post(self._server.token, form).json()["access_token"])

    def _revoke(self, token: str) -> None:
        self._post(self._server.revocation, {"token": token})

    def _post(self, path: str, form: dict[str, str]) -> httpx.Response:
        client = (self._run.client, f"{self._run.client}-secret")
        return self._http.post(self._origin + path, data=form, auth=client).raise_for_status()


def _format(token: str) -> str:
    """Tell a JWT, whose first part is a JSON object, from what is opaque."""
    head = token.split(".", maxsplit=1)[0]
    try:
        return "jwt" if "alg" in json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4))) else "opaque"
    except ValueError:
        return "opaque"
