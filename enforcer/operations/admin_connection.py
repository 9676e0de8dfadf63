"""Connections to the admin server: few, short, and with one request at a time.

1. `admin.connections` bounds their number, and so the descriptors and the memory that they take. For one more, a
   connection of the client with the most ends: an idle one if there is one, else the oldest.
2. A connection ends if it waits for a request, or if a request takes, longer than `admin.timeout`.
3. Heads are small, and requests are not pipelined: nobody needs either.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from enforcer.clients import client_key
from enforcer.operations.admin_access import AdminAccess, Refused

_MAX_HEAD: Final = 65_536
"""Bytes of a request head, with the part of the body that arrives together with it."""


class AdminConnections:
    """The connections of the admin server, oldest first. `longest` is the longest timeout of a probe, in seconds."""

    def __init__(self, access: AdminAccess, longest: float = 0.0) -> None:
        self.access = access
        self.longest = longest
        self._connections: dict[AdminConnection, str] = {}

    def protocol(self, **uvicorns: Any) -> AdminConnection:
        """Return the protocol of a new connection: the factory that uvicorn takes for `http=`."""
        return AdminConnection(self, **uvicorns)

    def enter(self, connection: AdminConnection, client: str) -> None:
        """Add a connection, and end another one if there are too many."""
        self._connections[connection] = client
        if len(self._connections) > self.access.settings.connections:
            self.access.refuse(Refused.CONNECTIONS)
            self._surplus().end()

    def leave(self, connection: AdminConnection) -> None:
        """Remove a connection."""
        self._connections.pop(connection, None)

    def _surplus(self) -> AdminConnection:
        by_client: dict[str, list[AdminConnection]] = {}
        for connection, client in self._connections.items():
            by_client.setdefault(client, []).append(connection)
        largest = max(by_client.values(), key=len)
        return next((connection for connection in largest if connection.idle), largest[0])


class AdminConnection(HttpToolsProtocol):
    """A connection to the admin server."""

    def __init__(self, connections: AdminConnections, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._connections = connections
        self._timer: asyncio.TimerHandle | None = None
        self._head_size = 0

    @property
    def idle(self) -> bool:
        """Whether no request is being answered, and every response has left: an end would cut none."""
        return not self._answering and not self.transport.get_write_buffer_size()

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._connections.enter(self, client_key(self.client[0] if self.client else ""))
        self._arm(self._connections.access.settings.timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._connections.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._answering:
            self._head_size += len(data)
            if self._head_size > _MAX_HEAD:
                self.end()
                return
        if not self.transport.is_closing():
            super().data_received(data)
        if self._answering:
            self._head_size = 0

    def on_message_begin(self) -> None:
        if self._answering:
            raise httptools.HttpParserError("requests are not pipelined")
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        access = self._connections.access
        self._arm(max(access.settings.timeout, self._connections.longest))
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._arm(self._connections.access.settings.timeout)

    def end(self) -> None:
        """End the connection at once."""
        self._connections.leave(self)
        self.transport.abort()

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._timer = self.loop.call_later(seconds, self.end)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
