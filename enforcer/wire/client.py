"""The client side: pooled HTTP/1.1 connections to one server, the upstream or an authorization server.

1. A connection carries one exchange at a time; it is pooled again only after a whole answer on a kept-alive connection.
2. An answer is whole, or it failed: it never ends quietly short of its framing.
3. Every wait is bounded: for a connection, for the first byte, between bytes, and for the next use.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import httptools

from enforcer.errors import UpstreamError, UpstreamFailure
from enforcer.units import CLOSED, Bytes, Count, Seconds
from enforcer.wire.fields import HOP_BY_HOP, parse_tokens
from enforcer.wire.ticker import Ticker


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """Limits and times of the connections to one server."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    connections: Count = 256
    """Connections at most; more concurrent requests wait in the queue. Protects the server behind."""
    queue: Count = 1024
    """Requests that may wait for a connection; one more is answered 503 at once. Bounds memory."""
    queue_timeout: Seconds = 5.0
    """How long a request may wait for a connection. A client that waited longer has mostly given up."""
    connect_timeout: Seconds = 2.0
    """How long opening a connection may take, TLS included."""
    response_timeout: Seconds = 60.0
    """How long the server may take until its answer's head is there, counted from the last byte sent to it."""
    idle_timeout: Seconds = 300.0
    """How long an answer that has begun may pause between two bytes. Cuts dead streams."""
    keep_alive_timeout: Seconds = 4.0
    """How long an unused connection is kept: less than the 5 s after which common app servers close theirs."""
    head: Bytes = 65536
    """Size of an answer's head at most. Bounds memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a server listens. `unix` is a socket's path, else `host` and `port`; `tls` None means plain text."""

    host: str = ""
    port: int = 0
    unix: str | None = None
    tls: ssl.SSLContext | None = None
    server_name: str | None = None

    def __str__(self) -> str:
        return f"unix:{self.unix}" if self.unix else f"{self.host}:{self.port}"


class Receiver(Protocol):
    """What an exchange does with the events of its connection.

    `lines` are field lines in pieces, ready to be joined: `name`, `b": "`, `value`, `b"\\r\\n"`, and so on, in the
    server's order and spelling, hop-by-hop fields left out.
    """

    def on_connection(self, connection: Connection) -> None:
        """Send the request on it: the connection is the receiver's now."""

    def on_informational(self, status: int, reason: bytes, lines: list[bytes]) -> None:
        """Take an interim answer (RFC 9110 §15.2), never 101."""

    def on_head(self, status: int, reason: bytes, lines: list[bytes], sized: bool) -> None:
        """Take the final head. `sized`: the lines have a Content-Length, or no body can follow."""

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body, framing removed."""

    def on_flush(self) -> None:
        """All that has arrived so far was handed over, and the answer is not whole yet."""

    def on_complete(self, trailers: list[bytes]) -> None:
        """The answer is whole; the connection is no longer the receiver's."""

    def on_upgrade(self, reason: bytes, lines: list[bytes], connection: Connection, rest: bytes) -> None:
        """The server switched protocols; `rest` is what it sent after its head. Call `connection.detach()`."""

    def on_failure(self, error: UpstreamError, unanswered: bool) -> None:
        """No whole answer will come. `unanswered`: a reused connection was closed before the first byte of one."""

    def on_full(self) -> None:
        """Send no more of the body until `on_drained`."""

    def on_drained(self) -> None:
        """Send on."""


NEVER = float("inf")


class _Special(dict[bytes, bytes | None]):
    """The lower-case name of a field that is read here, None of any other; by the name as a server spelt it."""

    def __missing__(self, name: bytes) -> bytes | None:
        lower = name.lower()
        found = lower if lower in HOP_BY_HOP or lower == b"content-length" else None
        if len(self) < _REMEMBERED:
            self[name] = found
        return found


_REMEMBERED = 1024  # spellings of field names; more are looked at anew each time
_SPECIAL = _Special()


