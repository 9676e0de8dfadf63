"""Signing JWTs, and the published keys."""

import json
from typing import Any

import pytest
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, RSAKey

from authserver.signing import generate_key, public_keys, read_key, sign


def published(key: RSAKey) -> Any:
    """Return the public keys after a round trip through JSON."""
    return json.loads(json.dumps(public_keys(key)))


def test_a_signed_token_is_verified_by_the_public_keys(jwk: str) -> None:
    """RFC 9068 §2.1: `typ` distinguishes it from other JWTs, `kid` names the key."""
    key = read_key(jwk)
    token = jwt.decode(sign({"sub": "app"}, key), KeySet.import_key_set(published(key)), algorithms=["RS256"])
    assert {"typ": "at+jwt", "alg": "RS256", "kid": key.kid} == token.header
    assert token.claims == {"sub": "app"}


def test_another_key_does_not_verify_it(jwk: str) -> None:
    """Every server has its own key."""
    other = read_key(generate_key())
    with pytest.raises(JoseError):
        jwt.decode(sign({"sub": "app"}, read_key(jwk)), other, algorithms=["RS256"])


def test_the_public_keys_have_no_private_member(jwk: str) -> None:
    """RFC 7518 §6.3.2 lists the private members."""
    (key,) = published(read_key(jwk))["keys"]
    assert {"kty", "n", "e", "kid", "use", "alg"} == set(key)
    assert (key["kty"], key["use"], key["alg"]) == ("RSA", "sig", "RS256")
    assert set(key) < set(json.loads(jwk))
