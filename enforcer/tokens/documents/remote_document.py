"""A document of an authorization server (keys, metadata), or our own access token: fetched before it is needed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from enforcer.counters import FetchMetrics
from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.tokens.documents.refresh_schedule import RefreshSchedule
from enforcer.tokens.introspection.endpoint import ServerEndpoint
from enforcer.tokens.introspection.endpoint_result import EndpointResult, read_body, response_body
from enforcer.wire.callback import Callback, chain, convert
from enforcer.wire.ticker import Ticker

_log = logging.getLogger("enforcer.tokens")

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class DocumentSource(Protocol[T_co]):
    """Fetches a document."""

    def fetch(self, callback: Callback[T_co | IntrospectionError]) -> T_co | IntrospectionError | None:
        """Fetch the document."""

    def close(self) -> None:
        """Close idle connections; a running fetch continues."""


class RemoteDocument(Generic[T]):
    """The document that `source` fetches, refreshed as `schedule` says. `name` is for the log."""

    def __init__(
        self, name: str, source: DocumentSource[T], schedule: RefreshSchedule[T], ticker: Ticker, metrics: FetchMetrics
    ) -> None:
        self._name = name
        self._source = source
        self._schedule = schedule
        self._ticker = ticker
        self._metrics = metrics
        self._waiting: list[Callback[T | IntrospectionError]] = []
        self._fetching = self._failing = self._closed = False
        self._started = 0.0
        self.fetches = 0
        """The number of fetches that were begun."""
        ticker.add(self._sweep)

    @property
    def current(self) -> T | None:
        """The last good document; None before the first fetch, and after the end of its lifetime."""
        return self._schedule.current(self._ticker.next)

    @property
    def may_refresh(self) -> bool:
        """Whether a refresh gets a newer document now, since it may fetch it, or it is being fetched."""
        return self._fetching or self._schedule.allows_fetch(self._ticker.next)

    def get(self, callback: Callback[T | IntrospectionError]) -> T | IntrospectionError | None:
        """Get the last good document, or else a newer one."""
        current = self.current
        return self.refresh(callback) if current is None else current

    def refresh(self, callback: Callback[T | IntrospectionError]) -> T | IntrospectionError | None:
        """Get a newer document than the last good one.

        Shortly after a fetch, nothing is fetched: the result is that fetch's.
        """
        if not self._fetching:
            if not self._schedule.allows_fetch(self._ticker.next):
                return self._schedule.last
            outcome = self._fetch()
            if outcome is not None:
                return outcome
        self._waiting.append(callback)
        return None

    def close(self) -> None:
        """Stop refreshing. Later calls are still served."""
        if not self._closed:
            self._closed = True
            self._ticker.remove(self._sweep)
            self._source.close()

    def _sweep(self, now: float) -> None:
        if not self._fetching and self._schedule.is_due(now):
            self._fetch()

    def _fetch(self) -> T | IntrospectionError | None:
        self._fetching = True
        self.fetches += 1
        self._started = time.perf_counter()
        outcome = self._source.fetch(self._on_fetched)
        if outcome is not None:
            self._on_fetched(outcome)
        return outcome

    def _on_fetched(self, outcome: T | IntrospectionError) -> None:
        self._fetching = False
        self._schedule.record(outcome, self._ticker.next)
        self._report(outcome)
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            callback(outcome)

    def _report(self, outcome: T | IntrospectionError) -> None:
        self._metrics.duration.observe(time.perf_counter() - self._started)
        if isinstance(outcome, IntrospectionError):
            self._metrics.results[outcome.reason.value] += 1
            if not self._failing:
                _log.error("%s cannot be fetched: %s", self._name, outcome)
            self._failing = True
            return
        self._metrics.results["ok"] += 1
        if self._failing:
            _log.info("%s can be fetched again", self._name)
        self._failing = False


class DocumentFetcher(Generic[T]):
    """Fetches a document from one URL. `parse` reads its bytes, or raises IntrospectionError."""

    def __init__(self, endpoint: ServerEndpoint, parse: Callable[[bytes], T]) -> None:
        self._endpoint = endpoint
        self._parse = parse

    def fetch(self, callback: Callback[T | IntrospectionError]) -> T | IntrospectionError | None:
        return convert(self._endpoint.get, self._read, callback)

    def close(self) -> None:
        self._endpoint.close()

    def _read(self, response: EndpointResult) -> T | IntrospectionError:
        return read_body(response_body(response), self._parse)


class FirstAvailable(Generic[T]):
    """Fetches a document from the first of several sources that has it."""

    def __init__(self, sources: Sequence[DocumentSource[T]]) -> None:
        self._sources = sources

    def fetch(self, callback: Callback[T | IntrospectionError]) -> T | IntrospectionError | None:
        return self._fetch(0, (), callback)

    def close(self) -> None:
        for source in self._sources:
            source.close()

    def _fetch(
        self, index: int, failures: tuple[str, ...], callback: Callback[T | IntrospectionError]
    ) -> T | IntrospectionError | None:
        return chain(self._sources[index].fetch, self._fetch_next, callback, index + 1, failures)

    def _fetch_next(
        self,
        index: int,
        failures: tuple[str, ...],
        outcome: T | IntrospectionError,
        callback: Callback[T | IntrospectionError],
    ) -> T | IntrospectionError | None:
        # A server that does not respond will not respond at its other URLs either.
        if not isinstance(outcome, IntrospectionError) or outcome.reason is not IntrospectionFailure.MALFORMED:
            return outcome
        failures += (outcome.detail,)
        if index < len(self._sources):
            return self._fetch(index, failures, callback)
        return IntrospectionError(IntrospectionFailure.MALFORMED, "; ".join(dict.fromkeys(failures)))
