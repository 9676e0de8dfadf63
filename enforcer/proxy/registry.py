"""The state that all client connections share: the snapshot in force, the time, and the connections themselves."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterator
from email.utils import formatdate
from functools import partial
from itertools import islice
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

IDLE: Final = 4096
"""Bytes of an idle connection without TLS."""
TLS: Final = 40 * 1024
"""Bytes of an idle connection with TLS, in addition."""
_PASS: Final = 256
"""Connections that are looked at in one turn of the event loop: a fraction of a millisecond."""
_CANDIDATES: Final = 32
"""Connections of a client that are looked at to end an idle one."""
REFUSED: Final = 128
"""Maximum number of refused connections that are left time to read their refusal. Bounds descriptors."""


class ManagedConnection:
    """A client connection, a TLS handshake before it, or a tunnel after it: by default without a request under way.

    `holder` is the client whose share of the connections it counts for, or of the refused ones. `counted` is the memory
    that it counts for, in the share of `memory_holder`.
    """

    __slots__ = ("counted", "holder", "memory_holder")

    def __init__(self) -> None:
        self.holder: Holder | None = None
        self.memory_holder: Holder | None = None
        self.counted = 0

    @property
    def memory(self) -> int:
        """Bytes that it takes now, with what is in flight on it, except input that waits for its turn."""
        return IDLE

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return False

    @property
    def in_flight(self) -> int:
        """Number of requests that are being answered."""
        return int(self.busy)

    @property
    def idle(self) -> bool:
        """Whether it may end to make room for another one of its client."""
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
    their client's share of it, that have not read their refusal yet. `http2_ended` counts the HTTP/2 connections that
    were ended with an error.
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
        self._places_refused = Shares(REFUSED, limits.client_share)
        self._memory = Shares(limits.connection_memory, limits.client_share)
        self._held_back = telemetry.shares[SharedTable.CONNECTIONS]
        self._held_back_memory = telemetry.shares[SharedTable.MEMORY]
        self._cut = 0
        self.http2_ended = 0
        ticker.turns.held_back = telemetry.shares[SharedTable.INPUT]
        ticker.turns.places.size, ticker.turns.places.share = limits.held_input, limits.client_share
        self.draining = False
        self.date = b""
        """The Date field line of responses, current to the second."""
        self._second = 0
        self._behind: set[ManagedConnection] = set()  # connections with requests of an older snapshot
        self._of_client: dict[str, OrderedDict[ManagedConnection, None]] = {}  # without trusted proxies
        self._unswept: list[ManagedConnection] = []  # of the running pass over all connections
        self.tick(0.0)
        ticker.add(self.tick)
        telemetry.in_flight = self._count_busy
        telemetry.connections = self._count
        telemetry.dropped_decisions = self._count_dropped
        telemetry.connection_memory = self._count_memory
        telemetry.cut_for_memory = self._count_cut
        telemetry.held_input = self._count_held
        telemetry.closed_for_input = self._count_closed
        telemetry.http2_ended = self._count_http2_ended

    def admit(self, connection: ManagedConnection, client: str | None) -> bool:
        """Count a new connection, if the limits and its client's share leave room for it.

        `client` is the key of the peer (`Peer.key`), None for a trusted proxy.
        """
        holder = self._places.take(client)
        if holder is None:
            if self._places.has_room:
                self._held_back.add(client, self.ticker.next)
            holder = self._end_idle(client)
            if holder is None:
                return False
        size = connection.memory
        memory_holder = self._take_memory(client, size)
        if memory_holder is None and (ended := self._end_idle(client)) is not None:
            self._places.give_back(ended)
            memory_holder = self._take_memory(client, size)
        if memory_holder is None:
            self._places.give_back(holder)
            return False
        connection.holder, connection.memory_holder, connection.counted = holder, memory_holder, size
        self._enter(connection)
        return True

    def _enter(self, connection: ManagedConnection) -> None:
        self.connections.add(connection)
        client = None if connection.holder is None else connection.holder.client
        if client is not None:
            own = self._of_client.get(client)
            if own is None:
                own = self._of_client[client] = OrderedDict()
            own[connection] = None

    def _exit(self, connection: ManagedConnection, client: str | None) -> None:
        self.connections.discard(connection)
        self._behind.discard(connection)
        own = None if client is None else self._of_client.get(client)
        if own is not None and client is not None:
            own.pop(connection, None)
            if not own:
                del self._of_client[client]

    def _end_idle(self, client: str | None) -> Holder | None:
        """End an idle connection of a client, the oldest ones being asked first; return the place that it had."""
        own = None if client is None or self._places.share == 100 else self._of_client.get(client)
        if own is None:
            return None
        for connection in tuple(islice(own, _CANDIDATES)):
            if connection.idle:
                holder, connection.holder = connection.holder, None
                self._give_memory_back(connection)
                self._exit(connection, client)
                if self.admit_refused(connection, client):
                    connection.shutdown()
                else:
                    connection.abort()
                return holder
            own.move_to_end(connection)
        return None

    def _give_memory_back(self, connection: ManagedConnection) -> None:
        holder, connection.memory_holder = connection.memory_holder, None
        if holder is not None:
            self._memory.give_back(holder, connection.counted)

    def count_memory(self, connection: ManagedConnection) -> None:
        """Count what a connection takes now; cut it if there is no room for that."""
        holder = connection.memory_holder
        if holder is None:
            return
        more = connection.memory - connection.counted
        if more <= 0:
            self._memory.give_back(holder, -more)
        elif self._take_memory(holder.client, more) is None:
            self._cut += 1
            connection.abort()
            return
        connection.counted += more

    def _take_memory(self, client: str | None, size: int) -> Holder | None:
        memory = self._memory
        holder = memory.take(client, size)
        if holder is None and size <= memory.size - memory.used:
            self._held_back_memory.add(client, self.ticker.next)
        return holder

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
        self._give_memory_back(connection)
        if connection in self.refused:
            self.refused.discard(connection)
            self._places_refused.give_back(holder)
        else:
            self._exit(connection, holder.client)
            self._places.give_back(holder)

    def replace(self, connection: ManagedConnection, successor: ManagedConnection) -> None:
        """Count a connection from now on that has taken over another's transport, in its place."""
        successor.holder, connection.holder = connection.holder, None
        self._exit(connection, None if successor.holder is None else successor.holder.client)
        self._enter(successor)
        successor.memory_holder, connection.memory_holder = connection.memory_holder, None
        successor.counted = connection.counted

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
        self._memory.size, self._memory.share = limits.connection_memory, limits.client_share
        self._places_refused.share = limits.client_share
        places = self.ticker.turns.places
        places.size, places.share = limits.held_input, limits.client_share
        pause_at = perf_counter() + ROUND
        for connection in (*self.connections, *self.refused):
            if self._is_behind(connection):
                self._behind.add(connection)
            if perf_counter() >= pause_at:
                await asyncio.sleep(0)
                pause_at = perf_counter() + ROUND

    def revoke(self, purge: Purge) -> Iterator[int]:
        """End the streams and tunnels of the tokens that a purge covers; a request that may still stream is noted.

        Yields 0 after each step, so that the steps can follow those of the purge of the cache.
        """
        left = list(self.connections)
        while left:
            for connection in left[-_PASS:]:
                connection.revoke(purge)
            del left[-_PASS:]
            yield 0

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

    def tick(self, now: float) -> None:
        """Check the deadlines of all connections, and their memory, in steps; `now` is on the loop's clock."""
        wall = time()
        if int(wall) != self._second:
            self._second = int(wall)
            self.date = b"Date: %b\r\n" % formatdate(wall, usegmt=True).encode()
        if not self._unswept:
            self._unswept = [*self.connections, *self.refused]
            self._sweep(now, wall)

    def _sweep(self, now: float, wall: float) -> None:
        """Check the deadlines and the memory of some connections; the others have their turn soon."""
        unswept = self._unswept
        for connection in unswept[-_PASS:]:
            if connection.holder is None:
                continue  # it has ended since the pass began
            try:
                connection.sweep(now, wall)
                self.count_memory(connection)
            except Exception:  # noqa: BLE001 - one connection that fails must not stop the check of the others
                _log.exception("internal error")
                connection.abort()
            if connection in self._behind and not self._is_behind(connection):
                self._behind.discard(connection)
        del unswept[-_PASS:]
        if unswept:
            self.ticker.call_soon(partial(self._sweep, now, wall))

    def _count_busy(self) -> int:
        return sum(connection.in_flight for connection in self.connections)

    def _count(self) -> int:
        return len(self.connections)

    def _count_dropped(self) -> int:
        return self.decisions.dropped

    def _count_memory(self) -> int:
        return self._memory.used

    def _count_cut(self) -> int:
        return self._cut

    def _count_held(self) -> int:
        return self.ticker.turns.places.used

    def _count_http2_ended(self) -> int:
        return self.http2_ended

    def _count_closed(self) -> int:
        return self.ticker.turns.closed
