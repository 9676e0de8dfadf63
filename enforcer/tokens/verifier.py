"""Tells what a token is worth: remembered, or asked once for all who wait.

1. Only answers are remembered; an error is told to those who waited for it, and to nobody later.
2. A call belongs to no request: whoever leaves, the others get their answer.
3. A token in use is asked for again before its answer ends, with nobody waiting.
4. While nobody can be asked, an answer that is kept serves those who may take it, never past the token's end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Protocol

from enforcer.counters import IntrospectionMetrics
from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.tokens.cache import CacheEntry, CacheKeys, TokenCache
from enforcer.tokens.introspection.client import Done
from enforcer.tokens.introspection.response import NEVER, ActiveToken, VerificationResult
from enforcer.tokens.limiter import AddressLimiter

_log = logging.getLogger("enforcer.tokens")


class TokenSource(Protocol):
    """Who says what a token is worth."""

    def introspect(self, token: bytes, done: Done) -> None:
        """Ask about a token; `done` gets the answer, or the error, exactly once, now or later."""

    def circuit_open(self) -> bool:
        """Tell whether it failed too often, and is left alone for a while."""

    def close(self) -> None:
        """End what goes on in the background: it is replaced. Running calls end; who still asks is answered."""


class VerificationListener(Protocol):
    """Who waits for an answer."""

    @property
    def address(self) -> str:
        """The client's address, for which unseen tokens are counted."""

    def on_answer(self, entry: CacheEntry) -> None:
        """Take the answer."""

    def on_no_answer(self, error: IntrospectionError, retry_after: int) -> None:
        """Take the reason why there is none."""

    def on_too_many(self, retry_after: int) -> None:
        """Take that the client has sent too many unseen tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupOptions:
    """What a rule asks of an answer: at most `max_age` seconds old, or, in an outage, any that is kept (`stale`)."""

    max_age: float | None = None
    stale: bool = False


class TokenVerifier(Protocol):
    """Tells a rule what tokens are worth."""

    @property
    def keys(self) -> frozenset[CacheKeys]:
        """What tells apart whose answers it gives."""

    def verify(
        self, token: bytes, now: float, waiter: VerificationListener, demand: LookupOptions
    ) -> CacheEntry | None:
        """Return what is remembered of a token; or None, and tell the waiter later (or before this returns)."""

    def takes(self, answer: ActiveToken, other: TokenVerifier) -> bool:
        """Tell whether what the other said of a token holds here too: it is of an authorization server of this one."""


class CachingVerifier:
    """What the tokens of one authorization server are worth, remembered by its `keys`.

    `prepare` makes, once for each answer, what is needed of it on every request; `clock` gives seconds since the epoch.
    """

    def __init__(
        self,
        name: str,
        source: TokenSource,
        cache: TokenCache,
        keys: CacheKeys,
        limiter: AddressLimiter,
        prepare: Callable[[ActiveToken], bytes],
        metrics: IntrospectionMetrics,
        clock: Callable[[], float],
        retry_after: int,
    ) -> None:
        self._name = name
        self._source = source
        self._cache = cache
        self._limiter = limiter
        self._keys = keys
        self._prepare = prepare
        self._metrics = metrics
        metrics.circuit_open = source.circuit_open
        self._clock = clock
        self._retry_after = retry_after
        self._waiting: dict[bytes, list[tuple[VerificationListener, LookupOptions]]] = {}
        self._troubled = False

    def verify(
        self, token: bytes, now: float, waiter: VerificationListener, demand: LookupOptions
    ) -> CacheEntry | None:
        """Return what is remembered of a token; or None, and tell the waiter later (or before this returns)."""
        key = self._keys.key(token)
        entry = self._cache.get(key, now)
        if entry is not None and (demand.max_age is None or now - entry.fetched_at <= demand.max_age):
            if entry.refresh_at <= now:
                entry.refresh_at = NEVER
                if key not in self._waiting:
                    self._ask(key, token, [])
            if isinstance(entry.result, ActiveToken):
                self._metrics.hits += 1
            else:
                self._metrics.negative_hits += 1
            return entry
        waiting = self._waiting.get(key)
        if waiting is not None:
            self._metrics.coalesced += 1
            waiting.append((waiter, demand))
            return None
        if self._cache.get_stale(key, now) is None:
            wait = self._limiter.wait(waiter.address, now)
            if wait:
                waiter.on_too_many(ceil(wait))
                return None
        self._metrics.misses += 1
        self._ask(key, token, [(waiter, demand)])
        return None

    @property
    def keys(self) -> frozenset[CacheKeys]:
        """What tells apart whose answers it gives."""
        return frozenset((self._keys,))

    def takes(self, answer: ActiveToken, other: TokenVerifier) -> bool:
        """Tell whether what the other said of a token holds here too: it is of the same authorization server."""
        return other.keys <= self.keys

    def remembers(self, token: bytes, now: float) -> bool:
        """Tell whether the token is known to have been active, be the answer fresh or kept for an outage."""
        return self._cache.get_stale(self._keys.key(token), now) is not None

    def purge(self, token: bytes) -> bool:
        """Forget what is remembered of a token; tells whether anything was."""
        self._cache.purges += 1
        return self._cache.drop(self._keys.key(token))

    def _ask(self, key: bytes, token: bytes, waiting: list[tuple[VerificationListener, LookupOptions]]) -> None:
        self._waiting[key] = waiting
        self._metrics.in_flight += 1
        started = time.perf_counter()
        purges = self._cache.purges
        try:
            self._source.introspect(token, lambda result: self._told(key, result, started, purges))
        except Exception:  # noqa: BLE001 - whatever it is, nobody waits for ever
            _log.exception("internal error")
            if key in self._waiting:
                failed = IntrospectionError(IntrospectionFailure.UNAVAILABLE, "it could not be asked")
                self._told(key, failed, started, purges)

    def _told(self, key: bytes, result: VerificationResult | IntrospectionError, started: float, purges: int) -> None:
        metrics = self._metrics
        metrics.in_flight -= 1
        waiting = self._waiting.pop(key)
        now = self._clock()
        prepared = b""
        if isinstance(result, ActiveToken):
            try:
                prepared = self._prepare(result)
            except Exception:  # noqa: BLE001 - whatever it is, nobody waits for ever
                _log.exception("internal error")
                result = IntrospectionError(IntrospectionFailure.MALFORMED, "its claims cannot be passed on")
        if isinstance(result, IntrospectionError):
            metrics.results[result.reason.value] += 1
            self._note(result)
            kept = self._cache.get_stale(key, now)
            for waiter, demand in waiting:
                if kept is not None and demand.stale:
                    metrics.stale_hits += 1
                    waiter.on_answer(kept)
                else:
                    waiter.on_no_answer(result, self._retry_after)
            return
        metrics.duration.observe(time.perf_counter() - started)
        self._note(None)
        active = isinstance(result, ActiveToken)
        metrics.results["active" if active else "inactive"] += 1
        entry = self._cache.put(key, result, prepared, now)
        if purges != self._cache.purges:
            self._cache.drop(key)  # it may be the very answer that was to be forgotten
        for waiter, _ in waiting:
            waiter.on_answer(entry)

    def _note(self, error: IntrospectionError | None) -> None:
        if error is not None and not self._troubled:
            _log.error("authorization server %s gives no usable answer: %s; see enforcer doctor", self._name, error)
        elif error is None and self._troubled:
            _log.info("authorization server %s answers again", self._name)
        self._troubled = error is not None


class CacheControl:
    """All that is remembered of tokens, whichever server issued them."""

    def __init__(self, cache: TokenCache, verifiers: Iterable[CachingVerifier]) -> None:
        self._cache = cache
        self._verifiers = frozenset(verifiers)

    def succeed(self, earlier: CacheControl) -> None:
        """Take the place of the one whose answers were taken over: what it was to forget since then is forgotten."""
        if self._cache.purges != earlier._cache.purges:
            self._cache.clear()

    def __len__(self) -> int:
        return len(self._cache)

    @property
    def evictions(self) -> Mapping[str, int]:
        """How many answers were forgotten, by reason."""
        return self._cache.evictions

    def purge(self, what: str, value: str) -> int:
        """Forget by `token`, `subject` or `client_id`; returns how many answers there were."""
        if what == "token":
            return sum(verifier.purge(value.encode("utf-8", "surrogatepass")) for verifier in self._verifiers)
        return self._cache.purge(**{what: value})
