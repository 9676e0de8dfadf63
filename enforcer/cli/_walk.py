"""The demo's requests to an app behind the enforcer. Each step is checked against the expected response."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import click
import httpx

_CLIENT: Final = {"client_id": "user-client-opaque", "client_secret": "user-client-secret"}
_SERVICE: Final = {"client_id": "service-client-jwt", "client_secret": "service-client-jwt-secret"}
_COUNTRY: Final = "/ms-system/country/code/AUS"
_TOKEN_MEMBERS: Final = ["access_token", "expires_in", "scope", "token_type"]
_INTROSPECTION_MEMBERS: Final = [
    "active", "aud", "client_id", "exp", "iat", "iss", "jti", "nbf", "scope", "sub", "token_type",
]  # fmt: skip
_RECENT: Final = 60.0  # seconds; a time stamp within them counts as "just now"
_WIDTH: Final = 100  # characters; a longer JSON object is shown with a line for each member


class Check(NamedTuple):
    """A comparison of two JSON values."""

    name: str
    expected: Any
    got: Any

    @property
    def right(self) -> bool:
        """True if the values are equal as JSON, where unlike in Python 1, 1.0 and true differ."""
        return _dump(self.expected) == _dump(self.got)

    def __str__(self) -> str:
        return f"{self.name}: expected {_dump(self.expected)}, got {_dump(self.got)}"


@dataclass(frozen=True, slots=True)
class Step:
    """One step: the request as a curl command, the lines of the response, and the checks."""

    title: str
    request: str
    response: Sequence[str]
    checks: Sequence[Check]

    @property
    def right(self) -> bool:
        """True if every check passed."""
        return all(check.right for check in self.checks)


@dataclass(frozen=True, slots=True)
class _Response:
    """A response; status 0 if there was none."""

    status: int = 0
    challenges: Sequence[str] = ()
    document: Any = None
    lines: Sequence[str] = ()

    def __getitem__(self, member: str) -> Any:
        return self.document.get(member) if isinstance(self.document, dict) else None

    @property
    def members(self) -> Sequence[str]:
        return sorted(self.document) if isinstance(self.document, dict) else []

    @property
    def token(self) -> str:
        token = self["access_token"]
        return token if isinstance(token, str) else ""


class Walk:
    """The steps, for the URLs of an enforcer and an issuer; `reached` is the issuer's URL from here, if it differs."""

    def __init__(self, client: httpx.Client, enforcer: str, issuer: str, reached: str | None = None) -> None:
        self._client = client
        self._country = enforcer + _COUNTRY
        self._issuer = issuer
        self._server = reached or issuer
        self._tokens: set[str] = set()

    def steps(self) -> Iterator[Step]:
        """Yield the steps. Each sends its request when the iterator reaches it."""
        curl, response = self._get_country()
        checks = [_challenge("Bearer", response)]
        yield self._step("No token: refused", curl, response, 401, checks)

        curl, response = self._get_token("country.read")
        token = response.token
        yield self._step("A token to read countries", curl, response, 200, _token_checks(response, "country.read"))

        curl, response = self._get_country(token)
        checks = [Check("country", {"code": "AUS", "name": "AUSTRALIA"}, response.document)]
        yield self._step("With the token: the app responds", curl, response, 200, checks)

        curl, response = self._post("introspect", {**_SERVICE, "token": token})
        checks = _introspection_checks(response, self._issuer)
        yield self._step("The introspection response that the enforcer gets", curl, response, 200, checks)

        curl, response = self._get_token("profile")
        yield self._step("A token for something else", curl, response, 200, _token_checks(response, "profile"))

        curl, response = self._get_country(response.token)
        checks = [_challenge('Bearer error="insufficient_scope", scope="country.read"', response)]
        yield self._step("Without the scope: refused", curl, response, 403, checks)

    def _step(self, title: str, curl: str, response: _Response, status: int, checks: Sequence[Check]) -> Step:
        shown = [self._shorten(line) for line in response.lines]
        return Step(title, self._shorten(curl), shown, [Check("status", status, response.status), *checks])

    def _get_country(self, token: str | None = None) -> tuple[str, _Response]:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        options = "".join(f' -H "{name}: {value}"' for name, value in headers.items())
        return f"curl -i{options} {self._country}", self._send("GET", self._country, headers=headers)

    def _get_token(self, scope: str) -> tuple[str, _Response]:
        return self._post("token", {"grant_type": "client_credentials", **_CLIENT, "scope": scope})

    def _post(self, endpoint: str, form: Mapping[str, str]) -> tuple[str, _Response]:
        url = f"{self._server}/oauth2/{endpoint}"
        options = "".join(f" -d {name}={value}" for name, value in form.items())
        return f"curl{options} {url}", self._send("POST", url, data=form)

    def _send(self, method: str, url: str, **content: Any) -> _Response:
        try:
            received = self._client.request(method, url, **content)
        except httpx.HTTPError as error:
            return _Response(lines=[f"no response: {error}"])
        try:
            document = received.json()
        except ValueError:
            document = None
        challenges = received.headers.get_list("WWW-Authenticate")
        response = _Response(
            received.status_code,
            challenges,
            document,
            [
                f"{received.status_code} {received.reason_phrase}",
                *(f"WWW-Authenticate: {challenge}" for challenge in challenges),
                *(received.text.splitlines() if document is None else _lines(document)),
            ],
        )
        if response.token:
            self._tokens.add(response.token)
        return response

    def _shorten(self, text: str) -> str:
        """Shorten tokens, so that the output shows only their first characters."""
        for token in self._tokens:
            text = text.replace(token, f"{token[:8]}…")
        return text


