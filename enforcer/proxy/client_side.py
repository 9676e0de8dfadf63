"""A client's connection as a transport: how it begins, and how it is cut or closed.

1. Over the limit of connections it is answered at once, and closed.
2. An answer is delivered before its connection closes, and no client that reads nothing is waited for longer than
   `timeouts.body`.
3. A broken answer does not look whole: its connection is reset.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from enforcer.proxy import refusals
from enforcer.proxy.peer import Peer
from enforcer.proxy.snapshot import Snapshot

if TYPE_CHECKING:
    from enforcer.proxy.gateway import Gateway

NEVER: Final = float("inf")
_RESET: Final = struct.pack("ii", 1, 0)


class ClientSide(ABC):
    """The ends of a client's connection, an asyncio.Protocol by its methods: with that for a base it would be compiled
    to something slower. `deadline` and `_unread` are on the loop's clock, in seconds.

    `closing`: the next answer says that the connection ends, and then it does.
    """

    __slots__ = (
        "_deaf",
        "_full",
        "_last",
        "_lingering",
        "_reading",
        "_snapshot",
        "_unread",
        "_unread_size",
        "closing",
        "deadline",
        "gateway",
        "peer",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._snapshot: Snapshot = gateway.snapshot
        self._reading = True
        self._deaf = False  # no byte is read any more
        self._lingering = False
        self._last = False  # it ends when nothing is under way
        self._full = False  # the client reads slower than it is written to
        self._unread = NEVER  # when a client that reads nothing is cut
        self._unread_size = 0
        self.closing = False
        self.deadline = NEVER

    @property
    @abstractmethod
    def busy(self) -> bool:
        """Whether a request is being answered."""

    @abstractmethod
    def sweep(self, now: float, wall: float) -> None:
        """Look at the deadlines: `now` on the loop's clock, `wall` seconds since the epoch."""

    @property
    @abstractmethod
    def pending(self) -> bool:
        """Whether a request is being read or answered."""

    @abstractmethod
    def renew(self) -> bool:
        """Judge the requests to come by the gateway's newest snapshot; tells whether nothing of an older one is left.

        A request that has begun keeps its own.
        """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        gateway = self.gateway
        self.peer = Peer(transport, self._snapshot.forwarding)
        if len(gateway.connections) >= self._snapshot.limits.connections:
            self._deaf = True
            self.transport.write(refusals.OVERLOADED.render(gateway.date, close=True, head_only=False))
            if len(gateway.refused) < self._snapshot.limits.connections:
                gateway.refused.add(self)
                self._linger()
            else:
                self.transport.close()
            return
        gateway.connections.add(self)
        self.closing = gateway.draining
        self.deadline = gateway.ticker.next + self._snapshot.timeouts.head

    def drain(self) -> None:
        """Tell the client, with the next answer, that the connection ends."""
        self.closing = True

    def shutdown(self) -> None:
        """Close when what is under way has been answered."""
        self.closing = self._last = True
        if self.pending or self._lingering:
            return
        if self._waiting(termios.FIONREAD):
            # Most likely a request, whose sender could not know.
            self.deadline = self.gateway.ticker.next + self._snapshot.timeouts.head
        else:
            self._end()

    def abort(self) -> None:
        """End the connection so that nothing looks like the end of an answer: a close would, to HTTP/1.0."""
        if (connection := self._socket()) is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def _linger(self) -> None:
        """Close in stages (RFC 9112 §9.6), lest a reset destroy the answer before the client has read it."""
        if not self.transport.can_write_eof():
            self._end()
            return
        self._lingering = True
        self.deadline = self.gateway.ticker.next + self._snapshot.timeouts.linger
        self.transport.write_eof()
        if not self._reading:
            self._reading = True
            self.transport.resume_reading()

    def _end(self) -> None:
        """Close when all that was written has been sent, and wait for that no longer than for a body."""
        self._await_reader()
        self.transport.close()

    def _await_reader(self) -> None:
        """Give the client `timeouts.body` to read something of what was written to it."""
        self._unread = self.gateway.ticker.next + self._snapshot.timeouts.body
        self._unread_size = self._unread_bytes()

    def _look_at_reader(self) -> None:
        """Cut a client that has read nothing since the last look; one that reads slowly may go on."""
        if self._unread_bytes() < self._unread_size:
            self._await_reader()
        else:
            self.abort()

    def _unread_bytes(self) -> int:
        # The system takes more from us only when much of its own buffer has been read, so that both count.
        return self.transport.get_write_buffer_size() + self._waiting(termios.TIOCOUTQ)

    def _waiting(self, queue: int) -> int:
        """Count the bytes that the system holds: not yet taken by the client (TIOCOUTQ), or by us (FIONREAD)."""
        count = b"\0" * 4
        if (connection := self._socket()) is not None:
            with suppress(OSError, ValueError):  # it may be closed already
                count = fcntl.ioctl(connection.fileno(), queue, count)
        return int.from_bytes(count, sys.byteorder)

    def _socket(self) -> socket.socket | None:
        # Under TLS there is none for a moment: between the connection's end and when it is told of.
        found: socket.socket | None = self.transport.get_extra_info("socket")
        return found
