"""The fetcher against servers on real sockets."""

import asyncio
import time
from collections.abc import Callable

import pytest
from harness.servers import response, serving

from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.tokens.fetcher import Fetcher
from enforcer.wire.client import Endpoint, Pool, PoolSettings
from enforcer.wire.ticker import Ticker

Result = bytes | IntrospectionError
MOST = 1000


def fetch(port: int, times: int = 1, timeout: float = 5.0, between: Callable[[], None] = lambda: None) -> list[Result]:
    """Fetch a document a number of times, one after the other, on the same pool."""

    async def run() -> list[Result]:
        loop = asyncio.get_running_loop()
        ticker = Ticker(loop)
        pool = Pool(Endpoint(host="127.0.0.1", port=port), PoolSettings(), ticker, loop)
        fetcher = Fetcher(pool, "auth.example.org", "/jwks?a=b", timeout=timeout, max_answer=MOST)
        results = []
        for _ in range(times):
            told: asyncio.Future[Result] = loop.create_future()
            fetcher.fetch(told.set_result)
            results.append(await told)
            between()
        ticker.stop()
        await pool.close()
        return results

    return asyncio.run(run())


def reason(result: Result) -> IntrospectionFailure:
    assert isinstance(result, IntrospectionError)
    return result.reason


def always(answer: bytes | None) -> Callable[[bytes, bytes], bytes | None]:
    return lambda head, body: answer


def test_a_document_is_fetched_on_a_kept_connection() -> None:
    """Once each time, with nothing of ours in the request."""
    with serving(always(response(b"{}"))) as server:
        assert fetch(server.port, 3) == [b"{}"] * 3
        assert server.connections == 1
        head = b"GET /jwks?a=b HTTP/1.1\r\nHost: auth.example.org\r\nAccept: application/json, */*\r\n\r\n"
        assert server.requests == [(head, b"")] * 3


def test_a_document_may_come_in_chunks() -> None:
    """Or end with the connection (RFC 9112 §6.3)."""
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
    with serving(always(chunked)) as server:
        assert fetch(server.port) == [b"{}"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("301 Moved Permanently", IntrospectionFailure.MALFORMED),
        ("302 Found", IntrospectionFailure.MALFORMED),
        ("307 Temporary Redirect", IntrospectionFailure.MALFORMED),
        ("204 No Content", IntrospectionFailure.MALFORMED),
        ("206 Partial Content", IntrospectionFailure.MALFORMED),
        ("401 Unauthorized", IntrospectionFailure.MALFORMED),
        ("404 Not Found", IntrospectionFailure.MALFORMED),
        ("429 Too Many Requests", IntrospectionFailure.UNAVAILABLE),
        ("500 Internal Server Error", IntrospectionFailure.UNAVAILABLE),
        ("503 Service Unavailable", IntrospectionFailure.UNAVAILABLE),
    ],
)
def test_nothing_but_200_is_the_document(status: str, expected: IntrospectionFailure) -> None:
    """A redirect is not followed: nothing is sent where it points."""
    with serving(always(response(b"{}"))) as other:
        location = f"Location: http://127.0.0.1:{other.port}/jwks"
        body = b"" if status.startswith("204") else b"{}"
        with serving(always(response(body, status, location))) as server:
            (result,) = fetch(server.port)
            assert reason(result) is expected
            assert status[:3] in str(result)
        assert other.connections == 0


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n",
    ],
)
def test_a_document_is_bounded(head: bytes) -> None:
    """Whether or not it ever ends."""
    with serving(always(head + b"x" * 5000)) as server:
        (result,) = fetch(server.port)
        assert reason(result) is IntrospectionFailure.MALFORMED


def test_the_largest_document_is_read() -> None:
    """The limit is the last size that is."""
    with serving(always(response(b"x" * MOST))) as server:
        assert fetch(server.port) == [b"x" * MOST]
    with serving(always(response(b"x" * (MOST + 1)))) as server:
        assert reason(fetch(server.port)[0]) is IntrospectionFailure.MALFORMED


def test_a_server_that_is_not_there_is_unavailable() -> None:
    """Nobody listens."""
    with serving(always(None)) as server:
        port = server.port
    assert reason(fetch(port)[0]) is IntrospectionFailure.UNAVAILABLE


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"])
def test_a_call_takes_no_longer_than_its_limit(start: bytes) -> None:
    """From its beginning to the document's last byte."""
    with serving(always(start)) as server:
        began = time.monotonic()
        assert reason(fetch(server.port, timeout=0.3)[0]) is IntrospectionFailure.TIMEOUT
        assert 0.3 <= time.monotonic() - began < 5.0


def test_an_answer_that_is_cut_short_is_no_document() -> None:
    """Nor one that is no HTTP."""
    with serving(always(None)) as server:
        assert reason(fetch(server.port)[0]) is IntrospectionFailure.UNAVAILABLE
    with serving(always(b"nonsense\r\n\r\n")) as server:
        assert reason(fetch(server.port)[0]) is IntrospectionFailure.MALFORMED


def test_a_connection_that_the_server_had_closed_is_replaced() -> None:
    """It says nothing of the server; the call is made once more."""
    answers = iter([response(b"first"), None, response(b"second")])
    with serving(lambda head, body: next(answers)) as server:
        assert fetch(server.port, 2) == [b"first", b"second"]
        assert server.connections == 2


def test_a_call_is_made_once_more_and_no_oftener() -> None:
    """A server that closes every connection is unavailable."""
    answers = iter([response(b"first"), None, None, None])
    with serving(lambda head, body: next(answers)) as server:
        first, second = fetch(server.port, 2)
        assert first == b"first"
        assert reason(second) is IntrospectionFailure.UNAVAILABLE
        assert len(server.requests) == 3


def test_a_late_call_is_not_told_twice() -> None:
    """The pool's own limits come after it."""
    with serving(always(b"")) as server:
        results = fetch(server.port, 2, timeout=0.15)
        assert [reason(result) for result in results] == [IntrospectionFailure.TIMEOUT] * 2
