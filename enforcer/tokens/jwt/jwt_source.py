"""Verifies JWTs by the keys of the server that issued them, and other tokens, if at all, by introspection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from enforcer.errors import IntrospectionError
from enforcer.settings.jwt import JwtSettings
from enforcer.tokens.claims import SCOPE_CLAIMS, ScopeClaims
from enforcer.tokens.introspection.response import IntrospectionOutcome, VerificationResult
from enforcer.tokens.jwt.fault import JwtFault, RejectedToken
from enforcer.tokens.jwt.jwks import KeySet
from enforcer.tokens.jwt.jws import looks_like_jwt
from enforcer.tokens.jwt.jwt import NeedsKey, verify
from enforcer.tokens.lookup import Lookup
from enforcer.tokens.verifier import TokenSource
from enforcer.wire.callback import Callback, Operation, convert


class TokenKeys(Protocol):
    """The keys of a server for the tokens of clients: `ClientKeys`."""

    @property
    def current(self) -> KeySet | None:
        """The last keys that were fetched."""

    def refresh_for(
        self, client: str, callback: Callback[KeySet | IntrospectionError]
    ) -> KeySet | IntrospectionError | None:
        """Get newer keys for a token of a client."""

    def close(self) -> None:
        """Stop refreshing."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class JwtSource:
    """A `TokenSource` for the tokens of `issuer`: JWTs are verified by `keys`, all others by `others`.

    Without `others` they are inactive, and nobody is asked. `clock` gives seconds since the epoch; `scopes` are the
    claims that may hold the scopes of a JWT.
    """

    keys: TokenKeys
    issuer: str
    settings: JwtSettings
    others: TokenSource | None
    clock: Callable[[], float]
    scopes: ScopeClaims = SCOPE_CLAIMS

    def introspect(self, lookup: Lookup, callback: Callback[IntrospectionOutcome]) -> IntrospectionOutcome | None:
        """Verify a token; keys that may be missing are fetched first."""
        token = lookup.token
        if not looks_like_jwt(token):
            if self.others is None:
                return RejectedToken(JwtFault.MALFORMED)
            return self.others.introspect(lookup, callback)
        keys = self.keys.current
        outcome = None if keys is None else self._verify(token, keys)
        if outcome is None or isinstance(outcome, NeedsKey):
            refresh: Operation[KeySet | IntrospectionError] = partial(self.keys.refresh_for, lookup.client)
            return convert(refresh, self._verify_by_newest, callback, token)
        return outcome

    def close(self) -> None:
        """Stop background work; later calls are still served."""
        self.keys.close()
        if self.others is not None:
            self.others.close()

    def circuit_open(self) -> bool:
        """Return whether a circuit breaker stops introspection requests."""
        return self.others is not None and self.others.circuit_open()

    def _verify_by_newest(self, token: bytes, keys: KeySet | IntrospectionError) -> IntrospectionOutcome:
        outcome = keys if isinstance(keys, IntrospectionError) else self._verify(token, keys)
        if not isinstance(outcome, NeedsKey):
            return outcome
        # With the server's newest keys, a key that is not among them is not the server's.
        final = outcome.otherwise
        return final if isinstance(final, IntrospectionError) else RejectedToken(final)

    def _verify(self, token: bytes, keys: KeySet) -> VerificationResult | NeedsKey:
        return verify(token, keys, self.issuer, self.settings, self.clock(), self.scopes)
