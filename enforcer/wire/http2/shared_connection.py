"""A pooled HTTP/2 connection to a server, which many exchanges share (RFC 9113). Each has a stream of its own.

1. It is ready when the server's SETTINGS have come: then it is known to speak HTTP/2, and how many streams it takes.
2. The fault of a stream ends the stream, and the fault of the connection all of them.
3. After GOAWAY it takes no more streams. Requests that the server did not process may be sent again, on another one.
4. The memory that a server can fill is bounded: field sections, unread frames, and bodies by their windows.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from enum import IntEnum
from typing import Final, Protocol

from h2.events import (
    DataReceived,
    Event,
    InformationalResponseReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from hpack.exceptions import HPACKError

from enforcer.errors import UpstreamError, UpstreamFailure
from enforcer.settings.connections.http2 import Http2Settings
from enforcer.settings.connections.pool import PoolSettings
from enforcer.shares import Holder
from enforcer.wire.carrier import Carrier
from enforcer.wire.http2.fields import FieldList
from enforcer.wire.http2.frame_writer import FrameWriter
from enforcer.wire.http2.frames import (
    DATA,
    ENHANCE_YOUR_CALM,
    GOAWAY,
    INTERNAL_ERROR,
    NO_ERROR,
    FrameError,
    FrameReader,
    goaway,
)
from enforcer.wire.http2.state_machine import CONNECTION_WINDOW, FRAME, BoundedConnection
from enforcer.wire.http2.stream_carrier import NEVER, StreamCarrier
from enforcer.wire.sockets.tls_reader import TlsReader
from enforcer.wire.ticker import Ticker
from enforcer.wire.turns import STEP, PacedInput, Readable

_LAST_STREAM: Final = 2**31 - 1
_STEP: Final = 64
"""Maximum number of frames of a step."""
_HEADROOM: Final = 2
"""The compressed field section that ends the connection is this much larger than one that only ends its stream."""
_CONTINUATIONS: Final = 16
"""Maximum number of CONTINUATION frames of a field section. Bounds work."""


class SharedState(IntEnum):
    """Whether a connection takes streams."""

    CONNECTING = 0  # nothing yet: the server's SETTINGS have not come
    OPEN = 1  # streams
    ENDING = 2  # no more streams; it is closed behind those that are open
    CLOSED = 3  # nothing


_CONNECTING: Final = SharedState.CONNECTING
_OPEN: Final = SharedState.OPEN
_ENDING: Final = SharedState.ENDING
_CLOSED: Final = SharedState.CLOSED


class SharedConnectionOwner(Protocol):
    """The pool, as its shared connections see it."""

    def release_stream(self, carrier: Carrier) -> None:
        """Take back the place of a stream that has ended."""

    def begin_stream(self, carrier: Carrier) -> bool:
        """Count the exchange as one that takes long; return whether there is room for one."""

    def use_room(self, connection: SharedConnection) -> None:
        """Give streams to requests that wait: the connection may have room for more."""

    def forget_shared(self, connection: SharedConnection) -> None:
        """Stop counting a connection, which is closed."""

    def report(self, error: BaseException) -> None:
        """Report an exception that a receiver should not have raised."""


class SharedConnection:
    """One connection, an asyncio.Protocol by its methods, and the `StreamSession` of its streams.

    `ready` has a result once it takes streams, or the UpstreamError for which it never will. `tls` is what it reads
    from, if the server speaks TLS. It is closed at its `deadline` if it is idle.
    """

    __slots__ = (
        "_ended", "_input", "_lost", "_machine", "_owner", "_read_at", "_reader", "_received", "_settings", "_streams",
        "_ticker", "_touched", "_writer", "deadline", "http2", "ready", "scheme", "state", "tls", "transport",
    )  # fmt: skip

    transport: asyncio.Transport
    _input: PacedInput
    _writer: FrameWriter

    def __init__(
        self,
        owner: SharedConnectionOwner,
        settings: PoolSettings,
        http2: Http2Settings,
        ticker: Ticker,
        ready: asyncio.Future[None],
    ) -> None:
        self._owner = owner
        self._settings = settings
        self._ticker = ticker
        self._machine = BoundedConnection(
            client_side=True, streams=http2.streams, window=http2.window, head=settings.head, fields=http2.fields
        )
        self._reader = FrameReader(FRAME, _HEADROOM * settings.head, _CONTINUATIONS)
        self._streams: dict[int, StreamCarrier] = {}
        self._touched: list[StreamCarrier] = []  # they got something of a body in this turn
        self._received = 0  # bytes of the connection's window that were not given back
        self._read_at = ticker.next
        self._ended = self._lost = False  # the end of the input, or of the connection, came behind what is held
        self.http2 = http2
        self.ready = ready
        self.tls: TlsReader | None = None
        self.scheme = b"http"
        self.deadline = NEVER
        self.state = _CONNECTING

    # Called by the pool

    @property
    def client(self) -> str | None:
        """None: it works for many clients, and has a turn of its own."""
        return None

    @property
    def limit(self) -> int:
        """How many streams it takes at once."""
        return min(self.http2.streams, int(self._machine.remote_settings.max_concurrent_streams))

    @property
    def has_room(self) -> bool:
        """Whether it takes another stream."""
        if self.state is not _OPEN or self._machine.highest_outbound_stream_id >= _LAST_STREAM - 2:
            return False
        return len(self._streams) < self.limit

    @property
    def is_idle(self) -> bool:
        """Whether it has no stream."""
        return not self._streams

    def begun_before(self, time: float) -> list[StreamCarrier]:
        """Return the streams that have begun at a time, or before it."""
        return [stream for stream in self._streams.values() if stream.begun <= time]

    def carrier(self, holder: Holder) -> StreamCarrier:
        """Return the carrier of a new stream, which is there as soon as its request is sent."""
        return StreamCarrier(self, self._settings, self.http2, holder)

    def retire(self) -> None:
        """Take no more streams, and close behind those that are open."""
        if self.state is _OPEN:
            self.state = _ENDING
            if not self._streams:
                self.close()

    def close(self) -> None:
        """Close behind everything that was sent."""
        if self.state is not _CLOSED:
            self.state = _CLOSED
            self._writer.write_last(goaway(0, NO_ERROR))
            self.transport.close()
            self._owner.forget_shared(self)

    def abort(self) -> None:
        """Close at once."""
        self._end(UpstreamError(UpstreamFailure.UNAVAILABLE, "the connection was closed"), repeatable=False)
        self.transport.abort()

    def sweep(self, now: float) -> None:
        """Fail the exchanges whose deadline has passed, and close if it is idle for too long."""
        for stream in [stream for stream in self._streams.values() if stream.deadline <= now]:
            silent = self._read_at <= stream.begun
            stream.on_late()
            if silent:
                self.retire()  # most likely its server is gone, and nothing says so
        if not self._streams and self.deadline <= now:
            self.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        readable: Readable = self.transport if self.tls is None else self.tls
        if self.tls is not None:
            self.scheme = b"https"
        self._input = PacedInput(self._ticker.turns, readable, self)
        self._writer = FrameWriter(self._machine, self.transport, self._ticker.call_soon)
        self._writer.write()

    def data_received(self, data: bytes) -> None:
        """Process a small read at once."""
        self._read_at = self._ticker.next
        if len(data) > STEP or self._input.waiting:
            self._input.add(data)
            return
        self._ticker.turns.activity += 1
        self.on_input(data)
        self.on_turn_end()

    def on_input(self, data: bytes) -> None:
        """Process the frames of the next step."""
        if self.state is _CLOSED:
            self._input.take()
            return
        reader = self._reader
        if self.state is _CONNECTING and data.startswith(b"HTTP/"):
            self._fail("the server speaks HTTP/1.1, and not HTTP/2", NO_ERROR)
            return
        self._writer.in_turn = True
        reader.feed(data)
        left = _STEP
        try:
            while left and self.is_open and (frame := reader.next()):
                self._on_frame(frame)
                left -= 1
        except FrameError as fault:  # a name of its own, which a compiled function gives the type of this class
            self._fail(str(fault), fault.code)
        except ProtocolError as error:
            self._fail(_describe(error), int(error.error_code))
        except Exception as error:  # noqa: BLE001 - whatever the fault is, no frame behind it is read
            self._owner.report(error)
            self._fail(type(error).__name__, INTERNAL_ERROR)
        else:
            if not left and self.is_open and (rest := reader.take_frames()):
                self._input.put_back(rest)

    def on_turn_end(self) -> None:
        """Pass on the pieces of bodies that have come, and write what the frames have caused."""
        touched, self._touched = self._touched, []
        for stream in touched:
            try:
                stream.on_turn_end()
            except Exception as error:  # noqa: BLE001 - the other streams go on
                self._owner.report(error)
                stream.on_violation(type(error).__name__)
        writer = self._writer
        writer.in_turn = False
        if self.is_open:
            writer.write()
            if writer.full and writer.unread > self.http2.unread:
                self._fail("the server causes frames, and does not read them", ENHANCE_YOUR_CALM)
        if not self._input.waiting:
            if self._lost:
                self.connection_lost(None)
            elif self._ended:
                self.eof_received()

    def eof_received(self) -> None:
        if self._input.waiting:
            self._ended = True
        else:
            self._end(_closed_early(), repeatable=True)  # the transport closes itself

    def connection_lost(self, error: Exception | None) -> None:
        if self._input.waiting:
            self._lost = True
            return
        self._input.close()
        self.tls = None  # it refers to this object: only the garbage collector would free both
        self._end(_closed_early(), repeatable=True)

    def pause_writing(self) -> None:
        self._writer.full = True

    def resume_writing(self) -> None:
        self._writer.full = False
        if self.is_open:
            self._writer.send_waiting()

    # Frames and events

    @property
    def is_open(self) -> bool:
        """Whether it is not closed. A property, because mypyc takes for unchanged what a call has changed."""
        return self.state is not _CLOSED

    def _on_frame(self, frame: bytes) -> None:
        reader = self._reader
        if reader.kind == GOAWAY and reader.stream == 0 and reader.length >= 8:
            self._on_goaway(int.from_bytes(frame[9:13]) & _LAST_STREAM)  # the library would end the streams that go on
            return
        try:
            events = self._machine.receive_data(frame)
        except ProtocolError as error:
            stream = self._streams.get(reader.stream)
            if stream is None or not self._machine.is_fault_of_stream(reader.stream, reader.kind, error):
                raise
            if reader.kind == DATA:
                self._return_credit(reader.length)  # the library reports no event; the window is that of all streams
            stream.on_violation(_describe(error))
            return
        for event in events:
            if isinstance(event, DataReceived):
                self._on_data(event.stream_id, event.data, event.flow_controlled_length)
            elif isinstance(event, WindowUpdated):
                self._writer.send_waiting()
            elif isinstance(event, RemoteSettingsChanged):
                self._on_settings()
            else:
                self._on_stream_event(event)

    def _on_stream_event(self, event: Event) -> None:
        """Give an event to its stream, which an exception ends; the other streams go on."""
        stream = self._streams.get(getattr(event, "stream_id", 0) or 0)
        if stream is None:
            return
        try:
            if isinstance(event, (ResponseReceived, InformationalResponseReceived)):
                stream.on_section(event.headers)
            elif isinstance(event, TrailersReceived):
                stream.on_trailers(event.headers)
            elif isinstance(event, StreamEnded):
                stream.on_end([])
            elif isinstance(event, StreamReset):
                stream.on_reset(int(event.error_code or 0))
        except Exception as error:  # noqa: BLE001
            self._owner.report(error)
            stream.on_violation(type(error).__name__)

    def _return_credit(self, size: int) -> None:
        """Let the server send as many bytes more on the connection."""
        self._received += size
        if self._received * 2 >= CONNECTION_WINDOW:
            self._machine.increment_flow_control_window(self._received)
            self._received = 0

    def _on_data(self, number: int, data: bytes, size: int) -> None:
        self._return_credit(size)
        stream = self._streams.get(number)
        if stream is not None and stream.on_data(data, size):
            self._touched.append(stream)

    def _on_settings(self) -> None:
        if self.state is _CONNECTING:
            self.state = _OPEN
            self.deadline = self.now + self._settings.keep_alive_timeout
            if not self.ready.done():
                self.ready.set_result(None)
        self._writer.send_waiting()
        self._owner.use_room(self)

    def _on_goaway(self, last: int) -> None:
        if self.state is _CONNECTING:
            self._fail("the server takes no requests", NO_ERROR)
            return
        if self.state is _OPEN:
            self.state = _ENDING
        unprocessed = UpstreamError(UpstreamFailure.UNAVAILABLE, "the server is about to close", processed=False)
        for stream in [stream for stream in self._streams.values() if stream.number > last]:
            stream.on_lost(unprocessed, unanswered=False)
        if not self._streams:
            self.close()

    # StreamSession

    @property
    def now(self) -> float:
        return self._ticker.next

    def open(self, stream: StreamCarrier, fields: FieldList, *, ends: bool) -> int:
        number = self._machine.get_next_available_stream_id()
        self._machine.send_headers(number, fields, ends)
        self._streams[number] = stream
        self.deadline = NEVER
        self._writer.flush()
        return number

    def send_body(self, stream: StreamCarrier) -> None:
        self._writer.send_body(stream)

    def send_end(self, number: int, trailers: FieldList) -> None:
        if trailers:
            self._machine.send_headers(number, trailers, True)
        else:
            self._machine.end_stream(number)
        self._writer.flush()

    def give_credit(self, number: int, size: int) -> None:
        self._machine.increment_flow_control_window(size, number)
        self._writer.flush()

    def reset(self, number: int, code: int) -> None:
        if self.state is not _CLOSED:
            with suppress(ProtocolError):  # a stream that both sides have ended needs no reset
                self._machine.reset_stream(number, code)
            self._writer.flush()

    def on_stream_end(self, stream: StreamCarrier) -> None:
        self._writer.forget(stream)
        self._streams.pop(stream.number, None)
        if not self._streams:
            self.deadline = self.now + self._settings.keep_alive_timeout
            if self.state is _ENDING:
                self.close()
        if self.has_room:
            self._owner.use_room(self)
        self._owner.release_stream(stream)

    def begin_stream(self, stream: StreamCarrier) -> bool:
        return self._owner.begin_stream(stream)

    def report(self, error: BaseException) -> None:
        self._owner.report(error)

    # Ends

    def _fail(self, detail: str, code: int) -> None:
        """End the connection because of an error of the server."""
        if self.state is _CLOSED:
            return
        self._input.take()
        self._writer.write_last(goaway(0, code))
        self.transport.close()
        self._end(UpstreamError(UpstreamFailure.MALFORMED, detail), repeatable=False)

    def _end(self, error: UpstreamError, *, repeatable: bool) -> None:
        """End all exchanges. `repeatable`: the server may have closed while it did not know of their requests."""
        if self.state is _CLOSED:
            return
        self.state = _CLOSED
        if not self.ready.done():
            self.ready.set_exception(error)
        self._owner.forget_shared(self)
        for stream in tuple(self._streams.values()):
            stream.on_lost(error, unanswered=repeatable and not stream.answered and stream.number > 1)


def _closed_early() -> UpstreamError:
    return UpstreamError(UpstreamFailure.UNAVAILABLE, "the connection was closed before the response was complete")


def _describe(error: ProtocolError) -> str:
    """Return what a frame violates, without the values that the library puts into its texts."""
    if isinstance(error.__cause__, HPACKError):
        return "its field sections cannot be decompressed"
    return f"it violates HTTP/2 ({type(error).__name__})"
