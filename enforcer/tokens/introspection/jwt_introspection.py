"""Signed introspection responses (RFC 9701), which nobody between the server and us can change.

1. A response that was not signed with the server's keys, for us, and just now, is an error.
2. The signature covers the response, but not the token that it is about: only TLS ties the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Final

from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.tokens.claims import SCOPE_CLAIMS, ScopeClaims
from enforcer.tokens.documents.strict_json import read_document
from enforcer.tokens.introspection.endpoint_result import read_body
from enforcer.tokens.introspection.response import IntrospectionOutcome, VerificationResult, from_members
from enforcer.tokens.jwt.fault import JwtFault
from enforcer.tokens.jwt.jwks import KeySet, KeySource
from enforcer.tokens.jwt.jws import parse
from enforcer.tokens.jwt.jwt import NeedsKey, signature_fault
from enforcer.wire.callback import Callback, convert

MAX_AGE: Final = 60.0
"""Highest age of a signature in seconds: an older response belongs to another request."""

_TYPES: Final = frozenset({"token-introspection+jwt"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedResponse:
    """The requirements of a response: this issuer, this client as its audience, one of these signature algorithms.

    `clock_skew` is how far the server's clock may be ahead, in seconds. `scopes` are the claims that may hold the
    scopes of a token.
    """

    issuer: str
    client_id: str
    algorithms: Collection[str]
    clock_skew: float
    scopes: ScopeClaims = SCOPE_CLAIMS


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class JwtReader:
    """A `ResponseReader` for signed responses, verified by the server's keys. `clock` gives seconds since the epoch."""

    keys: KeySource
    expected: ExpectedResponse
    clock: Callable[[], float]

    def read(self, body: bytes, callback: Callback[IntrospectionOutcome]) -> IntrospectionOutcome | None:
        """Verify a response; keys that may be missing are fetched first."""
        keys = self.keys.current
        outcome = None if keys is None else self._verify(body, keys)
        if outcome is None or isinstance(outcome, NeedsKey):
            return convert(self.keys.refresh, self._verify_by_newest, callback, body)
        return outcome

    def close(self) -> None:
        """Stop refreshing the keys."""
        self.keys.close()

    def _verify_by_newest(self, body: bytes, keys: KeySet | IntrospectionError) -> IntrospectionOutcome:
        outcome = keys if isinstance(keys, IntrospectionError) else self._verify(body, keys)
        return error_of(outcome) if isinstance(outcome, NeedsKey) else outcome

    def _verify(self, body: bytes, keys: KeySet) -> IntrospectionOutcome | NeedsKey:
        return read_body(body, partial(verify, keys=keys, expected=self.expected, now=self.clock()))


def verify(body: bytes, keys: KeySet, expected: ExpectedResponse, now: float) -> VerificationResult | NeedsKey:
    """Verify a response at `now`, seconds since the epoch (RFC 9701 §5); raises IntrospectionError (malformed)."""
    jws = parse(body)
    if jws is None:
        raise _malformed(JwtFault.MALFORMED)
    fault = signature_fault(jws, _TYPES, keys, expected.algorithms)
    if isinstance(fault, NeedsKey):
        return fault
    if fault is not None:
        raise _malformed(fault)
    claims = read_document(jws.payload, "its signed response")
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
    return from_members(members, expected.scopes)


def error_of(needed: NeedsKey) -> IntrospectionError:
    """Return the error of a response that the server's newest keys do not verify."""
    fault = needed.otherwise
    return fault if isinstance(fault, IntrospectionError) else _malformed(fault)


def _malformed(fault: JwtFault) -> IntrospectionError:
    return IntrospectionError(IntrospectionFailure.MALFORMED, f"its signed response: {fault}")
