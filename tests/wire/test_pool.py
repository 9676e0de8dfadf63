"""The pool's rules that the tests of exchanges cannot reach.

The shares of clients in it are tested with exchanges (tests/exchanges/test_shares.py).
"""

import asyncio
import ssl
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from harness.outcomes import outcome
from harness.playbook import Pipe
from harness.servers import raw_server, response
from harness.waiting import TIMEOUT, eventually

from enforcer.errors import UpstreamError, UpstreamFailure
from enforcer.settings.connections.pool import PoolSettings, StreamSettings
from enforcer.share_report import SharedTable, ShareReport
from enforcer.wire.carrier import Carrier, Receiver
from enforcer.wire.connection import PooledConnection
from enforcer.wire.dialing.connector import ServerAddress
from enforcer.wire.http_client import HttpClient, HttpResponse
from enforcer.wire.pool import Pool
from enforcer.wire.sockets.tls_reader import UNREAD
from enforcer.wire.streams import Streams
from enforcer.wire.ticker import Ticker
from enforcer.wire.turns import STEP


def test_a_host_name_that_cannot_be_resolved_is_unavailable() -> None:
    """Also if the resolver fails with another exception; the connection's place in the pool is released each time."""

    async def run() -> list[HttpResponse | UpstreamError]:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda *_: None)
        ticker = Ticker(loop)
        pool = Pool(ServerAddress(host="a" * 70 + ".test", port=80), PoolSettings(connections=1), ticker, loop)
        client = HttpClient(pool, timeout=TIMEOUT, max_body=1000)
        outcomes = [await called(client) for _ in range(3)]
        pool.close()
        ticker.stop()
        return outcomes

    outcomes = asyncio.run(run())
    assert [getattr(outcome, "reason", None) for outcome in outcomes] == [UpstreamFailure.UNAVAILABLE] * 3


async def called(client: HttpClient) -> HttpResponse | UpstreamError:
    return await outcome(partial(client.send, b"GET / HTTP/1.1\r\n\r\n", "client"))


def test_a_closed_pool_finishes_exchanges_and_keeps_no_connection() -> None:
    """Idle connections close at once, busy ones after their exchange; a late request gets a connection of its own."""
    held, reached = threading.Event(), threading.Event()

    def answer(head: bytes, body: bytes) -> bytes:
        if len(server.requests) == 2:
            reached.set()
            held.wait(TIMEOUT)
        return response(b"{}")

    async def run() -> list[HttpResponse | UpstreamError]:
        loop = asyncio.get_running_loop()
        ticker = Ticker(loop)
        pool = Pool(
            ServerAddress(host="127.0.0.1", port=server.port), PoolSettings(keep_alive_timeout=60.0), ticker, loop
        )
        client = HttpClient(pool, timeout=TIMEOUT, max_body=1000)
        outcomes = [await called(client)]
        running = loop.create_task(called(client))
        await loop.run_in_executor(None, reached.wait)
        client.close()
        outcomes.append(await called(client))
        held.set()
        outcomes.append(await running)
        assert await loop.run_in_executor(None, eventually, lambda: not ticker._sweeps)
        ticker.stop()
        return outcomes

    with raw_server(answer) as server:
        lines = [b"Content-Length", b": ", b"2", b"\r\n"]
        assert asyncio.run(run()) == [HttpResponse(200, b"{}", lines)] * 3
        assert server.connections == 2
        assert eventually(lambda: not server.open)


