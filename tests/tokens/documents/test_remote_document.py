"""Remote documents, driven by a fake clock, with every fetch counted; and once against a real server."""

import asyncio
import json
import logging
from collections.abc import Callable

import pytest
from harness.clocks import Clock
from harness.outcomes import outcome, outcome_of
from harness.servers import raw_server, response
from harness.signing import key, public
from harness.waiting import TIMEOUT

from enforcer.counters import FetchMetrics
from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.settings.connections.pool import PoolSettings
from enforcer.tokens.documents.refresh_schedule import Lifetime, RefreshSchedule
from enforcer.tokens.documents.remote_document import DocumentFetcher, FirstAvailable, RemoteDocument
from enforcer.tokens.introspection.endpoint import KnownEndpoint
from enforcer.tokens.jwt.jwks import KeySet, parse
from enforcer.wire.callback import Callback
from enforcer.wire.dialing.connector import ServerAddress
from enforcer.wire.http_client import HttpClient, HttpResponse
from enforcer.wire.pool import Pool
from enforcer.wire.ticker import RESOLUTION, Ticker

DOWN = IntrospectionError(IntrospectionFailure.UNAVAILABLE, "down")
WHAT = "the keys of authorization server main"


def fresh() -> RefreshSchedule[KeySet]:
    return RefreshSchedule(lambda _: Lifetime(refresh=300.0, end=3600.0), 30.0)


def body(*kids: str) -> bytes:
    return json.dumps({"keys": [public(key("ES256"), kid=kid) for kid in kids]}).encode()


def keys(*kids: str) -> KeySet:
    return parse(body(*kids))


class Document:
    """A key set in memory: it arrives when the test says so, and counts its fetches."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.content: KeySet | IntrospectionError = keys("a")
        self.fetches = 0
        self.at_once = False
        self._pending: list[Callback[KeySet | IntrospectionError]] = []

    def fetch(self, callback: Callback[KeySet | IntrospectionError]) -> IntrospectionError | None:
        self.fetches += 1
        if self.at_once and isinstance(self.content, IntrospectionError):
            return self.content
        self._pending.append(callback)
        if self.at_once:
            self.clock.call_later(0.0, self.come)
        return None

    def close(self) -> None:
        self.closed = True

    def come(self) -> None:
        pending, self._pending = self._pending, []
        for callback in pending:
            callback(self.content)


class Bed:
    """A source with its counterparts."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.document = Document(self.clock)
        self.metrics = FetchMetrics()
        self.ticker = Ticker(self.clock)  # type: ignore[arg-type]
        self.source = RemoteDocument(WHAT, self.document, fresh(), self.ticker, self.metrics)
        self.results: list[KeySet | IntrospectionError] = []

    def started(self) -> "Bed":
        self.advance(0.2)
        self.document.come()
        self.document.at_once = True
        return self

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def renew(self) -> None:
        self._add(self.source.refresh(self.results.append))

    def get(self) -> None:
        self._add(self.source.get(self.results.append))

    def _add(self, result: KeySet | IntrospectionError | None) -> None:
        if result is not None:
            self.results.append(result)
        self.clock.advance(0.0)

    @property
    def kids(self) -> list[str | None]:
        keys = self.source.current
        return [] if keys is None else [entry.kid for entry in keys.keys]


def test_keys_are_fetched_on_the_first_tick() -> None:
    """Until they arrive, there are none."""
    bed = Bed()
    assert (bed.kids, bed.document.fetches) == ([], 0)
    bed.advance(2 * RESOLUTION)
    assert (bed.kids, bed.document.fetches) == ([], 1)
    bed.document.come()
    assert (bed.kids, bed.document.fetches) == (["a"], 1)


def test_one_fetch_serves_all_waiting_requests() -> None:
    """Also a fetch that no request started."""
    bed = Bed()
    for _ in range(5):
        bed.renew()
    bed.advance(1.0)
    bed.renew()
    assert (bed.results, bed.document.fetches) == ([], 1)
    bed.document.come()
    assert bed.results == [bed.source.current] * 6


def test_keys_are_refreshed_in_the_background() -> None:
    """The old keys are used until the new ones arrive."""
    bed = Bed().started()
    bed.document.at_once = False
    bed.document.content = keys("b")
    bed.advance(299.0)
    assert bed.document.fetches == 1
    bed.advance(1.5)
    assert (bed.kids, bed.document.fetches) == (["a"], 2)
    bed.document.come()
    assert bed.kids == ["b"]
    bed.advance(100.0)
    assert bed.document.fetches == 2


