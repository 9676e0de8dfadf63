"""The HTTP client for whole calls, against servers on real sockets."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial

import pytest
from harness.outcomes import outcome
from harness.ports import closed_port, silent_address, unused_ports
from harness.servers import raw_server, response
from harness.waiting import TIMEOUT

from enforcer.errors import UpstreamError, UpstreamFailure
from enforcer.settings.connections.pool import PoolSettings
from enforcer.wire.dialing.connector import ServerAddress
from enforcer.wire.http_client import HttpClient, HttpResponse, RetryBudget
from enforcer.wire.pool import Pool
from enforcer.wire.ticker import Ticker

REQUEST = b"GET / HTTP/1.1\r\nHost: as.example\r\n\r\n"
MAX_BODY = 100


def send(
    port: int, calls: int = 1, timeout: float = TIMEOUT, host: str = "127.0.0.1", **settings: int
) -> list[HttpResponse | UpstreamError]:
    """Send requests, one after the other."""

    async def run() -> list[HttpResponse | UpstreamError]:
        loop = asyncio.get_running_loop()
        ticker = Ticker(loop)
        pool = Pool(ServerAddress(host=host, port=port), PoolSettings(**settings), ticker, loop)
        client = HttpClient(pool, timeout=timeout, max_body=MAX_BODY)
        results = [await outcome(partial(client.send, REQUEST, "client")) for _ in range(calls)]
        assert client.calls == {}
        client.close()
        ticker.stop()
        return results

    return asyncio.run(run())


def failure(result: HttpResponse | UpstreamError) -> tuple[UpstreamFailure, str]:
    assert isinstance(result, UpstreamError)
    return result.reason, result.detail


def without_fields(results: list[HttpResponse | UpstreamError]) -> list[HttpResponse | UpstreamError]:
    return [result._replace(lines=()) if isinstance(result, HttpResponse) else result for result in results]


def always(message: bytes | None) -> Callable[[bytes, bytes], bytes | None]:
    return lambda head, body: message


def test_a_response_is_returned_whole_and_the_connection_reused() -> None:
    """Status and body, on one connection for all calls."""
    with raw_server(always(response(b"body", "404 Not Found"))) as server:
        assert without_fields(send(server.port, 3)) == [HttpResponse(404, b"body")] * 3
        assert server.connections == 1


def test_a_redirect_is_a_response_like_any_other() -> None:
    """Nothing is sent to its location."""
    with raw_server(always(response(b"{}"))) as other:
        location = f"Location: http://127.0.0.1:{other.port}/"
        with raw_server(always(response(b"", "302 Found", location))) as server:
            assert without_fields(send(server.port)) == [HttpResponse(302, b"")]
        assert other.connections == 0


@pytest.mark.parametrize("size", [MAX_BODY, MAX_BODY + 1, 100_000])
def test_a_body_is_bounded(size: int) -> None:
    """A larger one is malformed, whether or not it has arrived whole."""
    with raw_server(always(response(b"x" * size))) as server:
        (result,) = send(server.port)
    if size == MAX_BODY:
        assert without_fields([result]) == [HttpResponse(200, b"x" * size)]
    else:
        assert failure(result) == (UpstreamFailure.MALFORMED, "the response is too large")


def test_one_timeout_covers_the_whole_call() -> None:
    """Also a response that has begun."""
    with raw_server(always(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")) as server:
        assert failure(send(server.port, timeout=0.2)[0])[0] is UpstreamFailure.TIMEOUT


def test_a_call_without_a_connection_is_overload_and_not_the_servers_timeout() -> None:
    """The only connection is busy, so the server never saw the second request."""
    release = threading.Event()

    def respond(head: bytes, body: bytes) -> bytes:
        release.wait(TIMEOUT)
        return response(b"{}")

    async def run(port: int) -> list[HttpResponse | UpstreamError]:
        loop = asyncio.get_running_loop()
        ticker = Ticker(loop)
        pool = Pool(ServerAddress(host="127.0.0.1", port=port), PoolSettings(connections=1), ticker, loop)
        client = HttpClient(pool, timeout=0.4, max_body=MAX_BODY)
        results = await asyncio.gather(*(outcome(partial(client.send, REQUEST, "client")) for _ in range(2)))
        release.set()
        client.close()
        ticker.stop()
        return results

    with raw_server(respond) as server:
        reasons = [failure(result)[0] for result in asyncio.run(run(server.port))]
    assert reasons == [UpstreamFailure.TIMEOUT, UpstreamFailure.OVERLOADED]


def test_a_full_queue_is_known_at_once() -> None:
    """The error is returned, and the callback is never called."""

    async def run(port: int) -> tuple[UpstreamError | None, list[object]]:
        loop = asyncio.get_running_loop()
        ticker = Ticker(loop)
        settings = PoolSettings(connections=1, queue=1)
        pool = Pool(ServerAddress(host="127.0.0.1", port=port), settings, ticker, loop)
        client = HttpClient(pool, timeout=TIMEOUT, max_body=MAX_BODY)
        results: list[object] = []
        while (error := client.send(REQUEST, "client", results.append)) is None:
            assert len(client.calls) <= 2
        called = list(results)
        client.close()
        ticker.stop()
        return error, called

    with raw_server(always(response(b"{}"))) as server:
        error, called = asyncio.run(run(server.port))
    assert error is not None
    assert (error.reason, error.detail, called) == (UpstreamFailure.OVERLOADED, "the queue is full (pool.queue)", [])


def test_a_request_on_a_connection_that_the_server_closed_is_sent_again() -> None:
    """The reused connection closes instead of a second response; the caller does not notice."""
    seen: list[bytes] = []

    def respond(head: bytes, body: bytes) -> bytes | None:
        seen.append(head)
        return None if len(seen) == 2 else response(b"{}")

    with raw_server(respond) as server:
        assert without_fields(send(server.port, 2)) == [HttpResponse(200, b"{}")] * 2
        assert (len(seen), server.connections) == (3, 2)


def test_a_response_has_its_fields() -> None:
    """Each as it was sent, whatever the spelling of its name; empty if it was not sent."""
    with raw_server(always(response(b"", "429 Any", "X-Other: 1", "retry-AFTER: 7"))) as server:
        (result,) = send(server.port)
    assert isinstance(result, HttpResponse)
    assert [result.field(name) for name in (b"retry-after", b"x-other", b"date")] == [b"7", b"1", b""]


def test_a_failure_says_whether_a_connection_was_opened() -> None:
    """Without one, the request had no part in it, so that it shows more of the server."""
    with raw_server(always(None)) as server:
        reset = send(server.port)
    with closed_port() as port:
        refused = send(port)
    with silent_address("127.0.0.3", port := unused_ports(1)[0]):
        late = send(port, timeout=0.3, host="127.0.0.3")
    results = [result for (result,) in (reset, refused, late) if isinstance(result, UpstreamError)]
    assert [(result.reason, result.connected) for result in results] == [
        (UpstreamFailure.UNAVAILABLE, True),
        (UpstreamFailure.UNAVAILABLE, False),
        (UpstreamFailure.TIMEOUT, False),
    ]


def test_a_server_that_refuses_connections_is_unavailable() -> None:
    """The one retry fails too."""
    with closed_port() as port:
        assert failure(send(port)[0])[0] is UpstreamFailure.UNAVAILABLE


def test_retries_are_a_tenth_of_the_calls() -> None:
    """After an initial ten, so that retries do not make an outage worse."""
    budget = RetryBudget()
    assert sum(budget.withdraw() for _ in range(100)) == 10
    for _ in range(95):
        budget.record_call()
    assert sum(budget.withdraw() for _ in range(100)) == 9
