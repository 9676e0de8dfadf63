"""The encrypted input of a TLS connection, given to the event loop's TLS protocol in turns.

The event loop decrypts everything that one read holds at once, and records of one byte make thousands of pieces of
work of it. So this protocol takes the transport's reads, and passes them on: a read that is one whole record at once,
everything else in steps. Servers that the enforcer connects to are read in the same way as clients.

Only this object pauses the transport. The event loop's TLS would pause it too if decrypted bytes were not taken, so
the connection on top pauses this object and never the TLS transport.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from enforcer.wire.turns import STEP, PacedInput, Peer, Turns

UNREAD: Final = 64 * 1024
"""Bytes that the other end has not read, at which a connection with TLS takes no more. The event loop's default for TLS
is 512 KiB."""


def _is_one_record(data: bytes) -> bool:
    """Return whether the bytes are one whole record (RFC 8446 §5.1); the last two of its first five are its length."""
    return len(data) > 4 and data[3] * 256 + data[4] + 5 == len(data)


class TlsReader:
    """The protocol between a transport and `tls`, the event loop's TLS protocol: an asyncio.Protocol.

    For the connection on top, `peer`, it is the `Readable` that its reading is paused with. `established`: the
    handshake is complete. Before that every read waits for a turn, because it may cost a signature, about a
    millisecond.
    """

    __slots__ = ("_input", "_tls", "_transport", "established", "peer")

    def __init__(self, turns: Turns, transport: asyncio.Transport, tls: Any, peer: Peer) -> None:
        self.peer = peer
        self._transport = transport
        self._tls = tls
        self._input = PacedInput(turns, transport, self)
        self.established = False

    def start(self, first: bytes) -> None:
        """Take the transport over; `first` was read already."""
        self._transport.set_protocol(self)  # type: ignore[arg-type] # it is a protocol by its methods
        self._input.add(first)

    @property
    def waiting(self) -> bool:
        """Whether encrypted bytes are held."""
        return self._input.waiting

    @property
    def client(self) -> str | None:
        return self.peer.client

    @property
    def unread(self) -> int:
        """Encrypted bytes that were written and that the system has not taken yet."""
        return self._transport.get_write_buffer_size()

    # Reader

    def on_input(self, data: bytes) -> None:
        """Decrypt the next step."""
        size = len(data)
        self._tls.get_buffer(size)[:size] = data
        self._tls.buffer_updated(size)

    def on_turn_end(self) -> None:
        """Do nothing: everything is passed on at once."""

    # Readable

    def pause_reading(self) -> None:
        self._input.block()

    def resume_reading(self) -> None:
        self._input.unblock()

    def abort(self) -> None:
        self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        pass

    def data_received(self, data: bytes) -> None:
        if len(data) <= STEP and self.established and not self._input.waiting and _is_one_record(data):
            self.on_input(data)
        else:
            self._input.add(data)

    def eof_received(self) -> Any:
        return self._tls.eof_received()

    def pause_writing(self) -> None:
        self._tls.pause_writing()

    def resume_writing(self) -> None:
        self._tls.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        self._input.close()
        self._tls.connection_lost(error)
