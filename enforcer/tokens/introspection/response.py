"""Introspection responses (RFC 7662 §2.2).

1. `active` must be the JSON value true or false. The other members are read as the claims of any token.
2. The server has compared the time with `nbf` and `iat` before it says `active` (RFC 7662 §2.2, §4): its clock counts
   for them, and not ours. `exp` is checked against our clock on every request, since the response is cached.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.tokens.claims import ActiveToken, ScopeClaims, gives_access, read_claims
from enforcer.tokens.documents.strict_json import read_document


@dataclass(frozen=True, slots=True, eq=False)
class InactiveToken:
    """A token that is unknown, expired or revoked; the server does not say which (RFC 7662 §2.2)."""


VerificationResult = ActiveToken | InactiveToken
IntrospectionOutcome = VerificationResult | IntrospectionError
INACTIVE: Final = InactiveToken()


def parse(body: bytes, scopes: ScopeClaims | None = None) -> VerificationResult:
    """Read an introspection response; `scopes` are as `read_claims` has them; raises IntrospectionError (malformed)."""
    return from_members(read_document(body, ""), scopes)


def from_members(members: Mapping[str, Any], scopes: ScopeClaims | None = None) -> VerificationResult:
    """Make the result from the members of an introspection response; raises IntrospectionError (malformed)."""
    active = members.get("active")
    if active is False:
        return INACTIVE
    if active is not True:
        raise _malformed("active is neither true nor false")
    if not gives_access(members):
        return INACTIVE
    try:
        return read_claims(members, scopes)
    except ValueError as error:
        raise _malformed(str(error)) from None


def _malformed(detail: str) -> IntrospectionError:
    return IntrospectionError(IntrospectionFailure.MALFORMED, detail)
