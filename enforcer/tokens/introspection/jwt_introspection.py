"""Introspection answers that the authorization server has signed (RFC 9701): who stands between changes nothing.

1. An answer that is not signed by the server's keys, for us, and just now, is none.
2. The signature is over what the server says, not over which token it says it of: that is TLS's to keep together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.tokens.introspection.client import Done
from enforcer.tokens.introspection.response import VerificationResult, from_members
from enforcer.tokens.jwt.jwks import KeySet
from enforcer.tokens.jwt.jws import parse
from enforcer.tokens.jwt.jwt import NEEDS_KEY, JwtFault, NeedsKey, signature_fault
from enforcer.tokens.remote_document import RemoteDocument
from enforcer.tokens.strict_json import read_object

MAX_AGE: Final = 60.0
"""Seconds since an answer was signed, at most: an older one was given to another question."""

_TYPES: Final = frozenset({"token-introspection+jwt"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedResponse:
    """What an answer must be: by this issuer, for this client, signed with one of these algorithms. `clock_skew` is
    how far the server's clock may be ahead, in seconds."""

    issuer: str
    client_id: str
    algorithms: Collection[str]
    clock_skew: float


class JwtReader:
    """A `Reader` of signed answers, by the keys of the server; `clock` gives seconds since the epoch."""

    def __init__(self, keys: RemoteDocument[KeySet], expected: ExpectedResponse, clock: Callable[[], float]) -> None:
        self._keys = keys
        self._expected = expected
        self._clock = clock

    def read(self, data: bytes, done: Done) -> None:
        """Verify an answer; `done` gets it, or the error, exactly once, now or later."""
        keys = self._keys.good
        answer = NEEDS_KEY if keys is None else self._verify(data, keys)
        if not isinstance(answer, NeedsKey):
            done(answer)
            return

        def renewed(outcome: KeySet | IntrospectionError) -> None:
            newer = outcome if isinstance(outcome, IntrospectionError) else self._verify(data, outcome)
            done(_malformed(JwtFault.KEY) if isinstance(newer, NeedsKey) else newer)

        self._keys.renew(renewed)

    def close(self) -> None:
        """Fetch keys no more."""
        self._keys.close()

    def _verify(self, data: bytes, keys: KeySet) -> VerificationResult | IntrospectionError | NeedsKey:
        try:
            return verify(data, keys, self._expected, self._clock())
        except IntrospectionError as error:
            return error.as_value()


def verify(data: bytes, keys: KeySet, expected: ExpectedResponse, now: float) -> VerificationResult | NeedsKey:
    """Verify an answer at `now`, seconds since the epoch (RFC 9701 §5); raises IntrospectionError (malformed)."""
    jws = parse(data)
    if jws is None:
        raise _malformed(JwtFault.MALFORMED)
    fault = signature_fault(jws, _TYPES, keys, expected.algorithms)
    if isinstance(fault, NeedsKey):
        return fault
    if fault is not None:
        raise _malformed(fault)
    try:
        claims = read_object(jws.payload)
    except ValueError:
        raise _malformed(JwtFault.CLAIMS) from None
    audience, issued, members = claims.get("aud"), claims.get("iat"), claims.get("token_introspection")
    if claims.get("iss") != expected.issuer:
        raise _malformed(JwtFault.ISSUER)
    if expected.client_id not in (audience if isinstance(audience, list) else [audience]):
        raise _malformed(JwtFault.AUDIENCE)
    if not isinstance(issued, int | float) or isinstance(issued, bool) or not isinstance(members, dict):
        raise _malformed(JwtFault.CLAIMS)
    if issued > now + expected.clock_skew:
        raise _malformed(JwtFault.NOT_YET_VALID)
    if issued < now - MAX_AGE:
        raise _malformed(JwtFault.EXPIRED)
    return from_members(members)


def _malformed(fault: JwtFault) -> IntrospectionError:
    return IntrospectionError(IntrospectionFailure.MALFORMED, f"its signed answer: {fault}")
