"""The pool's rules that the tests of exchanges cannot reach."""

import asyncio
import threading
from functools import partial

from harness.outcomes import outcome
from harness.servers import raw_server, response
from harness.waiting import eventually

from enforcer.errors import UpstreamError, UpstreamFailure
from enforcer.settings.pool import PoolSettings
from enforcer.wire.http_client import HttpClient, HttpResponse
from enforcer.wire.pool import Pool, ServerAddress
from enforcer.wire.ticker import Ticker


def test_a_host_name_that_cannot_be_resolved_is_unavailable() -> None:
    """Also if the resolver fails with another exception; the connection's place in the pool is released each time."""

    async def run() -> list[HttpResponse | UpstreamError]:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda *_: None)
        ticker = Ticker(loop)
        pool = Pool(ServerAddress(host="a" * 70 + ".test", port=80), PoolSettings(connections=1), ticker, loop)
        client = HttpClient(pool, timeout=5.0, max_body=1000)
        outcomes = [await called(client) for _ in range(3)]
        pool.close()
        ticker.stop()
        return outcomes

    outcomes = asyncio.run(run())
    assert [getattr(outcome, "reason", None) for outcome in outcomes] == [UpstreamFailure.UNAVAILABLE] * 3


async def called(client: HttpClient) -> HttpResponse | UpstreamError:
    return await outcome(partial(client.send, b"GET / HTTP/1.1\r\n\r\n"))


def test_a_closed_pool_finishes_exchanges_and_keeps_no_connection() -> None:
    """Idle connections close at once, busy ones after their exchange; a late request gets a connection of its own."""
    held, reached = threading.Event(), threading.Event()

    def answer(head: bytes, body: bytes) -> bytes:
        if len(server.requests) == 2:
            reached.set()
            held.wait(10)
        return response(b"{}")

    async def run() -> list[HttpResponse | UpstreamError]:
        loop = asyncio.get_running_loop()
        ticker = Ticker(loop)
        pool = Pool(
            ServerAddress(host="127.0.0.1", port=server.port), PoolSettings(keep_alive_timeout=60.0), ticker, loop
        )
        client = HttpClient(pool, timeout=5.0, max_body=1000)
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
        assert asyncio.run(run()) == [HttpResponse(200, b"{}")] * 3
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
        client = HttpClient(pool, timeout=5.0, max_body=1000)
        await called(client)
        ticker.stop()
        assert server.open == 1
        pool.close()
        assert await loop.run_in_executor(None, eventually, lambda: not server.open)

    with raw_server(lambda head, body: response(b"{}")) as server:
        asyncio.run(run())
