"""What a signed access token is worth (RFC 9068, RFC 7519, RFC 8725), by the keys of the server that issued it.

1. Nothing in a token chooses how it is verified: the algorithms are the settings', the keys are the server's. A key, a
   certificate or a URL in the header (`jwk`, `x5c`, `jku`, `x5u`) is not looked at.
2. A `kid` selects the key; without one, a key is used only where it alone fits the algorithm.
3. No claim is read before the signature holds. Of what RFC 9068 §2.2 requires, `iss` and `exp` must be there; the
   audience and the rest are for rules to ask for, as of any token.
4. The result is that of an introspection: `scp` is read where `scope` is absent, and `azp` where `client_id` is, since
   large servers write these; both are in the claims under the standard's name too.
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
    """Why a signed token was rejected. The values are log words."""

    MALFORMED = "malformed"  # no JWS, an extension that is not understood, or a header whose members are no such
    TYPE = "wrong_typ"  # or claims that call it an ID or refresh token
    ALGORITHM = "wrong_algorithm"
    KEY = "no_fitting_key"
    SIGNATURE = "wrong_signature"
    CLAIMS = "malformed_claims"  # or without exp
    ISSUER = "wrong_issuer"
    AUDIENCE = "wrong_audience"  # of a signed introspection answer
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"


@final
@dataclass(frozen=True, slots=True, eq=False)
class RejectedToken(InactiveToken):
    """A token that is worth nothing, and why."""

    fault: JwtFault


@final
@dataclass(frozen=True, slots=True, eq=False)
class NeedsKey:
    """No key that is here verifies the token, and a newer one may: fetch the keys once, and verify again."""


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
        return _judge(jws.payload, issuer, settings, now)
    return fault if isinstance(fault, NeedsKey) else RejectedToken(fault)


def signature_fault(
    jws: Jws, types: Collection[str], keys: KeySet, algorithms: Collection[str]
) -> JwtFault | NeedsKey | None:
    """Return why a JWS is not one of these types that one of the keys has signed; None where it is."""
    typ, algorithm, kid = jws.header.get("typ", ""), jws.header.get("alg"), jws.header.get("kid")
    if not isinstance(typ, str) or not isinstance(kid, str | None):
        return JwtFault.MALFORMED
    # RFC 7515 §4.1.9: a media type, whose case does not matter, and whose `application/` may be left out
    if typ.lower().removeprefix("application/") not in types:
        return JwtFault.TYPE
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        return JwtFault.ALGORITHM
    fitting = keys.fitting(kid, algorithm)
    if len(fitting) != 1:
        known = bool(fitting) or (kid is not None and keys.knows(kid))
        return JwtFault.KEY if known else NEEDS_KEY
    if not fitting[0].verifies(algorithm, jws.signed, jws.signature):
        # Where keys have no names, another key is all that shows of a new one.
        return JwtFault.SIGNATURE if kid is not None else NEEDS_KEY
    return None


def _judge(payload: bytes, issuer: str, settings: JwtSettings, now: float) -> ActiveToken | RejectedToken:
    try:
        claims = read_object(payload)
        answer = from_claims({**claims, **_standard_names(claims)})
    except (ValueError, IntrospectionError):
        return RejectedToken(JwtFault.CLAIMS)
    if not gives_access(claims):
        return RejectedToken(JwtFault.TYPE)
    if not _has_times(claims) or answer.expires == NEVER:
        return RejectedToken(JwtFault.CLAIMS)
    if answer.issuer != issuer:
        return RejectedToken(JwtFault.ISSUER)
    if answer.expires <= now:
        return RejectedToken(JwtFault.EXPIRED)
    if max(answer.not_before, claims.get("iat") or -NEVER) > now + settings.clock_skew:
        return RejectedToken(JwtFault.NOT_YET_VALID)
    # Whoever judges the answer again knows nothing of our tolerance.
    return replace(answer, not_before=answer.not_before - settings.clock_skew)


def _standard_names(claims: Mapping[str, Any]) -> dict[str, Any]:
    others = {"scope": "scp", "client_id": "azp"}
    return {name: claims[other] for name, other in others.items() if claims.get(name) is None and other in claims}


def _has_times(claims: Mapping[str, Any]) -> bool:
    # RFC 7519 §2: a NumericDate is a JSON number
    times = [claims.get(name) for name in ("exp", "nbf", "iat")]
    return all(time is None or (isinstance(time, int | float) and not isinstance(time, bool)) for time in times)
