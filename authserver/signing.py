"""Signs JWT access tokens."""

import json

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from authserver.tokens import JsonObject

# RFC 9068 §2.1: authorization servers and protected resources must support RS256.
ALGORITHM = "RS256"


def generate_key() -> str:
    """Return a new signing key as the JSON text of a private JWK (RFC 7517)."""
    key = RSAKey.generate_key(2048, {"use": "sig", "alg": ALGORITHM}, auto_kid=True)
    return json.dumps(key.as_dict(private=True))


def read_key(text: str) -> RSAKey:
    """Return the signing key from a text returned by `generate_key`."""
    return RSAKey.import_key(json.loads(text))


def sign(claims: JsonObject, key: RSAKey) -> str:
    """Return a JWT access token in compact form (RFC 9068 §2.1)."""
    return jwt.encode({"typ": "at+jwt", "alg": ALGORITHM, "kid": key.kid}, claims, key)


def public_keys(key: RSAKey) -> JsonObject:
    """Return the JWK set (RFC 7517 §5) with the public part of the key."""
    return dict(KeySet([key]).as_dict(private=False))
