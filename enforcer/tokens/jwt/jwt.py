"""Verification of signed access tokens by the keys of the server that issued them (RFC 9068, RFC 7519, RFC 8725).

1. Nothing in a token chooses how it is verified: the algorithms are from the settings, the keys from the server. A key,
   a certificate or a URL in the header (`jwk`, `x5c`, `jku`, `x5u`) is ignored.
2. A `kid` selects the key. If several keys fit, each is tried, up to `MAX_CANDIDATES`.
3. A token that no known key verifies needs newer keys: the server may have added a key, replaced one under the same
   name, or have keys without names. A token that is not to blame, since the key that it names cannot be used, is an
   error and never a rejection.
4. No claim is accepted before the signature is verified. Of the claims that RFC 9068 §2.2 requires, `iss` and `exp`
   must be there; rules may require the audience and the others, as of any token.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, final

from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.settings.jwt import JwtSettings
from enforcer.tokens.claims import NEVER, SCOPE_CLAIMS, ActiveToken, ScopeClaims, gives_access, read_claims, read_date
from enforcer.tokens.documents.strict_json import read_object
from enforcer.tokens.jwt.fault import JwtFault, RejectedToken
from enforcer.tokens.jwt.jwks import KeySet, describe
from enforcer.tokens.jwt.jws import Jws, media_type, parse, unverified_issuer

MAX_CANDIDATES: Final = 5
"""Most keys that are tried for one token. Bounds the work that a token without `kid` causes."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class NeedsKey:
    """No known key verifies the token, but a newer one may: fetch the keys once, and verify again.

    `otherwise` is the outcome if the newest keys do not verify it either.
    """

    otherwise: JwtFault | IntrospectionError


_ACCESS_TOKEN: Final = frozenset({"at+jwt"})
_ANY_JWT: Final = frozenset({"at+jwt", "jwt", ""})


def verify(
    token: bytes, keys: KeySet, issuer: str, settings: JwtSettings, now: float, scopes: ScopeClaims = SCOPE_CLAIMS
) -> ActiveToken | RejectedToken | NeedsKey:
    """Verify a signed access token of `issuer` at the time `now` (seconds since the epoch; RFC 9068 §4).

    `scopes` are the claims that may hold its scopes.
    """
    jws = parse(token)
    if jws is None:
        return RejectedToken(JwtFault.MALFORMED)
    fault = signature_fault(jws, _ANY_JWT if settings.any_typ else _ACCESS_TOKEN, keys, settings.algorithms)
    if fault is None:
        return _verify_claims(jws.payload, issuer, settings, now, scopes)
    if not isinstance(fault, NeedsKey):
        return RejectedToken(fault)
    # The name is not verified, but a token that names another issuer would be rejected with any key.
    foreign = unverified_issuer(token) not in (None, issuer)
    return RejectedToken(JwtFault.ISSUER) if foreign else fault


def signature_fault(
    jws: Jws, types: Collection[str], keys: KeySet, algorithms: Collection[str]
) -> JwtFault | NeedsKey | None:
    """Return why a JWS is not of one of these types, or not signed with one of the keys; None if it is both."""
    typ, algorithm, kid = jws.header.get("typ", ""), jws.header.get("alg"), jws.header.get("kid")
    if not isinstance(typ, str) or not isinstance(kid, str | None):
        return JwtFault.MALFORMED
    if media_type(typ) not in types:
        return JwtFault.TYPE
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        return JwtFault.ALGORITHM
    fitting = keys.fitting(kid, algorithm)
    if any(key.verifies(algorithm, jws.signed, jws.signature) for key in fitting[:MAX_CANDIDATES]):
        return None
    if len(fitting) > MAX_CANDIDATES:
        return NeedsKey(_fault_of_the_keys(f"{len(fitting)} of them fit a token, and its kid selects none"))
    unusable = None if kid is None else keys.unusable_key(kid)
    if unusable is not None and not fitting:
        return NeedsKey(_fault_of_the_keys(describe(unusable)))
    return NeedsKey(JwtFault.SIGNATURE if kid is not None and fitting and keys.names(kid) else JwtFault.KEY)


def _fault_of_the_keys(detail: str) -> IntrospectionError:
    return IntrospectionError(IntrospectionFailure.MALFORMED, f"its keys: {detail}")


def _verify_claims(
    payload: bytes, issuer: str, settings: JwtSettings, now: float, scopes: ScopeClaims
) -> ActiveToken | RejectedToken:
    try:
        claims = read_object(payload)
        if not gives_access(claims):
            return RejectedToken(JwtFault.TYPE)
        result = read_claims(claims, scopes)
        begins = max(read_date(claims, name, -NEVER) for name in ("nbf", "iat"))
    except ValueError:
        return RejectedToken(JwtFault.CLAIMS)
    if result.issuer != issuer:
        return RejectedToken(JwtFault.ISSUER)
    if result.expires == NEVER:
        return RejectedToken(JwtFault.NO_EXPIRY)
    if result.expires <= now:
        return RejectedToken(JwtFault.EXPIRED)
    if begins > now + settings.clock_skew:
        return RejectedToken(JwtFault.NOT_YET_VALID)
    return result
