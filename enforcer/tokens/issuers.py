"""Rules that accept tokens of several authorization servers: which server a token is sent to, and their verifier.

1. A JWT is sent to the server whose issuer it names, and to no other. The name is not verified here, and decides
   nothing else. A JWT without one (RFC 9068 §2.2 requires it) is sent to no server whose issuer is known.
2. Any other token is sent to the first server of its rule. Only if the rule says so is it sent on to the next ones, in
   order, until one knows it, since that shows it to servers that did not issue it.
3. The token is inactive if all of them say so. If one of them failed, it is unknown.
4. A server's response counts only for its own tokens: one that it says is another server's is inactive.
5. Conditions that a rule leaves to its servers (issuer, audience) are those of the server that responded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, TypeVar

from enforcer.errors import IntrospectionFailure
from enforcer.tokens.cache import CacheEntry, CacheKeys
from enforcer.tokens.claims import ActiveToken
from enforcer.tokens.introspection.response import INACTIVE, IntrospectionOutcome
from enforcer.tokens.jwt.fault import JwtFault, RejectedToken
from enforcer.tokens.jwt.jws import looks_like_jwt, unverified_issuer
from enforcer.tokens.lookup import Lookup
from enforcer.tokens.retention import Retention
from enforcer.tokens.verifier import (
    CachingVerifier,
    LookupOptions,
    TokenSource,
    TokenVerifier,
    VerificationFailure,
    VerificationListener,
    VerificationOutcome,
)
from enforcer.wire.callback import Callback, Operation, convert

_FOREIGN: Final = RejectedToken(JwtFault.ISSUER)
"""The result for a JWT whose issuer is none of the servers that may verify it: it is sent to none of them."""


@dataclass(frozen=True, slots=True)
class IssuerScope:
    """The issuers that a server speaks for: its `own`, if that is known, and none of the `others`."""

    own: str | None = None
    others: frozenset[str] = frozenset()

    def admits(self, token: bytes) -> bool:
        """Return whether a token may be sent to the server: as far as the token says, it may be the server's."""
        if not looks_like_jwt(token):
            return True
        issuer = unverified_issuer(token)
        return issuer not in self.others if self.own is None else issuer == self.own

    def covers(self, result: ActiveToken) -> bool:
        """Return whether the server's result is about a token of its own."""
        return result.issuer not in self.others


class IssuerFilter:
    """A `TokenSource` that passes on only tokens of its scope; all others are inactive."""

    def __init__(self, source: TokenSource, scope: IssuerScope) -> None:
        self._source = source
        self._scope = scope
        self.circuit_open = source.circuit_open
        self.close = source.close

    def introspect(self, lookup: Lookup, callback: Callback[IntrospectionOutcome]) -> IntrospectionOutcome | None:
        if not self._scope.admits(lookup.token):
            return _FOREIGN
        introspect: Operation[IntrospectionOutcome] = partial(self._source.introspect, lookup)
        return convert(introspect, self._filter, callback)

    def _filter(self, outcome: IntrospectionOutcome) -> IntrospectionOutcome:
        return INACTIVE if isinstance(outcome, ActiveToken) and not self._scope.covers(outcome) else outcome


@dataclass(frozen=True, slots=True, eq=False)
class TrustedIssuer:
    """A server whose tokens a rule accepts: those of one of `issuers` and for one of `audience`, unless empty."""

    verifier: CachingVerifier
    scope: IssuerScope
    issuers: frozenset[str] = frozenset()
    audience: frozenset[str] = frozenset()

    def accept(self, entry: CacheEntry) -> CacheEntry | None:
        """Return the entry for the rule, or None if the server does not know the token."""
        result = entry.result
        if not isinstance(result, ActiveToken):
            return None
        # The server's own token, if the rule does not accept it: no other server must see it.
        return entry if self.takes(result) else _inactive(entry.fetched_at)

    def takes(self, result: ActiveToken) -> bool:
        """Return whether the rule accepts a token of this server."""
        return (not self.issuers or result.issuer in self.issuers) and (
            not self.audience or not self.audience.isdisjoint(result.audience)
        )


