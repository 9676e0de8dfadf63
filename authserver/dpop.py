"""Proofs of possession: the key that a token is to be bound to (RFC 9449 §5).

A proof may be used again within its minute; that each is used once is for the protected resource to see to.
"""

import json
from collections.abc import Sequence
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import import_key

from authserver.errors import OAuthError

ALGORITHMS = ("ES256", "PS256", "RS256")
"""What a proof may be signed with."""

MAX_AGE = 60
"""Seconds from the making of a proof to its last use, either way: clocks differ."""

# A header holds a key, and one of RSA is longer than what a header usually is.
_REGISTRY = jws.JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
_REGISTRY.max_header_length = 8192


def key_of(proofs: Sequence[str], *, method: str, url: str, now: int) -> str | None:
    """Return the thumbprint of the key that signed the proof for a request (RFC 7638), or None without a proof.

    `proofs` holds every DPoP field of the request. Raises `OAuthError` (invalid_dpop_proof).
    """
    if not proofs:
        return None
    if len(proofs) > 1:
        raise _wrong("there is more than one")
    try:
        proof = jws.extract_compact(proofs[0].encode(), registry=_REGISTRY)
        header = proof.headers()
        # RFC 9449 §4.3, 7: a key whose private part is shown proves nothing.
        members = {name: value for name, value in header["jwk"].items() if name not in ("use", "key_ops", "alg", "kid")}
        key = import_key(members)
        signed = not key.is_private and jws.validate_compact(proof, key, registry=_REGISTRY)
        claims: dict[str, Any] = json.loads(proof.payload)
        said = (header.get("typ"), claims["htm"], claims["htu"].partition("?")[0].partition("#")[0])
        age, identified = now - claims["iat"], isinstance(claims["jti"], str)
    except (JoseError, ValueError, KeyError, TypeError, AttributeError):
        raise _wrong("it cannot be read, or is not signed with one of " + " ".join(ALGORITHMS)) from None
    if not signed:
        raise _wrong("it is not signed with the key in it")
    if not identified or said != ("dpop+jwt", method, url):
        raise _wrong(f"it is not for {method} {url}")
    if abs(age) > MAX_AGE:
        raise _wrong(f"it was not made within the last {MAX_AGE} seconds")
    return key.thumbprint()


def _wrong(why: str) -> OAuthError:
    return OAuthError("invalid_dpop_proof", f"the DPoP proof is refused: {why}")