def test_a_closed_pool_closes_idle_connections_at_once() -> None:
    """It waits for nothing."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        ticker = Ticker(loop)
        pool = Pool(
            ServerAddress(host="127.0.0.1", port=server.port), PoolSettings(keep_alive_timeout=60.0), ticker, loop
        )
        client = HttpClient(pool, timeout=TIMEOUT, max_body=1000)
        await called(client)
        ticker.stop()
        assert server.open == 1
        pool.close()
        assert await loop.run_in_executor(None, eventually, lambda: not server.open)

    with raw_server(lambda head, body: response(b"{}")) as server:
        asyncio.run(run())


class Waiter(Receiver):
    """A receiver that only waits for a connection."""

    def __init__(self, client: str = "one") -> None:
        self.client = client
        self.connection: PooledConnection | None = None
        self.failure: UpstreamError | None = None

    def on_connection(self, carrier: Carrier) -> None:
        assert isinstance(carrier, PooledConnection)
        self.connection = carrier

    def on_failure(self, error: UpstreamError, unanswered: bool) -> None:
        self.failure = error


class Scripted:
    """A pool whose connections open on the next turn of the loop."""

    def __init__(self, endpoint: ServerAddress | None = None, **settings: Any) -> None:
        loop = asyncio.get_running_loop()
        loop.create_connection = self._connect  # type: ignore[method-assign,assignment]
        self.ticker = Ticker(loop)
        self.ticker.stop()
        self.pool = Pool(
            endpoint or ServerAddress(host="127.0.0.1", port=1),
            PoolSettings(**settings),
            self.ticker,
            loop,
            share=50,
            streams=Streams(StreamSettings(connections=2, after=7.0), 100, ShareReport(SharedTable.STREAMS)),
        )
        self.pipes: list[Pipe] = []
        self.reachable = True

    async def _connect(self, factory: Callable[[], Any], *_: object, **__: object) -> tuple[Pipe, Any]:
        if not self.reachable:
            raise ConnectionRefusedError(111, "Connection refused")
        pipe = Pipe(factory())
        pipe.protocol.connection_made(pipe)
        self.pipes.append(pipe)
        return pipe, pipe.protocol

    async def request(self, client: str = "one", *, fresh: bool = False) -> Waiter:
        """Let a client request a connection."""
        waiter = Waiter(client)
        outcome = self.pool.request(waiter, fresh=fresh)
        if isinstance(outcome, Carrier):
            waiter.on_connection(outcome)
        else:
            waiter.failure = outcome
        await self.settle()
        return waiter

    async def settle(self) -> None:
        """Let connections open."""
        for _ in range(3):
            await asyncio.sleep(0)

    def send(self, waiter: Waiter) -> None:
        """Send a waiter's request."""
        assert waiter.connection is not None
        waiter.connection.send(waiter, b"GET / HTTP/1.1\r\n\r\n")

    def release(self, waiter: Waiter) -> None:
        """End a waiter's exchange; its connection may be used again."""
        assert waiter.connection is not None
        self.pool.release(waiter.connection)


def scripted(script: Callable[[Scripted], Coroutine[Any, Any, None]], **settings: Any) -> None:
    async def run() -> None:
        await script(Scripted(**settings))

    asyncio.run(run())


def test_a_fresh_connection_replaces_an_idle_one_in_a_full_pool() -> None:
    """Otherwise a repeated request would wait until the idle one is closed."""

    async def script(it: Scripted) -> None:
        first, second = await it.request(), await it.request("other")
        it.release(first)
        it.release(second)
        again = await it.request(fresh=True)
        assert again.connection not in (None, first.connection, second.connection)
        assert [pipe.closed for pipe in it.pipes] == [True, False, False]

    scripted(script, connections=2)


def test_a_request_that_waits_for_its_share_opens_no_connection() -> None:
    """It may not use one yet; an idle connection stays for the others."""

    async def script(it: Scripted) -> None:
        own = [await it.request() for _ in range(3)]
        other = await it.request("other")
        it.release(other)
        assert [waiter.connection is not None for waiter in own] == [True, True, False]
        assert len(it.pipes) == 3
        assert (await it.request("other")).connection is other.connection

    scripted(script, connections=4)


def test_a_request_leaves_the_queue_when_its_time_is_over_or_its_client_gone() -> None:
    """Whether it has a place and waits for a connection, or waits for a place; others get the places."""

    async def script(it: Scripted) -> None:
        held = await it.request()
        gone, late = await it.request(), await it.request()
        assert (await it.request()).failure is not None
        it.pool.cancel(gone)
        assert (await it.request()).failure is None
        it.pool._sweep(it.ticker.next + 5.0)
        assert late.failure is not None
        assert late.failure.reason is UpstreamFailure.OVERLOADED
        it.release(held)
        assert (gone.connection, late.connection) == (None, None)

    scripted(script, connections=1, queue=3)


