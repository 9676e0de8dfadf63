"""Verifies tokens: by a cached result, or by asking a token source once for all requests that wait.

1. Only verification results are cached. An error goes to the requests that waited for it, and to no later one.
2. An introspection belongs to no request: if a client leaves, the other requests still get the result.
3. The result for a token in use is refreshed before it expires, while requests are served from the cache.
4. While the source fails, a stale entry serves requests that accept it, never past the token's expiry.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from math import ceil
from typing import Final, Protocol, final

from enforcer.counters import IntrospectionMetrics
from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.tokens.cache import CacheEntry, CacheKeys, TokenCache
from enforcer.tokens.claims import NEVER, ActiveToken
from enforcer.tokens.introspection.response import IntrospectionOutcome
from enforcer.tokens.jwt.fault import EXPLANATIONS, JwtFault, RejectedToken
from enforcer.tokens.limiter import ClientLimiter
from enforcer.tokens.lookup import Lookup
from enforcer.tokens.retention import Retention
from enforcer.wire.callback import Callback

_log = logging.getLogger("enforcer.tokens")


class TokenSource(Protocol):
    """Verifies tokens of one authorization server, without a cache."""

    def introspect(self, lookup: Lookup, callback: Callback[IntrospectionOutcome]) -> IntrospectionOutcome | None:
        """Verify a token."""

    def circuit_open(self) -> bool:
        """Return whether a circuit breaker stops its calls."""

    def close(self) -> None:
        """Stop background work, because it is replaced. Running and later calls are still served."""


class LimitFailure(Enum):
    """A limit that stopped a verification."""

    TOO_MANY_UNSEEN = "too_many_unseen_tokens"


@final
@dataclass(frozen=True, slots=True)
class VerificationFailure:
    """Why it is unknown whether a token is active. `retry_after` is in seconds, `detail` a text for the log."""

    reason: IntrospectionFailure | LimitFailure
    retry_after: int
    detail: str = ""


VerificationOutcome = CacheEntry | VerificationFailure


class VerificationListener(Protocol):
    """Waits for the outcome of a verification."""

    @property
    def client(self) -> str:
        """The client's key (`clients.client_key`), by which unseen tokens are counted."""

    def on_verification(self, outcome: VerificationOutcome) -> None:
        """The outcome is known; called only after `verify` has returned None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupOptions:
    """Which cached results a rule accepts: at most `max_age` seconds old; in an outage also stale ones (`stale`)."""

    max_age: float | None = None
    stale: bool = False


class TokenVerifier:
    """Verifies tokens for a rule. A base class and no Protocol, since every request calls it; see `Carrier`."""

    @property
    def keys(self) -> frozenset[CacheKeys]:
        """The cache keys of the servers whose tokens it verifies; they identify the servers."""
        raise NotImplementedError

    @property
    def retention(self) -> Retention:
        """The claims that its results have."""
        raise NotImplementedError

    def verify(
        self, token: bytes, now: float, listener: VerificationListener, options: LookupOptions
    ) -> VerificationOutcome | None:
        """Return the outcome if it is known at once; otherwise None, and the listener gets it later."""
        raise NotImplementedError

    def takes(self, result: ActiveToken, other: TokenVerifier) -> bool:
        """Return whether the other's result for a token holds here: it has the claims, and is of one of them."""
        raise NotImplementedError


class _Introspection:
    """An introspection that is under way, and the requests that wait for it.

    `started` is when it began, and `purges` the number of purges of the cache then; `ended`: its outcome was reported.
    """

    __slots__ = ("ended", "purges", "started", "waiting")

    def __init__(self, purges: int) -> None:
        self.waiting: list[tuple[VerificationListener, LookupOptions]] = []
        self.purges: Final = purges
        self.started: Final = time.perf_counter()
        self.ended = False


