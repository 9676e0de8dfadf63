"""The fetcher against servers on real sockets; how a call goes is the matter of `wire.http_client`."""

import asyncio
from collections.abc import Callable

import pytest
from harness.servers import raw_server, response

from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.settings.pool import PoolSettings
from enforcer.tokens.introspection.endpoint import KnownEndpoint
from enforcer.tokens.remote_document import DocumentFetcher, FirstAvailable
from enforcer.wire.http_client import HttpClient, HttpResponse
from enforcer.wire.pool import Pool, ServerAddress
from enforcer.wire.ticker import Ticker

Result = bytes | IntrospectionError
MOST = 1000


def fetch(port: int, times: int = 1, timeout: float = 5.0) -> list[Result]:
    """Fetch a document a number of times, one after the other."""

    async def run() -> list[Result]:
        loop = asyncio.get_running_loop()
        ticker = Ticker(loop)
        pool = Pool(ServerAddress(host="127.0.0.1", port=port), PoolSettings(), ticker, loop)
        caller = HttpClient(pool, timeout=timeout, max_answer=MOST)
        fetcher = DocumentFetcher(KnownEndpoint(caller, "auth.example.org", "/jwks?a=b"), bytes)
        results = []
        for _ in range(times):
            told: asyncio.Future[Result] = loop.create_future()
            fetcher.fetch(told.set_result)
            results.append(await told)
        ticker.stop()
        fetcher.close()
        return results

    return asyncio.run(run())


def reason(result: Result) -> IntrospectionFailure:
    assert isinstance(result, IntrospectionError)
    return result.reason


def always(answer: bytes | None) -> Callable[[bytes, bytes], bytes | None]:
    return lambda head, body: answer


def test_a_document_is_fetched_on_a_kept_connection() -> None:
    """With nothing of ours in the request."""
    with raw_server(always(response(b"{}"))) as server:
        assert fetch(server.port, 3) == [b"{}"] * 3
        assert server.connections == 1
        head = b"GET /jwks?a=b HTTP/1.1\r\nHost: auth.example.org\r\nAccept: application/json, */*\r\n\r\n"
        assert server.requests == [(head, b"")] * 3


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
    with raw_server(always(response(b"{}"))) as other:
        location = f"Location: http://127.0.0.1:{other.port}/jwks"
        body = b"" if status.startswith("204") else b"{}"
        with raw_server(always(response(body, status, location))) as server:
            (result,) = fetch(server.port)
            assert reason(result) is expected
            assert status[:3] in str(result)
        assert other.connections == 0


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (response(b"x" * (MOST + 1)), IntrospectionFailure.MALFORMED),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", IntrospectionFailure.TIMEOUT),
        (b"nonsense\r\n\r\n", IntrospectionFailure.MALFORMED),
        (None, IntrospectionFailure.UNAVAILABLE),
    ],
)
def test_a_call_that_fails_is_an_error_of_the_server(answer: bytes | None, expected: IntrospectionFailure) -> None:
    """Too large, too slow, no HTTP, closed."""
    with raw_server(always(answer)) as server:
        assert reason(fetch(server.port, timeout=0.2)[0]) is expected


def test_what_cannot_be_read_is_an_error() -> None:
    """It came, and is none."""

    class Place:
        """Answers with what cannot be read."""

        def get(self, done: Callable[[HttpResponse], None]) -> None:
            done(HttpResponse(200, b"<html>"))

    def read(data: bytes) -> bytes:
        raise IntrospectionError(IntrospectionFailure.MALFORMED, "not JSON")

    told: list[Result] = []
    DocumentFetcher(Place(), read).fetch(told.append)  # type: ignore[arg-type]
    assert reason(told[0]) is IntrospectionFailure.MALFORMED


class Place:
    """A place that has something, and counts who asks."""

    def __init__(self, has: Result) -> None:
        self.has = has
        self.asked = 0
        self.closed = False

    def fetch(self, done: Callable[[Result], None]) -> None:
        self.asked += 1
        done(self.has)

    def close(self) -> None:
        self.closed = True


def failed(reason: IntrospectionFailure, detail: str) -> IntrospectionError:
    return IntrospectionError(reason, detail)


NOT_THERE = failed(IntrospectionFailure.MALFORMED, "it answered 404")
ANOTHERS = failed(IntrospectionFailure.MALFORMED, "another issuer's")
DOWN = failed(IntrospectionFailure.UNAVAILABLE, "it answered 503")


@pytest.mark.parametrize(
    ("places", "asked", "expected"),
    [
        ([b"a", b"b"], [1, 0], b"a"),
        ([NOT_THERE, b"b"], [1, 1], b"b"),
        ([NOT_THERE, NOT_THERE, b"c"], [1, 1, 1], b"c"),
        ([NOT_THERE, NOT_THERE], [1, 1], "malformed: it answered 404"),
        ([ANOTHERS, NOT_THERE, NOT_THERE], [1, 1, 1], "malformed: another issuer's; it answered 404"),
        ([DOWN, b"b"], [1, 0], "unavailable: it answered 503"),
        ([NOT_THERE, DOWN, b"c"], [1, 1, 0], "unavailable: it answered 503"),
    ],
)
def test_the_first_place_that_has_a_document_gives_it(
    places: list[Result], asked: list[int], expected: bytes | str
) -> None:
    """One that answers something else has it not; a server that does not answer is not asked at its other places."""
    several = [Place(has) for has in places]
    found: FirstAvailable[bytes] = FirstAvailable(several)
    told: list[Result] = []
    found.fetch(told.append)
    (outcome,) = told
    assert [place.asked for place in several] == asked
    assert (outcome if isinstance(outcome, bytes) else str(outcome)) == expected
    found.close()
    assert all(place.closed for place in several)
