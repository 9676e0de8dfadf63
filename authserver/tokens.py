"""What an access token stands for.

Time is a whole number: the second of Unix time that is running.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

LIFETIME = 14400
"""Seconds from `iat` to `exp`: four hours, a morning's work without asking again."""

Document = dict[str, object]
"""A JSON object."""


@dataclass(frozen=True, slots=True)
class Token:
    """What the server knows of an access token that it issued; the token itself is not part of it.

    The fields have the names of RFC 7662 §2.2. What follows from them is left out: `sub` is `client_id`, for nobody
    else takes part in the client credentials grant (RFC 9068 §2.2), and `nbf` is `iat`. `cnf` says what the token is
    bound to: a key (`jkt`, RFC 9449 §6.1), a certificate (`x5t#S256`, RFC 8705 §3.1), or, where it is None, nothing.
    """

    jti: str
    iss: str
    client_id: str
    aud: tuple[str, ...]
    scope: str
    iat: int
    exp: int
    cnf: Mapping[str, str] | None = None


def claims(token: Token) -> Document:
    """Return the claims of the token (RFC 9068 §2.2, with nbf): the payload of a JWT, and what introspection tells."""
    confirmation: Document = {} if token.cnf is None else {"cnf": dict(token.cnf)}
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


def introspection(token: Token | None, now: int) -> Document:
    """Answer what a token is worth (RFC 7662 §2.2); `None` is one that the server does not know, or no longer."""
    if token is None or token.exp <= now:
        return {"active": False}
    return {"active": True, **claims(token), "token_type": token_type(token)}


def token_type(token: Token) -> str:
    """Return how the token is sent: with proofs where it is bound to a key (RFC 9449 §5), else as a bearer token.

    One that is bound to a certificate is a bearer token too (RFC 8705 §3).
    """
    return "DPoP" if token.cnf is not None and "jkt" in token.cnf else "Bearer"


def expires_in(token: Token, now: int) -> int:
    """Return the whole seconds that the token has left (RFC 6749 §5.1).

    The running second has begun and is none of them, so a client that counts from the moment the answer arrives stops
    using the token before `exp`.
    """
    return token.exp - (now + 1)


def opaque() -> str:
    """Make an access token of 128 URL-safe characters, 768 bits of chance."""
    return secrets.token_urlsafe(96)


def digest(access_token: str) -> bytes:
    """Return what an access token is kept under, so that the database gives none away."""
    return sha256(access_token.encode()).digest()
