"""DPoP proofs in token requests: the key that the issued token is bound to (RFC 9449 §5).

A proof can be used repeatedly while it is valid: the protected resource detects replays, this server does not.
"""

import json
from collections.abc import Sequence
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import import_key

from authserver.errors import OAuthError

ALGORITHMS = ("ES256", "PS256", "RS256")
"""The accepted signature algorithms of proofs."""

MAX_AGE = 60
"""Largest accepted difference in seconds between a proof's `iat` and now, in both directions because clocks differ."""

# The header contains a key, and an RSA key exceeds the default limit.
_REGISTRY = jws.JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
_REGISTRY.max_header_length = 8192


def proof_key_thumbprint(proofs: Sequence[str], *, method: str, url: str, now: int) -> str | None:
    """Return the thumbprint (RFC 7638) of the key that signed the proof of a request, or None without a proof.

    `proofs` contains all DPoP fields of the request. Raises `OAuthError` (invalid_dpop_proof).
    """
    if not proofs:
        return None
    if len(proofs) > 1:
        raise _invalid("there is more than one")
    try:
        proof = jws.extract_compact(proofs[0].encode(), registry=_REGISTRY)
        header = proof.headers()
        # RFC 9449 §4.3, check 7: a key whose private part is in the proof proves nothing.
        members = {name: value for name, value in header["jwk"].items() if name not in ("use", "key_ops", "alg", "kid")}
        key = import_key(members)
        signed = not key.is_private and jws.validate_compact(proof, key, registry=_REGISTRY)
        claims: dict[str, Any] = json.loads(proof.payload)
        typ_method_url = (header.get("typ"), claims["htm"], claims["htu"].partition("?")[0].partition("#")[0])
        age, has_jti = now - claims["iat"], isinstance(claims["jti"], str)
    except (JoseError, ValueError, KeyError, TypeError, AttributeError):
        raise _invalid("it is malformed, or not signed with one of " + " ".join(ALGORITHMS)) from None
    if not signed:
        raise _invalid("it is not signed with the key in it")
    if not has_jti or typ_method_url != ("dpop+jwt", method, url):
        raise _invalid(f"it is not for {method} {url}")
    if abs(age) > MAX_AGE:
        raise _invalid(f"its iat is not within {MAX_AGE} seconds of now")
    return key.thumbprint()


def _invalid(reason: str) -> OAuthError:
    return OAuthError("invalid_dpop_proof", f"the DPoP proof is not valid: {reason}")
