"""The state machine of an HTTP/2 connection: the library h2, with bounds where it has none.

The library is imported by the first connection that speaks HTTP/2. This module is interpreted: it subclasses classes
of the library.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Final
from weakref import proxy

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import DenialOfServiceError, FlowControlError, NoSuchStreamError, ProtocolError, StreamIDTooLowError
from h2.settings import SettingCodes, Settings
from h2.stream import StreamState
from hpack import Decoder, Encoder, HeaderTuple, OversizedHeaderListError

from enforcer.wire.http2.field_count import count_fields
from enforcer.wire.http2.frames import CONTINUATION, DATA, HEADERS

FRAME: Final = 16_384
"""Largest frame that is sent or taken: the smallest maximum that RFC 9113 §4.2 permits."""
CONNECTION_WINDOW: Final = 1024**2
"""Window of a connection. It is given back at once: only the windows of streams hold a sender back."""
_HEADROOM: Final = 4
"""The field section that ends a connection is this much larger than one that is refused, when it is decoded."""
_MORE_FIELDS: Final = 2
"""And has this many times the fields. A cookie may come in many."""

_TABLE: Final = 4096
"""Maximum bytes of the table that fields are compressed with, whatever the peer permits. Bounds memory."""
_SECRET: Final = frozenset(
    b"authorization cookie set-cookie dpop dpop-nonce www-authenticate authentication-info "
    b"sec-websocket-key sec-websocket-protocol".split()
)
"""Fields that are never put into the table of repeated fields, nor by a proxy behind this connection: with a table that
others share, values can be guessed (RFC 7541 §7.1). A subprotocol may be a token."""
_CLOSED: Final = 256
"""Closed streams that are remembered, for frames that were on their way."""


class _BoundedEncoder(Encoder):
    """Bounds the table, and writes values as they are: the library's Huffman code takes a microsecond for two bytes.

    RFC 7541 §5.2 leaves it to the sender. A value that is not in the table gets a quarter longer.
    """

    @property
    def header_table_size(self) -> int:
        return self.header_table.maxsize

    @header_table_size.setter
    def header_table_size(self, value: int) -> None:
        bounded = min(value, _TABLE)
        if bounded != self.header_table.maxsize:
            self.header_table.maxsize = bounded
            self.table_size_changes.append(bounded)

    def add(self, to_add: tuple[bytes, bytes], sensitive: bool, huffman: bool = False) -> bytes:
        return super().add(to_add, sensitive or to_add[0] in _SECRET, huffman=False)


class _BoundedDecoder(Decoder):
    def __init__(self, size: int, fields: int) -> None:
        super().__init__(max_header_list_size=_HEADROOM * size)
        self._most = _MORE_FIELDS * fields

    def decode(self, data: bytes, raw: bool = False) -> Iterable[HeaderTuple]:
        if count_fields(bytes(data), self._most) > self._most:
            raise OversizedHeaderListError("too many fields")
        return super().decode(data, raw)


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
        self._pruned_above = 2 * streams
        self.encoder = _BoundedEncoder()
        self.decoder = _BoundedDecoder(head, fields)
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

    @property
    def open_inbound_streams(self) -> int:
        if len(self.streams) > self._pruned_above:
            self._open_streams(1)  # it also forgets the closed ones
        return 0

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