class Connection(asyncio.Protocol):
    """One connection of a pool."""

    __slots__ = (
        "_body_came",
        "_chunked",
        "_connection_options",
        "_done",
        "_fields",
        "_final",
        "_head_only",
        "_head_seen",
        "_keep_alive",
        "_parser",
        "_pool",
        "_reading",
        "_reason",
        "_reused",
        "_sized",
        "_started",
        "_status",
        "_upgradable",
        "deadline",
        "receiver",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.receiver: Receiver | None = None
        self.deadline = NEVER
        self._parser: Any = httptools.HttpResponseParser(self)
        self._reused = False
        self._reading = True
        self._reset()

    def _reset(self) -> None:
        self._fields: list[bytes] = []
        self._reason = b""
        self._status = 0
        self._sized = False
        self._chunked = False
        self._connection_options: bytes | None = None
        self._final = False
        self._done = False
        self._started = False
        self._body_came = False
        self._head_seen = 0

    # What a receiver calls

    def send(self, receiver: Receiver, data: bytes, *, head_only: bool = False, upgradable: bool = False) -> None:
        """Begin an exchange. `head_only`: the answer to HEAD has no body; `upgradable`: 101 was asked for."""
        self.receiver = receiver
        self._head_only = head_only
        self._upgradable = upgradable
        pool = self._pool
        self.deadline = pool.ticker.next + pool.settings.response_timeout
        self.transport.write(data)

    def expect_answer(self) -> None:
        """Start the clock for the answer's head: the request is with the server, or the server does not read it."""
        if not self._final:
            self.deadline = self._pool.ticker.next + self._pool.settings.response_timeout

    def await_client(self) -> None:
        """Stop the clock: the next byte must come from the client, whose own deadlines apply."""
        if not self._final:
            self.deadline = NEVER

    def pause(self) -> None:
        """Read no more until `resume`; a pause is not the server's fault, so no deadline runs."""
        if self._reading:
            self._reading = False
            self.transport.pause_reading()
            self.deadline = NEVER

    def resume(self) -> None:
        """Read on."""
        if not self._reading:
            self._reading = True
            self.transport.resume_reading()
            self.deadline = self._pool.ticker.next + self._pool.settings.idle_timeout

    def use_no_more(self) -> None:
        """Keep the connection for no other exchange: the rest of this one's request will not be sent."""
        self._keep_alive = False

    def abandon(self) -> None:
        """End the exchange half-way: the server sees the connection close."""
        self.receiver = None
        self._pool.forget(self)
        self.transport.abort()

    def detach(self) -> asyncio.Transport:
        """Give the transport away after an upgrade; call `Pool.forget` when it has ended."""
        self.receiver = None
        self.deadline = NEVER
        self._parser = None
        return self.transport

    @property
    def pool(self) -> Pool:
        """The pool that counts this connection."""
        return self._pool

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        receiver = self.receiver
        if receiver is None:
            # Bytes that nobody asked for: the answer to the next request must not come before it was sent.
            self._pool.forget(self)
            self.transport.abort()
            return
        self._started = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            receiver.on_upgrade(self._reason, self._fields, self, data[upgrade.args[0] :])
            return
        except httptools.HttpParserError as error:
            if not self._done:
                self._fail(UpstreamFailure.MALFORMED, self._cause(error))
                return
            self._keep_alive = False  # the answer is whole, and what follows it is nobody's
        if self._done:
            if self.receiver is receiver:
                self._finish(receiver)
        elif self._body_came:
            self._body_came = False
            self._head_seen = 0
            self._go_on(receiver)
        else:
            # Nothing but a head, framing or trailers, all of which are held until they are whole.
            self._head_seen += len(data)
            if self._head_seen > self._pool.settings.head:
                self._fail(UpstreamFailure.MALFORMED, "the answer's head or trailer section is too large")
            elif self._final:
                self._go_on(receiver)

    def _go_on(self, receiver: Receiver) -> None:
        if self._reading:
            self.deadline = self._pool.ticker.next + self._pool.settings.idle_timeout
        receiver.on_flush()

    def eof_received(self) -> bool | None:
        # RFC 9112 §6.3: an answer with neither length nor chunks ends with the connection
        receiver = self.receiver
        if receiver is not None and self._final and not self._sized and not self._chunked:
            self._keep_alive = False
            self._finish(receiver)
        elif receiver is None:
            self._pool.forget(self)
        return None

    def connection_lost(self, error: Exception | None) -> None:
        self._parser = None  # it holds this object's methods: without this, only the garbage collector frees both
        self._pool.forget(self)
        if self.receiver is not None:
            self._fail(UpstreamFailure.UNAVAILABLE, "the connection was closed before the answer was whole")

    def pause_writing(self) -> None:
        if self.receiver is not None:
            self.receiver.on_full()

    def resume_writing(self) -> None:
        if self.receiver is not None:
            self.receiver.on_drained()

    # httptools

    def on_message_begin(self) -> None:
        if self._done:
            raise _UnaskedBytesError  # were it only the beginning of a head, the next answer would be taken for its rest

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        special = _SPECIAL[name]
        if special is None:
            self._fields += (name, b": ", value, b"\r\n")
        elif special == b"content-length":
            if not self._final:
                self._sized = True
                self._fields += (name, b": ", value, b"\r\n")
        elif special == b"connection":
            self._connection_options = value + b"," + (self._connection_options or b"")
        elif special == b"transfer-encoding" and not self._final:
            if self._chunked or value.rstrip().lower() != b"chunked":
                raise _UnknownCodingError
            self._chunked = True

    def on_headers_complete(self) -> None:
        if self._done:
            raise _UnaskedBytesError
        self._status = status = self._parser.get_status_code()
        lines = self._fields
        options = self._connection_options
        if options is not None and len(options) > 11:  # more than `keep-alive,` or `close,`
            lines = without_named(lines, options)
        receiver = self.receiver
        if receiver is None:
            raise _UnaskedBytesError
        if status >= 200:
            self._fields = []
            self._final = True
            self._keep_alive = self._parser.should_keep_alive()
            if status == 204:
                lines = without_length(lines)
            if self._head_only or status == 204 or status == 304:
                self._sized = True
                self._chunked = False
                self._done = self._head_only
            receiver.on_head(status, self._reason, lines, self._sized)
        elif status < 100:
            raise _NoStatusError
        elif status != 101:
            receiver.on_informational(status, self._reason, without_length(lines))
        elif self._upgradable:
            self._fields = lines
        else:
            raise _UnaskedUpgradeError

    def on_body(self, data: bytes) -> None:
        if self._done or not self._final or self.receiver is None:
            raise _UnaskedBytesError  # not final: llhttp reads a body behind an interim answer that it does not know
        self._body_came = True
        self.receiver.on_body(data)

    def on_message_complete(self) -> None:
        if self._final:
            self._done = True
            if self._chunked and not self._parser.should_keep_alive():
                self._keep_alive = False  # the parser takes Connection from trailers, and would read no other answer
        elif self._status != 101:
            self._fields = []
            self._reason = b""
            self._sized = self._chunked = False
            self._connection_options = None

    def _finish(self, receiver: Receiver) -> None:
        trailers = self._fields
        keep = self._keep_alive
        self.receiver = None
        if keep:
            if self._head_only:
                # llhttp waits for the body that an answer to HEAD only announces
                self._parser = httptools.HttpResponseParser(self)
            self._reset()
            self._reused = True
            if not self._reading:
                self.resume()
            self._pool.release(self)
        else:
            self._pool.forget(self)
            if self.transport.get_write_buffer_size():
                self.transport.abort()  # what the server has not read of its request, it may never read
            else:
                self.transport.close()
        receiver.on_complete(trailers)

    def fail(self, reason: UpstreamFailure, detail: str) -> None:
        """Give the exchange up, and the connection with it."""
        self._fail(reason, detail)

    def _cause(self, error: httptools.HttpParserError) -> str:
        cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
        if cause is None:
            return str(error)
        if not isinstance(cause, _ViolationError):
            self._pool.report(cause)
        return cause.__doc__ or type(cause).__name__

    def _fail(self, reason: UpstreamFailure, detail: str) -> None:
        receiver, self.receiver = self.receiver, None
        unanswered = self._reused and not self._started and reason is UpstreamFailure.UNAVAILABLE
        self._pool.forget(self)
        self.transport.abort()
        if receiver is not None:
            receiver.on_failure(UpstreamError(reason, detail), unanswered)


class Pool:
    """The connections to one server, at most `settings.connections`, and the queue for them."""

    def __init__(
        self, endpoint: Endpoint, settings: PoolSettings, ticker: Ticker, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.endpoint = endpoint
        self.settings = settings
        self.ticker = ticker
        self._loop = loop
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._waiting: deque[tuple[Receiver, float]] = deque()
        self._waiting_fresh: deque[tuple[Receiver, float]] = deque()
        self._opening = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.opened = 0
        ticker.add(self._sweep)

    def request(self, receiver: Receiver, *, fresh: bool = False) -> None:
        """Hand a connection to `receiver.on_connection`, at once or later; `fresh`: one never used before."""
        if self._idle and not fresh:
            receiver.on_connection(self._idle.pop())
            return
        queue = self._waiting_fresh if fresh else self._waiting
        # Who waits for a connection that is being opened, or may be, is in nobody's way.
        if len(queue) >= self.settings.queue + self.settings.connections - len(self._all):
            receiver.on_failure(UpstreamError(UpstreamFailure.OVERLOADED, "the queue is full"), False)
            return
        queue.append((receiver, self.ticker.next + self.settings.queue_timeout))
        self._open()

    def cancel(self, receiver: Receiver) -> None:
        """Forget a receiver that waits for a connection."""
        for queue in (self._waiting, self._waiting_fresh):
            for entry in queue:
                if entry[0] is receiver:
                    queue.remove(entry)
                    return

    def release(self, connection: Connection) -> None:
        """Take back a connection after a whole answer."""
        if connection.transport.is_closing():
            self.forget(connection)
        elif self._waiting:
            self._waiting.popleft()[0].on_connection(connection)
        else:
            connection.deadline = self.ticker.next + self.settings.keep_alive_timeout
            self._idle.append(connection)

    def forget(self, connection: Connection) -> None:
        """Count a connection no more."""
        if connection in self._all:
            self._all.discard(connection)
            if connection in self._idle:
                self._idle.remove(connection)
            self._open()

    @property
    def counts(self) -> tuple[int, int, int]:
        """Connections open, of these idle, and requests waiting for one."""
        return len(self._all), len(self._idle), len(self._waiting) + len(self._waiting_fresh)

    async def close(self) -> None:
        """Close what is idle and fail what waits; running exchanges end by themselves."""
        self.ticker.remove(self._sweep)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in tuple(self._idle):
            connection.transport.close()

    def report(self, error: BaseException) -> None:
        """Tell the loop of an exception that a receiver should not have raised."""
        self._loop.call_exception_handler({"message": f"exchange with {self.endpoint}", "exception": error})

    def _open(self) -> None:
        wanted = len(self._waiting) + len(self._waiting_fresh)
        while wanted > self._opening and len(self._all) + self._opening < self.settings.connections:
            self._opening += 1
            task = self._loop.create_task(self._connect(), name=f"connect {self.endpoint}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> None:
        connection: Connection | None = None
        failure = UpstreamError(UpstreamFailure.TIMEOUT, "opening the connection took too long")
        try:
            async with asyncio.timeout(self.settings.connect_timeout):
                connection = await self._create()
        except TimeoutError:
            pass
        except (OSError, ssl.SSLError) as error:
            failure = UpstreamError(UpstreamFailure.UNAVAILABLE, _describe(error))
        self._opening -= 1
        if connection is not None and not connection.transport.is_closing():
            self.opened += 1
            self._all.add(connection)
            if self._waiting_fresh:
                self._waiting_fresh.popleft()[0].on_connection(connection)
            else:
                self.release(connection)
            return
        queue = self._waiting_fresh or self._waiting
        if queue:
            queue.popleft()[0].on_failure(failure, False)
        self._open()

    async def _create(self) -> Connection:
        endpoint = self.endpoint
        if endpoint.unix is not None:
            _, connection = await self._loop.create_unix_connection(
                lambda: Connection(self), endpoint.unix, ssl=endpoint.tls, server_hostname=endpoint.server_name
            )
        else:
            _, connection = await self._loop.create_connection(
                lambda: Connection(self),
                endpoint.host,
                endpoint.port,
                ssl=endpoint.tls,
                server_hostname=endpoint.server_name,
            )
        return connection

    def _sweep(self, now: float) -> None:
        for connection in [c for c in self._all if c.deadline <= now]:
            if connection.receiver is not None:
                connection.fail(UpstreamFailure.TIMEOUT, "the answer took too long")
            else:
                self.forget(connection)
                connection.transport.close()
        for queue in (self._waiting, self._waiting_fresh):
            while queue and queue[0][1] <= now:
                error = UpstreamError(UpstreamFailure.OVERLOADED, "no connection became free in time")
                queue.popleft()[0].on_failure(error, False)


class _ViolationError(Exception):
    """The answer breaks HTTP."""


class _UnknownCodingError(_ViolationError):
    """The answer has a transfer coding other than chunked (RFC 9112 §7)."""


class _NoStatusError(_ViolationError):
    """The answer's status is below 100 (RFC 9110 §15)."""


class _UnaskedUpgradeError(_ViolationError):
    """The answer is 101, and nobody asked for it."""


class _UnaskedBytesError(_ViolationError):
    """Bytes after the end of the answer."""


def without_named(lines: list[bytes], options: bytes) -> list[bytes]:
    """Leave out the fields that Connection lists (RFC 9110 §7.6.1); all of them stay where it cannot be read.

    Content-Length stays: a body is on its way that nothing else would frame.
    """
    named = frozenset(parse_tokens(options) or ()) - {b"content-length"}
    return _without(lines, named)


def without_length(lines: list[bytes]) -> list[bytes]:
    """Leave out Content-Length, where no body can follow (RFC 9110 §8.6): a client may wait for one."""
    return _without(lines, frozenset({b"content-length"}))


def _without(lines: list[bytes], names: frozenset[bytes]) -> list[bytes]:
    kept: list[bytes] = []
    for at in range(0, len(lines), 4):
        if lines[at].lower() not in names:
            kept += lines[at : at + 4]
    return kept


def _describe(error: Exception) -> str:
    # An OSError's text can carry addresses of several attempts; the class and the system's own words are enough.
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'handshake failed'}"
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
