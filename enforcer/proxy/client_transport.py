"""The transport of a client connection: how fast it must be read, how fast a body must come, and three ways to end it.

1. `close`: what was written is delivered first. A client that reads nothing is not waited for longer than
   `timeouts.body`.
2. `linger`: the same, and what the client still sends is read and dropped, so that it can read the response.
3. `abort`: a reset, so that a response that is not whole does not look whole.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from contextlib import suppress
from typing import Final

from enforcer.settings.limits import Limits, Timeouts

NEVER: Final = float("inf")
_FRAMING_RATIO: Final = 16
_RESET: Final = struct.pack("ii", 1, 0)


class ClientTransport:
    """One client connection's transport. Times and deadlines are on the loop's clock, in seconds.

    `full`: the client reads more slowly than it is written to. `lingering`: our side is closed, and the client's is
    awaited.
    """

    __slots__ = ("_transport", "_unread", "_unread_deadline", "full", "lingering")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._unread_deadline = NEVER
        self._unread = 0
        self.full = False
        self.lingering = False

    @property
    def unread(self) -> int:
        """Bytes that were written and that the system has not taken yet."""
        return self._transport.get_write_buffer_size()

    def on_full(self, deadline: float) -> None:
        """Note that the client must read something of what was written to it until `deadline`."""
        self.full = True
        self._await_reader(deadline)

    def on_drained(self) -> None:
        """Note that the client has read enough for more to be written."""
        self.full = False
        if not self._transport.is_closing():
            self._unread_deadline = NEVER

    def close(self, deadline: float) -> None:
        """Close after everything that was written; the client must read something until `deadline`."""
        self._await_reader(deadline)
        self._transport.close()

    def linger(self, until: float, deadline: float) -> float:
        """Close in stages (RFC 9112 §9.6), because a reset would destroy the response before the client has read it.

        Returns when to `close` the rest: `until`, or never if our side cannot be closed first and both were closed.
        """
        if not self._transport.can_write_eof():
            self.close(deadline)
            return NEVER
        self.lingering = True
        self._transport.write_eof()
        return until

    def abort(self) -> None:
        """Reset the connection: to HTTP/1.0, a close would look like the end of the response."""
        if (connection := self._socket()) is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()

    def check_reader(self, now: float, deadline: float) -> bool:
        """Abort if the client has read nothing until its deadline; one that reads slowly has until the next `deadline`.

        Returns whether a deadline had passed.
        """
        if self._unread_deadline > now:
            return False
        if self._count_unread() < self._unread:
            self._await_reader(deadline)
        else:
            self.abort()
        return True

    def has_input(self) -> bool:
        """Return whether the system holds bytes of the client's that were not read yet."""
        return self._count_queued(termios.FIONREAD) > 0

    def _await_reader(self, deadline: float) -> None:
        self._unread_deadline = deadline
        self._unread = self._count_unread()

    def _count_unread(self) -> int:
        # The system takes more from us only when much of its own buffer has been read, so both are counted.
        return self._transport.get_write_buffer_size() + self._count_queued(termios.TIOCOUTQ)

    def _count_queued(self, queue: int) -> int:
        """Return the number of bytes that the system holds: not yet taken by the client (TIOCOUTQ) or us (FIONREAD)."""
        count = b"\0" * 4
        if (connection := self._socket()) is not None:
            with suppress(OSError, ValueError):  # it may be closed already
                count = fcntl.ioctl(connection.fileno(), queue, count)
        return int.from_bytes(count, sys.byteorder)

    def _socket(self) -> socket.socket | None:
        # Under TLS it is None for a moment, between the end of the connection and the call of connection_lost.
        connection: socket.socket | None = self._transport.get_extra_info("socket")
        return connection


class BodyDeadline:
    """The deadline of one request body. Times are on one clock, in seconds.

    Reads may be `timeouts.body` apart, and the whole must come at `limits.body_rate` on average.
    """

    __slots__ = ("_framing", "_since", "_size", "data")

    def __init__(self) -> None:
        self._since = 0.0  # the time of the first read
        self._size = self._framing = 0
        self.data = 0
        """Bytes of the body itself, and not of its framing, since the last call of `on_read`."""

    def start(self, now: float, timeouts: Timeouts) -> float:
        """Measure from the next read on; return the deadline of its first byte."""
        self._size = 0
        return now + timeouts.body

    def on_part(self, size: int, now: float, limits: Limits, timeouts: Timeouts) -> float:
        """Return the deadline after a read that ends within a frame, of which `size` bytes have come so far."""
        if not self._size:
            return now + timeouts.body
        return min(now + timeouts.body, self._since + timeouts.body + (self._size + size) / limits.body_rate)

    def on_read(self, size: int, now: float, limits: Limits, timeouts: Timeouts) -> float | None:
        """Count a read; return the deadline of the next one, or None if there was too much framing without data.

        Framing and trailers take up memory and time as a head does, so the limit of a head is theirs too, as far as
        they are more than 16 times the data.
        """
        data, self.data = self.data, 0
        if self._size:
            self._framing = max(0, self._framing + size - data - _FRAMING_RATIO * data)
            if self._framing > limits.head:
                return None
        else:
            self._framing = 0
        if not self._size:
            self._since = now
        self._size += size
        on_average = self._since + timeouts.body + self._size / limits.body_rate
        return min(now + timeouts.body, on_average)
