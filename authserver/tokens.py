"""Access tokens and their claims.

Times are Unix time in whole seconds, rounded down.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

LIFETIME = 14400
"""Seconds from `iat` to `exp`: four hours, so that a morning's work takes one token."""

JsonObject = dict[str, object]
"""A JSON object."""


@dataclass(frozen=True, slots=True)
class Token:
    """The data of an issued access token, without the token string itself.

    The fields have the names of RFC 7662 §2.2. Two are derived: `sub` is `client_id`, because the client credentials
    grant has no other subject (RFC 9068 §2.2), and `nbf` is `iat`. `cnf` is the key (`jkt`, RFC 9449 §6.1) or the
    certificate (`x5t#S256`, RFC 8705 §3.1) that the token is bound to, or None.
    """

    jti: str
    iss: str
    client_id: str
    aud: tuple[str, ...]
    scope: str
    iat: int
    exp: int
    cnf: Mapping[str, str] | None = None


def claims(token: Token) -> JsonObject:
    """Return the claims of the token (RFC 9068 §2.2, with nbf), for a JWT and for introspection responses."""
    confirmation: JsonObject = {} if token.cnf is None else {"cnf": dict(token.cnf)}
    return {
        "sub": token.client_id,
        "aud": list(token.aud),
        "nbf": token.iat,
        "scope": token.scope,
        "iss": token.iss,
        "exp": token.exp,
        "iat": token.iat,
        "jti": token.jti,
        "client_id": token.client_id,
        **confirmation,
    }


def introspection(token: Token | None, now: int) -> JsonObject:
    """Return the introspection response (RFC 7662 §2.2); None is an unknown or revoked token."""
    if token is None or token.exp <= now:
        return {"active": False}
    return {"active": True, **claims(token), "token_type": token_type(token)}


def token_type(token: Token) -> str:
    """Return "DPoP" if the token is bound to a key (RFC 9449 §5), else "Bearer".

    A token that is bound to a certificate is a bearer token, too (RFC 8705 §3).
    """
    return "DPoP" if token.cnf is not None and "jkt" in token.cnf else "Bearer"


def expires_in(token: Token, now: int) -> int:
    """Return the remaining lifetime in whole seconds (RFC 6749 §5.1).

    The current second is not counted, so that a client that counts from the arrival of the response stops using the
    token before `exp`.
    """
    return token.exp - (now + 1)


def new_opaque_token() -> str:
    """Return a new access token: 128 URL-safe characters with 768 random bits."""
    return secrets.token_urlsafe(96)


def digest(access_token: str) -> bytes:
    """Return the digest that a token is stored under, so that the database does not reveal tokens."""
    return sha256(access_token.encode()).digest()
