"""Whole HTTP requests on pooled connections: the response's status and body, within a time limit and a size limit.

1. The time limit covers the whole call, connecting and the response body included; the size limit the response body.
2. Redirects are not followed: a redirect is a response like any other.
3. Only for requests that change nothing: a request is sent again once, on a new connection, if the server had closed
   the reused one, or if connecting failed and the retry budget allows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from enforcer.errors import UpstreamError, UpstreamFailure
from enforcer.wire.callback import Callback
from enforcer.wire.carrier import Carrier, Receiver, UpgradedConnection
from enforcer.wire.pool import Pool

RESPONSE_TOO_LARGE: Final = "the response is too large"
"""The detail of the failure if a response body exceeds the limit."""


class HttpResponse(NamedTuple):
    """A complete response. `lines` are its field lines in pieces, see `Receiver`."""

    status: int
    body: bytes
    lines: Sequence[bytes] = ()

    def field(self, name: bytes) -> bytes:
        """Return the value of a field by its lower-case name, the last one if it was sent repeatedly; else empty."""
        value = b""
        for index in range(0, len(self.lines), 4):
            if self.lines[index].lower() == name:
                value = self.lines[index + 2]
        return value


class RetryBudget:
    """Limits retries to a tenth of the calls, so that they cannot multiply the load of an outage."""

    __slots__ = ("_left",)

    _MAX = 10.0

    def __init__(self) -> None:
        self._left = self._MAX

    def record_call(self) -> None:
        """Count a call: ten of them pay for a retry."""
        self._left = min(self._left + 0.1, self._MAX)

    def withdraw(self) -> bool:
        """Return whether a call may be retried, and count the retry."""
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class HttpClient:
    """Sends requests to one server. `timeout` is in seconds, `max_body` in bytes.

    Its timer runs only during calls, as the pool's does.
    """

    def __init__(self, pool: Pool, *, timeout: float, max_body: int) -> None:
        self.pool = pool
        self.timeout = timeout
        self.max_body = max_body
        self.retries = RetryBudget()
        self.calls: dict[_Call, float] = {}
        self._watching = False

    def send(
        self, request: bytes, client: str, callback: Callback[HttpResponse | UpstreamError]
    ) -> UpstreamError | None:
        """Send a whole request; the error is returned if it is known at once. `client`: see `Receiver.client`."""
        self.retries.record_call()
        if not self._watching:
            self._watching = True
            self.pool.ticker.add(self._sweep)
        call = _Call(self, request, client, callback)
        carrier = self.pool.request(call)
        if isinstance(carrier, UpstreamError):
            return carrier
        self.calls[call] = self.pool.ticker.next + self.timeout
        if carrier is not None:
            call.on_connection(carrier)
        return None

    def close(self) -> None:
        """Close idle connections; running calls continue."""
        self.pool.close()

    def _sweep(self, now: float) -> None:
        expired = []
        for call, deadline in self.calls.items():
            if deadline > now:
                break  # all calls have the same timeout, so they are in the order of their deadlines
            expired.append(call)
        connected = self.pool.is_connected  # before calls end, and their connections with them
        for call in expired:
            call.expire(connected)
        if not self.calls:
            self._watching = False
            self.pool.ticker.remove(self._sweep)


class _Call(Receiver):
    """One call."""

    __slots__ = (
        "_body", "_callback", "_carrier", "_lines", "_owner", "_request", "_retried", "_sent", "_size", "_status"
    )  # fmt: skip

    def __init__(
        self, owner: HttpClient, request: bytes, client: str, callback: Callback[HttpResponse | UpstreamError]
    ) -> None:
        self.client = client
        self._owner = owner
        self._request = request
        self._callback: Callback[HttpResponse | UpstreamError] | None = callback
        self._carrier: Carrier | None = None
        self._body: list[bytes] = []
        self._size = self._status = 0
        self._retried = self._sent = False
        self._lines: list[bytes] = []

    def __repr__(self) -> str:
        return "<call>"

    def expire(self, connected: bool) -> None:
        """End the call at its deadline.

        `connected`: other calls have connections, so that the server had no part in the delay of a call without one.
        """
        if self._sent:
            self._give_up(UpstreamFailure.TIMEOUT, "the whole call took too long")
        elif connected:
            self._give_up(UpstreamFailure.OVERLOADED, "no connection became free in time")
        else:
            self._give_up(UpstreamFailure.TIMEOUT, "opening a connection took too long", connected=False)

    def _give_up(self, reason: UpstreamFailure, detail: str, *, connected: bool = True) -> None:
        """End the call, and its connection with it."""
        carrier, self._carrier = self._carrier, None
        if carrier is not None:
            carrier.abandon()
        else:
            self._owner.pool.cancel(self)
        self._end(UpstreamError(reason, detail, connected=connected))

    def on_connection(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._sent = True
        carrier.send(self, self._request)

    def on_informational(self, status: int, reason: bytes, lines: list[bytes]) -> None:
        pass

    def on_head(self, status: int, reason: bytes, lines: list[bytes], sized: bool) -> None:
        self._status = status
        self._lines = lines

    def on_body(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= self._owner.max_body:
            self._body.append(data)

    def on_flush(self) -> None:
        if self._size > self._owner.max_body:
            self._give_up(UpstreamFailure.MALFORMED, RESPONSE_TOO_LARGE)

    def on_complete(self, trailers: list[bytes]) -> None:
        self._carrier = None
        if self._size > self._owner.max_body:
            self._end(UpstreamError(UpstreamFailure.MALFORMED, RESPONSE_TOO_LARGE))
        else:
            self._end(HttpResponse(self._status, b"".join(self._body), self._lines))

    def on_upgrade(self, reason: bytes, lines: list[bytes], connection: UpgradedConnection, rest: bytes) -> None:
        self._give_up(UpstreamFailure.MALFORMED, "the server switched protocols")

    def on_failure(self, error: UpstreamError, unanswered: bool) -> None:
        self._carrier = None
        connecting_failed = error.reason is UpstreamFailure.UNAVAILABLE and not self._sent
        if not self._retried and (unanswered or (connecting_failed and self._owner.retries.withdraw())):
            self._retried = True
            failure = self._owner.pool.request(self, fresh=True)
            if not isinstance(failure, UpstreamError):
                return
            error = failure
        self._end(error)

    def on_full(self) -> None:
        pass

    def on_drained(self) -> None:
        pass

    def _end(self, result: HttpResponse | UpstreamError) -> None:
        self._owner.calls.pop(self, None)
        callback, self._callback = self._callback, None
        if callback is not None:
            callback(result)
