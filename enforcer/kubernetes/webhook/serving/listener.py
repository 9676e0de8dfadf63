"""Accepts connections, makes the TLS handshake, and keeps each peer within its share.

1. A connection counts from its first moment. It costs little until its handshake begins, and few handshakes of a peer
   run at once.
2. Until its first request is accepted, a connection is a newcomer. Only newcomers are closed in favour of other peers.
3. TLS is read in turns (`wire.turns`), whatever the size of its records, and each peer has one turn.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final
from weakref import WeakValueDictionary

from enforcer.kubernetes.webhook.serving.connection import Application, Connection
from enforcer.kubernetes.webhook.serving.limits import Limits
from enforcer.kubernetes.webhook.serving.refusals import LIMIT
from enforcer.shares import Shares
from enforcer.wire.sockets.plaintext import set_protocol
from enforcer.wire.sockets.tls_reader import UNREAD, TlsReader
from enforcer.wire.turns import Turns

_log = logging.getLogger("enforcer.webhook")

_FIRST: Final = 2048
"""Bytes that are read before a connection's turn: the first message of a TLS handshake."""
_SHARE: Final = 50
"""The part of the bodies, and of the input that waits for its turn, that one peer may hold, in percent."""


class Listener:
    """Serves an application on sockets.

    With `tls`, clients speak TLS; with `names`, a client's certificate must have one of these as its common name.
    `refused` is called for each refusal, with its status (0 if the connection was closed without one) and the peer.
    """

    def __init__(
        self,
        application: Application,
        limits: Limits,
        refused: Callable[[int, str], None],
        tls: ssl.SSLContext | None = None,
        names: frozenset[str] = frozenset(),
    ) -> None:
        self.limits = limits
        self._application = application
        self._refused = refused
        self._tls = tls
        self._names = names
        self._shares = Shares(limits.bodies, _SHARE)
        self._turns = Turns(asyncio.get_running_loop().call_soon)
        self._turns.places.size, self._turns.places.share = limits.held_input, _SHARE
        self._places: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._count: Counter[str] = Counter()
        self._newcomers: dict[str, set[Arrival]] = {}
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Accept connections."""
        loop = asyncio.get_running_loop()
        self._servers = [await loop.create_server(lambda: Arrival(self), sock=listener) for listener in sockets]

    async def stop(self, grace: float) -> None:
        """Accept no more connections, wait for running requests for some seconds, and close everything."""
        for server in self._servers:
            server.close()
        for arrival in [arrival for arrivals in self._newcomers.values() for arrival in arrivals]:
            arrival.abort()
        for connection in [*self._connections]:
            connection.stop()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for connection in [*self._connections]:
            connection.abort()

    def admit(self, arrival: Arrival) -> None:
        """Let a new connection in, or abort it."""
        peer, limits = arrival.peer, self.limits
        if self._count[peer] >= limits.peer_connections or not self._make_room(peer):
            self._refused(LIMIT, peer)
            arrival.abort()
            return
        self._count[peer] += 1
        self._newcomers.setdefault(peer, set()).add(arrival)
        arrival.task = asyncio.get_running_loop().create_task(self._serve(arrival))
        self._tasks.add(arrival.task)
        arrival.task.add_done_callback(self._tasks.discard)

    def _make_room(self, peer: str) -> bool:
        """Return whether another connection may begin; if there are too many, one of the most numerous peer ends."""
        if len(self._tasks) < self.limits.connections:
            return True
        largest = max(self._newcomers, key=lambda other: len(self._newcomers[other]), default=peer)
        if len(self._newcomers.get(largest, ())) <= len(self._newcomers.get(peer, ())):
            return False
        self._refused(LIMIT, largest)
        next(iter(self._newcomers[largest])).abort()
        return True

    async def _serve(self, arrival: Arrival) -> None:
        """Serve a connection until its end."""
        try:
            connection = await self._welcome(arrival)
            self._leave_newcomers(arrival)
            if connection is not None:
                await connection.closed
        finally:
            arrival.abort()
            self._leave_newcomers(arrival)
            self._count[arrival.peer] -= 1
            if not self._count[arrival.peer]:
                del self._count[arrival.peer]

    def _leave_newcomers(self, arrival: Arrival) -> None:
        newcomers = self._newcomers.get(arrival.peer, set())
        newcomers.discard(arrival)
        if not newcomers:
            self._newcomers.pop(arrival.peer, None)

    async def _welcome(self, arrival: Arrival) -> Connection | None:
        """Return the connection once its first request is accepted; None if that does not happen."""
        place = self._places.get(arrival.peer)
        if place is None:
            place = self._places[arrival.peer] = asyncio.Semaphore(self.limits.newcomers)
        try:
            async with asyncio.timeout(self.limits.newcomer_seconds):
                await place.acquire()
        except TimeoutError:
            self._refused(LIMIT, arrival.peer)
            return None
        accepted = False
        try:
            async with asyncio.timeout(self.limits.newcomer_seconds):
                connection = await self._secured(arrival)
                accepted = await connection.accepted
                return connection
        except (OSError, TimeoutError) as error:
            _log.debug("%s: no request was accepted: %s", arrival.peer, error or type(error).__name__)
            self._refused(LIMIT, arrival.peer)
            return None
        finally:
            pause = 0.0 if accepted else self.limits.penalty_seconds
            asyncio.get_running_loop().call_later(pause, place.release)

    async def _secured(self, arrival: Arrival) -> Connection:
        """Make the TLS handshake, if there is one; raises OSError."""
        transport, first = arrival.transport, await arrival.first
        connection = Connection(arrival.peer, self._application, self._shares, self.limits, self._refused)
        if self._tls is not None:
            loop = asyncio.get_running_loop()
            loop.call_soon(self._read_tls, arrival, first, connection)
            secured = await loop.start_tls(transport, connection, self._tls, server_side=True)
            if secured is None or secured.is_closing():
                raise ConnectionAbortedError("closed during the handshake")
            certificate = secured.get_extra_info("peercert")
            if self._names and not self._names & set(_common_names(certificate)):
                raise PermissionError("the client's certificate has another name")
            if arrival.reader is not None:
                arrival.reader.established = True
            secured.set_write_buffer_limits(UNREAD)
            set_protocol(secured, connection)
            transport = secured
        else:
            transport.set_protocol(connection)
        self._connections.add(connection)
        connection.closed.add_done_callback(lambda _: self._connections.discard(connection))
        connection.connection_made(transport)
        if self._tls is None:
            transport.resume_reading()
            connection.data_received(first)
        return connection

    def _read_tls(self, arrival: Arrival, first: bytes, connection: Connection) -> None:
        """Read for TLS, which is the transport's protocol by now, beginning with the first bytes."""
        transport = arrival.transport
        if not transport.is_closing():
            reader = TlsReader(self._turns, transport, transport.get_protocol(), arrival)
            connection.readable = arrival.reader = reader
            reader.start(first)


