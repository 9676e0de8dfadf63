"""The state that all client connections share: the snapshot in force, the time, and the connections themselves."""

from __future__ import annotations

import asyncio
import logging
from email.utils import formatdate
from time import perf_counter, time
from typing import Final

from enforcer.decision_log.buffer import DecisionBuffer
from enforcer.proxy.snapshot import Snapshot
from enforcer.share_report import SharedTable
from enforcer.shares import Holder, Shares
from enforcer.telemetry import Telemetry
from enforcer.tokens.purge import Purge
from enforcer.wire.ticker import Ticker
from enforcer.wire.turns import ROUND

_log: Final = logging.getLogger("enforcer.proxy")

REFUSED: Final = 128
"""Maximum number of refused connections that are left time to read their refusal. Bounds descriptors."""


class ManagedConnection:
    """A client connection, a TLS handshake before it, or a tunnel after it: by default without a request under way.

    `holder` is the client whose share of the connections it counts for, or of the refused ones.
    """

    __slots__ = ("holder",)

    holder: Holder | None

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return False

    def sweep(self, now: float, wall: float) -> None:
        """Check the deadlines: `now` is on the loop's clock, `wall` in seconds since the epoch."""
        raise NotImplementedError

    def drain(self) -> None:
        """Announce the end of the connection in the next response, if there will be one."""

    def renew(self) -> bool:
        """Switch to the registry's newest snapshot; return whether nothing of an older one is left."""
        return True

    def revoke(self, purge: Purge) -> None:
        """End a stream or tunnel whose token a purge covers."""

    def shutdown(self) -> None:
        """End as soon as no request is under way; a tunnel goes on until the time to drain is over."""

    def abort(self) -> None:
        """End at once, and so that nothing cut short looks complete."""
        raise NotImplementedError


class ConnectionRegistry:
    """The client connections of one listener, and what they share.

    `connections` is the set that the server waits for when it stops; `refused` are connections over the limit, or over
    their client's share of it, that have not read their refusal yet.
    """

    def __init__(self, snapshot: Snapshot, telemetry: Telemetry, ticker: Ticker) -> None:
        self.snapshot = snapshot
        self.ticker = ticker
        self.overhead = telemetry.overhead
        self.decisions = DecisionBuffer(telemetry.shares[SharedTable.DECISION_LOG])
        self.connections: set[ManagedConnection] = set()
        self.refused: set[ManagedConnection] = set()
        limits = snapshot.limits
        self._places = Shares(limits.connections, limits.client_share)
        ticker.turns.ceiling = limits.held_input
        self._places_refused = Shares(REFUSED, limits.client_share)
        self._held_back = telemetry.shares[SharedTable.CONNECTIONS]
        self.draining = False
        self.date = b""
        """The Date field line of responses, current to the second."""
        self._second = 0
        self._behind: set[ManagedConnection] = set()  # connections with requests of an older snapshot
        self._tick(0.0)
        ticker.add(self._tick)
        telemetry.in_flight = self._count_busy
        telemetry.connections = self._count
        telemetry.dropped_decisions = self._count_dropped
        telemetry.held_input = self._count_held
        telemetry.closed_for_input = self._count_closed

    def admit(self, connection: ManagedConnection, client: str | None) -> bool:
        """Count a new connection, if the limit and its client's share leave room for it.

        `client` is the key of the peer (`Peer.key`), None for a trusted proxy.
        """
        connection.holder = self._places.take(client)
        if connection.holder is not None:
            self.connections.add(connection)
            return True
        if self._places.has_room:
            self._held_back.add(client, self.ticker.next)
        return False

    def admit_refused(self, connection: ManagedConnection, client: str | None) -> bool:
        """Count a refused connection, if there is room for it to be left time."""
        connection.holder = self._places_refused.take(client)
        if connection.holder is None:
            return False
        self.refused.add(connection)
        return True

    def leave(self, connection: ManagedConnection) -> None:
        """Count a connection no longer, which has ended."""
        holder, connection.holder = connection.holder, None
        if holder is None:
            return
        if connection in self.refused:
            self.refused.discard(connection)
            self._places_refused.give_back(holder)
        else:
            self.connections.discard(connection)
            self._places.give_back(holder)

    def replace(self, connection: ManagedConnection, successor: ManagedConnection) -> None:
        """Count a connection from now on that has taken over another's transport, in its place."""
        self.connections.discard(connection)
        self.connections.add(successor)
        successor.holder, connection.holder = connection.holder, None

    def drain(self) -> None:
        """Serve on, and announce the end of each connection in its next response."""
        self.draining = True
        for connection in self.connections:
            connection.drain()

    async def swap(self, snapshot: Snapshot) -> None:
        """Switch to another snapshot; return once every connection uses it for its next request.

        A request that has begun keeps the snapshot that it began with. A stream is authorized again, and ended if the
        new snapshot denies it.
        """
        self.snapshot = snapshot
        limits = snapshot.limits
        self._places.size, self._places.share = limits.connections, limits.client_share
        self._places_refused.share = limits.client_share
        self.ticker.turns.ceiling = limits.held_input
        pause_at = perf_counter() + ROUND
        for connection in (*self.connections, *self.refused):
            if self._is_behind(connection):
                self._behind.add(connection)
            if perf_counter() >= pause_at:
                await asyncio.sleep(0)
                pause_at = perf_counter() + ROUND

    def revoke(self, purge: Purge) -> None:
        """End the streams and tunnels of the tokens that a purge covers; a request that may still stream is noted."""
        for connection in tuple(self.connections):
            connection.revoke(purge)

    def abort(self) -> None:
        """End all connections that are left when the time to drain is over."""
        for connection in tuple(self.connections):
            connection.abort()

    def _is_behind(self, connection: ManagedConnection) -> bool:
        try:
            return not connection.renew()
        except Exception:  # noqa: BLE001 - whatever the fault is, nothing goes on that was not authorized
            _log.exception("internal error")
            connection.abort()
            return False

    def _tick(self, now: float) -> None:
        wall = time()
        if int(wall) != self._second:
            self._second = int(wall)
            self.date = b"Date: %b\r\n" % formatdate(wall, usegmt=True).encode()
        for connection in (*self.connections, *self.refused):
            connection.sweep(now, wall)
        if self._behind:
            self._behind = {connection for connection in self._behind & self.connections if self._is_behind(connection)}

    def _count_busy(self) -> int:
        return sum(connection.busy for connection in self.connections)

    def _count(self) -> int:
        return len(self.connections)

    def _count_dropped(self) -> int:
        return self.decisions.dropped

    def _count_held(self) -> int:
        return self.ticker.turns.held

    def _count_closed(self) -> int:
        return self.ticker.turns.closed
