"""Keys, signed tokens and DPoP proofs for the tests, well-formed or with any change that an attacker could make."""

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
    """Return private key number `number` for an algorithm; the same arguments return the same key within a run."""
    if algorithm[:2] in ("RS", "PS"):
        return _rsa(number)
    if algorithm.startswith("ES"):
        return ECKey.generate_key({"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}[algorithm])
    return OKPKey.generate_key("Ed25519")


@cache
def _rsa(number: int) -> RSAKey:
    return RSAKey.generate_key(2048)


def public(private: AnyKey, **members: Any) -> dict[str, Any]:
    """Return the public JWK of a key, with `members` added."""
    return {**private.as_dict(private=False), **members}


def proof(private: AnyKey, token: str, method: str, url: str, header: Any = None, **claims: Any) -> str:
    """Sign a DPoP proof (RFC 9449 §4.2) with ES256; `header` and `claims` override members, None removes one."""
    head = {"typ": "dpop+jwt", "alg": "ES256", "jwk": public(private), **(header or {})}
    payload = {
        "jti": secrets.token_urlsafe(12),
        "htm": method,
        "htu": url,
        "iat": int(time.time()),
        "ath": encode(sha256(token.encode()).digest()).decode(),
        **claims,
    }
    return sign(_present(head), _present(payload), private, "ES256").decode()


def _present(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def text(members: Any) -> bytes:
    """Serialise as JSON; bytes are returned unchanged."""
    return members if isinstance(members, bytes) else json.dumps(members).encode()


def sign(header: Any, payload: Any, private: AnyKey, algorithm: str) -> bytes:
    """Sign with an algorithm, whatever `alg` the header has; header and payload are JSON members, or raw bytes."""
    signed = encode(text(header)) + b"." + encode(text(payload))
    return signed + b"." + encode(_MODELS[algorithm].sign(signed, private))
