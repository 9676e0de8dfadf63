"""Pooled connections to one server: an upstream, or an authorization server.

1. There are never more connections, nor more waiting requests, than the settings allow; and a client never has more of
   either than its share, so that the requests of other clients pass.
2. Every wait is bounded: for a connection, for the first byte, between bytes, and for the next use.
3. `request` never calls its receiver: the connection, or the failure, is returned if it is known at once.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import TYPE_CHECKING

from enforcer.errors import UpstreamError, UpstreamFailure
from enforcer.settings.connections.http2 import Http2Settings
from enforcer.settings.connections.pool import PoolSettings
from enforcer.settings.limits import DEFAULT_SHARE
from enforcer.share_report import SharedTable, ShareReport
from enforcer.shares import Holder, Lines, Shares
from enforcer.wire.carrier import Carrier, Receiver
from enforcer.wire.connection import PooledConnection
from enforcer.wire.dialing.connector import Connector, Owner, ServerAddress
from enforcer.wire.dialing.dialer import Resolver, resolve
from enforcer.wire.streams import Streams
from enforcer.wire.ticker import Ticker

if TYPE_CHECKING:
    from enforcer.wire.http2.shared_connection import SharedConnection


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


class Pool(Owner):
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
        http2: Http2Settings | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.settings = settings
        self.ticker = ticker
        self.opened = 0
        self._loop = loop
        self._keep_alive_timeout = settings.keep_alive_timeout
        self._held_back = held_back or ShareReport(SharedTable.UPSTREAM)
        self._streams = streams
        self._places = Shares(settings.connections, share)
        self._queue = Shares(settings.queue, share)
        self._lines: Lines[_Request] = Lines()
        http2 = http2 or Http2Settings()
        self._connector = Connector(endpoint, settings, http2, ticker, loop, resolver)
        self._idle: list[PooledConnection] = []
        self._all: set[PooledConnection] = set()
        self._shared: list[SharedConnection] = []
        self._each = 1 if endpoint.protocol == "http1" else http2.streams  # requests that a new connection will take
        self._waiting: deque[_Request] = deque()  # they have a place
        self._waiting_fresh: deque[_Request] = deque()
        self._opening = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._watching = False

    @property
    def is_connected(self) -> bool:
        """Whether any connection is open."""
        return bool(self._all or self._shared)

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
            if self._shared and not fresh:
                shared = self._with_room()
                if shared is not None:
                    return shared.carrier(holder)
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
            connection.deadline = self.ticker.next + self._keep_alive_timeout
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

    def begin_stream(self, carrier: Carrier) -> bool:
        """Move a carrier from its place to one of a stream; return False if there is none."""
        streams, holder = self._streams, carrier.holder
        if streams is None or holder is None or carrier.streaming:
            return True
        if self._move(carrier, streams, holder):
            return True
        streams.report_refusal(holder.client, self.ticker.next)
        return False

    def count_streams(self) -> int:
        """Return the number of open streams."""
        return 0 if self._streams is None else self._streams.count

    def release_stream(self, carrier: Carrier) -> None:
        """Take back the place of an HTTP/2 stream, which has ended."""
        holder = carrier.holder
        if carrier.streaming:
            self._end_stream(carrier)
        elif holder is not None:
            carrier.holder = None
            self._leave_place(holder)

    def use_room(self, connection: SharedConnection) -> None:
        if connection in self._shared:
            self._share(connection, self._waiting)

    def forget_shared(self, connection: SharedConnection) -> None:
        if connection in self._shared:
            self._shared.remove(connection)
            self._open()

    def close(self) -> None:
        """Close idle connections, and the others when their exchange ends; waiting exchanges are still served."""
        self._keep_alive_timeout = 0.0
        for connection in tuple(self._idle):
            self.forget(connection)
            connection.transport.close()
        for shared in tuple(self._shared):
            shared.retire()

    def abort(self) -> None:
        """End idle connections at once: TLS sends no end, for which the loop would have to go on."""
        for connection in tuple(self._idle):
            self.forget(connection)
            connection.transport.abort()
        for shared in tuple(self._shared):
            if shared.is_idle:
                shared.abort()

    def report(self, error: BaseException) -> None:
        """Report an exception that a receiver should not have raised to the event loop."""
        self._loop.call_exception_handler({"message": f"exchange with {self.endpoint}", "exception": error})

    @property
    def _short(self) -> int:
        """The number of connections for short exchanges, those that open included."""
        return len(self._all) + len(self._shared) - self.count_streams() + self._opening

    def _move(self, carrier: Carrier, streams: Streams, holder: Holder) -> bool:
        stream = streams.take(holder.client)
        if stream is None:
            return False
        carrier.holder, carrier.streaming = stream, True
        self._leave_place(holder)
        self._open()
        return True

    def _end_stream(self, carrier: Carrier) -> None:
        holder, carrier.holder = carrier.holder, None
        carrier.streaming = False
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
            shared = None if request.fresh else self._with_room()
            if self._idle and not request.fresh:
                self._hand_over(self._idle.pop(), request)
            elif shared is not None:
                request.receiver.on_connection(shared.carrier(holder))
            else:
                self._await_connection(request)

    def _with_room(self) -> SharedConnection | None:
        """Return the first connection that takes another stream, so that the others become idle."""
        for connection in self._shared:
            if connection.has_room:
                return connection
        return None

    def _share(self, connection: SharedConnection, waiting: deque[_Request]) -> None:
        """Give streams to requests that wait, as many as there is room for."""
        while waiting and connection.has_room:
            request = waiting.popleft()
            request.receiver.on_connection(connection.carrier(request.holder))

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
        while len(self._waiting) + len(self._waiting_fresh) > self._opening * self._each:
            if self._short >= self.settings.connections and not self._close_unused():
                return
            self._opening += 1
            task = self._loop.create_task(self._connect(), name=f"connect {self.endpoint}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _close_unused(self) -> bool:
        """Close an idle connection; return whether there was one.

        A request for a connection that was never used waits although one is idle, and has a place.
        """
        if self._idle:
            unused = self._idle.pop(0)
            self._all.discard(unused)
            unused.transport.close()
            return True
        for shared in self._shared:
            if shared.is_idle:
                self._shared.remove(shared)
                shared.close()
                return True
        return False

    async def _connect(self) -> None:
        connection: PooledConnection | SharedConnection | None = None
        failure = _not_connected(UpstreamFailure.TIMEOUT, "opening the connection took too long")
        try:
            async with asyncio.timeout(self.settings.connect_timeout):
                connection = await self._connector.connect(self)
        except TimeoutError:
            pass
        except UpstreamError as error:
            failure = _not_connected(error.reason, error.detail)
        except (OSError, ssl.SSLError) as error:
            failure = _not_connected(UpstreamFailure.UNAVAILABLE, _describe(error))
        except Exception as error:  # noqa: BLE001 - any error must reach the waiting request and free the place
            failure = _not_connected(UpstreamFailure.UNAVAILABLE, type(error).__name__)
            self.report(error)
        self._opening -= 1
        if connection is None or connection.transport.is_closing():
            self._on_unconnected(failure)
            return
        self.opened += 1
        if isinstance(connection, PooledConnection):
            self._add(connection)
        else:
            self._add_shared(connection)

    def _add(self, connection: PooledConnection) -> None:
        self._all.add(connection)
        if self._waiting_fresh:
            self._hand_over(connection, self._waiting_fresh.popleft())
        else:
            self.release(connection)
        if self._each > 1:
            self._each = 1  # the server has chosen HTTP/1.1
            self._open()

    def _add_shared(self, connection: SharedConnection) -> None:
        self._each = max(connection.limit, 1)
        self._shared.append(connection)
        self._share(connection, self._waiting_fresh)
        self._share(connection, self._waiting)
        if connection.limit:
            self._open()

    def _on_unconnected(self, failure: UpstreamError) -> None:
        """Fail the requests that the connection was for."""
        queue = self._waiting_fresh or self._waiting
        for _ in range(min(self._each, len(queue))):
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
        for shared in tuple(self._shared):
            shared.sweep(now)
        if self._streams is not None:
            self._find_streams(self._streams, now)
        late = UpstreamError(UpstreamFailure.OVERLOADED, "no connection became free in time (pool.connections)")
        for queue in (self._waiting, self._waiting_fresh):
            while queue and queue[0].deadline <= now:
                self._fail(queue.popleft(), late)
        for request in self._lines.expire(now):
            self._queue.give_back(request.holder)
            request.receiver.on_failure(late, False)
        if not (self._all or self._shared or self._opening or self._waiting or self._waiting_fresh or self._lines):
            self._watching = False
            self.ticker.remove(self._sweep)

    def _find_streams(self, streams: Streams, now: float) -> None:
        """Make streams of the exchanges that have taken long, while there is room."""
        for connection in [connection for connection in self._all if connection.begun + streams.after <= now]:
            if connection.receiver is not None:
                self._make_stream(connection, streams)
        for shared in self._shared:
            for carrier in shared.begun_before(now - streams.after):
                self._make_stream(carrier, streams)

    def _make_stream(self, carrier: Carrier, streams: Streams) -> None:
        holder = carrier.holder
        if holder is not None and not carrier.streaming:
            self._move(carrier, streams, holder)


def _not_connected(reason: UpstreamFailure, detail: str) -> UpstreamError:
    return UpstreamError(reason, detail, connected=False)


def _describe(error: Exception) -> str:
    # An OSError's text can contain addresses of several attempts; its class and the system's own words are enough.
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'handshake failed'}"
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
