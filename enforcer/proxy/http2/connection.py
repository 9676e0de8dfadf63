"""The client connection of HTTP/2 (RFC 9113): frames become events of its streams, each of which is one exchange.

1. The fault of a stream ends the stream, the fault of a connection the connection, with GOAWAY.
2. Work comes in turns (`wire.turns`): a step begins one request at most, and few other frames.
3. A client that causes work without use is cut: resets, control frames and field sections have limits of their own.
4. Nothing is read from a client that does not read: what it makes the enforcer send has to go first.
"""

from __future__ import annotations

import asyncio
import logging
from enum import IntEnum
from typing import Final

from h2.events import (
    DataReceived,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import ProtocolError

from enforcer.errors import MalformedRequestError
from enforcer.proxy.client_transport import NEVER, ClientTransport
from enforcer.proxy.door import PROXY, Door
from enforcer.proxy.http2.head import read_head
from enforcer.proxy.http2.session import Http2Session
from enforcer.proxy.http2.stream import Http2Stream
from enforcer.proxy.http2.websocket import names_protocol, new_key
from enforcer.proxy.messages import responses
from enforcer.proxy.messages.head import HeadBuilder, unreadable
from enforcer.proxy.peer import Peer
from enforcer.proxy.registry import ConnectionRegistry
from enforcer.tokens.purge import Purge
from enforcer.wire.http2.allowance import Allowance
from enforcer.wire.http2.fields import FieldList, read_trailers
from enforcer.wire.http2.frames import (
    DATA,
    ENHANCE_YOUR_CALM,
    GOAWAY,
    HEADERS,
    INTERNAL_ERROR,
    NO_ERROR,
    PREFACE,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    FrameError,
    FrameReader,
    goaway,
)
from enforcer.wire.http2.state_machine import CONNECTION_WINDOW, FRAME
from enforcer.wire.sockets.tls_reader import TlsReader
from enforcer.wire.turns import PacedInput, Readable

_log: Final = logging.getLogger("enforcer.proxy")

HTTP2: Final = 24 * 1024
"""Bytes of an idle connection, in addition: the state machine, and its tables of fields."""
_SMALL: Final = 4096
"""Maximum number of bytes of a read that is processed at once."""
_STEP: Final = 16
"""Maximum number of frames of a step."""
_ALL: Final = 2**31 - 1


class Http2State(IntEnum):
    """The requests that a connection still serves."""

    OPEN = 0  # it takes requests
    ENDING = 1  # it serves the streams that are open, and takes no others
    CLOSED = 2  # nothing: it was closed, or is about to be


_OPEN: Final = Http2State.OPEN
_ENDING: Final = Http2State.ENDING
_CLOSED: Final = Http2State.CLOSED


class Http2Connection(Http2Session):
    """One client connection, an asyncio.Protocol by its methods.

    It is ended at its `deadline` if it is idle, and if the frame, or the field section,
    that began at `_frame_began` stays incomplete for too long.
    """

    __slots__ = (
        "_builder", "_frame_began", "_highest", "_most", "_reader", "_received", "_resets", "_touched", "state",
    )  # fmt: skip

    def __init__(self, registry: ConnectionRegistry, tls: TlsReader | None = None, door: Door = PROXY) -> None:
        super().__init__(registry, tls, door)
        snapshot = registry.snapshot
        limits, now = snapshot.limits, registry.ticker.next
        self._machine.receive_data(PREFACE)
        self._reader = FrameReader(FRAME, limits.http2.field_section, limits.http2.continuations)
        self._resets = Allowance(limits.http2.resets, now)
        self._builder = HeadBuilder(snapshot.forwarding)
        self._most = limits.http2.streams  # as it was announced
        self._touched: list[Http2Stream] = []  # they got something of a body in this turn
        self._highest = 0  # the last stream that was begun
        self._received = 0  # bytes of the connection's window that were not given back
        self._frame_began = NEVER
        self.state = _OPEN

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        registry = self._registry
        self.transport = transport  # type: ignore[assignment]
        self.peer = self._door.peer(transport, registry.snapshot.forwarding)
        self._attach(self.transport if self._tls is None else self._tls)
        if registry.admit(self, self.client):
            self._reader.expect_preface()
            self._begin()
        else:
            self.state = _CLOSED
            self.transport.abort()

    def take_over(self, transport: asyncio.Transport, readable: Readable, peer: Peer, data: bytes) -> None:
        """Go on with a connection on which HTTP/2's preface came, and `data` behind it; the registry counts it."""
        self.transport = transport
        self.peer = peer
        self._attach(readable)
        self._begin()
        if data:
            self.data_received(data)
        if not self._io.full:
            self._input.unblock()

    def _attach(self, readable: Readable) -> None:
        self.client = self.peer.key
        self._io = ClientTransport(self.transport)
        self._input = PacedInput(self._registry.ticker.turns, readable, self)

    def _begin(self) -> None:
        registry = self._registry
        self.deadline = registry.ticker.next + registry.snapshot.timeouts.keep_alive
        self.write()
        if registry.draining:
            self.drain()

    def connection_lost(self, error: Exception | None) -> None:
        self.state = _CLOSED
        self._input.close()
        self._registry.leave(self)
        self._end_streams()

    def eof_received(self) -> None:
        # A client that closes and one that only stops sending look the same: both are taken to have left.
        self._end_streams()
        self._close()

    def data_received(self, data: bytes) -> None:
        """Process a small read at once: a request, or a few other frames."""
        pace = self._input
        if len(data) > _SMALL or pace.waiting:
            pace.add(data)
            return
        self._registry.ticker.turns.activity += 1
        self.on_input(data)
        self.on_turn_end()

    def on_input(self, data: bytes) -> None:
        """Process the frames of the next step."""
        if self.state is _CLOSED:
            self._input.discard()
            return
        self._in_turn = True
        reader = self._reader
        reader.feed(data)
        begun, left = False, _STEP
        try:
            while frame := reader.next():
                begun = begun or reader.kind == HEADERS
                self._on_frame(frame)
                left -= 1
                if not left or (begun and reader.next_kind == HEADERS):
                    break
            if left < _STEP and not reader.in_section:
                self._frame_began = NEVER
        except FrameError as fault:  # a name of its own, which a compiled function gives the type of this class
            _log.debug("an HTTP/2 connection of %s is ended: %s", self.peer.address, fault)
            self._fail(fault.code)
        except ProtocolError as error:
            # Not its text, which may have a value of the client's
            _log.debug("an HTTP/2 connection of %s is ended: %s", self.peer.address, type(error).__name__)
            self._fail(int(error.error_code))
        except Exception:  # noqa: BLE001 - whatever the fault is, no frame behind it is read
            _log.exception("internal error")
            self._fail(INTERNAL_ERROR)
        else:
            if self.is_open and (rest := reader.take_frames()):
                self._input.put_back(rest)

    def on_turn_end(self) -> None:
        """Pass on the pieces of bodies that have come, and write what the frames have caused."""
        touched, self._touched = self._touched, []
        for stream in touched:
            stream.on_turn_end()
        self._in_turn = False
        self.write()
        reader = self._reader
        if reader.held:
            if self._frame_began == NEVER:
                self._frame_began = self.now
            if reader.next_kind == DATA and (partial := self._streams.get(reader.next_stream)) is not None:
                partial.on_partial_data(reader.held)

    def pause_writing(self) -> None:
        self._io.on_full(self._read_time())
        self._input.block()
        self._registry.count_memory(self)

    def resume_writing(self) -> None:
        self._io.on_drained()
        self._send_held()
        self.write()
        if not self._io.full:
            self._input.unblock()

    # Frames and events

    def _on_frame(self, frame: bytes) -> None:
        reader = self._reader
        kind, number = reader.kind, reader.stream
        late = number not in self._streams and 0 < number <= int(self._machine.highest_inbound_stream_id)
        if (late or reader.is_control(frame)) and not self._control.spend(self.now):
            raise FrameError(ENHANCE_YOUR_CALM, "too many control frames")
        if kind == GOAWAY and number == 0 and reader.length >= 8:
            self._end()  # the library would end the streams that go on
            return
        if number in self._streams and (code := reader.stream_error(frame)):
            self._on_malformed(number, code)
            return
        try:
            events = self._machine.receive_data(frame)
        except ProtocolError as error:
            if late or not self._machine.is_fault_of_stream(number, kind, error):
                raise
            if kind == DATA:
                self._return_credit(reader.length)  # the library reports no event
            self._on_malformed(number, PROTOCOL_ERROR)
            return
        for event in events:
            if isinstance(event, RequestReceived):
                self._on_request(event.stream_id or 0, event.headers or [], event.stream_ended is None)
            elif isinstance(event, DataReceived):
                self._on_data(event.stream_id or 0, event.data or b"", event.flow_controlled_length or 0)
            elif isinstance(event, TrailersReceived):
                self._on_trailers(event.stream_id or 0, event.headers or [])
                return
            elif isinstance(event, StreamEnded):
                stream = self._streams.get(event.stream_id or 0)
                if stream is not None:
                    stream.on_request_end([])
            elif isinstance(event, StreamReset):
                self._on_reset(event.stream_id or 0)
            elif isinstance(event, WindowUpdated) and event.stream_id:
                stream = self._held.pop(event.stream_id, None)
                if stream is not None:
                    stream.send()
            elif isinstance(event, (WindowUpdated, RemoteSettingsChanged)):
                self._send_held()

    def _on_request(self, number: int, section: FieldList, has_body: bool) -> None:
        """Make an exchange of a field section, and begin it."""
        registry = self._registry
        snapshot = registry.snapshot
        if self.state is not _OPEN or len(self._streams) >= self._most:
            self.reset(number, REFUSED_STREAM)
            if self.state is _OPEN:
                self._count_reset()
            return
        stream = self._streams[number] = Http2Stream(self, number, snapshot, has_body=has_body)
        self._highest = number
        self.deadline = NEVER
        self._control.earn(4)
        key = new_key() if names_protocol(section) and self._door.forwards else b""
        try:
            head = read_head(
                self._builder, section, snapshot.forwarding, snapshot.limits, has_body=has_body, websocket_key=key
            )
        except MalformedRequestError as error:
            head = unreadable(responses.malformed(str(error), error.status))
            stream.error = PROTOCOL_ERROR
        if head.upgrade is not None:
            stream.websocket_key = key
        stream.begin_exchange(self._door.exchange(stream, stream, registry, self.peer, head, snapshot))
        if stream.error:
            self._count_reset()

    def _return_credit(self, size: int) -> None:
        """Let the client send as many bytes more on the connection."""
        self._received += size
        if self._received * 2 >= CONNECTION_WINDOW:
            self._machine.increment_flow_control_window(self._received)
            self._received = 0

    def _on_data(self, number: int, data: bytes, size: int) -> None:
        self._return_credit(size)
        stream = self._streams.get(number)
        if stream is not None and stream.on_data(data, size):
            self._touched.append(stream)

    def _on_trailers(self, number: int, section: FieldList) -> None:
        stream = self._streams.get(number)
        if stream is None:
            return
        trailers = read_trailers(section)
        if trailers is None or stream.websocket_key:  # RFC 9113 §8.5: a tunnel has only DATA
            self._on_malformed(number, PROTOCOL_ERROR)
        else:
            stream.on_request_end(trailers)

    def _on_malformed(self, number: int, code: int) -> None:
        """End a stream, and only that, for a frame or a message that is not valid (RFC 9113 §5.4.2, §8.1.1)."""
        stream = self._streams.get(number)
        if stream is None:
            self._on_request(number, [], has_body=True)  # a request that was not even taken apart
        else:
            stream.on_malformed(code)
            self._count_reset()

    def _on_reset(self, number: int) -> None:
        stream = self._streams.get(number)
        if stream is not None:
            stream.on_reset()
        self._count_reset()

    def _count_reset(self) -> None:
        """Count a reset that the client caused, by itself or by a fault."""
        if not self._resets.spend(self.now):
            raise FrameError(ENHANCE_YOUR_CALM, "too many resets")

    # Session

    def on_stream_end(self, stream: Http2Stream) -> None:
        super().on_stream_end(stream)
        if not self._streams:
            self.deadline = self.now + self._registry.snapshot.timeouts.keep_alive
            if self.state is _ENDING:
                self._close()

    # Called by the registry and the server

    @property
    def is_open(self) -> bool:
        """Whether it is not closed. A property, because mypyc takes for unchanged what a call has changed."""
        return self.state is not _CLOSED

    @property
    def busy(self) -> bool:
        return len(self._streams) > 0

    @property
    def in_flight(self) -> int:
        return sum(not stream.is_tunnel for stream in self._streams.values())

    @property
    def memory(self) -> int:
        size = self._own_memory() + HTTP2
        return size + self._reader.held + sum(stream.memory for stream in self._streams.values())

    @property
    def idle(self) -> bool:
        return not self._streams and not self._input.waiting and not self._reader.held

    def sweep(self, now: float, wall: float) -> None:
        if self._io.check_reader(now, self._read_time()):
            return
        if self.state is _CLOSED:
            if self.deadline <= now:
                self._io.close(self._read_time())
            return
        if self._frame_began + self._frame_time <= now and not self._input.waiting:
            self._fail(ENHANCE_YOUR_CALM)
            return
        for stream in tuple(self._streams.values()):
            stream.sweep(now, wall)
        if self.deadline <= now and self.idle:
            self.shutdown()

    def drain(self) -> None:
        """Announce the end; requests that are on their way are still served (RFC 9113 §6.8)."""
        if self.state is _OPEN:
            self.transport.write(goaway(_ALL, NO_ERROR))

    def shutdown(self) -> None:
        """Close once the requests that have arrived are answered; no others are taken."""
        if self.state is not _CLOSED:
            self.transport.write(goaway(self._highest, NO_ERROR))
            self._end()

    def renew(self) -> bool:
        """Use the newest snapshot for the requests to come; return whether nothing of an older one is left."""
        self.peer.use(self._registry.snapshot.forwarding)
        exchanges = [stream.exchange for stream in tuple(self._streams.values())]
        return not [exchange for exchange in exchanges if exchange is not None and not exchange.renew()]

    def revoke(self, purge: Purge) -> None:
        for stream in tuple(self._streams.values()):
            if stream.exchange is not None:
                stream.exchange.revoke(purge)

    def abort(self) -> None:
        self.state = _CLOSED
        super().abort()

    # Ends

    @property
    def _frame_time(self) -> float:
        """Seconds that the frame which has begun may take: one of a body as long as so much of it may."""
        snapshot = self._registry.snapshot
        if self._reader.next_kind == DATA and not self._reader.in_section:
            return snapshot.timeouts.body + FRAME / snapshot.limits.body_rate
        return snapshot.timeouts.head

    def _end(self) -> None:
        """Take no more requests, and close behind the streams that are open."""
        if self.state is _OPEN:
            self.state = _ENDING
        if not self._streams:
            self._close()

    def _fail(self, code: int) -> None:
        """End the connection because of an error."""
        if self.state is _CLOSED:
            return
        self.state = _CLOSED
        self._registry.http2_ended += 1
        self._end_streams()
        self._write()
        self.transport.write(goaway(self._highest, code))
        self._reader.clear()
        self._linger()

    def _end_streams(self) -> None:
        """End the upstreams' work for all streams."""
        for stream in tuple(self._streams.values()):
            stream.on_reset()

    def _close(self) -> None:
        """Close behind everything that was sent."""
        if self.state is not _CLOSED:
            self.state = _CLOSED
            self._write()
            super()._close()
