"""Verification of signed access tokens by the keys of the server that issued them (RFC 9068, RFC 7519, RFC 8725).

1. Nothing in a token chooses how it is verified: the algorithms are from the settings, the keys from the server. A key,
   a certificate or a URL in the header (`jwk`, `x5c`, `jku`, `x5u`) is ignored.
2. A `kid` selects the key. Without one, a key is used only if no other key fits the algorithm.
3. No claim is read before the signature is verified. Of the claims that RFC 9068 §2.2 requires, `iss` and `exp` must be
   there; rules may require the audience and the others, as of any token.
4. The result is the same as an introspection's. `scp` is read if `scope` is absent, and `azp` if `client_id` is, since
   large servers write these; both are in the claims under the standard name too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, final

from enforcer.errors import IntrospectionError
from enforcer.settings.jwt import JwtSettings
from enforcer.tokens.introspection.response import NEVER, ActiveToken, InactiveToken, from_claims, gives_access
from enforcer.tokens.jwt.jwks import KeySet
from enforcer.tokens.jwt.jws import Jws, parse
from enforcer.tokens.strict_json import read_object


class JwtFault(StrEnum):
    """Why a signed token was rejected. The values appear in logs."""

    MALFORMED = "malformed"  # not a JWS, an unsupported extension, or header members of wrong types
    TYPE = "wrong_typ"  # or its claims say that it is an ID or refresh token
    ALGORITHM = "wrong_algorithm"
    KEY = "no_fitting_key"
    SIGNATURE = "wrong_signature"
    CLAIMS = "malformed_claims"  # or without exp
    ISSUER = "wrong_issuer"
    AUDIENCE = "wrong_audience"  # of a signed introspection response
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"


@final
@dataclass(frozen=True, slots=True, eq=False)
class RejectedToken(InactiveToken):
    """An inactive token, and why it was rejected."""

    fault: JwtFault


@final
@dataclass(frozen=True, slots=True, eq=False)
class NeedsKey:
    """No known key verifies the token, but a newer one may: fetch the keys once, and verify again."""


NEEDS_KEY: Final = NeedsKey()

_ACCESS_TOKEN: Final = frozenset({"at+jwt"})
_ANY_JWT: Final = frozenset({"at+jwt", "jwt", ""})


def verify(
    token: bytes, keys: KeySet, issuer: str, settings: JwtSettings, now: float
) -> ActiveToken | RejectedToken | NeedsKey:
    """Verify a signed access token of `issuer` at the time `now` (seconds since the epoch; RFC 9068 §4)."""
    jws = parse(token)
    if jws is None:
        return RejectedToken(JwtFault.MALFORMED)
    fault = signature_fault(jws, _ANY_JWT if settings.any_typ else _ACCESS_TOKEN, keys, settings.algorithms)
    if fault is None:
        return _verify_claims(jws.payload, issuer, settings, now)
    return fault if isinstance(fault, NeedsKey) else RejectedToken(fault)


def signature_fault(
    jws: Jws, types: Collection[str], keys: KeySet, algorithms: Collection[str]
) -> JwtFault | NeedsKey | None:
    """Return why a JWS is not of one of these types, or not signed with one of the keys; None if it is both."""
    typ, algorithm, kid = jws.header.get("typ", ""), jws.header.get("alg"), jws.header.get("kid")
    if not isinstance(typ, str) or not isinstance(kid, str | None):
        return JwtFault.MALFORMED
    # RFC 7515 §4.1.9: a media type, case-insensitive, whose `application/` may be left out
    if typ.lower().removeprefix("application/") not in types:
        return JwtFault.TYPE
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        return JwtFault.ALGORITHM
    fitting = keys.fitting(kid, algorithm)
    if len(fitting) != 1:
        known = bool(fitting) or (kid is not None and keys.knows(kid))
        return JwtFault.KEY if known else NEEDS_KEY
    if not fitting[0].verifies(algorithm, jws.signed, jws.signature):
        # Without a `kid`, a wrong signature may mean that the server has a new key.
        return JwtFault.SIGNATURE if kid is not None else NEEDS_KEY
    return None


def _verify_claims(payload: bytes, issuer: str, settings: JwtSettings, now: float) -> ActiveToken | RejectedToken:
    try:
        claims = read_object(payload)
        result = from_claims({**claims, **_standard_names(claims)})
    except (ValueError, IntrospectionError):
        return RejectedToken(JwtFault.CLAIMS)
    if not gives_access(claims):
        return RejectedToken(JwtFault.TYPE)
    if not _has_times(claims) or result.expires == NEVER:
        return RejectedToken(JwtFault.CLAIMS)
    if result.issuer != issuer:
        return RejectedToken(JwtFault.ISSUER)
    if result.expires <= now:
        return RejectedToken(JwtFault.EXPIRED)
    if max(result.not_before, claims.get("iat") or -NEVER) > now + settings.clock_skew:
        return RejectedToken(JwtFault.NOT_YET_VALID)
    # The decision checks `nbf` again, without our tolerance.
    return replace(result, not_before=result.not_before - settings.clock_skew)


def _standard_names(claims: Mapping[str, Any]) -> dict[str, Any]:
    others = {"scope": "scp", "client_id": "azp"}
    return {name: claims[other] for name, other in others.items() if claims.get(name) is None and other in claims}


def _has_times(claims: Mapping[str, Any]) -> bool:
    # RFC 7519 §2: a NumericDate is a JSON number
    times = [claims.get(name) for name in ("exp", "nbf", "iat")]
    return all(time is None or (isinstance(time, int | float) and not isinstance(time, bool)) for time in times)
