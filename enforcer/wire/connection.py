"""A pooled HTTP/1.1 connection to a server.

1. It carries one exchange at a time. It is reused only after a complete response on a persistent connection.
2. A response is complete or a failure: one that ends short of its framing is never taken for complete.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import httptools

from enforcer.errors import UpstreamError, UpstreamFailure
from enforcer.native import mypyc_attr
from enforcer.settings.connections.pool import PoolSettings
from enforcer.wire.carrier import Carrier, Receiver
from enforcer.wire.fields import HOP_BY_HOP, without_length, without_named
from enforcer.wire.old_responses import rewrite_head
from enforcer.wire.sockets.second_descriptor import NOT_OPEN, SecondDescriptor
from enforcer.wire.sockets.tls_reader import TlsReader
from enforcer.wire.ticker import Ticker
from enforcer.wire.turns import LARGE, PIECES, STEP, PacedInput, Readable


@mypyc_attr(allow_interpreted_subclasses=True)
class ConnectionOwner:
    """The pool, as its connections see it. A base class and no Protocol, as `Receiver` is."""

    def release(self, connection: PooledConnection) -> None:
        """Take a connection back after a complete response."""
        raise NotImplementedError

    def forget(self, connection: PooledConnection) -> None:
        """Stop counting a connection."""
        raise NotImplementedError

    def begin_stream(self, carrier: Carrier) -> bool:
        """Count an exchange as one that takes long; return whether there is room for one."""
        raise NotImplementedError

    def report(self, error: BaseException) -> None:
        """Report an exception that a receiver should not have raised."""
        raise NotImplementedError


NEVER: Final = float("inf")


class _Special(dict[bytes, bytes | None]):
    """By a field name as the server spelt it: the lower-case name of a field that is read here, else None."""

    def __missing__(self, name: bytes) -> bytes | None:
        lower = name.lower()
        special = lower if lower in HOP_BY_HOP or lower == b"content-length" else None
        if len(name) <= 64:
            if len(self) >= _MAX_SPELLINGS:
                self.clear()  # a server that fills it with invented names must not keep others' names out of it
            self[name] = special
        return special


_MAX_SPELLINGS: Final = 1024  # spellings of field names that are cached: a server must not grow the table without bound
_SPECIAL: Final = _Special()


def new_response_parser(events: object) -> Any:
    """Return a parser of responses, which calls the methods of `events`.

    Old servers pad the size of a chunk with spaces to a fixed width, and every reader ignores them. The client gets
    sizes of our own. No parser of requests may accept them.
    """
    parser = httptools.HttpResponseParser(events)
    parser.set_dangerous_leniencies(lenient_spaces_after_chunk_size=True)
    return parser


class PooledConnection(Carrier):
    """One connection of a pool: an asyncio.Protocol by its methods. A foreign base would slow the compiled class.

    `tls` is what it reads from, if the server speaks TLS.
    """

    __slots__ = (
        "_body", "_chunked", "_connection_options", "_done", "_ended", "_fields", "_final", "_fragmented",
        "_head_only", "_head_seen", "_input", "_keep_alive", "_lost", "_parser", "_reason", "_request_chunked",
        "_response_timeout", "_reused", "_second", "_settings", "_sized", "_started", "_status", "_ticker",
        "_upgradable", "deadline", "pool", "receiver", "tls", "transport",
    )  # fmt: skip

    transport: asyncio.Transport
    _input: PacedInput

    def __init__(self, pool: ConnectionOwner, settings: PoolSettings, ticker: Ticker) -> None:
        self.tls: TlsReader | None = None
        self.pool = pool
        self._settings = settings
        # Each request reads it, and from the settings, whose class is interpreted, that is slow.
        self._response_timeout = settings.response_timeout
        self._ticker = ticker
        self.receiver: Receiver | None = None
        self.holder = None
        self.streaming = False
        self.begun = 0.0
        self.deadline = NEVER
        self._parser: Any = None  # a reference cycle: made only once connected, and cut in connection_lost
        self._reused = False
        self._body: list[bytes] = []  # the pieces of this turn
        self._fragmented = False  # the last turn's body came in many pieces
        self._ended = self._lost = False  # the end of the input, or of the connection, came behind what is held
        self._fields: list[bytes] = []  # of the head that is being read, then of the trailer section
        self._reset()

    def _reset(self) -> None:
        self._reason = b""
        self._status = 0
        self._sized = False
        self._chunked = False
        self._connection_options: bytes | None = None
        self._final = False
        self._done = False
        self._started = False
        self._head_seen = 0
        self._second: SecondDescriptor | None = None  # None: no piece of a body was sent

    # Called by receivers

    def send(
        self,
        receiver: Receiver,
        head: bytes,
        *,
        head_only: bool = False,
        upgradable: bool = False,
        has_body: bool = False,
        chunked: bool = False,
    ) -> None:
        self.receiver = receiver
        self._head_only = head_only
        self._upgradable = upgradable
        self._request_chunked = chunked
        self.begun = now = self._ticker.next
        self.deadline = now + self._response_timeout
        self.transport.write(head)

    def send_body(self, data: bytes) -> None:
        second = self._second
        if second is None:
            self._second = NOT_OPEN
        elif second is NOT_OPEN and self.tls is None:
            self._second = SecondDescriptor(self.transport)
        self.transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._request_chunked else data)

    def end_body(self, trailers: list[bytes]) -> None:
        if self._request_chunked:
            self.transport.write(b"0\r\n%b\r\n" % b"".join(trailers))
        self.expect_answer()

    def expect_answer(self) -> None:
        if not self._final:
            self.deadline = self._ticker.next + self._response_timeout

    def await_client(self) -> None:
        if not self._final:
            self.deadline = NEVER

    def pause(self) -> None:
        if not self._input.blocked:
            self._input.block()
            self.deadline = NEVER

    def resume(self) -> None:
        if self._input.blocked:
            self._input.unblock()
            self.deadline = self._ticker.next + self._settings.idle_timeout

    @property
    def client(self) -> str | None:
        """The key of the client that the exchange is for."""
        return None if self.holder is None else self.holder.client

    @property
    def memory(self) -> int:
        encrypted = 0 if self.tls is None else self.tls.unread
        return encrypted + self.transport.get_write_buffer_size() + self._head_seen

    def use_no_more(self) -> None:
        self._keep_alive = False

    def begin_stream(self) -> bool:
        return self.pool.begin_stream(self)

    def abandon(self) -> None:
        self.receiver = None
        self._input.take()
        self.pool.forget(self)
        self.transport.abort()
        if self._lost:
            self.connection_lost(None)

    def detach(self) -> asyncio.Transport:
        """Hand over the transport after an upgrade; call `forget` when it has ended."""
        self.receiver = None
        self.deadline = NEVER
        self._parser = None
        self._input.close()
        return self.transport

    def forget(self) -> None:
        """Stop counting the connection: the tunnel that it became has ended."""
        self.pool.forget(self)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self._parser = new_response_parser(self)
        readable: Readable = self.transport if self.tls is None else self.tls
        self._input = PacedInput(self._ticker.turns, readable, self)

    def data_received(self, data: bytes) -> None:
        """Process the first step at once, and all of a body without framing."""
        if self._fragmented or self._input.waiting:
            self._input.add(data)
            return
        if len(data) <= STEP or self._has_no_framing():
            self.on_input(data)
        else:
            self.on_input(self._input.begin(data))
            if self._has_no_framing():
                self.on_input(self._input.take())
        if self.receiver is not None:
            self.on_turn_end()
        if len(data) >= LARGE or self._input.waiting:
            self._input.wait(len(data))
        else:
            self._ticker.turns.activity += 1

    def _has_no_framing(self) -> bool:
        """Whether the next bytes are only body: one piece, however many they are."""
        return self._final and not self._chunked and not self._done

    def on_input(self, data: bytes) -> None:
        """Parse the next step."""
        receiver = self.receiver
        if receiver is None:
            # Unsolicited bytes: they must not be taken for the response to the next request.
            self._input.take()
            self.pool.forget(self)
            self.transport.abort()
            return
        first = not self._started
        self._started = True
        pieces = len(self._body)
        rewritten = None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :] + self._input.take()
            receiver.on_upgrade(self._reason, self._fields, self, rest)
            return
        except httptools.HttpParserError as error:
            if self._done:
                self._keep_alive = False  # the response is complete, and no request belongs to what follows it
            else:
                # Behind a head that was passed on, even an interim one, a second reading would pass it on again.
                rewritten = rewrite_head(data) if first and self._status == 0 else None
                if rewritten is None:
                    self.fail(UpstreamFailure.MALFORMED, self._cause(error))
                    return
        if rewritten is not None:
            # Not in the handler above: the next error would have this one as its context, and hide its cause.
            self._start_head()
            self.on_input(rewritten)
        elif self._done:
            if self.receiver is receiver:
                self._finish(receiver)
        elif len(self._body) > pieces:
            self._head_seen = 0
        else:
            # Only a head, framing or trailers, which are all buffered until they are complete.
            self._head_seen += len(data)
            if self._head_seen > self._settings.head:
                self.fail(UpstreamFailure.MALFORMED, "the response's head or trailer section is too large")

    def _start_head(self) -> None:
        """Parse a head again that the parser did not take."""
        self._parser = new_response_parser(self)
        self._fields = []
        self._reason = b""
        self._sized = self._chunked = False
        self._connection_options = None

    def on_turn_end(self) -> None:
        """Pass on everything that has come of the response."""
        receiver = self.receiver
        if receiver is not None and self._final and self._pass_body_on(receiver):
            if not self._input.blocked:
                self.deadline = self._ticker.next + self._settings.idle_timeout
            receiver.on_flush()
        if self._ended and not self._input.waiting:
            self.eof_received()
        if self._lost and not self._input.waiting:
            self.connection_lost(None)

    def _pass_body_on(self, receiver: Receiver) -> bool:
        """Give the receiver the pieces of the body in one; return whether the exchange goes on."""
        body = self._body
        self._fragmented = len(body) > PIECES
        if body:
            data = body[0] if len(body) == 1 else b"".join(body)
            body.clear()
            try:
                receiver.on_body(data)
            except Exception as error:  # noqa: BLE001 - it must not go on with a part of the body missing
                self.pool.report(error)
                self.fail(UpstreamFailure.MALFORMED, type(error).__name__)
                return False
        return True

    def eof_received(self) -> bool | None:
        if self._input.waiting:
            self._ended = True
            return None
        # RFC 9112 §6.3: a response with neither length nor chunks ends with the connection
        receiver = self.receiver
        if receiver is not None and self._final and not self._sized and not self._chunked:
            self._keep_alive = False
            self._finish(receiver)
        elif receiver is None:
            self.pool.forget(self)
        return None

    def connection_lost(self, error: Exception | None) -> None:
        second, self._second = self._second, None
        if second is not None:
            if error is not None and self.receiver is not None and not self._input.waiting:
                self._read_rest(second)
            second.close()
        if self._parser is None:
            # Never connected, since event loops call this after a failed TLS handshake, too; or handed over.
            self.pool.forget(self)
            return
        if self._input.waiting and self.receiver is not None:
            self._lost = True
            return
        self._input.close()
        self._parser = self.tls = None  # they refer to this object: only the garbage collector would free them
        self.pool.forget(self)
        if self.receiver is not None:
            self.fail(UpstreamFailure.UNAVAILABLE, "the connection was closed before the response was complete")

    def _read_rest(self, second: SecondDescriptor) -> None:
        """Read what the server sent before a write failed: the response to a request that it did not want to read."""
        while self.receiver is not None and (data := second.read()):
            self.on_input(data)
        self.on_turn_end()

    def pause_writing(self) -> None:
        if self.receiver is not None:
            self.receiver.on_full()

    def resume_writing(self) -> None:
        if self.receiver is not None:
            self.receiver.on_drained()

    # httptools

    def on_message_begin(self) -> None:
        if self._done:
            # Even the beginning of a head is an error: the next response would be taken for its rest.
            raise _ViolationError(_EXCESS)

    def on_status(self, reason: bytes) -> None:
        self._reason = self._reason + reason if self._reason else reason

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
        elif special == b"upgrade" and self._parser.get_status_code() == 426 and not self._final:
            # RFC 9110 §15.5.22: the client needs to know which protocol the server wants.
            self._fields += (name, b": ", value, b"\r\n")

    def on_headers_complete(self) -> None:
        if self._done:
            raise _ViolationError(_EXCESS)
        status: int = self._parser.get_status_code()
        self._status = status
        lines = self._fields
        options = self._connection_options
        if options is not None and len(options) > 11:  # more than `keep-alive,` or `close,`
            lines = without_named(lines, options, keeps_upgrade=status == 426)
        receiver = self.receiver
        if receiver is None:
            raise _ViolationError(_EXCESS)
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
            raise _ViolationError("it is 101, and no upgrade was requested")

    def on_body(self, data: bytes) -> None:
        if self._done or not self._final or self.receiver is None:
            # Not final: llhttp reads a body after an interim response that it does not know.
            raise _ViolationError(_EXCESS)
        self._body.append(data)

    def on_message_complete(self) -> None:
        if self._final:
            self._done = True
            if self._chunked and not self._parser.should_keep_alive():
                self._keep_alive = False  # the parser takes Connection from trailers, and would parse no other response
        elif self._status != 101:
            self._fields = []
            self._reason = b""
            self._sized = self._chunked = False
            self._connection_options = None

    def _finish(self, receiver: Receiver) -> None:
        if self._body and not self._pass_body_on(receiver):
            return
        trailers = self._fields
        keep = self._keep_alive
        if self._input.waiting:
            self._input.take()
            keep = False  # no request belongs to the bytes behind the response
        self.receiver = None
        if keep:
            if self._head_only:
                # llhttp waits for the body that a response to HEAD only announces
                self._parser = new_response_parser(self)
            if self._second is not None:
                self._second.close()
            if trailers:
                self._fields = []
            self._reset()
            self._reused = True
            if self._input.blocked:
                self.resume()
            self.pool.release(self)
        else:
            self.pool.forget(self)
            if self.transport.get_write_buffer_size():
                self.transport.abort()  # the server may never read the rest of the request
            else:
                self.transport.close()
        receiver.on_complete(trailers)

    def _cause(self, error: httptools.HttpParserError) -> str:
        cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
        if cause is None:
            return str(error)
        if isinstance(cause, _ViolationError):
            return str(cause)
        self.pool.report(cause)
        return type(cause).__name__

    def fail(self, reason: UpstreamFailure, detail: str) -> None:
        """End the exchange with a failure, and close the connection."""
        receiver, self.receiver = self.receiver, None
        unanswered = self._reused and not self._started and reason is UpstreamFailure.UNAVAILABLE
        self.pool.forget(self)
        self.transport.abort()
        if receiver is not None:
            receiver.on_failure(UpstreamError(reason, detail), unanswered)


_EXCESS: Final = "there are bytes after its end"


class _ViolationError(Exception):
    """The response violates HTTP; the text says how."""
