"""Whole calls on pooled connections: a request out, an answer's status and body back, within one time and one size.

1. One time limit bounds the whole call, connection and body included, and one size limit the answer's body.
2. A redirect is an answer like any other: nothing is sent where it points.
3. For calls that change nothing: one on a connection that the server had closed is made once more on a new one, and so
   is one that could not connect, as long as few do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from enforcer.errors import UpstreamError, UpstreamFailure
from enforcer.wire.connection import PooledConnection
from enforcer.wire.pool import Pool


class HttpResponse(NamedTuple):
    """An answer, whole."""

    status: int
    body: bytes


Done = Callable[[HttpResponse | UpstreamError], None]


class RetryBudget:
    """Lets a tenth of the calls be tried again, so that retries cannot multiply an outage's load."""

    __slots__ = ("_left",)

    _MOST = 10.0

    def __init__(self) -> None:
        self._left = self._MOST

    def call(self) -> None:
        """Note a call."""
        self._left = min(self._left + 0.1, self._MOST)

    def withdraw(self) -> bool:
        """Tell whether a call may be tried again."""
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class HttpClient:
    """Makes calls to one server: `timeout` in seconds, `max_answer` in bytes.

    It watches the time only while there are calls, as its pool does.
    """

    def __init__(self, pool: Pool, *, timeout: float, max_answer: int) -> None:
        self.pool = pool
        self.timeout = timeout
        self.max_answer = max_answer
        self.retries = RetryBudget()
        self._calls: dict[_Call, float] = {}
        self._watching = False

    def call(self, request: bytes, done: Done) -> None:
        """Send a whole request; `done` gets the answer, or the error, exactly once, now or later."""
        call = _Call(self, request, done)
        self.retries.call()
        if not self._watching:
            self._watching = True
            self.pool.ticker.add(self._sweep)
        self._calls[call] = self.pool.ticker.next + self.timeout
        self.pool.request(call)

    def close(self) -> None:
        """Keep no connection for later; running calls end by themselves."""
        self.pool.close()

    def ended(self, call: _Call) -> None:
        """Forget a call."""
        self._calls.pop(call, None)

    def _sweep(self, now: float) -> None:
        late = []
        for call, deadline in self._calls.items():
            if deadline > now:
                break  # all have the same time, so that they stand in the order of their deadlines
            late.append(call)
        for call in late:
            call.expire()
        if not self._calls:
            self._watching = False
            self.pool.ticker.remove(self._sweep)


class _Call:
    """One call: a `Receiver`."""

    __slots__ = ("_body", "_caller", "_connection", "_done", "_request", "_retried", "_sent", "_size", "_status")

    def __init__(self, caller: HttpClient, request: bytes, done: Done) -> None:
        self._caller = caller
        self._request = request
        self._done: Done | None = done
        self._connection: PooledConnection | None = None
        self._body: list[bytes] = []
        self._size = self._status = 0
        self._retried = self._sent = False

    def __repr__(self) -> str:
        return "<call>"

    def expire(self) -> None:
        """End the call: its time is over. Where it never had a connection, the server had no part in that."""
        if self._sent:
            self.give_up(UpstreamFailure.TIMEOUT, "the whole call took too long")
        else:
            self.give_up(UpstreamFailure.OVERLOADED, "no connection became free in time")

    def give_up(self, reason: UpstreamFailure, detail: str) -> None:
        """End the call, and its connection with it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abandon()
        else:
            self._caller.pool.cancel(self)
        self._end(UpstreamError(reason, detail))

    def on_connection(self, connection: PooledConnection) -> None:
        self._connection = connection
        self._sent = True
        connection.send(self, self._request)

    def on_informational(self, status: int, reason: bytes, lines: list[bytes]) -> None:
        pass

    def on_head(self, status: int, reason: bytes, lines: list[bytes], sized: bool) -> None:
        self._status = status

    def on_body(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= self._caller.max_answer:
            self._body.append(data)

    def on_flush(self) -> None:
        if self._size > self._caller.max_answer:
            self.give_up(UpstreamFailure.MALFORMED, "the answer is too large")

    def on_complete(self, trailers: list[bytes]) -> None:
        self._connection = None
        if self._size > self._caller.max_answer:
            self._end(UpstreamError(UpstreamFailure.MALFORMED, "the answer is too large"))
        else:
            self._end(HttpResponse(self._status, b"".join(self._body)))

    def on_upgrade(self, reason: bytes, lines: list[bytes], connection: PooledConnection, rest: bytes) -> None:
        self.give_up(UpstreamFailure.MALFORMED, "the server switched protocols")

    def on_failure(self, error: UpstreamError, unanswered: bool) -> None:
        self._connection = None
        refused = error.reason is UpstreamFailure.UNAVAILABLE and not self._sent
        if not self._retried and (unanswered or (refused and self._caller.retries.withdraw())):
            self._retried = True
            self._caller.pool.request(self, fresh=True)
            return
        self._end(error)

    def on_full(self) -> None:
        pass

    def on_drained(self) -> None:
        pass

    def _end(self, result: HttpResponse | UpstreamError) -> None:
        done, self._done = self._done, None
        self._caller.ended(self)
        if done is not None:
            done(result)
