"""Opens the connections of a pool: a name's addresses, TCP or a Unix socket, TLS, and the protocol on top."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from enforcer.errors import UpstreamError, UpstreamFailure
from enforcer.settings.connections.addresses import is_ip
from enforcer.settings.connections.http2 import Http2Settings, UpstreamProtocol
from enforcer.settings.connections.pool import PoolSettings
from enforcer.wire.carrier import Carrier
from enforcer.wire.connection import ConnectionOwner, PooledConnection
from enforcer.wire.dialing.address_list import AddressList
from enforcer.wire.dialing.dialer import Dialer, Resolver
from enforcer.wire.sockets.plaintext import set_protocol
from enforcer.wire.sockets.tls_reader import UNREAD, TlsReader
from enforcer.wire.ticker import Ticker

if TYPE_CHECKING:
    # Imported by the first connection that speaks HTTP/2, with the library.
    from enforcer.wire.http2.shared_connection import SharedConnection

ALPN: Final = {"h2": ["h2"], "auto": ["h2", "http/1.1"]}
"""The protocols to offer on TLS (RFC 7301), by `upstream.protocol`; HTTP/1.1 needs no offer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAddress:
    """The address of a server: the path of a socket (`unix`), or `host` and `port`. Without `tls`: plain text.

    `protocol` is what the server is spoken to in; the context of `tls` offers it.
    """

    host: str = ""
    port: int = 0
    unix: str | None = None
    tls: ssl.SSLContext | None = None
    server_name: str | None = None
    protocol: UpstreamProtocol = "http1"

    def __str__(self) -> str:
        return f"unix:{self.unix}" if self.unix else f"{self.host}:{self.port}"


class Owner(ConnectionOwner):
    """The pool, as its connections of both protocols see it: a `SharedConnectionOwner` too."""

    def release_stream(self, carrier: Carrier) -> None:
        """Take back the place of a stream that has ended."""
        raise NotImplementedError

    def use_room(self, connection: SharedConnection) -> None:
        """Give streams to requests that wait: the connection may have room for more."""
        raise NotImplementedError

    def forget_shared(self, connection: SharedConnection) -> None:
        """Stop counting a shared connection."""
        raise NotImplementedError


class Connector:
    """Opens connections to one server for a pool, in the protocol that is configured or that the server chooses."""

    def __init__(
        self,
        endpoint: ServerAddress,
        settings: PoolSettings,
        http2: Http2Settings,
        ticker: Ticker,
        loop: asyncio.AbstractEventLoop,
        resolver: Resolver,
    ) -> None:
        self._endpoint = endpoint
        self._settings = settings
        self._http2 = http2
        self._ticker = ticker
        self._loop = loop
        self._dialer: Dialer | None = None
        if endpoint.unix is None and not is_ip(endpoint.host):
            addresses = AddressList(settings.address_lifetime, settings.address_pause)
            self._dialer = Dialer(endpoint.host, endpoint.port, addresses, loop, resolver)

    async def connect(self, owner: Owner) -> PooledConnection | SharedConnection:
        """Open a connection. Raises OSError, the ssl.SSLError of the handshake, or UpstreamError: no HTTP/2."""
        address = self._endpoint
        if self._dialer is not None:
            return await self._dial(self._dialer, owner)
        connection = self._new(owner)
        protocol: Any = partial(_protocol, connection, address.tls)
        if address.unix is not None:
            transport, _ = await self._loop.create_unix_connection(protocol, address.unix)
        else:
            transport, _ = await self._loop.create_connection(protocol, address.host, address.port)
        return await self._establish(transport, connection, owner)

    async def _dial(self, dialer: Dialer, owner: Owner) -> PooledConnection | SharedConnection:
        sock, address = await dialer.connect()
        connection = self._new(owner)
        protocol: Any = partial(_protocol, connection, self._endpoint.tls)
        try:
            transport, _ = await self._loop.create_connection(protocol, sock=sock)
            return await self._establish(transport, connection, owner)
        except BaseException:
            # It accepted the connection, but neither TLS nor HTTP/2: the next one tries another address first.
            dialer.addresses.record_failure(address, self._loop.time())
            sock.close()
            raise

    def _new(self, owner: Owner) -> PooledConnection | SharedConnection:
        if self._endpoint.protocol in ("h2", "h2c"):
            return self._new_shared(owner)
        return PooledConnection(owner, self._settings, self._ticker)

    def _new_shared(self, owner: Owner) -> SharedConnection:
        from enforcer.wire.http2.shared_connection import SharedConnection

        return SharedConnection(owner, self._settings, self._http2, self._ticker, self._loop.create_future())

    async def _establish(
        self, transport: asyncio.Transport, connection: PooledConnection | SharedConnection, owner: Owner
    ) -> PooledConnection | SharedConnection:
        """Make the TLS handshake, if the server speaks TLS, and wait until a server of HTTP/2 says that it is one."""
        if self._endpoint.tls is not None:
            connection = await self._secure(transport, connection, self._endpoint.tls, owner)
        if not isinstance(connection, PooledConnection):
            try:
                await connection.ready
            except BaseException:
                connection.transport.abort()
                raise
        return connection

    async def _secure(
        self,
        transport: asyncio.Transport,
        connection: PooledConnection | SharedConnection,
        context: ssl.SSLContext,
        owner: Owner,
    ) -> PooledConnection | SharedConnection:
        """Make the TLS handshake of a connection. Its input is then read in turns."""
        address = self._endpoint
        self._loop.call_soon(self._read_tls, transport, connection)
        protocol: Any = connection
        try:
            secured = await self._loop.start_tls(
                transport, protocol, context, server_hostname=address.server_name or address.host
            )
        except BaseException:
            transport.abort()
            raise
        if secured is None or connection.tls is None:
            raise ConnectionResetError
        chosen = _alpn(secured)
        if address.protocol == "auto" and chosen == "h2":
            reader, connection = connection.tls, self._new_shared(owner)
            reader.peer = connection
            connection.tls = reader
        elif address.protocol == "h2" and chosen != "h2":
            transport.abort()
            raise UpstreamError(UpstreamFailure.MALFORMED, "the server did not choose HTTP/2 (ALPN)", connected=False)
        if connection.tls is not None:
            connection.tls.established = True
        secured.set_write_buffer_limits(UNREAD)
        set_protocol(secured, connection)
        connection.connection_made(secured)
        return connection

    def _read_tls(self, transport: asyncio.Transport, connection: PooledConnection | SharedConnection) -> None:
        """Read for TLS, which is the transport's protocol by now."""
        if not transport.is_closing():
            connection.tls = TlsReader(self._ticker.turns, transport, transport.get_protocol(), connection)
            connection.tls.start(b"")


def _alpn(transport: asyncio.Transport) -> str | None:
    connection = transport.get_extra_info("ssl_object")
    return None if connection is None else connection.selected_alpn_protocol()


def _protocol(connection: PooledConnection | SharedConnection, tls: ssl.SSLContext | None) -> Any:
    # With TLS, nothing is read before the handshake, which replaces the protocol.
    return connection if tls is None else asyncio.Protocol()
