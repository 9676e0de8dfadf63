"""A stream of an HTTP/2 connection to a server: the carrier of one exchange.

1. A response is complete or a failure: one that ends short of its Content-Length is never taken for complete.
2. A fault of the stream ends the stream, and no other.
3. The server gets credit for more of a body only while the receiver takes what has come.
"""

from __future__ import annotations

from enum import IntEnum
from http import HTTPStatus
from typing import Final, Protocol

from enforcer.errors import UpstreamError, UpstreamFailure
from enforcer.settings.connections.http2 import Http2Settings
from enforcer.settings.connections.pool import PoolSettings
from enforcer.shares import Holder
from enforcer.wire.carrier import STREAM_RESET, Carrier, Receiver
from enforcer.wire.fields import without_length
from enforcer.wire.http2.exchange_fields import NO_LENGTH, FieldSectionError, ResponseHead, request_fields
from enforcer.wire.http2.fields import FieldList, read_trailers, write_fields
from enforcer.wire.http2.frames import CANCEL, PROTOCOL_ERROR, REFUSED_STREAM

NEVER: Final = float("inf")
_PHRASES: Final = {status.value: status.phrase.encode() for status in HTTPStatus}
"""HTTP/2 has no reason phrases, but HTTP/1.1 clients expect them."""
_FIELD: Final = 32
"""Bytes that a field counts for, beside its name and value (RFC 9113 §6.5.2)."""


class SendState(IntEnum):
    """The part of the request that is still to be sent."""

    OPEN = 0  # pieces of the body may come
    ENDING = 1  # nothing more comes, and a part of the body waits for room
    SENT = 2  # nothing


class ReceiveState(IntEnum):
    """The part of the response that comes next."""

    HEAD = 0
    BODY = 1
    DONE = 2  # none: the exchange has ended


_OPEN: Final = SendState.OPEN
_ENDING: Final = SendState.ENDING
_SENT: Final = SendState.SENT
_HEAD: Final = ReceiveState.HEAD
_BODY: Final = ReceiveState.BODY
_DONE: Final = ReceiveState.DONE


class StreamSession(Protocol):
    """The connection, as its streams see it. `scheme` is that of its requests; `now` is on the loop's clock."""

    scheme: bytes

    @property
    def now(self) -> float:
        """The time."""

    def open(self, stream: StreamCarrier, fields: FieldList, *, ends: bool) -> int:
        """Send the head of a request; return the number of its stream."""

    def send_body(self, stream: StreamCarrier) -> None:
        """Send as much of `stream.unsent` as there is room for, and the rest when there is more."""

    def send_end(self, number: int, trailers: FieldList) -> None:
        """End the request."""

    def give_credit(self, number: int, size: int) -> None:
        """Let the server send more of a body."""

    def reset(self, number: int, code: int) -> None:
        """Send RST_STREAM."""

    def begin_stream(self, stream: StreamCarrier) -> bool:
        """Count the exchange as one that takes long; return whether there is room for one."""

    def on_stream_end(self, stream: StreamCarrier) -> None:
        """Forget a stream: its exchange has ended."""

    def report(self, error: BaseException) -> None:
        """Report an exception that a receiver should not have raised."""