def _challenge(expected: str, response: _Response) -> Check:
    return Check("WWW-Authenticate", [expected], response.challenges)


def _token_checks(response: _Response, scope: str) -> list[Check]:
    return [
        Check("members", _TOKEN_MEMBERS, response.members),
        Check("access_token", "128 URL-safe characters", _kind(response["access_token"])),
        Check("scope", scope, response["scope"]),
        Check("token_type", "Bearer", response["token_type"]),
        Check("expires_in", 14399, response["expires_in"]),
    ]


def _introspection_checks(response: _Response, issuer: str) -> list[Check]:
    return [
        Check("members", _INTROSPECTION_MEMBERS, response.members),
        Check("active", True, response["active"]),
        Check("sub", "user-client-opaque", response["sub"]),
        Check("aud", ["user-client-opaque"], response["aud"]),
        Check("scope", "country.read", response["scope"]),
        Check("iss", issuer, response["iss"]),
        Check("iat", "just now", _moment(response["iat"])),
        Check("nbf - iat", 0, _difference(response["nbf"], response["iat"])),
        Check("exp - iat", 14400, _difference(response["exp"], response["iat"])),
        Check("jti", "text", "text" if isinstance(response["jti"], str) and response["jti"] else response["jti"]),
        Check("client_id", "user-client-opaque", response["client_id"]),
        Check("token_type", "Bearer", response["token_type"]),
    ]


def _kind(token: Any) -> Any:
    """Describe a token without showing it."""
    if not isinstance(token, str):
        return token
    safe = re.fullmatch(r"[A-Za-z0-9_-]*", token)
    return f"{len(token)} {'URL-safe ' if safe else ''}characters"


def _moment(stamp: Any) -> Any:
    return "just now" if type(stamp) is int and abs(time.time() - stamp) < _RECENT else stamp


def _difference(later: Any, earlier: Any) -> int | None:
    return later - earlier if type(later) is int and type(earlier) is int else None


def _lines(document: Any) -> list[str]:
    text = json.dumps(document, ensure_ascii=False)
    if len(text) <= _WIDTH or not isinstance(document, dict):
        return [text]
    members = [f"  {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in document.items()]
    return ["{", *(f"{member}," for member in members[:-1]), members[-1], "}"]


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def show(steps: Iterator[Step], stopped: Callable[[], bool]) -> bool:
    """Print the steps until `stopped`. Returns whether all of them ran and were as expected."""
    shown = wrong = 0
    while not stopped():
        step = next(steps, None)
        if step is None:
            summary = f"{wrong} of {shown} steps are wrong" if wrong else "every step is right"
            click.echo("\n" + _verdict(not wrong, summary))
            return not wrong
        shown += 1
        wrong += not step.right
        click.echo("\n" + click.style(f"{shown}. {step.title}", bold=True))
        failures = [_verdict(False, str(check)) for check in step.checks if not check.right]
        verdicts = failures or [_verdict(True, ", ".join(check.name for check in step.checks))]
        for line in (f"$ {step.request}", *step.response, *verdicts):
            click.echo(f"   {line}")
    return False


def _verdict(right: bool, text: str) -> str:
    return click.style(f"✓ {text}", fg="green") if right else click.style(f"✗ {text}", fg="red")
