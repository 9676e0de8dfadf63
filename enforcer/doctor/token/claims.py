"""Findings about the claims of a token, by the reading that serves (`tokens.claims`). Pure.

1. A claim is read on its own, by the function that reads all of them: so the first error does not hide the others.
2. A finding repeats only what the decision log shows as well (scopes, client) and dates; never the subject, or the
   value of a claim that is for rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from enforcer.doctor.diagnosis import CLOCK_WARNING, Finding, right, warning, wrong
from enforcer.settings.authorization_server import AuthorizationServer
from enforcer.tokens.claims import KIND_CLAIMS, NEVER, ScopeClaims, gives_access, read_claims, read_date
from enforcer.tokens.dpop.binding import BindingKind, binding

_MAX_SHOWN: Final = 10
"""Most values or names that a finding lists."""
_MAX_TEXT: Final = 100
"""Most characters of a value that a finding repeats."""
_MAX_NESTING: Final = 3
"""Levels of nested claims that are searched for scopes: `resource_access.app.roles`."""
_UNITS: Final = ((86400.0, "day"), (3600.0, "hour"), (60.0, "minute"), (1.0, "second"))
_DIGITS: Final = re.compile(r"-?[0-9]{1,20}")
_LAST_MILLISECOND: Final = 1e14
"""As milliseconds since 1970, this is the year 5138: more cannot be a date in this unit either."""
_STANDARD: Final = frozenset(
    ("active", "scope", "sub", "client_id", "azp", "aud", "iss", "exp", "nbf", "iat", "cnf", *KIND_CLAIMS)
) - {"type"}  # mostly a claim of the app
_DATE_ADVICE: Final = "have the server write seconds since 1970 (RFC 7519 §2)"
_CLOCKS: Final = "synchronise both machines (NTP)"
_BINDINGS: Final = {
    BindingKind.CERTIFICATE: "bound to a client certificate, which requests must come with (RFC 8705)",
    BindingKind.KEY: "bound to a key: requests need the DPoP scheme and a proof (RFC 9449)",
}


@dataclass(frozen=True, slots=True)
class TokenMembers:
    """The members of a token, the settings of its server, and the time in seconds since the epoch.

    `signed`: they are the claims of a JWT; otherwise those of an introspection response. `required` are the scopes that
    rules for tokens of the server require.
    """

    members: Mapping[str, Any]
    server: AuthorizationServer
    now: float
    signed: bool
    required: frozenset[str] = frozenset()


def findings(token: TokenMembers) -> list[Finding]:
    """Return a finding for each claim that is read, is ignored or cannot be read, in the order of the documentation."""
    checks = (_scope, _identifiers, _audience_and_issuer, _expiry, _begin, _binding, _kind, _others)
    return [finding for check in checks for finding in check(token)]


def listed(values: Sequence[str]) -> str:
    """Return values as text for a terminal: the first ones, and the number of the others."""
    shown = ", ".join(shortened(value) for value in values[:_MAX_SHOWN])
    more = len(values) - _MAX_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def shortened(text: str) -> str:
    """Return the beginning of a text, with unprintable characters escaped."""
    cut = text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in cut)


# Scopes


def _scope(token: TokenMembers) -> Iterator[Finding]:
    names = token.server.scope_claims
    source = ScopeClaims(names).source(token.members)
    try:
        scopes = ScopeClaims(names).read(token.members)
    except ValueError as error:
        advice = "have the server write scopes as a string with spaces, or a list of strings; or correct scope_claims"
        yield wrong(source or names[0], str(error), advice)
        return
    details = f"{listed(sorted(scopes))}, read as scopes" if scopes else "no scope"
    if source is None:
        details = f"the token has no scopes: {listed(names)} {'is' if len(names) == 1 else 'are'} absent"
    elsewhere = _with_scopes(token.members, token.required - scopes) if scopes.isdisjoint(token.required) else []
    if elsewhere:
        text = f"{details}; {listed(elsewhere)} has scopes that rules require"
        yield wrong(source or names[0], text, f"set scope_claims: [{shortened(elsewhere[0])}]")
        return
    for name in names:
        if name != source and ScopeClaims((name,)).source(token.members) is not None:
            details += f"; {name} is there too, and ignored"
    if source is None and token.required:
        yield warning(names[0], details, "have the server grant scopes, or set scope_claims to the claim that has them")
    elif source is not None and (left_out := _left_out(token.members.get(source), scopes)):
        text = f"{details}; {left_out} {'text' if left_out == 1 else 'texts'} left out: not a scope (RFC 6749 §3.3)"
        yield warning(source, text, "have the server write each scope on its own, without spaces")
    else:
        yield right(source or names[0], details)


def _left_out(value: Any, scopes: frozenset[str]) -> int:
    texts = value.split(" ") if isinstance(value, str) else value if isinstance(value, list) else []
    return len({text for text in texts if text} - scopes)


def _with_scopes(members: Mapping[str, Any], missing: frozenset[str]) -> list[str]:
    """Return the names of claims that have some of the missing scopes, as `scope_claims` would name them."""
    claim_names = []
    for keys in _paths(members, _MAX_NESTING):
        name = ".".join(keys)
        if any("." in key or "/" in key or "~" in key for key in keys):
            name = "".join(f"/{key.replace('~', '~0').replace('/', '~1')}" for key in keys)
        try:
            if not ScopeClaims((name,)).read(members).isdisjoint(missing):
                claim_names.append(name)
        except ValueError:
            continue
    return claim_names


def _paths(members: Mapping[str, Any], depth: int) -> Iterator[tuple[str, ...]]:
    for key, value in members.items():
        if isinstance(value, Mapping):
            if depth > 1:
                yield from ((key, *rest) for rest in _paths(value, depth - 1))
        elif key:
            yield (key,)


# Identifiers


def _identifiers(token: TokenMembers) -> Iterator[Finding]:
    advice = "have the server write a string"
    if token.members.get("sub") is not None:
        yield _read(token, "sub", _no_value, f"{advice}, such as a user's or a client's name")
    for name in ("client_id", "azp"):
        if token.members.get(name) is not None:
            yield _read(token, name, lambda value: shortened(str(value)), advice)
            return


def _audience_and_issuer(token: TokenMembers) -> Iterator[Finding]:
    """Yield only errors: values are compared with what rules require."""
    for name, advice in (("aud", "have the server write a string or a list of strings"),
                         ("iss", "have the server write its issuer identifier, a string")):  # fmt: skip
        error = _error(token.members, name)
        if error is not None:
            yield wrong(name, f"{error}, but {_type(token.members[name])}", advice)


def _read(token: TokenMembers, name: str, show: Callable[[Any], str], advice: str) -> Finding:
    value = token.members[name]
    error = _error(token.members, name)
    if error is not None:
        return wrong(name, f"{error}, but {_type(value)}", advice)
    return right(name, f"{show(value)}{'; an integer, read as its digits' if isinstance(value, int) else ''}")


def _no_value(_: Any) -> str:
    return "read; not shown here"


def _error(members: Mapping[str, Any], name: str) -> str | None:
    """Return why a claim cannot be read; None if it can."""
    try:
        read_claims({name: members.get(name)})
    except ValueError as error:
        return str(error)
    return None


def _type(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "a list with other values" if isinstance(value, list) else "an object"


# Dates


def _expiry(token: TokenMembers) -> Iterator[Finding]:
    expires = _date(token, "exp")
    if isinstance(expires, Finding):
        yield expires
    elif expires is None:
        if token.signed:
            yield wrong("exp", "absent: a JWT without it is rejected", "have the server write it (RFC 9068 §2.2)")
        else:
            yield right("exp", "absent: the token is valid as long as the server reports it as active")
    elif expires <= token.now:
        details = f"expired {_span(token.now - expires)} ago{_in_words(expires)}"
        yield wrong("exp", details, "get a new token; if this one is new, compare the clocks of both machines")
    else:
        yield right("exp", f"expires in {_span(expires - token.now)}{_in_words(expires)}")


def _begin(token: TokenMembers) -> Iterator[Finding]:
    skew = token.server.jwt.clock_skew
    for name in ("nbf", "iat"):
        begins = _date(token, name)
        if isinstance(begins, Finding):
            yield begins
        elif begins is not None:
            ahead = begins - token.now
            details = (
                f"in {_span(ahead)}{_in_words(begins)}" if ahead > 0 else f"{_span(-ahead)} ago{_in_words(begins)}"
            )
            if token.signed and ahead > skew:
                text = f"{details}: more than jwt.clock_skew ({skew:g} s) ahead of our clock"
                yield wrong(name, text, f"{_CLOCKS}, or raise jwt.clock_skew")
            elif not token.signed and ahead > CLOCK_WARNING:
                yield warning(name, f"{details}; no effect, because the server has checked it", _CLOCKS)
            else:
                yield right(name, details)


def _date(token: TokenMembers, name: str) -> float | Finding | None:
    """Return a date in seconds since the epoch, None if it is absent, or the finding if it cannot be read."""
    value = token.members.get(name)
    try:
        date = read_date(token.members, name, NEVER)
    except ValueError as error:
        number = int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else value
        if isinstance(number, bool) or not isinstance(number, int | float):
            return wrong(name, f"{error}, but {_type(value)}", _DATE_ADVICE)
        unit = "milliseconds, it seems" if abs(number) < _LAST_MILLISECOND else "after the year 9999"
        return wrong(name, f"{error}: {unit}", _DATE_ADVICE)
    return None if date == NEVER else date


def _span(seconds: float) -> str:
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= 2 * size), _UNITS[-1])
    number = int(seconds / size)
    return f"{number} {unit}{'' if number == 1 else 's'}"


def _in_words(date: float) -> str:
    return f" ({datetime.fromtimestamp(date, UTC):%Y-%m-%d %H:%M:%S} UTC)" if date >= 0 else ""


# Others


def _binding(token: TokenMembers) -> Iterator[Finding]:
    kind = binding(token.members).kind
    if kind is BindingKind.UNKNOWN:
        advice = "have the server write exactly one of jkt and x5t#S256 (RFC 9449 §6.1, RFC 8705 §3.1)"
        yield wrong("cnf", "bound to something that cannot be checked: the token is refused", advice)
    elif kind is not BindingKind.NONE:
        yield right("cnf", _BINDINGS[kind])


def _kind(token: TokenMembers) -> Iterator[Finding]:
    for name in KIND_CLAIMS:
        if not gives_access({name: token.members.get(name)}):
            details = f"{token.members[name]}: not an access token, and treated as inactive"
            yield wrong(name, details, "send the access token that came with it")


def _others(token: TokenMembers) -> Iterator[Finding]:
    roots = {name.split("/")[1] if name.startswith("/") else name.split(".")[0] for name in token.server.scope_claims}
    names = sorted(name for name in token.members if name not in _STANDARD | roots)
    if names:
        yield right("other claims", f"{listed(names)}; as they are, for claims in rules")