class Scoped(Protocol):
    """A server of a rule, as far as it matters which tokens may be sent to it."""

    @property
    def scope(self) -> IssuerScope: ...


S = TypeVar("S", bound=Scoped)


def choose(token: bytes, issuers: Sequence[S], *, in_order: bool) -> Sequence[S]:
    """Return the servers that a token may be sent to, in this order. `in_order`: all that may have issued it."""
    admitting = [issuer for issuer in issuers if issuer.scope.admits(token)]
    return admitting if in_order else admitting[:1]


class MultiIssuerVerifier(TokenVerifier):
    """Verifies tokens of several servers, for one rule.

    `in_order`: a token that names no issuer is sent to each server, until one knows it. `clock` gives seconds since
    the epoch.
    """

    def __init__(self, issuers: Sequence[TrustedIssuer], *, in_order: bool, clock: Callable[[], float]) -> None:
        self._issuers = issuers
        self._in_order = in_order
        self._clock = clock

    def verify(
        self, token: bytes, now: float, listener: VerificationListener, options: LookupOptions
    ) -> VerificationOutcome | None:
        return _Lookup(self._candidates(token, now), token, listener, options, self._clock).resume(now)

    @property
    def keys(self) -> frozenset[CacheKeys]:
        """The cache keys of the servers; they identify them."""
        return frozenset(keys for issuer in self._issuers for keys in issuer.verifier.keys)

    @property
    def retention(self) -> Retention:
        """The claims that its results have: the servers share a cache."""
        return self._issuers[0].verifier.retention

    def takes(self, result: ActiveToken, other: TokenVerifier) -> bool:
        """Return whether the other's result for a token holds here too, whichever of its servers it is from."""
        possible = [
            issuer for issuer in self._issuers if issuer.verifier.keys <= other.keys and issuer.scope.covers(result)
        ]
        if not self.retention.decides_on(other.retention):
            return False
        return other.keys <= self.keys and bool(possible) and all(issuer.takes(result) for issuer in possible)

    def _candidates(self, token: bytes, now: float) -> Sequence[TrustedIssuer]:
        for issuer in self._issuers if self._in_order or looks_like_jwt(token) else self._issuers[:1]:
            # A server that called the token active has issued it: neither parse it, nor ask the servers before again.
            if issuer.verifier.remembers(token, now):
                return (issuer,)
        return choose(token, self._issuers, in_order=self._in_order)


@dataclass(slots=True, eq=False, repr=False)
class _Lookup:
    """The verification of one token by several servers, one after the other: a `VerificationListener` for each."""

    _issuers: Sequence[TrustedIssuer]
    _token: bytes
    _listener: VerificationListener
    _options: LookupOptions
    _clock: Callable[[], float]
    _index: int = 0
    _failure: VerificationFailure | None = None
    _rejected: CacheEntry | None = None

    @property
    def client(self) -> str:
        return self._listener.client

    def resume(self, now: float) -> VerificationOutcome | None:
        """Ask the remaining servers, until one knows the token; as `TokenVerifier.verify`."""
        while self._index < len(self._issuers):
            outcome = self._issuers[self._index].verifier.verify(self._token, now, self, self._options)
            if outcome is None:
                return None
            final = self._take(outcome)
            if final is not None:
                return final
        return self._failure or self._rejected or CacheEntry(INACTIVE if self._issuers else _FOREIGN, b"", now, now)

    def on_verification(self, outcome: VerificationOutcome) -> None:
        final = self._take(outcome)
        if final is None:
            final = self.resume(self._clock())
        if final is not None:
            self._listener.on_verification(final)

    def _take(self, outcome: VerificationOutcome) -> VerificationOutcome | None:
        """Return the final outcome, or None if it is the next server's turn."""
        if isinstance(outcome, CacheEntry):
            accepted = self._issuers[self._index].accept(outcome)
            if accepted is not None:
                return accepted
            if isinstance(outcome.result, RejectedToken):
                self._rejected = outcome
        elif isinstance(outcome.reason, IntrospectionFailure):
            self._failure = self._failure or outcome
        else:
            return outcome
        self._index += 1
        return None


def _inactive(now: float) -> CacheEntry:
    return CacheEntry(INACTIVE, b"", now, now)