class CachingVerifier(TokenVerifier):
    """Verifies the tokens of one authorization server, cached by `keys`.

    `write_identity` writes, once for each result, the identity fields that requests need; `clock` gives seconds since
    the epoch.
    """

    def __init__(
        self,
        name: str,
        source: TokenSource,
        cache: TokenCache,
        keys: CacheKeys,
        limiter: ClientLimiter,
        write_identity: Callable[[ActiveToken], bytes],
        metrics: IntrospectionMetrics,
        clock: Callable[[], float],
        retry_after: int,
    ) -> None:
        self._name = name
        self._source = source
        self._cache = cache
        self._limiter = limiter
        self._keys = keys
        self._write_identity = write_identity
        self._metrics = metrics
        metrics.circuit_open = source.circuit_open
        self._clock = clock
        self._retry_after = retry_after
        self._pending: dict[bytes, _Introspection] = {}  # the last one of each key that has not ended

    def verify(
        self, token: bytes, now: float, listener: VerificationListener, options: LookupOptions
    ) -> VerificationOutcome | None:
        key = self._keys.key(token)
        entry = self._cache.get(key, now)
        if entry is not None and (options.max_age is None or now - entry.fetched_at <= options.max_age):
            if entry.refresh_at <= now:
                entry.refresh_at = NEVER
                if key not in self._pending:
                    self._introspect(key, Lookup(token, listener.client, known=True), None, options)
            if isinstance(entry.result, ActiveToken):
                self._metrics.hits += 1
            else:
                self._metrics.negative_hits += 1
            return entry
        pending = self._pending.get(key)
        # After a purge, no request may get a result that the server may have given before it.
        if pending is not None and pending.purges == self._cache.purges:
            self._metrics.coalesced += 1
            pending.waiting.append((listener, options))
            return None
        known = self._cache.get_stale(key, now) is not None
        if not known:
            wait = self._limiter.wait(listener.client, now)
            if wait:
                return VerificationFailure(LimitFailure.TOO_MANY_UNSEEN, ceil(wait))
        self._metrics.misses += 1
        return self._introspect(key, Lookup(token, listener.client, known), listener, options)

    @property
    def keys(self) -> frozenset[CacheKeys]:
        """The cache keys of the server; they identify it."""
        return frozenset((self._keys,))

    @property
    def retention(self) -> Retention:
        """The claims that its results have: those that the cache keeps."""
        return self._cache.retention

    def takes(self, result: ActiveToken, other: TokenVerifier) -> bool:
        """Return whether the other's result for a token holds here: it has the claims, and is of the same server."""
        return other.keys <= self.keys and self.retention.decides_on(other.retention)

    def remembers(self, token: bytes, now: float) -> bool:
        """Return whether the cache has an active token, fresh or stale."""
        return self._cache.get_stale(self._keys.key(token), now) is not None

    def purge(self, token: bytes) -> bool:
        """Remove a token from the cache; returns whether it was there."""
        self._cache.purges += 1
        return self._cache.drop(self._keys.key(token))

    def _introspect(
        self, key: bytes, lookup: Lookup, listener: VerificationListener | None, options: LookupOptions
    ) -> VerificationOutcome | None:
        pending = self._pending[key] = _Introspection(self._cache.purges)
        if listener is not None:
            pending.waiting.append((listener, options))
        self._metrics.in_flight += 1
        try:
            on_result = partial(self._on_introspected, key, lookup.client, pending)
            result = self._source.introspect(lookup, on_result)
        except Exception:  # noqa: BLE001 - after any error, no request must wait forever
            _log.exception("internal error")
            result = IntrospectionError(IntrospectionFailure.UNAVAILABLE, "it could not be asked")
        if result is None:
            return None
        outcome = self._end(key, lookup.client, pending, result)
        if listener is None or not isinstance(outcome, VerificationFailure):
            return outcome
        return self._in_outage(outcome, key, options)

    def _on_introspected(self, key: bytes, client: str, pending: _Introspection, result: IntrospectionOutcome) -> None:
        if pending.ended:
            return  # the source raised after it had begun: the failure was reported then
        outcome = self._end(key, client, pending, result)
        for listener, options in pending.waiting:
            if isinstance(outcome, VerificationFailure):
                listener.on_verification(self._in_outage(outcome, key, options))
            else:
                listener.on_verification(outcome)

    def _end(
        self, key: bytes, client: str, pending: _Introspection, result: IntrospectionOutcome
    ) -> VerificationOutcome:
        """Record the result in the metrics, the log and the cache."""
        pending.ended = True
        if self._pending.get(key) is pending:
            del self._pending[key]
        metrics = self._metrics
        metrics.in_flight -= 1
        identity = b""
        if isinstance(result, ActiveToken):
            try:
                identity = self._write_identity(result)
            except Exception:  # noqa: BLE001 - after any error, no request must wait forever
                _log.exception("internal error")
                result = IntrospectionError(IntrospectionFailure.MALFORMED, "its claims cannot be passed on")
        if isinstance(result, IntrospectionError):
            metrics.results[result.reason.value] += 1
            # It may be due to the token, which any client can make up, so that it shows no state of the server. The
            # first argument is what the log counts by if the message repeats.
            kind = f"{result.reason}, authorization server {self._name}"
            _log.warning("a token cannot be verified: %s: %s; see enforcer doctor", kind, result.detail)
            retry_after = self._retry_after if result.retry_after is None else max(ceil(result.retry_after), 1)
            return VerificationFailure(result.reason, retry_after, str(result))
        seconds = time.perf_counter() - pending.started
        metrics.duration.observe(seconds)
        state = "active" if isinstance(result, ActiveToken) else "inactive"
        _log.debug("authorization server %s: a token is verified in %.1f ms: %s", self._name, seconds * 1000, state)
        metrics.results[state] += 1
        if isinstance(result, RejectedToken):
            self._report_rejection(result.fault)
        entry = self._cache.put(key, result, identity, self._clock(), client)
        if pending.purges != self._cache.purges:
            self._cache.drop(key)  # the purge may have been for this very token
        return entry

    def _report_rejection(self, fault: JwtFault) -> None:
        self._metrics.rejected[fault.value] += 1
        # Clients renew their tokens after they have expired, so that nobody has to look.
        level = logging.INFO if fault is JwtFault.EXPIRED else logging.WARNING
        # The first argument is what the log counts by if the message repeats.
        _log.log(level, "a JWT is rejected: %s: %s", f"{fault}, authorization server {self._name}", EXPLANATIONS[fault])

    def _in_outage(self, failure: VerificationFailure, key: bytes, options: LookupOptions) -> VerificationOutcome:
        """Return a stale entry if the request accepts it, else the failure."""
        if options.stale:
            stale = self._cache.get_stale(key, self._clock())
            if stale is not None:
                self._metrics.stale_hits += 1
                return stale
        return failure


class CacheControl:
    """The token cache as the admin server sees it, whichever servers issued the tokens."""

    def __init__(self, cache: TokenCache, verifiers: Iterable[CachingVerifier]) -> None:
        self._cache = cache
        self._verifiers = frozenset(verifiers)

    def succeed(self, earlier: CacheControl) -> list[object]:
        """Replace another one, whose entries were taken over: purges since then clear the whole cache.

        Returns what is to be freed (see `TokenCache.clear`).
        """
        return self._cache.clear() if self._cache.purges != earlier._cache.purges else []

    def __len__(self) -> int:
        return len(self._cache)

    @property
    def evictions(self) -> Mapping[str, int]:
        """The number of entries evicted, by reason."""
        return self._cache.evictions

    def purge(self, kind: str, value: str) -> Iterable[int]:
        """Remove the entries of a `token`, `subject` or `client_id` in bounded steps; yields their numbers."""
        if kind == "token":
            return [verifier.purge(value.encode("utf-8", "surrogatepass")) for verifier in self._verifiers]
        return self._cache.purge(**{kind: value})
