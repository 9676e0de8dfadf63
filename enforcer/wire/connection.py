"""One connection of the client side, and what receives its events.

1. It carries one exchange at a time; it is used again only after a whole answer on a kept-alive connection.
2. An answer is whole, or it failed: it never ends quietly short of its framing.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

import httptools

from enforcer.errors import UpstreamError, UpstreamFailure
from enforcer.wire.fields import HOP_BY_HOP, without_length, without_named

if TYPE_CHECKING:
    from enforcer.wire.pool import Pool


class Receiver(Protocol):
    """What an exchange does with the events of its connection.

    `lines` are field lines in pieces, ready to be joined: `name`, `b": "`, `value`, `b"\\r\\n"`, and so on, in the
    server's order and spelling, hop-by-hop fields left out.
    """

    def on_connection(self, connection: PooledConnection) -> None:
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

    def on_upgrade(self, reason: bytes, lines: list[bytes], connection: PooledConnection, rest: bytes) -> None:
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


class PooledConnection:
    """One connection of a pool: an asyncio.Protocol by its methods; its base would cost a compiled class its speed."""

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
        self._parser: Any = None  # it and this object hold each other, so that one that never connects has none
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
        self._parser = httptools.HttpResponseParser(self)

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
            # Were it only the beginning of a head, the next answer would be taken for its rest.
            raise _ViolationError(_UNASKED)

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
                raise _ViolationError("it has a transfer coding other than chunked")
            self._chunked = True

    def on_headers_complete(self) -> None:
        if self._done:
            raise _ViolationError(_UNASKED)
        self._status = status = self._parser.get_status_code()
        lines = self._fields
        options = self._connection_options
        if options is not None and len(options) > 11:  # more than `keep-alive,` or `close,`
            lines = without_named(lines, options)
        receiver = self.receiver
        if receiver is None:
            raise _ViolationError(_UNASKED)
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
            raise _ViolationError("its status is below 100")
        elif status != 101:
            receiver.on_informational(status, self._reason, without_length(lines))
        elif self._upgradable:
            self._fields = lines
        else:
            raise _ViolationError("it is 101, and nobody asked for it")

    def on_body(self, data: bytes) -> None:
        if self._done or not self._final or self.receiver is None:
            # Not final: llhttp reads a body behind an interim answer that it does not know.
            raise _ViolationError(_UNASKED)
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
        if isinstance(cause, _ViolationError):
            return str(cause)
        self._pool.report(cause)
        return type(cause).__name__

    def _fail(self, reason: UpstreamFailure, detail: str) -> None:
        receiver, self.receiver = self.receiver, None
        unanswered = self._reused and not self._started and reason is UpstreamFailure.UNAVAILABLE
        self._pool.forget(self)
        self.transport.abort()
        if receiver is not None:
            receiver.on_failure(UpstreamError(reason, detail), unanswered)


_UNASKED: Final = "there are bytes after its end"


class _ViolationError(Exception):
    """The answer breaks HTTP; its text says how."""