class StreamCarrier(Carrier):
    """Carries one exchange.

    `number` is that of the stream, 0 before `send`. `unsent`: what of the request's body waits for room.
    """

    __slots__ = (
        "_body", "_credit", "_full", "_head_only", "_head_size", "_http2", "_left", "_paused", "_received",
        "_receiver", "_receiving", "_sending", "_session", "_settings", "_trailers", "deadline", "number", "unsent",
    )  # fmt: skip

    def __init__(self, session: StreamSession, settings: PoolSettings, http2: Http2Settings, holder: Holder) -> None:
        self._session = session
        self._settings = settings
        self._http2 = http2
        self._receiver: Receiver | None = None
        self._head_only = False
        self._head_size = 0  # of the field sections, which are not subject to flow control
        self._left = NO_LENGTH  # bytes that are missing of a body with Content-Length
        self._body: list[bytes] = []  # the pieces of this turn
        self._received = 0  # bytes of the window that they took up
        self._credit = 0  # bytes that were passed on, and the server has no credit for yet
        self._paused = False
        self._full = False
        self._sending = _OPEN
        self._receiving = _HEAD
        self._trailers: FieldList = []
        self.holder = holder
        self.streaming = False
        self.begun = 0.0
        self.number = 0
        self.deadline = NEVER
        self.unsent = b""

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
        self._receiver = receiver
        self._head_only = head_only
        self.begun = self._session.now
        if not has_body:
            self._sending = _SENT
        self.number = self._session.open(self, request_fields(head, self._session.scheme), ends=not has_body)
        self.expect_answer()

    def send_body(self, data: bytes) -> None:
        if self._sending is _OPEN:
            self.unsent += data
            self._session.send_body(self)

    def end_body(self, trailers: list[bytes]) -> None:
        if self._sending is _OPEN:
            self._sending = _ENDING
            self._trailers = write_fields(trailers)
            self.on_sent()
        self.expect_answer()

    def expect_answer(self) -> None:
        if self._receiving is _HEAD:
            self.deadline = self._session.now + self._settings.response_timeout

    def await_client(self) -> None:
        if self._receiving is _HEAD:
            self.deadline = NEVER

    def pause(self) -> None:
        self._paused = True
        self.deadline = NEVER

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            self.deadline = self._session.now + self._settings.idle_timeout
            self._give_credit()

    @property
    def memory(self) -> int:
        return len(self.unsent) + sum(map(len, self._body))

    @property
    def refusable(self) -> bool:
        return True

    def use_no_more(self) -> None:
        pass  # a stream carries one exchange only

    def begin_stream(self) -> bool:
        return self._session.begin_stream(self)

    def abandon(self) -> None:
        self._receiver = None
        self._end(CANCEL)

    # Called by the connection

    @property
    def answered(self) -> bool:
        """Whether the response has begun."""
        return self._head_size > 0

    @property
    def ends(self) -> bool:
        """Whether the request ends behind `unsent`."""
        return self._sending is _ENDING and not self._trailers

    def on_end_sent(self) -> None:
        """Note that the last frame of the body has ended the request."""
        self._sending = _SENT

    def on_wait(self) -> None:
        """Let the client wait: there is no room for `unsent`."""
        if not self._full:
            self._full = True
            if self._receiver is not None:
                self._receiver.on_full()

    def on_sent(self) -> None:
        """Go on after `unsent` has become empty or the body has ended."""
        if self.unsent:
            return
        if self._sending is _ENDING:
            self._sending = _SENT
            self._session.send_end(self.number, self._trailers)
        if self._full:
            self._full = False
            if self._receiver is not None:
                self._receiver.on_drained()

    def on_section(self, section: FieldList) -> None:
        """Take a head, or an interim one."""
        receiver = self._receiver
        if receiver is None or not self._has_room_for(section):
            return
        try:
            head = ResponseHead(section)
        except FieldSectionError as error:
            self.on_violation(str(error))
            return
        reason = _PHRASES.get(head.status, b"")
        if head.status < 200:
            receiver.on_informational(head.status, reason, without_length(head.lines))
            return
        lines, sized = head.lines, head.length != NO_LENGTH
        self._left = head.length
        if head.status == 204:
            lines = without_length(lines)
        if self._head_only or head.status in (204, 304):
            self._left = 0
            sized = True
        self._receiving = _BODY
        self.deadline = self._session.now + self._settings.idle_timeout
        receiver.on_head(head.status, reason, lines, sized)

    def on_data(self, data: bytes, size: int) -> bool:
        """Take a frame of the body, `size` bytes of the window; return whether it is the first one of this turn."""
        if self._receiving is not _BODY:
            return False
        first = not self._received
        self._received += size
        if self._left != NO_LENGTH:
            self._left -= len(data)
            if self._left < 0:
                self.on_violation(_EXCESS)
                return False
        if data:
            self._body.append(data)
        return first

    def on_turn_end(self) -> None:
        """Pass on everything that has come of the body."""
        receiver = self._receiver
        if receiver is not None and self._receiving is _BODY and self._pass_body_on(receiver):
            if not self._paused:
                self.deadline = self._session.now + self._settings.idle_timeout
            receiver.on_flush()
            self._give_credit()

    def on_trailers(self, section: FieldList) -> None:
        """Take the trailer section, which ends the response."""
        if not self._has_room_for(section):
            return
        trailers = read_trailers(section)
        if trailers is None:
            self.on_violation("a trailer field is not valid in HTTP/2")
        else:
            self.on_end(trailers)

    def on_end(self, trailers: list[bytes]) -> None:
        """Take the end of the response."""
        receiver = self._receiver
        if receiver is None or self._receiving is not _BODY or not self._pass_body_on(receiver):
            return
        if self._left > 0:
            self.on_violation("it is shorter than its Content-Length")
            return
        self._receiver = None
        self._end(_NO_RESET if self._sending is _SENT else CANCEL)  # the rest of the request is of no use
        receiver.on_complete(trailers)

    def on_reset(self, code: int) -> None:
        """Take RST_STREAM."""
        refused = code == REFUSED_STREAM
        text = "the server refused the request" if refused else f"{STREAM_RESET} with error {code}"
        self.on_lost(UpstreamError(UpstreamFailure.UNAVAILABLE, text, processed=not refused), unanswered=False)

    def on_lost(self, error: UpstreamError, *, unanswered: bool) -> None:
        """Take the end of the stream, or of its connection. `unanswered`: see `Receiver.on_failure`."""
        receiver, self._receiver = self._receiver, None
        self._end(_NO_RESET)
        if receiver is not None:
            receiver.on_failure(error, unanswered)

    def on_late(self) -> None:
        """Give up: the server let the deadline pass."""
        self._fail(UpstreamFailure.TIMEOUT, "the response took too long", CANCEL)

    def on_violation(self, detail: str) -> None:
        """Give up: the response violates HTTP."""
        self._fail(UpstreamFailure.MALFORMED, detail, PROTOCOL_ERROR)

    def _fail(self, reason: UpstreamFailure, detail: str, code: int) -> None:
        receiver, self._receiver = self._receiver, None
        self._end(code)
        if receiver is not None:
            receiver.on_failure(UpstreamError(reason, detail), False)

    def _has_room_for(self, section: FieldList) -> bool:
        self._head_size += sum(len(name) + len(value) + _FIELD for name, value in section)
        if self._head_size <= self._settings.head and len(section) <= self._http2.fields:
            return True
        self.on_violation("the response's head or trailer section is too large")
        return False

    def _pass_body_on(self, receiver: Receiver) -> bool:
        """Give the receiver the pieces of the body in one; return whether the exchange goes on."""
        body = self._body
        self._credit += self._received
        self._received = 0
        if body:
            self._body = []
            try:
                receiver.on_body(body[0] if len(body) == 1 else b"".join(body))
            except Exception as error:  # noqa: BLE001 - it must not go on with a part of the body missing
                self._session.report(error)
                self.on_violation(type(error).__name__)
            return self._receiver is receiver
        return True

    def _give_credit(self) -> None:
        if not self._paused and self._credit * 2 >= self._http2.window and self._receiving is _BODY:
            credit, self._credit = self._credit, 0
            self._session.give_credit(self.number, credit)

    def _end(self, code: int) -> None:
        if self._receiving is _DONE:
            return
        self._receiving = _DONE
        self._sending = _SENT
        self.unsent = b""
        self._body = []
        self.deadline = NEVER
        if code != _NO_RESET and self.number:
            self._session.reset(self.number, code)
        self._session.on_stream_end(self)


_NO_RESET: Final = -1
_EXCESS: Final = "it is longer than its Content-Length, or must have no body"
