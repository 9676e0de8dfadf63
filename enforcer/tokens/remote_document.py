"""Keeps something of an authorization server at hand: fetched before it is needed, and once for all who wait."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from enforcer.counters import FetchMetrics
from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.tokens.introspection.endpoint_result import EndpointResult, response_body
from enforcer.tokens.refresh_schedule import RefreshSchedule
from enforcer.wire.ticker import Ticker

_log = logging.getLogger("enforcer.tokens")

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class DocumentSource(Protocol[T_co]):
    """What a remote document is fetched from."""

    def fetch(self, done: Callable[[T_co | IntrospectionError], None]) -> None:
        """Fetch it; `done` gets it, or the error, exactly once, now or later."""

    def close(self) -> None:
        """Keep no connection for later."""


class RemoteDocument(Generic[T]):
    """What `document` gives, fetched by the ticker's clock; `what` is what the log calls it."""

    def __init__(
        self,
        what: str,
        document: DocumentSource[T],
        freshness: RefreshSchedule[T],
        ticker: Ticker,
        metrics: FetchMetrics,
    ) -> None:
        self._what = what
        self._document = document
        self._freshness = freshness
        self._ticker = ticker
        self._metrics = metrics
        self._waiting: list[Callable[[T | IntrospectionError], None]] = []
        self._fetching = self._troubled = self._closed = False
        self._started = 0.0
        ticker.add(self._sweep)

    @property
    def good(self) -> T | None:
        """The last good one; None before the first fetch, and too long after the last."""
        return self._freshness.good(self._ticker.next)

    def get(self, done: Callable[[T | IntrospectionError], None]) -> None:
        """Get the last good one, or else a newer one; `done` gets it, or the error, exactly once, now or later."""
        good = self.good
        if good is not None:
            done(good)
        else:
            self.renew(done)

    def renew(self, done: Callable[[T | IntrospectionError], None]) -> None:
        """Get a newer one than the last good one; `done` gets it, or the error, exactly once, now or later.

        Where the last fetch was a moment ago, nothing is fetched, and `done` gets its outcome at once.
        """
        if not self._fetching and not self._freshness.admits(self._ticker.next):
            done(self._freshness.last)
            return
        self._waiting.append(done)
        self._fetch()

    def discard(self, why: IntrospectionError) -> None:
        """Use the last good one no more."""
        self._freshness.discard(why)

    def close(self) -> None:
        """Fetch no more of itself; who still asks is answered as before."""
        if not self._closed:
            self._closed = True
            self._ticker.remove(self._sweep)
            self._document.close()

    def _sweep(self, now: float) -> None:
        if self._freshness.is_due(now):
            self._fetch()

    def _fetch(self) -> None:
        if not self._fetching:
            self._fetching = True
            self._started = time.perf_counter()
            self._document.fetch(self._fetched)

    def _fetched(self, outcome: T | IntrospectionError) -> None:
        self._fetching = False
        self._freshness.note(outcome, self._ticker.next)
        self._note(outcome)
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            done(outcome)

    def _note(self, outcome: T | IntrospectionError) -> None:
        self._metrics.duration.observe(time.perf_counter() - self._started)
        if isinstance(outcome, IntrospectionError):
            self._metrics.results[outcome.reason.value] += 1
            if not self._troubled:
                _log.error("%s cannot be fetched: %s", self._what, outcome)
            self._troubled = True
            return
        self._metrics.results["ok"] += 1
        if self._troubled:
            _log.info("%s can be fetched again", self._what)
        self._troubled = False


class Readable(Protocol):
    """An endpoint that can be read with GET."""

    def get(self, done: Callable[[EndpointResult], None]) -> None:
        """Send the request; `done` gets the result exactly once, now or later."""

    def close(self) -> None:
        """Keep no connection for later."""


class DocumentFetcher(Generic[T]):
    """Fetches one from its place; `read` makes of its bytes what it says, or raises IntrospectionError."""

    def __init__(self, endpoint: Readable, read: Callable[[bytes], T]) -> None:
        self._endpoint = endpoint
        self._read = read

    def fetch(self, done: Callable[[T | IntrospectionError], None]) -> None:
        """Fetch it; `done` gets it, or the error, exactly once, now or later."""
        self._endpoint.get(lambda outcome: done(self._told(outcome)))

    def close(self) -> None:
        """Keep no connection for later; a running fetch ends by itself."""
        self._endpoint.close()

    def _told(self, outcome: EndpointResult) -> T | IntrospectionError:
        data = response_body(outcome)
        try:
            return data if isinstance(data, IntrospectionError) else self._read(data)
        except IntrospectionError as error:
            return error.as_value()


class FirstAvailable(Generic[T]):
    """Fetches one from the first of several places that has it: the next is asked when one answers something else."""

    def __init__(self, places: Sequence[DocumentSource[T]]) -> None:
        self._places = places

    def fetch(self, done: Callable[[T | IntrospectionError], None]) -> None:
        """Fetch it; `done` gets it, or the error, exactly once, now or later."""
        self._ask(0, [], done)

    def close(self) -> None:
        """Keep no connection for later; a running fetch ends by itself."""
        for place in self._places:
            place.close()

    def _ask(self, at: int, details: list[str], done: Callable[[T | IntrospectionError], None]) -> None:
        def told(outcome: T | IntrospectionError) -> None:
            # A server that does not answer does not answer at its other places either.
            if not isinstance(outcome, IntrospectionError) or outcome.reason is not IntrospectionFailure.MALFORMED:
                done(outcome)
                return
            details.append(outcome.detail)
            if at + 1 < len(self._places):
                self._ask(at + 1, details, done)
            else:
                every = "; ".join(dict.fromkeys(details))
                done(IntrospectionError(IntrospectionFailure.MALFORMED, every))

        self._places[at].fetch(told)