def test_an_unknown_key_causes_one_fetch_in_each_pause() -> None:
    """A client that invents key names gets the existing keys, at no cost to the server."""
    bed = Bed().started()
    bed.renew()
    assert (bed.results, bed.document.fetches) == ([bed.source.current], 1)
    bed.advance(31.0)
    bed.document.content = keys("a", "b")
    bed.renew()
    assert (bed.kids, bed.document.fetches) == (["a", "b"], 2)
    assert bed.results[1] is bed.source.current
    for _ in range(1000):
        bed.renew()
    assert bed.document.fetches == 2
    assert all(result is bed.source.current for result in bed.results[1:])


def test_in_an_outage_the_last_keys_are_used() -> None:
    """Up to `max_age`; a request for newer keys gets the error."""
    bed = Bed().started()
    bed.document.content = DOWN
    bed.advance(301.0)
    assert bed.kids == ["a"]
    bed.renew()
    assert bed.results == [DOWN]
    bed.advance(3200.0)
    assert bed.kids == ["a"]
    bed.advance(100.0)
    assert bed.kids == []
    bed.document.content = keys("b")
    bed.advance(31.0)
    assert bed.kids == ["b"]


def test_a_server_that_is_down_is_not_flooded() -> None:
    """Retries after 1, 2, 4, 8, 16 s, then after each `pause`; requests meanwhile get the error at once."""
    bed = Bed()
    bed.document.at_once = True
    bed.document.content = DOWN
    for _ in range(61):
        bed.advance(1.0)
        bed.renew()
    assert bed.document.fetches == 6
    assert bed.results == [DOWN] * 61
    bed.document.content = keys("a")
    bed.advance(31.0)
    assert bed.kids == ["a"]


def test_a_present_document_is_returned_at_once_and_an_absent_one_awaited() -> None:
    """A request that does not need a newer document starts no fetch if there is a valid one."""
    bed = Bed()
    bed.get()
    assert (bed.results, bed.document.fetches) == ([], 1)
    bed.document.come()
    bed.get()
    assert (bed.results, bed.document.fetches) == ([bed.source.current] * 2, 1)


def test_each_fetch_is_counted_by_outcome_and_timed() -> None:
    """In the metrics of the source."""
    bed = Bed().started()
    bed.document.content = DOWN
    bed.advance(302.0)
    bed.document.content = keys("a")
    bed.advance(10.0)
    assert bed.metrics.results == {"ok": 2, "unavailable": 2}
    assert sum(bed.metrics.duration.counts) == 4