def _common_names(certificate: Any) -> list[str]:
    """Return the common names of a certificate, as `ssl` describes it."""
    names = [pair for relative in (certificate or {}).get("subject", ()) for pair in relative]
    return [value for name, value in names if name == "commonName"]


class Arrival(asyncio.BufferedProtocol):
    """A connection that was just accepted: `first` becomes its first bytes, and no more is read before its turn."""

    peer = ""
    client = ""
    """The same, for its turns."""
    transport: asyncio.Transport

    def __init__(self, listener: Listener) -> None:
        self.first: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[None] | None = None
        self.reader: TlsReader | None = None
        self._listener = listener
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        address = transport.get_extra_info("peername")
        # The whole address, of IPv6 too: the pods of a node often share a /64, API servers' proxies among them.
        self.peer = self.client = str(address[0]) if address else ""
        self._listener.admit(self)

    def connection_lost(self, error: Exception | None) -> None:
        # It ends before its handshake: it waits for its turn, or for the first byte.
        if self.task is not None:
            self.task.cancel()

    def get_buffer(self, sizehint: int) -> bytearray:
        self._buffer = bytearray(_FIRST)
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.transport.pause_reading()
        if not self.first.done():
            self.first.set_result(bytes(self._buffer[:nbytes]))

    def abort(self) -> None:
        """End the connection."""
        self.transport.abort()
