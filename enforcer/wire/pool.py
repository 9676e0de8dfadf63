"""The client side: pooled HTTP/1.1 connections to one server, the upstream or an authorization server.

1. There are never more connections than the settings say, nor more requests that wait for one.
2. Every wait is bounded: for a connection, for the first byte, between bytes, and for the next use.
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
    """Where a server listens. `unix` is a socket's path, else `host` and `port`; `tls` None means plain text."""

    host: str = ""
    port: int = 0
    unix: str | None = None
    tls: ssl.SSLContext | None = None
    server_name: str | None = None

    def __str__(self) -> str:
        return f"unix:{self.unix}" if self.unix else f"{self.host}:{self.port}"


class Pool:
    """The connections to one server, at most `settings.connections`, and the queue for them.

    It watches the time only while there are any, so that one that is used no more needs no other end than `close`.
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

    def request(self, receiver: Receiver, *, fresh: bool = False) -> None:
        """Hand a connection to `receiver.on_connection`, at once or later; `fresh`: one never used before."""
        if self._idle and not fresh:
            receiver.on_connection(self._idle.pop())
            return
        queue = self._waiting_fresh if fresh else self._waiting
        # Who waits for a connection that is being opened, or may be, is in nobody's way.
        if len(queue) >= self.settings.queue + self.settings.connections - len(self._all):
            receiver.on_failure(UpstreamError(UpstreamFailure.OVERLOADED, "the queue is full"), False)
            return
        queue.append((receiver, self.ticker.next + self.settings.queue_timeout))
        self._open()

    def cancel(self, receiver: Receiver) -> None:
        """Forget a receiver that waits for a connection."""
        for queue in (self._waiting, self._waiting_fresh):
            for entry in queue:
                if entry[0] is receiver:
                    queue.remove(entry)
                    return

    def release(self, connection: PooledConnection) -> None:
        """Take back a connection after a whole answer."""
        if connection.transport.is_closing():
            self.forget(connection)
        elif self._waiting:
            self._waiting.popleft()[0].on_connection(connection)
        else:
            connection.deadline = self.ticker.next + self.settings.keep_alive_timeout
            self._idle.append(connection)

    def forget(self, connection: PooledConnection) -> None:
        """Count a connection no more."""
        if connection in self._all:
            self._all.discard(connection)
            if connection in self._idle:
                self._idle.remove(connection)
            self._open()

    def close(self) -> None:
        """Keep no connection for later: idle ones end now, running and waiting exchanges are served to their end."""
        self.settings = replace(self.settings, keep_alive_timeout=0.0)
        for connection in tuple(self._idle):
            self.forget(connection)
            connection.transport.close()

    def report(self, error: BaseException) -> None:
        """Tell the loop of an exception that a receiver should not have raised."""
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
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait are told, and the place is free again
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
        endpoint = self.endpoint
        if endpoint.unix is not None:
            _, connection = await self._loop.create_unix_connection(  # type: ignore[type-var]
                lambda: PooledConnection(self), endpoint.unix, ssl=endpoint.tls, server_hostname=endpoint.server_name
            )
        else:
            _, connection = await self._loop.create_connection(  # type: ignore[type-var]
                lambda: PooledConnection(self),
                endpoint.host,
                endpoint.port,
                ssl=endpoint.tls,
                server_hostname=endpoint.server_name,
            )
        return connection

    def _sweep(self, now: float) -> None:
        for connection in [c for c in self._all if c.deadline <= now]:
            if connection.receiver is not None:
                connection.fail(UpstreamFailure.TIMEOUT, "the answer took too long")
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
    # An OSError's text can carry addresses of several attempts; the class and the system's own words are enough.
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'handshake failed'}"
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
