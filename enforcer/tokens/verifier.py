"""Tells what a token is worth: remembered, or asked once for all who wait.

1. Only answers are remembered; an error is told to those who waited for it, and to nobody later.
2. A call belongs to no request: whoever leaves, the others get their answer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol

from enforcer.errors import IntrospectionError
from enforcer.telemetry import IntrospectionMetrics
from enforcer.tokens.answer import Active, Answer
from enforcer.tokens.cache import Cache, Entry, Keys
from enforcer.tokens.introspection import Introspector

_log = logging.getLogger("enforcer.tokens")


class Waiter(Protocol):
    """Who waits for an answer."""

    def on_answer(self, entry: Entry[bytes]) -> None:
        """Take the answer."""

    def on_no_answer(self, error: IntrospectionError, retry_after: int) -> None:
        """Take the reason why there is none."""


class Verifier:
    """What the tokens of one authorization server are worth.

    `prepare` makes, once for each answer, what is needed of it on every request; `clock` gives seconds since the epoch.
    """

    def __init__(
        self,
        name: str,
        introspector: Introspector,
        cache: Cache[bytes],
        prepare: Callable[[Active], bytes],
        metrics: IntrospectionMetrics,
        clock: Callable[[], float],
        retry_after: int,
    ) -> None:
        self._name = name
        self._introspector = introspector
        self._cache = cache
        self._keys = Keys(name)
        self._prepare = prepare
        self._metrics = metrics
        self._clock = clock
        self._retry_after = retry_after
        self._waiting: dict[bytes, list[Waiter]] = {}
        self._troubled = False

    def verify(self, token: bytes, now: float, waiter: Waiter, max_age: float | None = None) -> Entry[bytes] | None:
        """Return what is remembered of a token, at most `max_age` seconds old; or None, and tell the waiter later."""
        key = self._keys.key(token)
        entry = self._cache.get(key, now)
        if entry is not None and (max_age is None or now - entry.given <= max_age):
            if isinstance(entry.answer, Active):
                self._metrics.hits += 1
            else:
                self._metrics.negative_hits += 1
            return entry
        waiting = self._waiting.get(key)
        if waiting is not None:
            self._metrics.coalesced += 1
            waiting.append(waiter)
            return None
        self._waiting[key] = [waiter]
        self._metrics.misses += 1
        self._metrics.in_flight += 1
        started = time.perf_counter()
        self._introspector.introspect(token, lambda result: self._told(key, result, started))
        return None

    def _told(self, key: bytes, result: Answer | IntrospectionError, started: float) -> None:
        metrics = self._metrics
        metrics.in_flight -= 1
        metrics.duration.observe(time.perf_counter() - started)
        waiting = self._waiting.pop(key)
        if isinstance(result, IntrospectionError):
            metrics.results[result.reason] += 1
            if not self._troubled:
                self._troubled = True
                _log.error("authorization server %s does not answer: %s", self._name, result)
            for waiter in waiting:
                waiter.on_no_answer(result, self._retry_after)
            return
        if self._troubled:
            self._troubled = False
            _log.info("authorization server %s answers again", self._name)
        active = isinstance(result, Active)
        metrics.results["active" if active else "inactive"] += 1
        prepared = self._prepare(result) if isinstance(result, Active) else b""
        entry = self._cache.put(key, result, prepared, self._clock())
        for waiter in waiting:
            waiter.on_answer(entry)