def test_a_long_exchange_becomes_a_stream_and_its_place_is_free() -> None:
    """A request that waits gets it, while there is room for streams; an idle connection becomes none."""

    async def script(it: Scripted) -> None:
        long = [await it.request(client) for client in ("one", "two", "three")]
        waiting = [await it.request(client) for client in ("four", "five", "six")]
        for waiter in long:
            it.send(waiter)
        begun = it.ticker.next
        it.pool._sweep(begun + 6.9)
        assert (it.pool.count_streams(), len(it.pipes)) == (0, 3)
        it.pool._sweep(begun + 7.0)
        await it.settle()
        assert (it.pool.count_streams(), len(it.pipes)) == (2, 5)
        assert sorted(waiter.connection is not None for waiter in waiting) == [False, True, True]

    scripted(script, connections=3, queue_timeout=60.0)


def test_the_connection_of_a_stream_is_used_again_if_there_is_room() -> None:
    """It is closed if there are as many connections as there may be."""

    async def script(it: Scripted) -> None:
        streams = [await it.request("one"), await it.request("two")]
        for waiter in streams:
            assert waiter.connection is not None
            assert waiter.connection.begin_stream()
        short = await it.request("three")
        assert short.connection is not None
        for waiter in streams:
            it.release(waiter)
        assert it.pool.count_streams() == 0
        assert [pipe.closed for pipe in it.pipes] == [False, True, False]
        assert (await it.request("four")).connection is streams[0].connection

    scripted(script, connections=2)


def test_places_of_connections_that_could_not_be_opened_are_given_back() -> None:
    """The request that waited fails, and the next one in line tries."""

    async def script(it: Scripted) -> None:
        it.reachable = False
        failed = [await it.request() for _ in range(3)]
        assert [waiter.failure and waiter.failure.reason for waiter in failed] == [UpstreamFailure.UNAVAILABLE] * 3
        it.reachable = True
        assert (await it.request()).connection is not None

    scripted(script, connections=1)


def test_a_place_is_given_back_once() -> None:
    """A connection is released, and then closed while idle; or closed while it is used."""

    async def script(it: Scripted) -> None:
        for _ in range(3):
            idle, used = await it.request(), await it.request("other")
            it.release(idle)
            for waiter in (idle, used):
                assert waiter.connection is not None
                it.pool.forget(waiter.connection)
                it.pool.forget(waiter.connection)
        assert [(await it.request(client)).connection is not None for client in ("one", "other")] == [True, True]

    scripted(script, connections=2)


class Tls:
    """Stands for the event loop's TLS protocol."""

    def __init__(self) -> None:
        self._buffer = bytearray(2 * STEP)
        self.received = b""

    def get_buffer(self, hint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, size: int) -> None:
        self.received += self._buffer[:size]


def test_the_records_of_a_server_are_read_in_turns() -> None:
    """As those of a client: a server may not hold the event loop with tiny ones."""
    records = b"\x17\x03\x03\x00\x01x" * 3000

    async def run() -> None:
        loop, tls, secured = asyncio.get_running_loop(), Tls(), Pipe()

        async def start_tls(transport: Pipe, protocol: Any, *_: object, **__: object) -> Pipe:
            transport.set_protocol(tls)
            secured.set_protocol(protocol)
            await asyncio.sleep(0)
            return secured

        loop.start_tls = start_tls  # type: ignore[method-assign,assignment]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        scripted = Scripted(ServerAddress(host="127.0.0.1", port=1, tls=context, server_name="localhost"))
        waiter = await scripted.request()
        await asyncio.sleep(0)
        connection, pipe = waiter.connection, scripted.pipes[0]
        assert connection is not None
        assert (connection.transport, connection.client, secured.limit) == (secured, "one", UNREAD)
        pipe.receive(records)
        assert (tls.received, pipe.paused) == (b"", True)
        connection.pause()
        await asyncio.sleep(0)
        assert (tls.received, secured.paused) == (b"", False)
        connection.resume()
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(tls.received) == len(records)
        connection.connection_lost(None)
        assert connection.tls is None

    asyncio.run(run())
