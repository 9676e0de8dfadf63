"""Introspection responses (RFC 7662 §2.2), read tolerantly if the RFC leaves room.

1. Nothing is read as wider access than the response grants: an unreadable value is an error, never a default.
2. `active` must be the JSON value true or false.
3. A null member is an absent one. A NumericDate may be an integer, a finite fraction, or a string of digits.
4. `scope` is a space-separated string or a list of strings; `aud` a string or a list of strings.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.tokens.strict_json import read_document

NEVER: Final = math.inf
"""The expiry of a token whose response has no `exp`."""

# RFC 6749 §3.3: scope-token
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
# The marks of active tokens that are not access tokens: only access tokens may be used at a resource
_NO_ACCESS = ("refresh_token", "id_token", "Refresh", "Offline", "ID", "id")
_DIGITS = re.compile(r"-?[0-9]{1,15}")

_MAX_CHARACTERS: Final = 1024  # of a set that is shared
_MAX_SETS: Final = 4096
_SETS: Final[dict[frozenset[str], frozenset[str]]] = {}


@dataclass(frozen=True, slots=True, eq=False)
class ActiveToken:
    """An active token. Times are seconds since the epoch; `claims` are all members of the response, as sent."""

    scopes: frozenset[str]
    expires: float
    not_before: float
    subject: str | None
    client_id: str | None
    issuer: str | None
    audience: frozenset[str]
    claims: Mapping[str, Any] = field(repr=False)
    bound: bool = False
    """Whether the token is sender-constrained: its holder must prove possession of a key (`cnf`, RFC 7800)."""


@dataclass(frozen=True, slots=True, eq=False)
class InactiveToken:
    """A token that is unknown, expired or revoked; the server does not say which (RFC 7662 §2.2)."""


VerificationResult = ActiveToken | InactiveToken
IntrospectionOutcome = VerificationResult | IntrospectionError
INACTIVE: Final = InactiveToken()


def parse(body: bytes) -> VerificationResult:
    """Read an introspection response; raises IntrospectionError (malformed)."""
    return from_members(read_document(body, ""))


def from_members(members: Mapping[str, Any]) -> VerificationResult:
    """Make the result from the members of an introspection response; raises IntrospectionError (malformed)."""
    active = members.get("active")
    if active is False:
        return INACTIVE
    if active is not True:
        raise _malformed("active is neither true nor false")
    if not gives_access(members):
        return INACTIVE
    return from_claims(members)


def gives_access(members: Mapping[str, Any]) -> bool:
    """Return whether a token gives access to a resource, as far as its server says what kind it is."""
    return members.get("token_use") not in _NO_ACCESS and members.get("typ") not in _NO_ACCESS


def from_claims(members: Mapping[str, Any]) -> ActiveToken:
    """Make the result from the claims of an active token; raises IntrospectionError (malformed)."""
    return ActiveToken(
        scopes=_scopes(members.get("scope")),
        expires=_date(members, "exp", NEVER),
        not_before=_date(members, "nbf", -NEVER),
        subject=_text(members, "sub"),
        client_id=_text(members, "client_id"),
        issuer=_text(members, "iss"),
        audience=_shared(_texts(members.get("aud"), "aud")),
        claims=MappingProxyType(dict(members)),
        bound=members.get("cnf") is not None,
    )


def _malformed(detail: str) -> IntrospectionError:
    return IntrospectionError(IntrospectionFailure.MALFORMED, detail)


def _scopes(value: Any) -> frozenset[str]:
    members = value.split(" ") if isinstance(value, str) else _texts(value, "scope")
    # No rule can require a scope outside the grammar, so leaving it out changes no decision.
    return _shared(scope for scope in members if _SCOPE.fullmatch(scope))


def _shared(members: Iterable[str]) -> frozenset[str]:
    """Return one shared set for all tokens with equal sets: each costs memory and garbage collection."""
    values = frozenset(members)
    if sum(map(len, values)) > _MAX_CHARACTERS:
        return values
    if len(_SETS) >= _MAX_SETS:
        _SETS.clear()
    return _SETS.setdefault(values, values)


def _texts(value: Any, name: str) -> list[str]:
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(member, str) for member in value):
        return value
    raise _malformed(f"{name} is neither a string nor a list of strings")


def _text(members: Mapping[str, Any], name: str) -> str | None:
    value = members.get(name)
    if value is None or isinstance(value, str):
        return value
    raise _malformed(f"{name} is not a string")


def _date(members: Mapping[str, Any], name: str, absent: float) -> float:
    value = members.get(name)
    if value is None:
        return absent
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return float(value)
    if type(value) in (int, float) and abs(value) < 1e15:
        return float(value)
    raise _malformed(f"{name} is not a time")
