"""Fetches a document of an authorization server, its keys or its metadata, on pooled connections.

1. A redirect is an error, and nothing is sent where it points.
2. One time limit bounds the whole call, and one size limit the document.
3. A call on a connection that the server had closed is made once more on a new one.
"""

from __future__ import annotations

from collections.abc import Callable

from enforcer.errors import IntrospectionError, IntrospectionFailure, UpstreamError, UpstreamFailure
from enforcer.wire.client import Connection, Pool

Done = Callable[[bytes | IntrospectionError], None]

_FAILURES = {
    UpstreamFailure.TIMEOUT: IntrospectionFailure.TIMEOUT,
    UpstreamFailure.UNAVAILABLE: IntrospectionFailure.UNAVAILABLE,
    UpstreamFailure.OVERLOADED: IntrospectionFailure.UNAVAILABLE,
    UpstreamFailure.MALFORMED: IntrospectionFailure.MALFORMED,
}


class Fetcher:
    """Fetches one document. `authority` is its Host, `path` its path and query; sizes in bytes, times in seconds."""

    def __init__(self, pool: Pool, authority: str, path: str, *, timeout: float, max_answer: int) -> None:
        self.pool = pool
        self.timeout = timeout
        self.max_answer = max_answer
        self.request = f"GET {path} HTTP/1.1\r\nHost: {authority}\r\nAccept: application/json, */*\r\n\r\n".encode()

    def fetch(self, done: Done) -> None:
        """Fetch it; `done` gets the body, or the error, exactly once."""
        self.pool.request(_Fetch(self, done))


class _Fetch:
    """One fetch."""

    __slots__ = ("_body", "_connection", "_deadline", "_done", "_fetcher", "_size", "_status")

    def __init__(self, fetcher: Fetcher, done: Done) -> None:
        self._fetcher = fetcher
        self._done = done
        self._connection: Connection | None = None
        self._body: list[bytes] = []
        self._size = 0
        self._status = 0
        ticker = fetcher.pool.ticker
        self._deadline = ticker.next + fetcher.timeout
        ticker.add(self._sweep)

    def on_connection(self, connection: Connection) -> None:
        self._connection = connection
        connection.send(self, self._fetcher.request)

    def on_informational(self, status: int, reason: bytes, lines: list[bytes]) -> None:
        pass

    def on_head(self, status: int, reason: bytes, lines: list[bytes], sized: bool) -> None:
        self._status = status

    def on_body(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= self._fetcher.max_answer:
            self._body.append(data)

    def on_flush(self) -> None:
        if self._size > self._fetcher.max_answer:
            self._give_up(IntrospectionFailure.MALFORMED, "the document is too large")

    def on_complete(self, trailers: list[bytes]) -> None:
        self._connection = None
        self._end(self._read())

    def on_upgrade(self, reason: bytes, lines: list[bytes], connection: Connection, rest: bytes) -> None:
        self._give_up(IntrospectionFailure.MALFORMED, "the server switched protocols")

    def on_failure(self, error: UpstreamError, unanswered: bool) -> None:
        self._connection = None
        if unanswered:
            # Only a connection that was used before is unanswered, so that this happens once.
            self._fetcher.pool.request(self, fresh=True)
            return
        self._end(IntrospectionError(_FAILURES[error.reason], error.detail))

    def on_full(self) -> None:
        pass

    def on_drained(self) -> None:
        pass

    def _sweep(self, now: float) -> None:
        if now >= self._deadline:
            self._give_up(IntrospectionFailure.TIMEOUT, "the whole call took too long")

    def _give_up(self, reason: IntrospectionFailure, detail: str) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abandon()
        else:
            self._fetcher.pool.cancel(self)
        self._end(IntrospectionError(reason, detail))

    def _read(self) -> bytes | IntrospectionError:
        status = self._status
        if self._size > self._fetcher.max_answer:
            return IntrospectionError(IntrospectionFailure.MALFORMED, "the document is too large")
        if status == 200:
            return b"".join(self._body)
        unwell = status >= 500 or status == 429
        reason = IntrospectionFailure.UNAVAILABLE if unwell else IntrospectionFailure.MALFORMED
        return IntrospectionError(reason, f"it answered {status}")

    def _end(self, result: bytes | IntrospectionError) -> None:
        self._fetcher.pool.ticker.remove(self._sweep)
        self._done(result)
