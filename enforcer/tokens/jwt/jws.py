"""Takes signed tokens apart (RFC 7515 §7.1, the compact form), and tells them from others; believes nothing in them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from enforcer.tokens.strict_json import read_object

MOST_BYTES: Final = 65536
"""Size of a signed token at most. The limits of a request's head are far below; this holds whoever calls."""

# RFC 4648 §5
ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Jws:
    """The parts of a signed token, decoded; `signed` is what the signature is over, as it came."""

    header: Mapping[str, Any]
    payload: bytes
    signed: bytes
    signature: bytes


def parse(token: bytes) -> Jws | None:
    """Take a compact JWS apart; None where it is none, or wants something that is not understood here."""
    if len(token) > MOST_BYTES or token.count(b".") != 2:
        return None
    signed, _, signature = token.rpartition(b".")
    first, _, payload = signed.partition(b".")
    try:
        header = read_object(decode(first))
        # RFC 7515 §4.1.11, RFC 7797 §6: whoever does not understand an extension that is critical must refuse
        if "crit" in header or header.get("b64", True) is not True:
            return None
        return Jws(header, decode(payload), signed, decode(signature))
    except ValueError:
        return None


def looks_like_jwt(token: bytes) -> bool:
    """Tell whether a token has the form of a JWT (RFC 7519 §3): three parts, of which the first names an algorithm."""
    # A JSON object begins with {, which is `e` in base64url.
    if not token.startswith(b"e") or token.count(b".") != 2 or len(token) > MOST_BYTES:
        return False
    first, _, rest = token.partition(b".")
    return not rest.translate(None, ALPHABET + b".") and isinstance(_member(first, "alg"), str)


def unverified_issuer(token: bytes) -> str | None:
    """Return what a token claims as its issuer, so as to choose who verifies it; nothing else may follow from it."""
    if len(token) > MOST_BYTES or token.count(b".") != 2:
        return None
    issuer = _member(token.split(b".")[1], "iss")
    return issuer if isinstance(issuer, str) else None


def decode(text: bytes) -> bytes:
    """Decode base64url without padding (RFC 7515 §2); raises ValueError also where the same bytes are written in
    another way than by `encode`, so that no token has two spellings.
    """
    if text.translate(None, ALPHABET):
        raise ValueError("not base64url")
    data = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    if encode(data) != text:
        raise ValueError("bits left over")
    return data


def encode(data: bytes) -> bytes:
    """Encode as base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _member(part: bytes, name: str) -> Any:
    try:
        return read_object(decode(part)).get(name)
    except ValueError:
        return None
