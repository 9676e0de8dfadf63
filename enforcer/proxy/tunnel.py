"""A connection after its protocol was switched (RFC 9110 §7.8): bytes both ways, as they come."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from enforcer.wire.connection import PooledConnection

if TYPE_CHECKING:
    from enforcer.proxy.connection import ClientConnection
    from enforcer.proxy.standing import Standing


class _End(asyncio.Protocol):
    """One of a tunnel's two ends: what arrives here leaves by the other."""

    __slots__ = ("_finished", "_tunnel", "other", "transport")

    other: _End

    def __init__(self, tunnel: Tunnel, transport: asyncio.Transport) -> None:
        self._tunnel = tunnel
        self._finished = False
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._tunnel.active = True
        self.other.transport.write(data)

    def eof_received(self) -> bool:
        self._finished = True
        if self.other._finished or not self.other.transport.can_write_eof():
            return False
        self.other.transport.write_eof()
        return True

    def pause_writing(self) -> None:
        self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self.other.transport.close()  # what was received is still delivered
        self._tunnel.lose()

    def let_go(self) -> None:
        """Hold neither the tunnel nor its other end: without this, only the garbage collector frees them."""
        del self.other, self._tunnel


class Tunnel:
    """The two ends, and the times that end both: `idle` seconds without a byte, or `ends`, when the token does."""

    __slots__ = (
        "_connection",
        "_deadline",
        "_down",
        "_ends",
        "_gateway",
        "_idle",
        "_left",
        "_standing",
        "_up",
        "active",
    )

    def __init__(
        self, client: ClientConnection, connection: PooledConnection, idle: float, ends: float, standing: Standing
    ) -> None:
        self._gateway = client.gateway
        self._connection = connection
        self._idle = idle
        self._ends = ends
        self._standing = standing
        self._deadline = self._gateway.ticker.next + idle
        self._left = 2
        self.active = False
        self._down = _End(self, client.transport)
        self._up = _End(self, connection.detach())
        self._down.other = self._up
        self._up.other = self._down

    def start(self, from_client: bytes, from_upstream: bytes) -> None:
        """Begin, with what either side sent behind its head."""
        for end, first in ((self._down, from_client), (self._up, from_upstream)):
            end.transport.set_protocol(end)
            if first:
                end.other.transport.write(first)
            end.transport.resume_reading()
        self._gateway.connections.add(self)

    @property
    def busy(self) -> bool:
        """Whether a request is being answered: its answer was to switch, and it is over."""
        return False

    def sweep(self, now: float, wall: float) -> None:
        """End what is idle too long, or outlasts its token; what was not delivered by then is not waited for."""
        if self.active:
            self.active = False
            self._deadline = now + self._idle
        if self._deadline <= now or self._ends <= wall:
            self.abort()

    def renew(self) -> bool:
        """End it where the newest snapshot does not allow it; tells that this need not be looked at again."""
        if self._standing.refused_by(self._gateway.snapshot) is not None:
            self._standing.route.metrics.ended_by_reload += 1
            self.abort()
        return True

    def abort(self) -> None:
        """End both sides at once."""
        self._down.transport.abort()
        self._up.transport.abort()

    def drain(self) -> None:
        """Go on: no answer is to come that could tell of it."""

    def shutdown(self) -> None:
        """Go on: a tunnel has no end to wait for, and is cut when the time to drain is over."""

    def lose(self) -> None:
        """Count an end that is no more; with the second one, the tunnel is."""
        self._left -= 1
        if not self._left:
            self._gateway.connections.discard(self)
            self._connection.pool.forget(self._connection)
            self._down.let_go()
            self._up.let_go()
