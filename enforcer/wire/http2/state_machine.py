"""The state machine of an HTTP/2 connection: the library h2, with bounds where it has none.

Common frames, and all field sections, are read and written by `frames` and `compression`, which are compiled: the
library keeps the states and the windows. It is imported by the first connection that speaks HTTP/2. This module is
interpreted: it subclasses classes of the library.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final
from weakref import proxy

from h2.config import H2Configuration
from h2.connection import AllowedStreamIDs, ConnectionInputs, H2Connection
from h2.errors import ErrorCodes
from h2.events import Event
from h2.exceptions import DenialOfServiceError, FlowControlError, NoSuchStreamError, ProtocolError, StreamIDTooLowError
from h2.settings import SettingCodes, Settings
from h2.stream import H2Stream, StreamInputs, StreamState
from hpack.exceptions import HPACKError, OversizedHeaderListError
from hyperframe.frame import DataFrame, Frame, WindowUpdateFrame

from enforcer.wire.http2.compression import FieldDecoder, FieldEncoder
from enforcer.wire.http2.fields import FieldList
from enforcer.wire.http2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME,
    HEADER,
    HEADERS,
    PADDED,
    PRIORITIZED,
    WINDOW_UPDATE,
    field_section,
    frame,
)

CONNECTION_WINDOW: Final = 1024**2
"""Window of a connection. It is given back at once: only the windows of streams hold a sender back."""
_HEADROOM: Final = 4
"""The field section that ends a connection is this much larger than one that is refused, when it is decoded."""
_MORE_FIELDS: Final = 2
"""And has this many times the fields. A cookie may come in many."""

_CLOSED: Final = 512
"""Closed streams that are remembered, for frames that were on their way."""
_FEW_STREAMS: Final = 4
"""Streams among which none is looked for that is closed."""

_ENDS: Final = ("END_STREAM",)
_GOES_ON: Final = ()
"""The flags of a frame, as the library names them."""
_PAYLOAD_FLAGS: Final = END_HEADERS | PADDED | PRIORITIZED
"""The flags of HEADERS that decide whether its payload is a whole field section, and nothing else."""


class _DataFrame:
    """A DATA frame without padding, with the attributes that the library reads."""

    __slots__ = ("data", "flags", "flow_controlled_length", "stream_id")

    def __init__(self, number: int, data: bytes, flags: tuple[str, ...]) -> None:
        self.stream_id = number
        self.data = data
        self.flags = flags
        self.flow_controlled_length = len(data)


class _HeadersFrame:
    """A HEADERS frame with a whole field section, without padding and priority."""

    __slots__ = ("data", "flags", "stream_id")

    def __init__(self, number: int, data: bytes, flags: tuple[str, ...]) -> None:
        self.stream_id = number
        self.data = data
        self.flags = flags


class _WindowUpdateFrame:
    """A WINDOW_UPDATE frame, with the attributes that the library reads."""

    __slots__ = ("stream_id", "window_increment")

    def __init__(self, number: int, increment: int) -> None:
        self.stream_id = number
        self.window_increment = increment


class BoundedConnection(H2Connection):
    """An `H2Connection` that never counts streams: to exceed their limit is the fault of a stream, not of all of them.

    Names and values of fields are not validated: the reader of a field section does that, so that its fault is one
    stream's too. A ProtocolError writes no GOAWAY and ends nothing: see `is_fault_of_stream`.
    """

    MAX_CLOSED_STREAMS = _CLOSED

    def __init__(
        self, *, client_side: bool, streams: int, window: int, head: int, fields: int, tunnels: bool = False
    ) -> None:
        """Limit what the peer may send: `head` bytes of decoded fields, of which it has `fields`, in a section.

        `tunnels`: it may ask for WebSockets (RFC 8441).
        """
        super().__init__(
            H2Configuration(
                client_side=client_side,
                validate_inbound_headers=False,
                normalize_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        # The library's table has methods that are bound to this connection: a cycle, which only the garbage collector
        # frees, and nothing would free a connection that was open at a reload, because a reload freezes the heap.
        self._frame_dispatch_table: dict[Any, Any] = {
            frame: partial(getattr(BoundedConnection, method.__name__), proxy(self))
            for frame, method in self._frame_dispatch_table.items()
        }
        self._frame_dispatch_table |= {
            _DataFrame: self._frame_dispatch_table[DataFrame],
            _HeadersFrame: partial(BoundedConnection._receive_section, proxy(self)),
            _WindowUpdateFrame: self._frame_dispatch_table[WindowUpdateFrame],
        }
        self._pruned_above = _FEW_STREAMS
        self.encoder: Any = FieldEncoder()  # with those attributes of the library's that it uses
        self.decoder: Any = FieldDecoder(_HEADROOM * head, _MORE_FIELDS * fields)
        self.local_settings = Settings(
            client=client_side,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: streams,
                SettingCodes.INITIAL_WINDOW_SIZE: window,
                SettingCodes.MAX_HEADER_LIST_SIZE: head,
                SettingCodes.MAX_FRAME_SIZE: FRAME,
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.ENABLE_CONNECT_PROTOCOL: int(tunnels),
            },
        )
        self.initiate_connection()
        self.increment_flow_control_window(CONNECTION_WINDOW - 65_535)

    def receive(self, kind: int, flags: int, number: int, data: bytes) -> list[Event]:
        """Take a whole frame, whose kind, flags and stream are known; return its events.

        As `receive_data`, but the library parses uncommon frames only.
        """
        received: Any  # has those attributes of the library's frame that it uses
        if kind == DATA and number and not flags & PADDED:
            received = _DataFrame(number, data[HEADER:], _ENDS if flags & END_STREAM else _GOES_ON)
        elif kind == HEADERS and number and flags & _PAYLOAD_FLAGS == END_HEADERS:
            received = _HeadersFrame(number, data[HEADER:], _ENDS if flags & END_STREAM else _GOES_ON)
        elif kind == WINDOW_UPDATE and len(data) == HEADER + 4 and 0 < int.from_bytes(data[HEADER:]) < 2**31:
            received = _WindowUpdateFrame(number, int.from_bytes(data[HEADER:]))
        else:
            return self.receive_data(data)
        return self._receive_frame(received)

    def send_section(self, number: int, fields: FieldList, *, ends: bool) -> None:
        """Send a field section, and the end of the stream with it if it `ends`. A client begins the stream with it."""
        stream = self.streams.get(number)
        if stream is None:
            self.state_machine.process_input(ConnectionInputs.SEND_HEADERS)
            stream = self._begin_new_stream(number, AllowedStreamIDs(self.config.client_side))
        states = stream.state_machine
        name, value = fields[0]
        interim = name == b":status" and value.startswith(b"1")
        states.process_input(StreamInputs.SEND_INFORMATIONAL_HEADERS if interim else StreamInputs.SEND_HEADERS)
        if ends:
            states.process_input(StreamInputs.SEND_END_STREAM)
        if name == b":method":
            stream.request_method = value  # the response to HEAD has a Content-Length, and no body
        self._data_to_send += field_section(number, self.encoder.encode(fields), ends=ends)

    def send_body(self, number: int, data: bytes, *, ends: bool) -> None:
        """Send a frame of a body, no larger than FRAME and the windows, and the end of the stream if it `ends`."""
        stream, size = self.streams[number], len(data)
        if size > min(self.outbound_flow_control_window, stream.outbound_flow_control_window, FRAME) and size:
            raise FlowControlError("more than there is room for")
        stream.state_machine.process_input(StreamInputs.SEND_DATA)
        if ends:
            stream.state_machine.process_input(StreamInputs.SEND_END_STREAM)
        stream.outbound_flow_control_window -= size
        self.outbound_flow_control_window -= size
        self._data_to_send += frame(DATA, END_STREAM if ends else 0, number, data)

    def _begin_new_stream(self, stream_id: int, allowed_ids: AllowedStreamIDs) -> H2Stream:
        if len(self.streams) > self._pruned_above:
            self._open_streams(1)  # it also forgets the closed ones
            self._pruned_above = max(2 * len(self.streams), _FEW_STREAMS)
        return super()._begin_new_stream(stream_id, allowed_ids)

    def _receive_section(self, received: _HeadersFrame) -> tuple[list[Frame], list[Event]]:
        try:
            fields = self.decoder.decode(received.data)
        except OversizedHeaderListError as error:
            raise DenialOfServiceError("the field section is too large") from error
        except HPACKError as error:
            raise ProtocolError("the field section cannot be decompressed") from error
        stream = self.streams.get(received.stream_id)
        if stream is None:
            self.state_machine.process_input(ConnectionInputs.RECV_HEADERS)
            stream = self._begin_new_stream(received.stream_id, AllowedStreamIDs(not self.config.client_side))
        return stream.receive_headers(fields, received.flags is _ENDS, None)

    @property
    def open_inbound_streams(self) -> int:
        return 0  # more than the limit are the fault of a stream

    def is_fault_of_stream(self, number: int, kind: int, error: ProtocolError) -> bool:
        """Return whether the last frame, of this kind and stream, made a message malformed (RFC 9113 §8.1.1).

        Errors of the compression, of flow control and of the states of streams are those of the connection: they have a
        cause, or classes of their own.
        """
        if isinstance(error, _OF_CONNECTION) or number not in self.streams:
            return False
        if kind == DATA:
            return error.__cause__ is None
        # A KeyError is an interim head that may not come here, such as a request with `:status`.
        return kind in (HEADERS, CONTINUATION) and (error.__cause__ is None or isinstance(error.__cause__, KeyError))

    def reset_stream(self, stream_id: int, error_code: ErrorCodes | int = 0) -> None:
        stream = self.streams.get(stream_id)
        if stream is not None and stream.closed and stream.closed_by is None:
            stream.state_machine.state = StreamState.OPEN  # only its fault has closed it, and the peer must be notified
        super().reset_stream(stream_id, error_code)

    def _terminate_connection(self, error_code: ErrorCodes) -> None:
        """Do nothing: the caller decides what an error ends, and writes the GOAWAY."""


_OF_CONNECTION: Final = (DenialOfServiceError, FlowControlError, NoSuchStreamError, StreamIDTooLowError)
