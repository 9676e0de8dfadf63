"""Client authentication by signed assertions, `private_key_jwt` (RFC 7523 §2.2).

A JWK may name its algorithm (`alg`) and its identifier (`kid`); for a PEM key, the algorithm follows from its type.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import quote_plus

from joserfc.errors import JoseError
from joserfc.jwa import JWS_ALGORITHMS
from joserfc.jwk import ECKey, OKPKey, RSAKey

from enforcer.secret import Secret
from enforcer.tokens.introspection.client_authentication import Credentials, ImmediateAuthentication
from enforcer.tokens.jwt.jws import encode

_LIFETIME = 60  # seconds: long enough for clocks that differ, too short to be worth stealing
_MODELS: Final = {model.name: model for model in JWS_ALGORITHMS}
# By curve, None for RSA; the first is the default if the key names none
_ALGORITHMS: Final[Mapping[str | None, Sequence[str]]] = {
    None: ("RS256", "PS256", "RS384", "PS384", "RS512", "PS512"),
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "P-521": ("ES512",),
    "Ed25519": ("EdDSA", "Ed25519"),
}


class PrivateKeyJwt(ImmediateAuthentication):
    """Signs a new assertion for each request.

    `key` is PEM or a JWK; raises ValueError if it is not a private RSA, EC or Ed25519 key. `clock` gives seconds since
    the epoch.
    """

    def __init__(self, client_id: str, key: Secret, audience: str, clock: Callable[[], float]) -> None:
        self._client_id = client_id
        self._audience = audience
        self._clock = clock
        self._key = private_key(key)
        self._algorithm = _algorithm(self._key)

    def credentials(self) -> Credentials:
        """Sign an assertion."""
        now = int(self._clock())
        claims = {
            "iss": self._client_id,
            "sub": self._client_id,
            "aud": self._audience,
            "iat": now,
            "exp": now + _LIFETIME,
            "jti": secrets.token_urlsafe(16),
        }
        header = {"alg": self._algorithm} | ({"kid": self._key.kid} if self._key.kid else {})
        signed = b".".join(encode(json.dumps(members).encode()) for members in (header, claims))
        assertion = signed + b"." + encode(_MODELS[self._algorithm].sign(signed, self._key))
        form = (
            f"&client_id={quote_plus(self._client_id)}"
            "&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
            "&client_assertion="
        )
        return Credentials(form=form.encode() + assertion)


def private_key(secret: Secret) -> RSAKey | ECKey | OKPKey:
    """Read a private key, PEM or a JWK; raises ValueError, whose text contains none of it."""
    text = secret.reveal()
    for kind in (RSAKey, ECKey, OKPKey):
        try:
            key = kind.import_key(json.loads(text) if text.lstrip().startswith("{") else text)
        except (ValueError, TypeError, KeyError, JoseError):
            continue
        if key.is_private and _fitting(key):
            return key
    raise ValueError("not a private RSA, EC or Ed25519 key, PEM or JWK")


def _algorithm(key: RSAKey | ECKey | OKPKey) -> str:
    named = key.get("alg")
    fitting = _fitting(key)
    return next((name for name in fitting if name == named), fitting[0])


def _fitting(key: RSAKey | ECKey | OKPKey) -> Sequence[str]:
    curve = None if isinstance(key, RSAKey) else str(key.curve_name)
    return _ALGORITHMS.get(curve, ())
