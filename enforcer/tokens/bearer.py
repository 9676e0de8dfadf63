"""Reads the access token in an Authorization field (RFC 6750 §2.1, RFC 9449 §7.1).

`places` reads it from elsewhere, if a rule says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final, final

# RFC 9110 §11.4: scheme, one or more spaces, token68
_CREDENTIALS: Final = re.compile(rb"[A-Za-z]+ +([^ ]+)")
# RFC 6750 §2.1: b64token
_B64TOKEN: Final = re.compile(rb"[A-Za-z0-9\-._~+/]+=*")
_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"
# Changes every byte outside the alphabet: a token that translates to itself contains only the alphabet.
_ONLY_ALPHABET: Final = bytes(byte if byte in _ALPHABET else (byte + 1) % 256 for byte in range(256))


class NoToken(Enum):
    """Why a request has no token that could be verified."""

    MISSING = "missing_token"
    INVALID_REQUEST = "invalid_request"  # more than one, or credentials that do not parse
    CROSS_SITE = "cross_site_request"  # it is in a cookie, and a page of another site may have sent the request
    MALFORMED = "malformed_token"  # not a b64token: no authorization server could have issued it


@final
@dataclass(frozen=True, slots=True, repr=False)
class DPoPToken:
    """A token that came with the DPoP scheme, or why there is none. It counts only with a proof."""

    token: bytes | NoToken


def parse(authorization: bytes | None, count: int) -> bytes | NoToken | DPoPToken:
    """Return the bearer token, the token that came with the DPoP scheme, or why there is none.

    `authorization` is the field's value, `count` the number of such fields.
    """
    if count == 1 and authorization is not None and authorization.startswith(b"Bearer "):
        token = authorization[7:]
        if token and token.translate(_ONLY_ALPHABET) == token:
            return token
    return _parse_slowly(authorization, count)


def _parse_slowly(authorization: bytes | None, count: int) -> bytes | NoToken | DPoPToken:
    if count > 1:
        return NoToken.INVALID_REQUEST
    value = b"" if authorization is None else authorization.strip(b" \t")
    scheme = value.partition(b" ")[0].lower()  # RFC 9110 §11.1: case-insensitive
    if scheme == b"bearer":
        return _token(value)
    if scheme == b"dpop":
        return DPoPToken(_token(value))
    return NoToken.MISSING


def _token(value: bytes) -> bytes | NoToken:
    match = _CREDENTIALS.fullmatch(value)
    if match is None:
        return NoToken.INVALID_REQUEST
    return match[1] if is_b64token(match[1]) else NoToken.MALFORMED


def is_b64token(token: bytes) -> bool:
    """Return whether a token is a b64token, which a request can contain (RFC 6750 §2.1)."""
    return _B64TOKEN.fullmatch(token) is not None