def test_the_beginning_and_end_of_an_outage_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Once each, not at each attempt."""
    caplog.set_level(logging.INFO, "enforcer.tokens")
    bed = Bed().started()
    bed.document.content = DOWN
    bed.advance(400.0)
    bed.document.content = keys("a")
    bed.advance(700.0)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", "the keys of authorization server main cannot be fetched: unavailable: down"),
        ("INFO", "the keys of authorization server main can be fetched again"),
    ]


def test_a_closed_source_starts_no_fetch() -> None:
    """The configuration that replaced it has its own."""
    bed = Bed().started()
    bed.source.close()
    bed.source.close()  # by each of those that have it
    bed.advance(1000.0)
    assert (bed.document.fetches, bed.document.closed) == (1, True)
    bed.renew()
    assert bed.document.fetches == 2


def test_keys_are_fetched_from_a_server() -> None:
    """With a real socket, pool and ticker."""

    async def run(port: int) -> KeySet | IntrospectionError:
        loop = asyncio.get_running_loop()
        ticker = Ticker(loop)
        pool = Pool(ServerAddress(host="127.0.0.1", port=port), PoolSettings(), ticker, loop)
        endpoint = KnownEndpoint(HttpClient(pool, timeout=TIMEOUT, max_body=65536), "auth.example.org", "/jwks")
        source = RemoteDocument(WHAT, DocumentFetcher(endpoint, parse), fresh(), ticker, FetchMetrics())
        document = await outcome(source.refresh)
        assert source.current is document
        source.close()
        ticker.stop()
        return document

    with raw_server(lambda head, _: response(body("a", "b"), "200 OK", "Content-Type: application/json")) as server:
        document = asyncio.run(run(server.port))
        assert isinstance(document, KeySet)
        assert [entry.kid for entry in document.keys] == ["a", "b"]
        assert len(server.requests) == 1


# Fetchers

Result = bytes | IntrospectionError
MOST = 1000


def fetch(port: int, times: int = 1, timeout: float = TIMEOUT) -> list[Result]:
    """Fetch a document a number of times, one after the other."""

    async def run() -> list[Result]:
        loop = asyncio.get_running_loop()
        ticker = Ticker(loop)
        pool = Pool(ServerAddress(host="127.0.0.1", port=port), PoolSettings(), ticker, loop)
        client = HttpClient(pool, timeout=timeout, max_body=MOST)
        fetcher = DocumentFetcher(KnownEndpoint(client, "auth.example.org", "/jwks?a=b"), bytes)
        results = [await outcome(fetcher.fetch) for _ in range(times)]
        ticker.stop()
        fetcher.close()
        return results

    return asyncio.run(run())


def reason(result: Result) -> IntrospectionFailure:
    assert isinstance(result, IntrospectionError)
    return result.reason


def always(answer: bytes | None) -> Callable[[bytes, bytes], bytes | None]:
    return lambda head, body: answer


def test_a_document_is_fetched_on_a_pooled_connection() -> None:
    """The request carries no credentials."""
    with raw_server(always(response(b"{}"))) as server:
        assert fetch(server.port, 3) == [b"{}"] * 3
        assert server.connections == 1
        head = (
            b"GET /jwks?a=b HTTP/1.1\r\nHost: auth.example.org\r\nAccept-Encoding: identity\r\n"
            b"Accept: application/json, */*\r\n\r\n"
        )
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
def test_only_a_200_response_is_a_document(status: str, expected: IntrospectionFailure) -> None:
    """A redirect is not followed."""
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
def test_a_failed_call_is_an_error(answer: bytes | None, expected: IntrospectionFailure) -> None:
    """For a response that is too large, too slow or not HTTP, or a closed connection."""
    with raw_server(always(answer)) as server:
        assert reason(fetch(server.port, timeout=0.2)[0]) is expected


def test_an_unreadable_document_is_an_error() -> None:
    """It arrived, but is not valid."""

    class Html:
        """Responds with a page."""

        def get(self, callback: Callback[HttpResponse]) -> None:
            clock.call_soon(callback, HttpResponse(200, b"<html>"))

    def read(data: bytes) -> bytes:
        raise IntrospectionError(IntrospectionFailure.MALFORMED, "not JSON")

    clock = Clock()
    fetcher = DocumentFetcher(Html(), read)  # type: ignore[arg-type]
    assert reason(outcome_of(fetcher.fetch, clock)) is IntrospectionFailure.MALFORMED


class Place:
    """A URL with a result, which counts its requests."""

    def __init__(self, has: Result, clock: Clock, at_once: bool) -> None:
        self._clock = clock
        self._at_once = at_once
        self.has = has
        self.asked = 0
        self.closed = False

    def fetch(self, callback: Callback[Result]) -> IntrospectionError | None:
        self.asked += 1
        if self._at_once and isinstance(self.has, IntrospectionError):
            return self.has
        self._clock.call_soon(callback, self.has)
        return None

    def close(self) -> None:
        self.closed = True


def failed(reason: IntrospectionFailure, detail: str) -> IntrospectionError:
    return IntrospectionError(reason, detail)


NOT_THERE = failed(IntrospectionFailure.MALFORMED, "it answered 404")
ANOTHERS = failed(IntrospectionFailure.MALFORMED, "another issuer's")
GONE = failed(IntrospectionFailure.UNAVAILABLE, "it answered 503")


@pytest.mark.parametrize(
    ("places", "asked", "expected"),
    [
        ([b"a", b"b"], [1, 0], b"a"),
        ([NOT_THERE, b"b"], [1, 1], b"b"),
        ([NOT_THERE, NOT_THERE, b"c"], [1, 1, 1], b"c"),
        ([NOT_THERE, NOT_THERE], [1, 1], "malformed: it answered 404"),
        ([ANOTHERS, NOT_THERE, NOT_THERE], [1, 1, 1], "malformed: another issuer's; it answered 404"),
        ([GONE, b"b"], [1, 0], "unavailable: it answered 503"),
        ([NOT_THERE, GONE, b"c"], [1, 1, 0], "unavailable: it answered 503"),
    ],
)
def test_the_first_url_with_a_document_is_used(places: list[Result], asked: list[int], expected: bytes | str) -> None:
    """Any other response means that it is not there; if a server does not respond, its other URLs are not tried."""
    for at_once in (False, True):
        clock = Clock()
        sources = [Place(has, clock, at_once) for has in places]
        first: FirstAvailable[bytes] = FirstAvailable(sources)
        result = outcome_of(first.fetch, clock)
        assert [source.asked for source in sources] == asked
        assert (result if isinstance(result, bytes) else str(result)) == expected
        first.close()
        assert all(source.closed for source in sources)
