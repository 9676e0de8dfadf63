"""Keys and signed tokens for the tests: well-formed ones, and any other that somebody could write."""

from __future__ import annotations

import json
import secrets
import time
from functools import cache
from hashlib import sha256
from typing import Any

from joserfc.jwa import JWS_ALGORITHMS
from joserfc.jwk import ECKey, OKPKey, RSAKey

from enforcer.tokens.jwt.jws import encode

AnyKey = RSAKey | ECKey | OKPKey

_MODELS = {model.name: model for model in JWS_ALGORITHMS}


@cache
def key(algorithm: str = "ES256", number: int = 1) -> AnyKey:
    """Return the private key of a number for an algorithm, always the same one in a run."""
    if algorithm[:2] in ("RS", "PS"):
        return _rsa(number)
    if algorithm.startswith("ES"):
        return ECKey.generate_key({"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}[algorithm])
    return OKPKey.generate_key("Ed25519")


@cache
def _rsa(number: int) -> RSAKey:
    return RSAKey.generate_key(2048)


def public(private: AnyKey, **members: Any) -> dict[str, Any]:
    """Return the public JWK of a key, with other members."""
    return {**private.as_dict(private=False), **members}


def proof(private: AnyKey, token: str, method: str, url: str, header: Any = None, **claims: Any) -> str:
    """Sign a DPoP proof (RFC 9449 §4.2) with ES256; `header` and `claims` are changes, None leaves one out."""
    heads = {"typ": "dpop+jwt", "alg": "ES256", "jwk": public(private), **(header or {})}
    said = {
        "jti": secrets.token_urlsafe(12),
        "htm": method,
        "htu": url,
        "iat": int(time.time()),
        "ath": encode(sha256(token.encode()).digest()).decode(),
        **claims,
    }
    members = ({name: value for name, value in one.items() if value is not None} for one in (heads, said))
    return sign(*members, private, "ES256").decode()


def text(members: Any) -> bytes:
    """Write JSON as most do; bytes stay as they are."""
    return members if isinstance(members, bytes) else json.dumps(members).encode()


def sign(header: Any, payload: Any, private: AnyKey, algorithm: str) -> bytes:
    """Sign with an algorithm, whatever the header says; header and payload are members, or bytes as they are."""
    signed = encode(text(header)) + b"." + encode(text(payload))
    return signed + b"." + encode(_MODELS[algorithm].sign(signed, private))
