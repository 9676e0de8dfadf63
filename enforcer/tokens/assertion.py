"""Authentication by assertions that are signed with an own key (RFC 7523 §2.2)."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from urllib.parse import quote_plus

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from enforcer.secret import Secret
from enforcer.tokens.client_authentication import Credentials

_ASSERTION_LIFE = 60  # seconds: long enough for a clock that is off, too short to be worth stealing


class PrivateKeyJwt:
    """Signs a new assertion for each request.

    `key` is PEM or a JWK; raises ValueError where it is no private RSA, EC or Ed25519 key. `clock` gives seconds since
    the epoch.
    """

    def __init__(self, client_id: str, key: Secret, audience: str, clock: Callable[[], float]) -> None:
        self._client_id = client_id
        self._audience = audience
        self._clock = clock
        self._key = _private_key(key.reveal())
        self._algorithm = _algorithm(self._key)

    def credentials(self) -> Credentials:
        """Sign an assertion."""
        now = int(self._clock())
        claims = {
            "iss": self._client_id,
            "sub": self._client_id,
            "aud": self._audience,
            "iat": now,
            "exp": now + _ASSERTION_LIFE,
            "jti": secrets.token_urlsafe(16),
        }
        header = {"alg": self._algorithm} | ({"kid": self._key.kid} if self._key.kid else {})
        assertion = jwt.encode(header, claims, self._key, algorithms=[self._algorithm])
        form = (
            f"&client_id={quote_plus(self._client_id)}"
            "&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
            f"&client_assertion={assertion}"
        )
        return Credentials(form=form.encode())


def _private_key(text: str) -> Key:
    for kind in (RSAKey, ECKey, OKPKey):
        try:
            key = kind.import_key(json.loads(text) if text.lstrip().startswith("{") else text)
        except (ValueError, TypeError, KeyError, JoseError):
            continue
        if key.is_private:
            return key
    raise ValueError("not a private RSA, EC or Ed25519 key, PEM or JWK")


def _algorithm(key: Key) -> str:
    if isinstance(key, RSAKey):
        return "RS256"
    if isinstance(key, ECKey):
        return {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}[str(key.curve_name)]
    return "Ed25519"
