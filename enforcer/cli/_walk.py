"""The walk: what a client sees of an app behind the enforcer, step by step, each checked against what must come."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import httpx

_CLIENT: Final = {"client_id": "user-client-opaque", "client_secret": "user-client-secret"}
_SERVICE: Final = {"client_id": "service-client-jwt", "client_secret": "service-client-jwt-secret"}
_COUNTRY: Final = "/ms-system/country/code/AUS"
_TOKEN_MEMBERS: Final = ["access_token", "expires_in", "scope", "token_type"]
_INTROSPECTION_MEMBERS: Final = [
    "active", "aud", "client_id", "exp", "iat", "iss", "jti", "nbf", "scope", "sub", "token_type",
]  # fmt: skip
_RECENT: Final = 60.0  # seconds within which a time stamp is taken for one of just now
_WIDTH: Final = 100  # characters from which on a JSON object is shown member by member


class Check(NamedTuple):
    """One thing that must be so; both values are of JSON."""

    what: str
    expected: Any
    got: Any

    @property
    def right(self) -> bool:
        """Whether it is so; to JSON, unlike to Python, 1, 1.0 and true are three things."""
        return _dump(self.expected) == _dump(self.got)

    def __str__(self) -> str:
        return f"{self.what}: expected {_dump(self.expected)}, got {_dump(self.got)}"


@dataclass(frozen=True, slots=True)
class Step:
    """A step as it is shown: what was asked, as a curl line, the lines that came back, and what was checked."""

    title: str
    request: str
    answer: Sequence[str]
    checks: Sequence[Check]

    @property
    def right(self) -> bool:
        """Whether all came as it must."""
        return all(check.right for check in self.checks)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came back; no answer at all has the status 0."""

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
    """The walk through an enforcer and an authorization server, by their URLs; `reached` is where, if not as named."""

    def __init__(self, client: httpx.Client, enforcer: str, issuer: str, reached: str | None = None) -> None:
        self._client = client
        self._country = enforcer + _COUNTRY
        self._issuer = issuer
        self._server = reached or issuer
        self._tokens: set[str] = set()

    def steps(self) -> Iterator[Step]:
        """Go the walk; each step is made when it is asked for."""
        curl, answer = self._get_country()
        checks = [_challenge("Bearer", answer)]
        yield self._step("No token: refused", curl, answer, 401, checks)

        curl, answer = self._get_token("country.read")
        token = answer.token
        yield self._step("A token to read countries", curl, answer, 200, _token_checks(answer, "country.read"))

        curl, answer = self._get_country(token)
        checks = [Check("country", {"code": "AUS", "name": "AUSTRALIA"}, answer.document)]
        yield self._step("With the token: answered by the app", curl, answer, 200, checks)

        curl, answer = self._post("introspect", {**_SERVICE, "token": token})
        checks = _introspection_checks(answer, self._issuer)
        yield self._step("What the enforcer is told of the token", curl, answer, 200, checks)

        curl, answer = self._get_token("profile")
        yield self._step("A token for something else", curl, answer, 200, _token_checks(answer, "profile"))

        curl, answer = self._get_country(answer.token)
        checks = [_challenge('Bearer error="insufficient_scope", scope="country.read"', answer)]
        yield self._step("Without the scope: refused", curl, answer, 403, checks)

    def _step(self, title: str, curl: str, answer: _Answer, status: int, checks: Sequence[Check]) -> Step:
        shown = [self._shorten(line) for line in answer.lines]
        return Step(title, self._shorten(curl), shown, [Check("status", status, answer.status), *checks])

    def _get_country(self, token: str | None = None) -> tuple[str, _Answer]:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        options = "".join(f' -H "{name}: {value}"' for name, value in headers.items())
        return f"curl -i{options} {self._country}", self._ask("GET", self._country, headers=headers)

    def _get_token(self, scope: str) -> tuple[str, _Answer]:
        return self._post("token", {"grant_type": "client_credentials", **_CLIENT, "scope": scope})

    def _post(self, endpoint: str, form: Mapping[str, str]) -> tuple[str, _Answer]:
        url = f"{self._server}/oauth2/{endpoint}"
        options = "".join(f" -d {name}={value}" for name, value in form.items())
        return f"curl{options} {url}", self._ask("POST", url, data=form)

    def _ask(self, method: str, url: str, **content: Any) -> _Answer:
        try:
            response = self._client.request(method, url, **content)
        except httpx.HTTPError as error:
            return _Answer(lines=[f"no answer: {error}"])
        try:
            document = response.json()
        except ValueError:
            document = None
        challenges = response.headers.get_list("WWW-Authenticate")
        answer = _Answer(
            response.status_code,
            challenges,
            document,
            [
                f"{response.status_code} {response.reason_phrase}",
                *(f"WWW-Authenticate: {challenge}" for challenge in challenges),
                *(response.text.splitlines() if document is None else _lines(document)),
            ],
        )
        if answer.token:
            self._tokens.add(answer.token)
        return answer

    def _shorten(self, text: str) -> str:
        """Show of a token only enough to tell it from another."""
        for token in self._tokens:
            text = text.replace(token, f"{token[:8]}…")
        return text


def _challenge(expected: str, answer: _Answer) -> Check:
    return Check("WWW-Authenticate", [expected], answer.challenges)


def _token_checks(answer: _Answer, scope: str) -> list[Check]:
    return [
        Check("members", _TOKEN_MEMBERS, answer.members),
        Check("access_token", "128 URL-safe characters", _kind(answer["access_token"])),
        Check("scope", scope, answer["scope"]),
        Check("token_type", "Bearer", answer["token_type"]),
        Check("expires_in", 14399, answer["expires_in"]),
    ]


def _introspection_checks(answer: _Answer, issuer: str) -> list[Check]:
    return [
        Check("members", _INTROSPECTION_MEMBERS, answer.members),
        Check("active", True, answer["active"]),
        Check("sub", "user-client-opaque", answer["sub"]),
        Check("aud", ["user-client-opaque"], answer["aud"]),
        Check("scope", "country.read", answer["scope"]),
        Check("iss", issuer, answer["iss"]),
        Check("iat", "just now", _moment(answer["iat"])),
        Check("nbf - iat", 0, _difference(answer["nbf"], answer["iat"])),
        Check("exp - iat", 14400, _difference(answer["exp"], answer["iat"])),
        Check("jti", "text", "text" if isinstance(answer["jti"], str) and answer["jti"] else answer["jti"]),
        Check("client_id", "user-client-opaque", answer["client_id"]),
        Check("token_type", "Bearer", answer["token_type"]),
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
