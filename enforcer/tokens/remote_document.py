"""A document of an authorization server (keys, metadata), or our own access token: fetched before it is needed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, Protocol, TypeVar

from enforcer.counters import FetchMetrics
from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.tokens.introspection.endpoint_result import EndpointResult, SendFailure, response_body
from enforcer.tokens.refresh_schedule import RefreshSchedule
from enforcer.wire.callback import Callback
from enforcer.wire.ticker import Ticker

_log = logging.getLogger("enforcer.tokens")

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class DocumentSource(Protocol[T_co]):
    """Fetches a document."""

    def fetch(self, callback: Callback[T_co | IntrospectionError]) -> IntrospectionError | None:
        """Fetch the document; only an error can be known at once, and is returned."""

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
        ticker.add(self._sweep)

    @property
    def current(self) -> T | None:
        """The last good document; None before the first fetch, and after the end of its lifetime."""
        return self._schedule.current(self._ticker.next)

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
            failure = self._fetch()
            if failure is not None:
                return failure
        self._waiting.append(callback)
        return None

    def discard(self, error: IntrospectionError) -> None:
        """Stop using the last good document, because of `error`."""
        self._schedule.discard(error)

    def close(self) -> None:
        """Stop refreshing. Later calls are still served."""
        if not self._closed:
            self._closed = True
            self._ticker.remove(self._sweep)
            self._source.close()

    def _sweep(self, now: float) -> None:
        if not self._fetching and self._schedule.is_due(now):
            self._fetch()

    def _fetch(self) -> IntrospectionError | None:
        self._fetching = True
        self._started = time.perf_counter()
        failure = self._source.fetch(self._on_fetched)
        if failure is not None:
            self._on_fetched(failure)
        return failure

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


class Readable(Protocol):
    """An endpoint that can be read with GET."""

    def get(self, callback: Callback[EndpointResult]) -> SendFailure | None:
        """Send a GET request; only a failure can be known at once, and is returned."""

    def close(self) -> None:
        """Close idle connections; running requests continue."""


class DocumentFetcher(Generic[T]):
    """Fetches a document from one URL. `read` parses its bytes, or raises IntrospectionError."""

    def __init__(self, endpoint: Readable, read: Callable[[bytes], T]) -> None:
        self._endpoint = endpoint
        self._read = read

    def fetch(self, callback: Callback[T | IntrospectionError]) -> IntrospectionError | None:
        """Fetch the document; an error that is known at once is returned."""
        failure = self._endpoint.get(partial(self._on_response, callback))
        body = None if failure is None else response_body(failure)
        return body if isinstance(body, IntrospectionError) else None

    def close(self) -> None:
        self._endpoint.close()

    def _on_response(self, callback: Callback[T | IntrospectionError], response: EndpointResult) -> None:
        body = response_body(response)
        try:
            document = body if isinstance(body, IntrospectionError) else self._read(body)
        except IntrospectionError as error:
            document = error.as_value()
        callback(document)


class FirstAvailable(Generic[T]):
    """Fetches a document from the first of several sources that has it."""

    def __init__(self, sources: Sequence[DocumentSource[T]]) -> None:
        self._sources = sources

    def fetch(self, callback: Callback[T | IntrospectionError]) -> IntrospectionError | None:
        """Fetch the document; an error that is known at once is returned."""
        return self._fetch(0, (), callback)

    def close(self) -> None:
        for source in self._sources:
            source.close()

    def _fetch(
        self, index: int, details: tuple[str, ...], callback: Callback[T | IntrospectionError]
    ) -> IntrospectionError | None:
        failure = self._sources[index].fetch(partial(self._on_fetched, index, details, callback))
        return None if failure is None else self._fetch_next(index, details, callback, failure)

    def _on_fetched(
        self,
        index: int,
        details: tuple[str, ...],
        callback: Callback[T | IntrospectionError],
        outcome: T | IntrospectionError,
    ) -> None:
        if isinstance(outcome, IntrospectionError):
            failure = self._fetch_next(index, details, callback, outcome)
            if failure is not None:
                callback(failure)
        else:
            callback(outcome)

    def _fetch_next(
        self,
        index: int,
        details: tuple[str, ...],
        callback: Callback[T | IntrospectionError],
        failure: IntrospectionError,
    ) -> IntrospectionError | None:
        # A server that does not respond will not respond at its other URLs either.
        if failure.reason is not IntrospectionFailure.MALFORMED:
            return failure
        details += (failure.detail,)
        if index + 1 < len(self._sources):
            return self._fetch(index + 1, details, callback)
        return IntrospectionError(IntrospectionFailure.MALFORMED, "; ".join(dict.fromkeys(details)))
