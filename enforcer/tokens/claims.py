"""Claims: how the members of a token are read, whichever way the token was verified. Pure.

Introspection responses, JWTs, policy tests and all tools use this reading; docs/policy.md has it as a table.

1. Nothing is read as wider access than the members grant: an unreadable value is an error, never a default.
2. A null member counts as absent, in a list too.
3. An identifier is a string, or an integer, which is read as its digits: some servers write numbers for `sub`.
4. A date (NumericDate, RFC 7519 §2) is a number or a string of digits, and not after the year 9999.
5. Scopes are read from the first of the configured claims that the token has: `scp` if there is no `scope`, by default.
   `azp` is read if there is no `client_id`. Large servers write these.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, final

NEVER: Final = math.inf
"""The expiry of a token that has no `exp`."""

# RFC 6749 §3.3: scope-token
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
_OTHER_KINDS: Final = frozenset({"refresh_token", "refresh", "offline", "id_token", "id", "logout"})
_NO_ACCESS: Final[Mapping[str, frozenset[str]]] = {
    "typ": _OTHER_KINDS,
    "token_use": _OTHER_KINDS,
    "token_type": _OTHER_KINDS,
    "type": frozenset({"refresh"}),  # an app may have a claim of this name that says something else
}
"""The marks of active tokens that are not access tokens, in lower case: only access tokens give access."""
KIND_CLAIMS: Final = tuple(_NO_ACCESS)
"""The claims in which servers and libraries say what kind a token is."""
_DIGITS = re.compile(r"-?[0-9]{1,15}")
# 9999-12-31T23:59:59Z: later dates are milliseconds, or the largest number of some type, and not meant
_LAST_DATE: Final = 253_402_300_800


class ActiveToken:
    """An active token. `expires` is in seconds since the epoch.

    `claims` are all members, as sent, but `sub`, `client_id` and `aud` as they are read: rules and apps see the same.
    Those of a cached token are only the claims that rules have conditions on (`tokens.retention`).

    `bound`: the token is sender-constrained: its holder must prove possession of a key (`cnf`, RFC 7800). `size`: bytes
    of the values that no other token shares; only a cached token knows it.

    Not a dataclass, because two are made for each new token: the `__init__` of a frozen dataclass is not compiled, and
    takes as long as the reading of the claims.
    """

    __slots__ = ("audience", "bound", "claims", "client_id", "expires", "issuer", "scopes", "size", "subject")

    def __init__(
        self,
        *,
        scopes: frozenset[str],
        expires: float,
        subject: str | None,
        client_id: str | None,
        issuer: str | None,
        audience: frozenset[str],
        claims: Mapping[str, Any],
        bound: bool,
        size: int = 0,
    ) -> None:
        self.scopes: Final = scopes
        self.expires: Final = expires
        self.subject: Final = subject
        self.client_id: Final = client_id
        self.issuer: Final = issuer
        self.audience: Final = audience
        self.claims: Final = claims
        self.bound: Final = bound
        self.size: Final = size

    def with_claims(self, claims: Mapping[str, Any]) -> ActiveToken:
        """Return this token with other claims."""
        return self._copy(self.expires, claims, self.bound)

    def unbound(self, expires: float) -> ActiveToken:
        """Return this token with another expiry, and as one that is not sender-constrained."""
        return self._copy(expires, self.claims, False)

    def _copy(self, expires: float, claims: Mapping[str, Any], bound: bool) -> ActiveToken:
        return ActiveToken(
            scopes=self.scopes,
            expires=expires,
            subject=self.subject,
            client_id=self.client_id,
            issuer=self.issuer,
            audience=self.audience,
            claims=claims,
            bound=bound,
            size=self.size,
        )


TOKEN: Final = 224
"""Bytes of an `ActiveToken`, besides its values."""


@final
class ScopeClaims:
    """The claims that may hold a token's scopes, in order: the first that a token has is read, and no other.

    `names` are their names, each with its path as `claim_value` takes it.
    """

    __slots__ = ("names",)

    def __init__(self, names: Sequence[str]) -> None:
        """Compile the names: a dotted one, or a JSON pointer, reaches into nested claims."""
        self.names: Final = tuple([name_and_path(name) for name in names])

    def read(self, members: Mapping[str, Any]) -> frozenset[str]:
        """Return the scopes of a token; raises ValueError."""
        for name, path in self.names:
            value = claim_value(members, name, path)
            if value is UNREADABLE:
                raise ValueError(f"{name} is not a member of an object")
            if value is not None:
                return _scopes(value, name)
        return frozenset()

    def source(self, members: Mapping[str, Any]) -> str | None:
        """Return the name of the claim that `read` reads; None if a token has none of them."""
        for name, path in self.names:
            if claim_value(members, name, path) is not None:
                return name
        return None


def pointer_keys(name: str) -> list[str]:
    """Return the keys of a claim's name that is a JSON pointer (RFC 6901 §4)."""
    return [part.replace("~1", "/").replace("~0", "~") for part in name[1:].split("/")]


