"""Tells what a token is worth where a rule takes those of several authorization servers.

1. A JWT is asked about at the server whose issuer it names, and at no other.
2. Any other token is asked about at the first server; where the rule says so, at the next one when that does not know
   it. The token is worthless when all of them said so: where one did not answer, nobody knows.
3. What a rule leaves to its servers (issuer, audience) is held against the server that answered, not against all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from enforcer.errors import IntrospectionError
from enforcer.tokens.cache import CacheEntry, CacheKeys
from enforcer.tokens.introspection.client import Done
from enforcer.tokens.introspection.response import INACTIVE, ActiveToken, VerificationResult
from enforcer.tokens.jwt.jws import looks_like_jwt, unverified_issuer
from enforcer.tokens.verifier import CachingVerifier, LookupOptions, TokenSource, TokenVerifier, VerificationListener


@dataclass(frozen=True, slots=True)
class IssuerScope:
    """The issuers that a server speaks for: its `own`, where that is known, and none of `others`, which are others'."""

    own: str | None = None
    others: frozenset[str] = frozenset()

    def admits(self, token: bytes) -> bool:
        """Tell whether a token may be shown to the server: it may be its own, as far as the token says."""
        if not looks_like_jwt(token):
            return True
        issuer = unverified_issuer(token)
        return issuer not in self.others if self.own is None else issuer == self.own

    def covers(self, answer: ActiveToken) -> bool:
        """Tell whether what the server says is about a token of its own."""
        return answer.issuer not in self.others


class IssuerFilter:
    """A `TokenSource` that asks another one about tokens of its domain alone; the rest are worth nothing here."""

    def __init__(self, source: TokenSource, domain: IssuerScope) -> None:
        self._source = source
        self._domain = domain
        self.circuit_open = source.circuit_open
        self.close = source.close

    def introspect(self, token: bytes, done: Done) -> None:
        """Ask about a token; `done` gets the answer, or the error, exactly once, now or later."""
        if self._domain.admits(token):
            self._source.introspect(token, lambda told: done(self._own(told)))
        else:
            done(INACTIVE)

    def _own(self, told: VerificationResult | IntrospectionError) -> VerificationResult | IntrospectionError:
        return INACTIVE if isinstance(told, ActiveToken) and not self._domain.covers(told) else told


@dataclass(frozen=True, slots=True, eq=False)
class TrustedIssuer:
    """A server whose tokens a rule takes; its tokens must be of one of `issuers` and for one of `audience`, if any."""

    verifier: CachingVerifier
    domain: IssuerScope
    issuers: frozenset[str] = frozenset()
    audience: frozenset[str] = frozenset()

    def settles(self, entry: CacheEntry) -> CacheEntry | None:
        """Return what an answer of this server is to the rule; None where the server does not know the token."""
        answer = entry.result
        if not isinstance(answer, ActiveToken):
            return None
        if self.takes(answer):
            return entry
        # It is a token of this server, and none that the rule takes: nobody else is to see it.
        return _worthless(entry.fetched_at)

    def takes(self, answer: ActiveToken) -> bool:
        """Tell whether the rule takes a token of this server."""
        return (not self.issuers or answer.issuer in self.issuers) and (
            not self.audience or not self.audience.isdisjoint(answer.audience)
        )


class MultiIssuerVerifier:
    """What the tokens of several servers are worth, for one rule: a `TokenVerifier`.

    `in_order`: a token that names no issuer is asked about at each, until one knows it. `clock` gives seconds since
    the epoch.
    """

    def __init__(self, trusted: Sequence[TrustedIssuer], *, in_order: bool, clock: Callable[[], float]) -> None:
        self._trusted = trusted
        self._in_order = in_order
        self.clock = clock

    def verify(
        self, token: bytes, now: float, waiter: VerificationListener, demand: LookupOptions
    ) -> CacheEntry | None:
        """Return what is remembered of a token; or None, and tell the waiter later (or before this returns)."""
        return _Question(self, self._servers(token, now), token, waiter, demand).ask(now)

    @property
    def keys(self) -> frozenset[CacheKeys]:
        """What tells apart whose answers it gives."""
        return frozenset(keys for one in self._trusted for keys in one.verifier.keys)

    def takes(self, answer: ActiveToken, other: TokenVerifier) -> bool:
        """Tell whether what the other said of a token holds here too, whichever server may have said it."""
        said = [one for one in self._trusted if one.verifier.keys <= other.keys and one.domain.covers(answer)]
        return other.keys <= self.keys and bool(said) and all(one.takes(answer) for one in said)

    def _servers(self, token: bytes, now: float) -> Sequence[TrustedIssuer]:
        for one in self._trusted if self._in_order or looks_like_jwt(token) else self._trusted[:1]:
            # Whoever called it active has issued it: no need to take it apart, or to ask those before again.
            if one.verifier.remembers(token, now):
                return (one,)
        admitted = [one for one in self._trusted if one.domain.admits(token)]
        return admitted if self._in_order else admitted[:1]


class _Question:
    """A `VerificationListener` between the one who waits and the servers that are asked, one after the other."""

    __slots__ = ("_at", "_demand", "_error", "_servers", "_several", "_token", "_waiter")

    def __init__(
        self,
        several: MultiIssuerVerifier,
        servers: Sequence[TrustedIssuer],
        token: bytes,
        waiter: VerificationListener,
        demand: LookupOptions,
    ) -> None:
        self._several = several
        self._servers = servers
        self._token = token
        self._waiter = waiter
        self._demand = demand
        self._at = 0
        self._error: tuple[IntrospectionError, int] | None = None

    @property
    def address(self) -> str:
        return self._waiter.address

    def ask(self, now: float) -> CacheEntry | None:
        """Ask those that are left, until one knows the token; as `CachingVerifier.verify`."""
        while self._at < len(self._servers):
            server = self._servers[self._at]
            entry = server.verifier.verify(self._token, now, self, self._demand)
            if entry is None:
                return None
            settled = server.settles(entry)
            if settled is not None:
                return settled
            self._at += 1
        if self._error is None:
            return _worthless(now)
        self._waiter.on_no_answer(*self._error)
        return None

    def on_answer(self, entry: CacheEntry) -> None:
        settled = self._servers[self._at].settles(entry)
        if settled is not None:
            self._waiter.on_answer(settled)
        else:
            self._go_on()

    def on_no_answer(self, error: IntrospectionError, retry_after: int) -> None:
        self._error = self._error or (error, retry_after)
        self._go_on()

    def on_too_many(self, retry_after: int) -> None:
        self._waiter.on_too_many(retry_after)

    def _go_on(self) -> None:
        self._at += 1
        entry = self.ask(self._several.clock())
        if entry is not None:
            self._waiter.on_answer(entry)


def _worthless(now: float) -> CacheEntry:
    return CacheEntry(INACTIVE, b"", now, now)
