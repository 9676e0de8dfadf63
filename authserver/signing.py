"""The key that signs JWT access tokens."""

import json

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from authserver.tokens import Document

# RFC 9068 §2.1: every authorization server and protected resource knows RS256.
ALGORITHM = "RS256"


def generate_key() -> str:
    """Make a signing key and return it as the JSON text of a private JWK (RFC 7517)."""
    key = RSAKey.generate_key(2048, {"use": "sig", "alg": ALGORITHM}, auto_kid=True)
    return json.dumps(key.as_dict(private=True))


def read_key(text: str) -> RSAKey:
    """Return the signing key of a text that `generate_key` made."""
    return RSAKey.import_key(json.loads(text))


def sign(claims: Document, key: RSAKey) -> str:
    """Return a JWT access token in compact form (RFC 9068 §2.1)."""
    return jwt.encode({"typ": "at+jwt", "alg": ALGORITHM, "kid": key.kid}, claims, key)


def public_keys(key: RSAKey) -> Document:
    """Return the JWK set that verifies what the key signed (RFC 7517 §5)."""
    return dict(KeySet([key]).as_dict(private=False))
