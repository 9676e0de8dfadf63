"""Parsing of signed tokens in the compact form (RFC 7515 §7.1), without verifying them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from enforcer.tokens.documents.strict_json import read_object

MAX_BYTES: Final = 65536
"""Largest size of a signed token in bytes. The limits of a request head are far lower; this holds for any caller."""

HEADER_OBJECTS: Final = 16
"""Most objects in a header or a proof: the header itself, a key, and room for extensions. Bounds work."""
_CLAIMS_OBJECTS: Final = 512  # in claims that nobody has verified: a token for a hundred clients has fewer

# RFC 4648 §5
ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Jws:
    """The decoded parts of a signed token; `signed` are the bytes that the signature covers."""

    header: Mapping[str, Any]
    payload: bytes
    signed: bytes
    signature: bytes


def parse(token: bytes) -> Jws | None:
    """Parse a compact JWS; None if it is not one, or needs an extension that is not supported here."""
    if len(token) > MAX_BYTES or token.count(b".") != 2:
        return None
    signed, _, signature = token.rpartition(b".")
    first, _, payload = signed.partition(b".")
    try:
        header = read_object(decode(first), HEADER_OBJECTS)
        # RFC 7515 §4.1.11, RFC 7797 §6: a critical extension that is not understood must be rejected
        if "crit" in header or header.get("b64", True) is not True:
            return None
        return Jws(header, decode(payload), signed, decode(signature))
    except ValueError:
        return None


def looks_like_jwt(token: bytes) -> bool:
    """Return whether a token has the form of a JWT (RFC 7519 §3): three parts, the first with an algorithm."""
    # A JSON object begins with `{`, which begins with `e` in base64url.
    if not token.startswith(b"e") or token.count(b".") != 2 or len(token) > MAX_BYTES:
        return False
    first, _, rest = token.partition(b".")
    return not rest.translate(None, ALPHABET + b".") and isinstance(_member(first, "alg", HEADER_OBJECTS), str)


def unverified_issuer(token: bytes) -> str | None:
    """Return the issuer that a token names, to choose who verifies it; nothing else may depend on it."""
    if len(token) > MAX_BYTES or token.count(b".") != 2:
        return None
    issuer = _member(token.split(b".")[1], "iss", _CLAIMS_OBJECTS)
    return issuer if isinstance(issuer, str) else None


def decode(text: bytes) -> bytes:
    """Decode base64url without padding (RFC 7515 §2).

    Raises ValueError also if `encode` would write the bytes differently, so that no token has two spellings.
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


def sha256_base64url(data: bytes) -> str:
    """Return the SHA-256 digest of some data in base64url.

    Thumbprint of a certificate (DER, RFC 8705 §3.1) or a key (RFC 7638), and `ath` of a token (RFC 9449 §4.2).
    """
    return encode(sha256(data).digest()).decode()


def media_type(typ: str) -> str:
    """Return the media type in a `typ` member, in lower case and without `application/` (RFC 7515 §4.1.9)."""
    # `lower` also turns some letters outside ASCII into ASCII.
    return typ.lower().removeprefix("application/") if typ.isascii() else typ


def _member(part: bytes, name: str, max_objects: int) -> Any:
    try:
        return read_object(decode(part), max_objects).get(name)
    except ValueError:
        return None
