"""One token verified in two ways: introspected, and as a signed JWT with the same claims."""

from __future__ import annotations

from typing import Any, Final

from enforcer.errors import IntrospectionError
from enforcer.settings.jwt import JwtSettings
from enforcer.tokens.claims import SCOPE_CLAIMS, ActiveToken, ScopeClaims
from enforcer.tokens.introspection.response import InactiveToken, parse
from enforcer.tokens.jwt import jwks
from enforcer.tokens.jwt.fault import JwtFault, RejectedToken
from enforcer.tokens.jwt.jwt import verify
from harness.signing import key, public, sign, text

NOW: Final = 1_700_000_000.0
ISSUER: Final = "https://as.example"
FOREIGN: Final = frozenset({JwtFault.ISSUER, JwtFault.NO_EXPIRY, JwtFault.EXPIRED, JwtFault.NOT_YET_VALID})
"""Faults only of JWTs: for an introspected token the rules check them, or the server has."""

_KEY = key("EdDSA")
_KEYS = jwks.parse(text({"keys": [public(_KEY)]}))
_ANY_TYP = JwtSettings(any_typ=True)


def introspected(claims: bytes, scopes: ScopeClaims = SCOPE_CLAIMS) -> ActiveToken | InactiveToken | str:
    """Return the result of an introspection response with these claims (a JSON object), or the error's detail."""
    head, brace, rest = claims.partition(b"{")
    empty = rest.strip().startswith(b"}")
    try:
        active = head + brace + b'"active":true' + (b"" if empty else b",") + rest
        return parse(active if brace else claims, scopes)
    except IntrospectionError as error:
        return error.detail


def signed(claims: bytes, scopes: ScopeClaims = SCOPE_CLAIMS) -> ActiveToken | JwtFault:
    """Return the result of a JWT with these claims, or its fault."""
    result = verify(sign({"alg": "EdDSA"}, claims, _KEY, "EdDSA"), _KEYS, ISSUER, _ANY_TYP, NOW, scopes)
    assert isinstance(result, ActiveToken | RejectedToken)
    return result if isinstance(result, ActiveToken) else result.fault


def visible(token: ActiveToken) -> dict[str, Any]:
    """Return everything that rules and apps see of a token."""
    fields = ("scopes", "expires", "subject", "client_id", "issuer", "audience", "bound")
    claims = {name: value for name, value in token.claims.items() if name != "active" and value is not None}
    return {**{name: getattr(token, name) for name in fields}, "claims": claims}
