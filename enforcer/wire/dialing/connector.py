"""Opens the connections of a pool: a name's addresses, TCP or a Unix socket, and TLS."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from functools import partial
from typing import Any

from enforcer.settings.addresses import is_ip
from enforcer.settings.pool import PoolSettings
from enforcer.wire.connection import ConnectionOwner, PooledConnection
from enforcer.wire.dialing.address_list import AddressList
from enforcer.wire.dialing.dialer import Dialer, Resolver
from enforcer.wire.plaintext import set_protocol
from enforcer.wire.ticker import Ticker
from enforcer.wire.tls_reader import UNREAD


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAddress:
    """The address of a server: the path of a socket (`unix`), or `host` and `port`. Without `tls`: plain text."""

    host: str = ""
    port: int = 0
    unix: str | None = None
    tls: ssl.SSLContext | None = None
    server_name: str | None = None

    def __str__(self) -> str:
        return f"unix:{self.unix}" if self.unix else f"{self.host}:{self.port}"


class Connector:
    """Opens connections to one server for a pool."""

    def __init__(
        self,
        endpoint: ServerAddress,
        settings: PoolSettings,
        ticker: Ticker,
        loop: asyncio.AbstractEventLoop,
        resolver: Resolver,
    ) -> None:
        self._endpoint = endpoint
        self._settings = settings
        self._ticker = ticker
        self._loop = loop
        self._dialer: Dialer | None = None
        if endpoint.unix is None and not is_ip(endpoint.host):
            addresses = AddressList(settings.address_lifetime, settings.address_pause)
            self._dialer = Dialer(endpoint.host, endpoint.port, addresses, loop, resolver)

    async def connect(self, owner: ConnectionOwner) -> PooledConnection:
        """Open a connection. Raises OSError, or the ssl.SSLError of the handshake."""
        address = self._endpoint
        if self._dialer is not None:
            return await self._dial(self._dialer, owner)
        connection = PooledConnection(owner, self._settings, self._ticker)
        protocol: Any = partial(_protocol, connection, address.tls)
        if address.unix is not None:
            transport, _ = await self._loop.create_unix_connection(protocol, address.unix)
        else:
            transport, _ = await self._loop.create_connection(protocol, address.host, address.port)
        return await self._secure(transport, connection)

    async def _dial(self, dialer: Dialer, owner: ConnectionOwner) -> PooledConnection:
        sock, address = await dialer.connect()
        connection = PooledConnection(owner, self._settings, self._ticker)
        protocol: Any = partial(_protocol, connection, self._endpoint.tls)
        try:
            transport, _ = await self._loop.create_connection(protocol, sock=sock)
            await self._secure(transport, connection)
        except BaseException:
            # It accepted the connection, but not TLS: the next connection tries another address first.
            dialer.addresses.record_failure(address, self._loop.time())
            sock.close()
            raise
        return connection

    async def _secure(self, transport: asyncio.Transport, connection: PooledConnection) -> PooledConnection:
        """Make the TLS handshake of a connection, if the server speaks TLS; its input is then read in turns."""
        address = self._endpoint
        if address.tls is None:
            return connection
        self._loop.call_soon(connection.read_tls, transport)
        name = address.server_name or address.host
        protocol: Any = connection
        try:
            secured = await self._loop.start_tls(transport, protocol, address.tls, server_hostname=name)
        except BaseException:
            transport.abort()
            raise
        if secured is None or connection.tls is None:
            raise ConnectionResetError
        connection.tls.established = True
        secured.set_write_buffer_limits(UNREAD)
        set_protocol(secured, connection)
        connection.connection_made(secured)
        return connection


def _protocol(connection: PooledConnection, tls: ssl.SSLContext | None) -> Any:
    # With TLS, nothing is read before the handshake, which replaces the protocol.
    return connection if tls is None else asyncio.Protocol()
