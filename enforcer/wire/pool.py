"""Pooled HTTP/1.1 connections to one server: an upstream, or an authorization server.

1. There are never more connections, nor more waiting requests, than the settings allow; and a client never has more of
   either than its share, so that the requests of other clients pass.
2. Every wait is bounded: for a connection, for the first byte, between bytes, and for the next use.
3. `request` never calls its receiver: the connection, or the failure, is returned if it is known at once.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from dataclasses import replace

from enforcer.errors import UpstreamError, UpstreamFailure
from enforcer.settings.limits import DEFAULT_SHARE
from enforcer.settings.pool import PoolSettings
from enforcer.share_report import SharedTable, ShareReport
from enforcer.shares import Holder, Lines, Shares
from enforcer.wire.carrier import Carrier, Receiver
from enforcer.wire.connection import PooledConnection
from enforcer.wire.dialing.connector import Connector, ServerAddress
from enforcer.wire.dialing.dialer import Resolver, resolve
from enforcer.wire.streams import Streams
from enforcer.wire.ticker import Ticker


class _Request:
    """A request that waits until `deadline`: for a place, which `holder` then holds, or with one for a connection.

    Before it has a place, `holder` holds its place in the queue. `fresh`: for a connection that was never used.
    """

    __slots__ = ("deadline", "fresh", "holder", "receiver")

    def __init__(self, receiver: Receiver, holder: Holder, deadline: float, fresh: bool) -> None:
        self.receiver = receiver
        self.holder = holder
        self.deadline = deadline
        self.fresh = fresh


class Pool:
    """The connections to one server, at most `settings.connections` besides streams, and the requests that wait.

    A request first waits for a place, in its client's line, and then, if no connection is idle, until one opens. Each
    client has a share of the places and of the queue, in percent. `held_back` counts requests that the share delays or
    refuses. With `streams`, long exchanges and tunnels have places of their own.

    Its timer runs only while there are any, so a pool that is no longer used needs no other end than `close`.
    """

    def __init__(
        self,
        endpoint: ServerAddress,
        settings: PoolSettings,
        ticker: Ticker,
        loop: asyncio.AbstractEventLoop,
        share: int = DEFAULT_SHARE,
        held_back: ShareReport | None = None,
        resolver: Resolver = resolve,
        streams: Streams | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.settings = settings
        self.ticker = ticker
        self.opened = 0
        self._loop = loop
        self._held_back = held_back or ShareReport(SharedTable.UPSTREAM)
        self._streams = streams
        self._places = Shares(settings.connections, share)
        self._queue = Shares(settings.queue, share)
        self._lines: Lines[_Request] = Lines()
        self._connector = Connector(endpoint, settings, ticker, loop, resolver)
        self._idle: list[PooledConnection] = []
        self._all: set[PooledConnection] = set()
        self._waiting: deque[_Request] = deque()  # they have a place
        self._waiting_fresh: deque[_Request] = deque()
        self._opening = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._watching = False

    @property
    def is_connected(self) -> bool:
        """Whether any connection is open."""
        return bool(self._all)

    def request(self, receiver: Receiver, *, fresh: bool = False) -> Carrier | UpstreamError | None:
        """Return an idle connection, now the receiver's, or the error if the queue is full.

        Otherwise returns None, and calls `receiver.on_connection` or `receiver.on_failure` later. `fresh`: only a
        connection that was never used, which is never there at once.
        """
        client = receiver.client
        holder = self._places.take(client)
        if holder is not None:
            if self._idle and not fresh:
                connection = self._idle.pop()
                connection.holder = holder
                return connection
            self._await_connection(_Request(receiver, holder, self._queue_deadline(), fresh))
            return None
        queued = self._queue.take(client)
        if (self._queue if queued is None else self._places).has_room:
            self._held_back.add(client, self.ticker.next)
        if queued is None:
            return UpstreamError(UpstreamFailure.OVERLOADED, "the queue is full (pool.queue)")
        self._lines.append(client, _Request(receiver, queued, self._queue_deadline(), fresh))
        return None

    def cancel(self, receiver: Receiver) -> None:
        """Remove a receiver that waits."""
        for queue in (self._waiting, self._waiting_fresh):
            for request in queue:
                if request.receiver is receiver:
                    queue.remove(request)
                    self._leave_place(request.holder)
                    return
        client = receiver.client
        for request in self._lines.of(client):
            if request.receiver is receiver:
                self._lines.remove(client, request)
                self._queue.give_back(request.holder)
                return

    def release(self, connection: PooledConnection) -> None:
        surplus = False
        if connection.streaming:
            self._end_stream(connection)
            surplus = self._short > self.settings.connections
        else:
            holder, connection.holder = connection.holder, None
            if holder is not None:
                self._places.give_back(holder)
        if connection.transport.is_closing():
            self.forget(connection)
        elif surplus:
            self.forget(connection)
            connection.transport.close()
        elif self._waiting:
            self._hand_over(connection, self._waiting.popleft())
        else:
            connection.deadline = self.ticker.next + self.settings.keep_alive_timeout
            self._idle.append(connection)
        if self._lines:
            self._serve_lines()

    def forget(self, connection: PooledConnection) -> None:
        """Stop counting a connection: it is closed, or no longer HTTP."""
        if connection in self._all:
            if connection.streaming:
                self._end_stream(connection)
            self._all.discard(connection)
            holder, connection.holder = connection.holder, None
            if holder is None and connection in self._idle:
                self._idle.remove(connection)
            self._open()
            if holder is not None:
                self._leave_place(holder)

    def begin_stream(self, connection: PooledConnection) -> bool:
        """Move a connection from its place to one of a stream; return False if there is none."""
        streams, holder = self._streams, connection.holder
        if streams is None or holder is None or connection.streaming:
            return True
        if self._move(connection, streams, holder):
            return True
        streams.report_refusal(holder.client, self.ticker.next)
        return False

    def count_streams(self) -> int:
        """Return the number of open streams."""
        return 0 if self._streams is None else self._streams.count

    def close(self) -> None:
        """Close idle connections, and the others when their exchange ends; waiting exchanges are still served."""
        self.settings = replace(self.settings, keep_alive_timeout=0.0)
        for connection in tuple(self._idle):
            self.forget(connection)
            connection.transport.close()

    def abort(self) -> None:
        """End idle connections at once: TLS sends no end, for which the loop would have to go on."""
        for connection in tuple(self._idle):
            self.forget(connection)
            connection.transport.abort()

    def report(self, error: BaseException) -> None:
        """Report an exception that a receiver should not have raised to the event loop."""
        self._loop.call_exception_handler({"message": f"exchange with {self.endpoint}", "exception": error})

    @property
    def _short(self) -> int:
        """The number of connections for short exchanges, those that open included."""
        return len(self._all) - self.count_streams() + self._opening

    def _move(self, connection: PooledConnection, streams: Streams, holder: Holder) -> bool:
        stream = streams.take(holder.client)
        if stream is None:
            return False
        connection.holder, connection.streaming = stream, True
        self._leave_place(holder)
        self._open()
        return True

    def _end_stream(self, connection: PooledConnection) -> None:
        holder, connection.holder = connection.holder, None
        connection.streaming = False
        if self._streams is not None and holder is not None:
            self._streams.give_back(holder)

    def _queue_deadline(self) -> float:
        return self.ticker.next + self.settings.queue_timeout

    def _leave_place(self, holder: Holder) -> None:
        self._places.give_back(holder)
        self._serve_lines()

    def _serve_lines(self) -> None:
        """Give the places that are free to the requests whose turn it is."""
        while self._lines:
            served = self._lines.serve(self._places)
            if served is None:
                return
            request, holder = served
            self._queue.give_back(request.holder)
            request.holder = holder
            if self._idle and not request.fresh:
                self._hand_over(self._idle.pop(), request)
            else:
                self._await_connection(request)

    def _await_connection(self, request: _Request) -> None:
        (self._waiting_fresh if request.fresh else self._waiting).append(request)
        self._open()

    def _hand_over(self, connection: PooledConnection, request: _Request) -> None:
        connection.holder = request.holder
        request.receiver.on_connection(connection)

    def _fail(self, request: _Request, failure: UpstreamError) -> None:
        """End a request that has a place, and waits for its connection."""
        self._leave_place(request.holder)
        request.receiver.on_failure(failure, False)

    def _open(self) -> None:
        if not self._watching:
            self._watching = True
            self.ticker.add(self._sweep)
        while len(self._waiting) + len(self._waiting_fresh) > self._opening:
            if self._short >= self.settings.connections:
                if not self._idle:
                    return
                # A request for a connection that was never used waits although one is idle, and has a place.
                unused = self._idle.pop(0)
                self._all.discard(unused)
                unused.transport.close()
            self._opening += 1
            task = self._loop.create_task(self._connect(), name=f"connect {self.endpoint}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> None:
        connection: PooledConnection | None = None
        failure = _not_connected(UpstreamFailure.TIMEOUT, "opening the connection took too long")
        try:
            async with asyncio.timeout(self.settings.connect_timeout):
                connection = await self._connector.connect(self)
        except TimeoutError:
            pass
        except (OSError, ssl.SSLError) as error:
            failure = _not_connected(UpstreamFailure.UNAVAILABLE, _describe(error))
        except Exception as error:  # noqa: BLE001 - any error must reach the waiting request and free the place
            failure = _not_connected(UpstreamFailure.UNAVAILABLE, type(error).__name__)
            self.report(error)
        self._opening -= 1
        if connection is not None and not connection.transport.is_closing():
            self.opened += 1
            self._all.add(connection)
            if self._waiting_fresh:
                self._hand_over(connection, self._waiting_fresh.popleft())
            else:
                self.release(connection)
            return
        queue = self._waiting_fresh or self._waiting
        if queue:
            self._fail(queue.popleft(), failure)
        self._open()

    def _sweep(self, now: float) -> None:
        for connection in [connection for connection in self._all if connection.deadline <= now]:
            if connection.receiver is not None:
                connection.fail(UpstreamFailure.TIMEOUT, "the response took too long")
            else:
                self.forget(connection)
                connection.transport.close()
        if self._streams is not None:
            self._find_streams(self._streams, now)
        late = UpstreamError(UpstreamFailure.OVERLOADED, "no connection became free in time (pool.connections)")
        for queue in (self._waiting, self._waiting_fresh):
            while queue and queue[0].deadline <= now:
                self._fail(queue.popleft(), late)
        for request in self._lines.expire(now):
            self._queue.give_back(request.holder)
            request.receiver.on_failure(late, False)
        if not (self._all or self._opening or self._waiting or self._waiting_fresh or self._lines):
            self._watching = False
            self.ticker.remove(self._sweep)

    def _find_streams(self, streams: Streams, now: float) -> None:
        """Make streams of the exchanges that have taken long, while there is room."""
        for connection in [connection for connection in self._all if connection.begun + streams.after <= now]:
            holder = connection.holder
            if holder is not None and not connection.streaming and connection.receiver is not None:
                self._move(connection, streams, holder)


def _not_connected(reason: UpstreamFailure, detail: str) -> UpstreamError:
    return UpstreamError(reason, detail, connected=False)


def _describe(error: Exception) -> str:
    # An OSError's text can contain addresses of several attempts; its class and the system's own words are enough.
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'handshake failed'}"
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
