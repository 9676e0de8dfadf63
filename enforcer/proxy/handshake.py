"""A client's connection until TLS is agreed on.

1. It counts as a connection from its first moment; over the limit it is dropped, since it could not read an answer.
2. It costs little until its first byte, and takes no longer than `timeouts.handshake`.
3. It ends at once when the server stops: no request was heard on it.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import TYPE_CHECKING, Any

from enforcer.proxy.connection import ClientConnection

if TYPE_CHECKING:
    from enforcer.proxy.gateway import Gateway

_log = logging.getLogger("enforcer.proxy")


class Handshake(asyncio.Protocol):
    """Stands for the connection until a `ClientConnection` takes its place, on the transport that TLS gives."""

    __slots__ = ("_context", "_deadline", "_first", "_gateway", "_task", "_transport")

    _transport: asyncio.Transport

    def __init__(self, gateway: Gateway, context: ssl.SSLContext) -> None:
        self._gateway = gateway
        self._context = context
        self._deadline = gateway.ticker.next + gateway.snapshot.timeouts.handshake
        self._first = b""
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        gateway = self._gateway
        if len(gateway.connections) >= gateway.snapshot.limits.connections:
            self.abort()
        else:
            gateway.connections.add(self)

    def data_received(self, data: bytes) -> None:
        self._transport.pause_reading()
        self._first = data
        self._task = asyncio.get_running_loop().create_task(self._agree(), name="handshake")

    def connection_lost(self, error: Exception | None) -> None:
        self._gateway.connections.discard(self)

    async def _agree(self) -> None:
        if self._transport.is_closing():
            return
        loop = asyncio.get_running_loop()
        loop.call_soon(self._hand_on)
        timeout = self._gateway.snapshot.timeouts.handshake
        try:
            secured = await loop.start_tls(
                self._transport, self, self._context, server_side=True, ssl_handshake_timeout=timeout
            )
        except OSError as error:
            _log.debug("no TLS with a client: %s", error)
            return
        finally:
            self._gateway.connections.discard(self)
        if secured is not None and not secured.is_closing():
            client = ClientConnection(self._gateway)
            secured.set_protocol(client)  # type: ignore[arg-type] # it is one by its methods
            client.connection_made(secured)

    def _hand_on(self) -> None:
        """Give what came first to TLS, which is the transport's protocol by now."""
        first, self._first = self._first, b""
        if not self._transport.is_closing():
            protocol: Any = self._transport.get_protocol()
            protocol.get_buffer(len(first))[: len(first)] = first
            protocol.buffer_updated(len(first))

    @property
    def busy(self) -> bool:
        """Whether a request is being answered: none was heard yet."""
        return False

    def sweep(self, now: float, wall: float) -> None:
        """End it when it has taken too long."""
        if self._deadline <= now:
            self.abort()

    def drain(self) -> None:
        """Go on: the connection that it becomes is told."""

    def renew(self) -> bool:
        """Tell that no request was judged by an older snapshot."""
        return True

    def shutdown(self) -> None:
        """End it at once."""
        self.abort()

    def abort(self) -> None:
        """End it at once."""
        self._transport.abort()