def read_claims(members: Mapping[str, Any], scopes: ScopeClaims | None = None) -> ActiveToken:
    """Read the members of an active token; raises ValueError, whose text contains no value.

    `scopes` are the claims that may hold its scopes; `scope` and `scp` by default.
    `nbf` and `iat` must be dates, and have no other effect here: the caller knows whose clock they are for.
    """
    for name in ("nbf", "iat"):
        read_date(members, name, 0.0)
    audience = members.get("aud")
    subject, client_id = _identifier(members, "sub"), _identifier(members, "client_id")
    if client_id is None:
        client_id = _identifier(members, "azp")
    issuer = members.get("iss")
    if not (issuer is None or isinstance(issuer, str)):
        raise ValueError("iss is not a string")
    audiences = _strings(audience, "aud", integers=True)
    claims = {**members, "sub": subject, "client_id": client_id}
    if audiences:
        claims["aud"] = audiences if isinstance(audience, list) else audiences[0]
    return ActiveToken(
        scopes=(scopes or SCOPE_CLAIMS).read(members),
        expires=read_date(members, "exp", NEVER),
        subject=subject,
        client_id=client_id,
        issuer=issuer,
        audience=frozenset(audiences),
        claims=MappingProxyType(claims),
        bound=members.get("cnf") is not None,
    )


def gives_access(members: Mapping[str, Any]) -> bool:
    """Return whether a token gives access to a resource, as far as its server says what kind it is."""
    for name, marks in _NO_ACCESS.items():
        value = members.get(name)
        if isinstance(value, str) and value.lower() in marks:
            return False
    return True


class Unreadable(Enum):
    """The value of a claim that nobody can look up: the value that should contain it is not a mapping."""

    UNREADABLE = "unreadable"


UNREADABLE: Final = Unreadable.UNREADABLE


def claim_value(claims: Mapping[str, Any], name: str, path: Sequence[str]) -> Any:
    """Return the value of a claim: that of its name, or else that nested under the keys `path`; None if it is absent.

    UNREADABLE if the value that contains it is not a mapping.
    """
    value = claims.get(name)
    if value is None and len(path) > 1:
        value = claims.get(path[0])
        for key in path[1:]:
            if value is None:
                return None
            if not isinstance(value, Mapping):
                return UNREADABLE
            value = value.get(key)
    return value


def read_date(members: Mapping[str, Any], name: str, absent: float) -> float:
    """Read a date, in seconds since the epoch; raises ValueError if the member is not one."""
    value = members.get(name)
    if value is None:
        return absent
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if type(value) in (int, float) and abs(value) < _LAST_DATE:
        return float(value)
    raise ValueError(f"{name} is not a date")


def name_and_path(name: str) -> tuple[str, tuple[str, ...]]:
    """Return a claim's name with the keys that lead to it, as `claim_value` takes them.

    The name is written as in a configuration: a dotted one, or a JSON pointer, reaches into nested claims.
    """
    path = tuple(pointer_keys(name) if name.startswith("/") else name.split("."))
    return path[0] if len(path) == 1 else name, path


def _scopes(value: Any, name: str) -> frozenset[str]:
    members = value.split(" ") if isinstance(value, str) else _strings(value, name)
    # No rule can require a scope outside the grammar, so leaving it out changes no decision.
    return frozenset(scope for scope in members if _SCOPE.fullmatch(scope))


def _strings(value: Any, name: str, *, integers: bool = False) -> list[str]:
    members = value if isinstance(value, list) else [value]
    strings = [_digits(member) if integers else member for member in members if member is not None]
    if not all(isinstance(member, str) for member in strings):
        raise ValueError(f"{name} is neither a string nor a list of strings")
    return strings


def _identifier(members: Mapping[str, Any], name: str) -> str | None:
    value = _digits(members.get(name))
    if value is None or isinstance(value, str):
        return value
    raise ValueError(f"{name} is not a string")


def _digits(value: Any) -> Any:
    return str(value) if type(value) is int else value


SCOPE_CLAIMS: Final = ScopeClaims(("scope", "scp"))
"""The default: where RFC 9068 §2.2.3 has the scopes, and where large servers have them."""
