"""The listener: the protocol of new client connections, TLS handshakes included.

1. A TLS connection counts from its first moment. Over the limit it is dropped, because it could not read a response.
2. It costs little until its first byte, and its handshake takes no longer than `timeouts.handshake`.
3. A handshake ends at once when the server stops: no request has been received on it.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import TYPE_CHECKING, Any, Final

from enforcer.proxy.connection import ClientConnection
from enforcer.proxy.door import PROXY, Door
from enforcer.proxy.registry import IDLE, TLS, ConnectionRegistry, ManagedConnection
from enforcer.proxy.snapshot import Snapshot
from enforcer.wire.sockets.plaintext import set_protocol
from enforcer.wire.sockets.tls_reader import UNREAD, TlsReader

if TYPE_CHECKING:
    from enforcer.proxy.http2.connection import Http2Connection

_log: Final = logging.getLogger("enforcer.proxy")


class Listener:
    """Makes the protocol of each new connection. With `tls`, clients speak TLS; `door` answers their requests.

    The handshake is made here and not by the server underneath, which would not count connections before its end.
    """

    def __init__(self, registry: ConnectionRegistry, tls: ssl.SSLContext | None = None, door: Door = PROXY) -> None:
        self.registry = registry
        self.tls = tls
        self.door = door

    def protocol(self, *, server_state: Any) -> asyncio.Protocol:
        """Return the protocol of a new connection to a server with that state: a set of `connections`."""
        registry = self.registry
        registry.connections = server_state.connections
        # Both are protocols by their methods.
        if self.tls is None:
            return ClientConnection(registry, None, self.door)  # type: ignore[return-value]
        return Handshake(registry, self.tls, self.door)  # type: ignore[return-value]

    async def swap(self, snapshot: Snapshot, tls: ssl.SSLContext | None) -> None:
        """Switch to another snapshot; return once every connection uses it for its next request."""
        self.tls = tls
        await self.registry.swap(snapshot)


class Handshake(ManagedConnection):
    """A connection until the TLS handshake is complete: then a `ClientConnection` takes over, on the TLS transport.

    It is an asyncio.Protocol by its methods.
    """

    __slots__ = ("_context", "_deadline", "_door", "_first", "_reader", "_registry", "_task", "_transport", "client")

    _transport: asyncio.Transport

    def __init__(self, registry: ConnectionRegistry, context: ssl.SSLContext, door: Door = PROXY) -> None:
        super().__init__()
        self._registry = registry
        self._door = door
        self._context = context
        self._deadline = registry.ticker.next + registry.snapshot.timeouts.handshake
        self._first = b""
        self._reader: TlsReader | None = None
        self._task: asyncio.Task[None] | None = None
        self.client: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self.client = self._door.peer(transport, self._registry.snapshot.forwarding).key
        if not self._registry.admit(self, self.client):
            self.abort()

    def data_received(self, data: bytes) -> None:
        self._transport.pause_reading()
        self._first = data
        self._task = asyncio.get_running_loop().create_task(self._shake_hands(), name="handshake")

    def eof_received(self) -> None:
        pass

    def pause_writing(self) -> None:
        pass

    def resume_writing(self) -> None:
        pass

    def connection_lost(self, error: Exception | None) -> None:
        self._registry.leave(self)

    async def _shake_hands(self) -> None:
        if self._transport.is_closing():
            return
        loop = asyncio.get_running_loop()
        loop.call_soon(self._take_over)
        timeout = self._registry.snapshot.timeouts.handshake
        protocol: Any = self
        try:
            secured = await loop.start_tls(
                self._transport, protocol, self._context, server_side=True, ssl_handshake_timeout=timeout
            )
        except OSError as error:
            _log.info("TLS handshakes with clients fail: %s", error)
            return
        finally:
            self._registry.leave(self)
        if secured is not None and not secured.is_closing() and self._reader is not None:
            reader, self._reader = self._reader, None  # it refers to this object
            reader.established = True
            client = self._client(secured, reader)
            secured.set_write_buffer_limits(UNREAD)
            set_protocol(secured, client)
            client.connection_made(secured)

    def _client(self, secured: asyncio.Transport, reader: TlsReader) -> ClientConnection | Http2Connection:
        """Return the connection that speaks what was agreed on (ALPN, RFC 7301)."""
        session = secured.get_extra_info("ssl_object")
        if session is not None and session.selected_alpn_protocol() == "h2":
            # The library that it needs is imported by the first connection.
            from enforcer.proxy.http2.connection import Http2Connection

            return Http2Connection(self._registry, reader, self._door)
        return ClientConnection(self._registry, reader, self._door)

    def _take_over(self) -> None:
        """Read for TLS, which is the transport's protocol by now, beginning with the first bytes."""
        if not self._transport.is_closing():
            turns = self._registry.ticker.turns
            self._reader = TlsReader(turns, self._transport, self._transport.get_protocol(), self)
            self._reader.start(self._first)
        self._first = b""

    @property
    def memory(self) -> int:
        return IDLE + TLS

    @property
    def idle(self) -> bool:
        """Whether nothing has been received."""
        return self._task is None

    def sweep(self, now: float, wall: float) -> None:
        """End it if it has taken too long."""
        if self._deadline <= now:
            self.abort()

    def shutdown(self) -> None:
        """End it at once."""
        self.abort()

    def abort(self) -> None:
        """End it at once."""
        self._transport.abort()
