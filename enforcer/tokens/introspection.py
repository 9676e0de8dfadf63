"""Asks an authorization server what a token is worth (RFC 7662), on pooled connections.

1. The token goes to this server alone; a redirect is an error, and nothing is sent where it points.
2. One time limit bounds the whole call, and one size limit the answer.
3. Asking changes nothing at the server, so a call on a connection that it had closed is made once more on a new one.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote_plus

from enforcer.errors import IntrospectionError, IntrospectionFailure, UpstreamError, UpstreamFailure
from enforcer.secret import Secret
from enforcer.tokens.answer import Answer, parse
from enforcer.wire.client import Connection, Pool

Done = Callable[[Answer | IntrospectionError], None]
ClientAuthentication = Literal["client_secret_basic", "client_secret_post"]

_FAILURES = {
    UpstreamFailure.TIMEOUT: IntrospectionFailure.TIMEOUT,
    UpstreamFailure.UNAVAILABLE: IntrospectionFailure.UNAVAILABLE,
    UpstreamFailure.OVERLOADED: IntrospectionFailure.UNAVAILABLE,
    UpstreamFailure.MALFORMED: IntrospectionFailure.MALFORMED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """How we are known to an authorization server."""

    client_id: str
    client_secret: Secret
    authentication: ClientAuthentication


class Introspector:
    """Makes introspection calls to one server. `authority` is its Host, `path` the endpoint's path and query."""

    def __init__(
        self, pool: Pool, authority: str, path: str, client: Client, *, timeout: float, max_answer: int
    ) -> None:
        self.pool = pool
        self.timeout = timeout
        self.max_answer = max_answer
        self._calls: dict[_Call, float] = {}
        lines = [f"POST {path} HTTP/1.1", f"Host: {authority}", "Accept: application/json"]
        tail = "&token_type_hint=access_token"
        # RFC 6749 §2.3.1: both halves are form-encoded before anything else
        identifier, secret = quote_plus(client.client_id), quote_plus(client.client_secret.reveal())
        if client.authentication == "client_secret_basic":
            credentials = base64.b64encode(f"{identifier}:{secret}".encode()).decode()
            lines.append(f"Authorization: Basic {credentials}")
        else:
            tail += f"&client_id={identifier}&client_secret={secret}"
        lines += ["Content-Type: application/x-www-form-urlencoded", "Content-Length: "]
        self._head = "\r\n".join(lines).encode()
        self._tail = tail.encode()
        pool.ticker.add(self._sweep)

    def introspect(self, token: bytes, done: Done) -> None:
        """Ask about a token; `done` gets the answer, or the error, exactly once. The token is a b64token."""
        # RFC 6750 §2.1 leaves three characters that a form must encode
        value = token.replace(b"+", b"%2B").replace(b"/", b"%2F").replace(b"=", b"%3D")
        body = b"token=" + value + self._tail
        call = _Call(self, self._head + b"%d\r\n\r\n" % len(body) + body, done)
        self._calls[call] = self.pool.ticker.next + self.timeout
        self.pool.request(call)

    def close(self) -> None:
        """Watch the time no more."""
        self.pool.ticker.remove(self._sweep)

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


class _Call:
    """One introspection."""

    __slots__ = ("_body", "_connection", "_done", "_introspector", "_request", "_retried", "_size", "_status")

    def __init__(self, introspector: Introspector, request: bytes, done: Done) -> None:
        self._introspector = introspector
        self._request = request
        self._done = done
        self._connection: Connection | None = None
        self._body: list[bytes] = []
        self._size = 0
        self._status = 0
        self._retried = False

    def __repr__(self) -> str:
        return "<introspection call>"

    def expire(self) -> None:
        """End the call: its time is over."""
        if self._connection is not None:
            self._connection.abandon()
        else:
            self._introspector.pool.cancel(self)
        self._end(IntrospectionError(IntrospectionFailure.TIMEOUT, "the whole call took too long"))

    def on_connection(self, connection: Connection) -> None:
        self._connection = connection
        connection.send(self, self._request)

    def on_informational(self, status: int, reason: bytes, lines: list[bytes]) -> None:
        pass

    def on_head(self, status: int, reason: bytes, lines: list[bytes], sized: bool) -> None:
        self._status = status

    def on_body(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= self._introspector.max_answer:
            self._body.append(data)

    def on_flush(self) -> None:
        if self._size > self._introspector.max_answer and self._connection is not None:
            self._connection.abandon()
            self._end(IntrospectionError(IntrospectionFailure.MALFORMED, "the answer is too large"))

    def on_complete(self, trailers: list[bytes]) -> None:
        self._end(self._read())

    def on_upgrade(self, reason: bytes, lines: list[bytes], connection: Connection, rest: bytes) -> None:
        connection.abandon()
        self._end(IntrospectionError(IntrospectionFailure.MALFORMED, "the server switched protocols"))

    def on_failure(self, error: UpstreamError, unanswered: bool) -> None:
        self._connection = None
        if unanswered and not self._retried:
            self._retried = True
            self._introspector.pool.request(self, fresh=True)
            return
        self._end(IntrospectionError(_FAILURES[error.reason], error.detail))

    def on_full(self) -> None:
        pass

    def on_drained(self) -> None:
        pass

    def _read(self) -> Answer | IntrospectionError:
        status = self._status
        if self._size > self._introspector.max_answer:
            return IntrospectionError(IntrospectionFailure.MALFORMED, "the answer is too large")
        if status == 200:
            try:
                return parse(b"".join(self._body))
            except IntrospectionError as error:
                return error
        if status in (400, 401, 403):
            # RFC 7662 §2.3: our own credentials, never a judgement of the token
            return IntrospectionError(IntrospectionFailure.REFUSED, f"it answered {status} to our credentials")
        if status >= 500 or status == 429:
            return IntrospectionError(IntrospectionFailure.UNAVAILABLE, f"it answered {status}")
        return IntrospectionError(IntrospectionFailure.MALFORMED, f"it answered {status}")

    def _end(self, result: Answer | IntrospectionError) -> None:
        done, self._done = self._done, _ignore
        self._connection = None
        self._introspector.ended(self)
        done(result)


def _ignore(result: Answer | IntrospectionError) -> None:
    """Take nothing: the call has ended."""
