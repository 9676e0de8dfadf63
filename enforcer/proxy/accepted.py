"""A client connection that was accepted: what HTTP/1.1 and HTTP/2 have in common."""

from __future__ import annotations

import asyncio

from enforcer.proxy.client_transport import NEVER, ClientTransport
from enforcer.proxy.door import Door
from enforcer.proxy.peer import Peer
from enforcer.proxy.registry import IDLE, TLS, ConnectionRegistry, ManagedConnection
from enforcer.wire.sockets.tls_reader import TlsReader
from enforcer.wire.turns import PacedInput


class AcceptedConnection(ManagedConnection):
    """One client connection. `deadline` is when it is ended if nothing more comes, on the loop's clock.

    `door` answers its requests. `tls` is what it reads from if the client speaks TLS.
    """

    __slots__ = ("_door", "_input", "_io", "_registry", "_tls", "client", "deadline", "peer", "transport")

    transport: asyncio.Transport
    peer: Peer
    _input: PacedInput
    _io: ClientTransport

    def __init__(self, registry: ConnectionRegistry, tls: TlsReader | None, door: Door) -> None:
        super().__init__()
        self._registry = registry
        self._tls = tls
        self._door = door
        self.client: str | None = None
        self.deadline = NEVER

    def _own_memory(self) -> int:
        """Return the bytes that the connection itself takes, with what the client has not read yet."""
        return IDLE + self._io.unread + (0 if self._tls is None else TLS + self._tls.unread)

    def abort(self) -> None:
        self._io.abort()

    def _read_time(self) -> float:
        """Return until when the client must read something."""
        return self._registry.ticker.next + self._registry.snapshot.timeouts.body

    def _close(self) -> None:
        """Close behind everything that was written."""
        self._io.close(self._read_time())
        self._input.discard()  # the end of TLS takes more reads

    def _linger(self) -> None:
        """Close in stages, so that the client can read what was written while it still sends."""
        until = self._registry.ticker.next + self._registry.snapshot.timeouts.linger
        self.deadline = self._io.linger(until, self._read_time())
        self._input.discard()
