"""Pooled HTTP/1.1 connections to one server: an upstream, or an authorization server.

1. There are never more connections, nor more waiting requests, than the settings allow.
2. Every wait is bounded: for a connection, for the first byte, between bytes, and for the next use.
3. `request` never calls its receiver: the connection, or the failure, is returned if it is known at once.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass, replace

from enforcer.errors import UpstreamError, UpstreamFailure
from enforcer.settings.pool import PoolSettings
from enforcer.wire.connection import PooledConnection, Receiver
from enforcer.wire.ticker import Ticker


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


class Pool:
    """The connections to one server, at most `settings.connections`, and the requests that wait for one.

    Its timer runs only while there are any, so a pool that is no longer used needs no other end than `close`.
    """

    def __init__(
        self, endpoint: ServerAddress, settings: PoolSettings, ticker: Ticker, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.endpoint = endpoint
        self.settings = settings
        self.ticker = ticker
        self._loop = loop
        self._idle: list[PooledConnection] = []
        self._all: set[PooledConnection] = set()
        self._waiting: deque[tuple[Receiver, float]] = deque()
        self._waiting_fresh: deque[tuple[Receiver, float]] = deque()
        self._opening = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._watching = False
        self.opened = 0

    def request(self, receiver: Receiver, *, fresh: bool = False) -> PooledConnection | UpstreamError | None:
        """Return an idle connection, now the receiver's, or the error if the queue is full.

        Otherwise returns None, and calls `receiver.on_connection` or `receiver.on_failure` later. `fresh`: only a
        connection that was never used, which is never there at once.
        """
        if self._idle and not fresh:
            return self._idle.pop()
        queue = self._waiting_fresh if fresh else self._waiting
        # A request whose connection is being opened, or may be opened, takes no place in the queue.
        if len(queue) >= self.settings.queue + self.settings.connections - len(self._all):
            return UpstreamError(UpstreamFailure.OVERLOADED, "the queue is full")
        queue.append((receiver, self.ticker.next + self.settings.queue_timeout))
        self._open()
        return None

    def cancel(self, receiver: Receiver) -> None:
        """Remove a receiver from the queue."""
        for queue in (self._waiting, self._waiting_fresh):
            for entry in queue:
                if entry[0] is receiver:
                    queue.remove(entry)
                    return

    def release(self, connection: PooledConnection) -> None:
        if connection.transport.is_closing():
            self.forget(connection)
        elif self._waiting:
            self._waiting.popleft()[0].on_connection(connection)
        else:
            connection.deadline = self.ticker.next + self.settings.keep_alive_timeout
            self._idle.append(connection)

    def forget(self, connection: PooledConnection) -> None:
        """Stop counting a connection: it is closed, or no longer HTTP."""
        if connection in self._all:
            self._all.discard(connection)
            if connection in self._idle:
                self._idle.remove(connection)
            self._open()

    def close(self) -> None:
        """Close idle connections, and the others when their exchange ends; waiting exchanges are still served."""
        self.settings = replace(self.settings, keep_alive_timeout=0.0)
        for connection in tuple(self._idle):
            self.forget(connection)
            connection.transport.close()

    def report(self, error: BaseException) -> None:
        """Report an exception that a receiver should not have raised to the event loop."""
        self._loop.call_exception_handler({"message": f"exchange with {self.endpoint}", "exception": error})

    def _open(self) -> None:
        if not self._watching:
            self._watching = True
            self.ticker.add(self._sweep)
        wanted = len(self._waiting) + len(self._waiting_fresh)
        while wanted > self._opening and len(self._all) + self._opening < self.settings.connections:
            self._opening += 1
            task = self._loop.create_task(self._connect(), name=f"connect {self.endpoint}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> None:
        connection: PooledConnection | None = None
        failure = UpstreamError(UpstreamFailure.TIMEOUT, "opening the connection took too long")
        try:
            async with asyncio.timeout(self.settings.connect_timeout):
                connection = await self._create()
        except TimeoutError:
            pass
        except (OSError, ssl.SSLError) as error:
            failure = UpstreamError(UpstreamFailure.UNAVAILABLE, _describe(error))
        except Exception as error:  # noqa: BLE001 - any error must reach the waiting request and free the place
            failure = UpstreamError(UpstreamFailure.UNAVAILABLE, type(error).__name__)
            self.report(error)
        self._opening -= 1
        if connection is not None and not connection.transport.is_closing():
            self.opened += 1
            self._all.add(connection)
            if self._waiting_fresh:
                self._waiting_fresh.popleft()[0].on_connection(connection)
            else:
                self.release(connection)
            return
        queue = self._waiting_fresh or self._waiting
        if queue:
            queue.popleft()[0].on_failure(failure, False)
        self._open()

    async def _create(self) -> PooledConnection:
        address = self.endpoint
        if address.unix is not None:
            _, connection = await self._loop.create_unix_connection(  # type: ignore[type-var]
                self._protocol, address.unix, ssl=address.tls, server_hostname=address.server_name
            )
        else:
            _, connection = await self._loop.create_connection(  # type: ignore[type-var]
                self._protocol, address.host, address.port, ssl=address.tls, server_hostname=address.server_name
            )
        return connection

    def _protocol(self) -> PooledConnection:
        return PooledConnection(self, self.settings, self.ticker)

    def _sweep(self, now: float) -> None:
        for connection in [connection for connection in self._all if connection.deadline <= now]:
            if connection.receiver is not None:
                connection.fail(UpstreamFailure.TIMEOUT, "the response took too long")
            else:
                self.forget(connection)
                connection.transport.close()
        for queue in (self._waiting, self._waiting_fresh):
            while queue and queue[0][1] <= now:
                error = UpstreamError(UpstreamFailure.OVERLOADED, "no connection became free in time")
                queue.popleft()[0].on_failure(error, False)
        if not (self._all or self._opening or self._waiting or self._waiting_fresh):
            self._watching = False
            self.ticker.remove(self._sweep)


def _describe(error: Exception) -> str:
    # An OSError's text can contain addresses of several attempts; its class and the system's own words are enough.
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'handshake failed'}"
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
