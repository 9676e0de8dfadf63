"""A stream: the client's side of one exchange, on an HTTP/2 connection that it shares with others.

1. It takes of the response what the client's windows allow; the rest waits here, and the upstream is paused.
2. It gives the client credit for the request's body only as the upstream takes it.
3. It ends with the end of both messages, or with RST_STREAM, and the connection goes on.
4. After the handshake of a WebSocket, it is the client's side of a tunnel, which takes the place of the exchange.
"""

from __future__ import annotations

import logging
from typing import Final, Protocol

from enforcer.proxy.client_transport import NEVER, BodyDeadline
from enforcer.proxy.exchange import Exchange
from enforcer.proxy.grant import Grant
from enforcer.proxy.http2.tunnel import StreamTunnel
from enforcer.proxy.http2.websocket import is_accepted, without_accept
from enforcer.proxy.messages import responses
from enforcer.proxy.messages.response_writer import ResponseWriter
from enforcer.proxy.messages.responses import OwnResponse
from enforcer.proxy.snapshot import Snapshot
from enforcer.settings.limits import Limits, Timeouts
from enforcer.wire.carrier import UpgradedConnection
from enforcer.wire.fields import without
from enforcer.wire.http2.fields import FieldList, write_fields
from enforcer.wire.http2.frames import CANCEL, INTERNAL_ERROR, NO_ERROR

_log: Final = logging.getLogger("enforcer.proxy")

_UPGRADE: Final = frozenset({b"upgrade"})

_MALFORMED: Final = responses.malformed("stream: not valid in HTTP/2")

STREAM: Final = 4096
"""Bytes that a stream takes, besides what it holds of its messages."""


class Session(Protocol):
    """The members of an HTTP/2 connection that its streams use. `now` is on the loop's clock."""

    @property
    def now(self) -> float:
        """The time."""

    def room(self, stream: int) -> int:
        """Return how many bytes of a body may be sent now, at most one frame."""

    def send_fields(self, stream: int, fields: FieldList, *, ends: bool) -> None:
        """Send a field section."""

    def send_data(self, stream: int, data: bytes, *, ends: bool) -> None:
        """Send a frame of a body, no more than there is room for."""

    def give_credit(self, stream: int, size: int) -> None:
        """Let the client send more of a body."""

    def hold(self, stream: Http2Stream) -> None:
        """Call `send` again when there may be room."""

    def reset(self, stream: int, code: int) -> None:
        """Send RST_STREAM."""

    def flush(self) -> None:
        """Write what was sent, now or at the end of the turn."""

    def on_stream_end(self, stream: Http2Stream) -> None:
        """Forget a stream: nothing more is sent on it."""

    def tunnel(
        self, stream: Http2Stream, upstream: UpgradedConnection, grant: Grant, timeouts: Timeouts
    ) -> StreamTunnel:
        """Return the tunnel that a stream becomes a side of."""


class Http2Stream(ResponseWriter):
    """One stream, the `Downstream` and the `ResponseWriter` of its exchange.

    `websocket_key`: the key of the handshake with the app, if the client asks for a WebSocket (RFC 8441), else empty.
    `error`: the code of the RST_STREAM that refuses the request, which is malformed; 0: it is not. `open`: more may be
    sent. `closing` and `has_queued` are about connections that carry one request at a time.
    """

    __slots__ = (
        "_body", "_body_deadline", "_body_due", "_credit", "_ended", "_exchange", "_fields", "_limits", "_output",
        "_paused", "_pieces", "_position", "_read", "_read_due", "_received", "_session", "_timeouts", "_trailers",
        "closing", "error", "id", "open", "websocket_key",
    )  # fmt: skip

    def __init__(self, session: Session, number: int, snapshot: Snapshot, *, has_body: bool) -> None:
        self._session = session
        self.id = number
        self._limits: Limits = snapshot.limits
        self._timeouts: Timeouts = snapshot.timeouts
        self._exchange: Exchange | StreamTunnel | None = None
        self._received = not has_body  # the request has ended
        self._body: list[bytes] = []  # the pieces of this turn
        self._read = 0  # bytes of the window that they took up, framing included
        self._credit = 0  # bytes that the upstream has taken, and the client has no credit for yet
        self._body_deadline = BodyDeadline()
        self._body_due = NEVER  # when the client is taken to have stalled in the request's body
        self._read_due = NEVER  # and in reading the response
        self._fields: FieldList | None = None  # the head of the response, until its first flush
        self._pieces: list[bytes] = []  # of the response's body, behind `_output`
        self._output = b""
        self._position = 0  # of the first byte of `_output` that was not sent
        self._trailers: FieldList = []
        self._ended = False  # nothing more comes from the exchange
        self._paused = False  # the upstream is, until all of `_output` is sent
        self.closing = False
        self.error = NO_ERROR
        self.websocket_key = b""
        self.open = True

    def begin_exchange(self, exchange: Exchange) -> None:
        """Begin the exchange that the head of the request has made."""
        self._exchange = exchange
        if not self._received and not exchange.expects_continue and not exchange.awaits_upgrade:
            self.start_body_deadline()
        exchange.begin()

    @property
    def exchange(self) -> Exchange | StreamTunnel | None:
        """The exchange, or the tunnel that it has become; None after its end."""
        return self._exchange

    @property
    def is_tunnel(self) -> bool:
        """Whether it is the client's side of a tunnel."""
        return isinstance(self._exchange, StreamTunnel)

    @property
    def memory(self) -> int:
        """Bytes that it takes, with what the client and the upstream have not taken yet."""
        exchange = self._exchange
        held = len(self._output) - self._position + sum(map(len, self._pieces)) + sum(map(len, self._body))
        return STREAM + held + (0 if exchange is None else exchange.memory)

    # The request, called by the connection

    def on_data(self, data: bytes, size: int) -> bool:
        """Take a frame of the body, `size` bytes of the window; return whether it is the first one of this turn."""
        first = not self._read
        self._read += size
        self._body_deadline.data += len(data)
        if data:
            self._body.append(data)
        return first

    def on_partial_data(self, size: int) -> None:
        """Note that the client goes on with a frame of the body, of which `size` bytes have come."""
        if self._body_due != NEVER:
            self._body_due = self._body_deadline.on_part(size, self._session.now, self._limits, self._timeouts)

    def on_turn_end(self) -> None:
        """Pass on the pieces of the body that have come."""
        exchange, size, body = self._exchange, self._read, self._body
        if not size:
            return
        if isinstance(exchange, Exchange) and exchange.awaits_upgrade:
            self._body = [b"".join(body)]  # it is not decided yet whom they are for
            return
        self._read, self._body = 0, []
        self._credit += size
        if exchange is None:
            return
        if isinstance(exchange, Exchange):
            deadline = self._body_deadline.on_read(size, self._session.now, self._limits, self._timeouts)
            if deadline is None:
                exchange.on_unreadable(responses.HEAD_TOO_LARGE)
                return
            self._body_due = deadline
        try:
            if body:
                exchange.on_request_body(body[0] if len(body) == 1 else b"".join(body))
        except Exception:  # noqa: BLE001 - it must not go on with a part of the body missing
            _log.exception("internal error")
            exchange.on_unreadable(responses.INTERNAL)
        self.update_flow_control()

    def on_request_end(self, trailers: list[bytes]) -> None:
        """Take the end of the request; `trailers` are field lines in pieces."""
        self._received = True  # before the last piece: if it is refused, the stream has ended and takes no reset
        self.on_turn_end()
        self._body_due = NEVER
        if self._exchange is not None:
            self._exchange.on_request_end(trailers)

    def on_malformed(self, code: int) -> None:
        """End the stream with an error: a frame or a message of the client is malformed."""
        self.error = code
        if self._exchange is not None:
            self._exchange.on_unreadable(_MALFORMED)
        self._reset(code)

    def on_reset(self) -> None:
        """Take RST_STREAM, or the end of the connection: the client is gone."""
        exchange = self._exchange
        self._close()
        if exchange is not None:
            exchange.on_client_gone()

    def sweep(self, now: float, wall: float) -> None:
        """Give up if the client has stalled, or its token has expired."""
        exchange = self._exchange
        if self._body_due <= now or self._read_due <= now:
            self._body_due = self._read_due = NEVER
            if exchange is None:
                self._reset(CANCEL)
            else:
                exchange.on_client_stalled()
        elif exchange is not None:
            exchange.end_if_not_valid(wall)

    # Downstream

    @property
    def has_queued(self) -> bool:
        return False

    def on_exchange_end(self, exchange: Exchange) -> None:
        """End the stream when the response is sent."""
        if self._exchange is not exchange:
            return  # a tunnel has taken its place, or it has ended the stream
        self._exchange = None
        self._body_due = NEVER
        if self._ended and not self._has_output:
            self._finish()

    def update_flow_control(self) -> None:
        """Let the client send as much as the upstream takes."""
        exchange, credit = self._exchange, self._credit
        if exchange is None or self._received:
            return
        if exchange.blocked:
            self._body_due = NEVER  # it is not the client that is slow
            return
        if credit * 2 >= self._limits.http2.window:
            self._credit = 0
            self._session.give_credit(self.id, credit)
            self._session.flush()
        if self._body_due == NEVER and isinstance(exchange, Exchange) and not exchange.expects_continue:
            self.start_body_deadline()

    def start_body_deadline(self) -> None:
        self._body_due = self._body_deadline.start(self._session.now, self._timeouts)

    def become_tunnel(self, upstream: UpgradedConnection, first: bytes, grant: Grant, snapshot: Snapshot) -> None:
        tunnel = self._session.tunnel(self, upstream, grant, snapshot.timeouts)
        self._exchange = tunnel
        tunnel.start(first, snapshot)
        self.on_turn_end()
        # A property, because mypyc takes for unchanged what a call has changed
        if self._received and self.exchange is tunnel:
            tunnel.on_request_end([])

    def abort(self) -> None:
        """End the response so that it does not look whole."""
        self._reset(self.error or INTERNAL_ERROR)

    # TunnelStream

    def write(self, data: bytes) -> None:
        self._pieces.append(data)
        self.flush()

    def cancel(self) -> None:
        self._reset(CANCEL)

    def on_tunnel_end(self, tunnel: StreamTunnel) -> None:
        if self._exchange is tunnel:
            self._exchange = None
            if not self._ended:
                self.end([])
            elif not self._has_output:
                self._finish()

    # ResponseWriter

    def accepts(self, status: int, lines: list[bytes]) -> bool:
        if not self.websocket_key:
            return True
        # RFC 8441 §4: to the client, any 2xx is the beginning of the tunnel
        return is_accepted(self.websocket_key, lines) if status == 101 else status >= 300

    def write_informational(self, status: int, reason: bytes, lines: list[bytes]) -> None:
        self._session.send_fields(self.id, [(b":status", b"%d" % status), *write_fields(lines)], ends=False)
        self._session.flush()

    def write_upgrade(self, reason: bytes, lines: list[bytes], protocol: bytes) -> None:
        self._fields = [(b":status", b"200"), *write_fields(without_accept(lines))]
        self.flush()

    def write_own(
        self, response: OwnResponse, date: bytes, *, closes: bool, head_only: bool, http10: bool, request_id: bytes
    ) -> None:
        if self.error:
            self._reset(self.error)
            return
        self._fields = response.fields(date, request_id)
        if not head_only and response.body:
            self._pieces.append(response.body)
        self.end([])

    def begin(self, status: int, reason: bytes, lines: list[bytes], *, sized: bool, closes: bool, http10: bool) -> None:
        if status == 426:
            lines = without(lines, _UPGRADE)  # HTTP/2 has no upgrades, nor fields of a connection (RFC 9113 §8.2.2)
        self._fields = [(b":status", b"%d" % status), *write_fields(lines)]

    def withdraw(self) -> bool:
        if self._fields is None:
            return False
        self._fields = None
        self._pieces = []
        return True

    def add(self, data: bytes) -> None:
        self._pieces.append(data)

    def flush(self) -> None:
        self.send()
        self._session.flush()

    def end(self, trailers: list[bytes]) -> None:
        self._ended = True
        if trailers:
            self._trailers = write_fields(trailers)
        self.send()
        self._session.flush()

    # Sending

    @property
    def _has_output(self) -> bool:
        """Whether something of the response was not sent yet."""
        return self._position < len(self._output) or len(self._pieces) > 0

    def send(self) -> None:
        """Send as much of the response as there is room for."""
        if not self.open:
            return
        if self._pieces:
            self._output = self._output[self._position :] + b"".join(self._pieces)
            self._position = 0
            self._pieces = []
        ends = self._ended and not self._trailers
        if self._fields is not None:
            fields, self._fields = self._fields, None
            ends_now = ends and not self._output
            self._session.send_fields(self.id, fields, ends=ends_now)
            if ends_now:
                self._on_sent()
                return
        if self._send_body(ends):
            self._on_sent()
        elif self._has_output:
            self._wait()
        elif self._ended:
            self._session.send_fields(self.id, self._trailers, ends=True)
            self._on_sent()
        else:
            self._on_drained()

    def _send_body(self, ends: bool) -> bool:
        """Send as much of the body as there is room for, and its end if it `ends` the stream; return whether it did."""
        session, output = self._session, self._output
        size, start = len(output), self._position
        if start == size and ends:
            session.send_data(self.id, b"", ends=True)
            return True
        while start < size:
            stop = min(start + session.room(self.id), size)
            if stop <= start:
                break
            last = ends and stop == size
            session.send_data(self.id, output[start:stop], ends=last)
            start = stop
            if last:
                return True
        if start > self._position:
            self._read_due = NEVER
        self._position = start
        return False

    def _wait(self) -> None:
        """Wait for room, and let the upstream wait too."""
        self._session.hold(self)
        if self._read_due == NEVER and not self.is_tunnel:
            self._read_due = self._session.now + self._timeouts.body
        if not self._paused:
            self._paused = True
            if self._exchange is not None:
                self._exchange.on_client_full()

    def _on_drained(self) -> None:
        self._output = b""
        self._position = 0
        if self._paused:
            self._paused = False
            if self._exchange is not None:
                self._exchange.on_client_drained()

    def _on_sent(self) -> None:
        """Note that all of the response is sent."""
        self._output = b""
        self._position = 0
        self._read_due = NEVER
        if self._exchange is None:
            self._finish()

    # Ends

    def _finish(self) -> None:
        """End the stream behind its response; the rest of a request that has not ended is not read."""
        if self.open and not self._received:
            self._session.reset(self.id, NO_ERROR)  # RFC 9113 §8.1: the response is complete without it
            self._session.flush()
        self._close()

    def _reset(self, code: int) -> None:
        if self.open:
            self._session.reset(self.id, code)
            self._session.flush()
            self._close()

    def _close(self) -> None:
        if self.open:
            self.open = False
            self._body_due = self._read_due = NEVER
            self._exchange = None
            self._output = b""
            self._position = 0
            self._pieces, self._body = [], []
            self._session.on_stream_end(self)
