"""What is kept at hand, driven by an advanced clock, with every fetch counted; and once against a real server."""

import asyncio
import json
import logging
from collections.abc import Callable

import pytest
from harness.clocks import Clock
from harness.servers import raw_server, response
from harness.signing import key, public

from enforcer.counters import FetchMetrics
from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.settings.pool import PoolSettings
from enforcer.tokens.introspection.endpoint import KnownEndpoint
from enforcer.tokens.jwt.jwks import KeySet, parse
from enforcer.tokens.refresh_schedule import Lifetime, RefreshSchedule
from enforcer.tokens.remote_document import DocumentFetcher, RemoteDocument
from enforcer.wire.http_client import HttpClient
from enforcer.wire.pool import Pool, ServerAddress
from enforcer.wire.ticker import RESOLUTION, Ticker

DOWN = IntrospectionError(IntrospectionFailure.UNAVAILABLE, "down")
Done = Callable[[KeySet | IntrospectionError], None]
WHAT = "the keys of authorization server main"


def fresh() -> RefreshSchedule[KeySet]:
    return RefreshSchedule(lambda _: Lifetime(refresh=300.0, end=3600.0), 30.0)


def body(*kids: str) -> bytes:
    return json.dumps({"keys": [public(key("ES256"), kid=kid) for kid in kids]}).encode()


def keys(*kids: str) -> KeySet:
    return parse(body(*kids))


class Document:
    """A key set in memory: it comes when it is told to, and counts how often it was fetched."""

    def __init__(self) -> None:
        self.content: KeySet | IntrospectionError = keys("a")
        self.fetches = 0
        self.at_once = False
        self._pending: list[Done] = []

    def fetch(self, done: Done) -> None:
        self.fetches += 1
        self._pending.append(done)
        if self.at_once:
            self.come()

    def close(self) -> None:
        self.closed = True

    def come(self) -> None:
        pending, self._pending = self._pending, []
        for done in pending:
            done(self.content)


class Bed:
    """A source with its counterparts."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.document = Document()
        self.metrics = FetchMetrics()
        self.ticker = Ticker(self.clock)  # type: ignore[arg-type]
        self.source = RemoteDocument(WHAT, self.document, fresh(), self.ticker, self.metrics)
        self.told: list[KeySet | IntrospectionError] = []

    def started(self) -> "Bed":
        self.advance(0.2)
        self.document.come()
        self.document.at_once = True
        return self

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def renew(self) -> None:
        self.source.renew(self.told.append)

    @property
    def kids(self) -> list[str | None]:
        found = self.source.good
        return [] if found is None else [one.kid for one in found.keys]


def test_keys_are_fetched_before_anybody_asks() -> None:
    """On the first tick; until they are there, there are none."""
    bed = Bed()
    assert (bed.kids, bed.document.fetches) == ([], 0)
    bed.advance(2 * RESOLUTION)
    assert (bed.kids, bed.document.fetches) == ([], 1)
    bed.document.come()
    assert (bed.kids, bed.document.fetches) == (["a"], 1)


def test_one_fetch_serves_all_who_wait() -> None:
    """Also one that was begun for nobody."""
    bed = Bed()
    for _ in range(5):
        bed.renew()
    bed.advance(1.0)
    bed.renew()
    assert (bed.told, bed.document.fetches) == ([], 1)
    bed.document.come()
    assert bed.told == [bed.source.good] * 6


def test_keys_are_fetched_anew_while_nobody_waits() -> None:
    """The old ones serve until the new ones are there."""
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


def test_an_unknown_key_has_them_fetched_at_once_and_then_not_for_a_while() -> None:
    """Whoever makes names up gets the keys that are there, at no cost to the server."""
    bed = Bed().started()
    bed.renew()
    assert (bed.told, bed.document.fetches) == ([bed.source.good], 1)
    bed.advance(31.0)
    bed.document.content = keys("a", "b")
    bed.renew()
    assert (bed.kids, bed.document.fetches) == (["a", "b"], 2)
    assert bed.told[1] is bed.source.good
    for _ in range(1000):
        bed.renew()
    assert bed.document.fetches == 2
    assert all(told is bed.source.good for told in bed.told[1:])


def test_while_the_server_is_down_the_last_good_keys_serve() -> None:
    """Up to `max_age`; whoever needs another one is told that it cannot be had."""
    bed = Bed().started()
    bed.document.content = DOWN
    bed.advance(301.0)
    assert bed.kids == ["a"]
    bed.renew()
    assert bed.told == [DOWN]
    bed.advance(3200.0)
    assert bed.kids == ["a"]
    bed.advance(100.0)
    assert bed.kids == []
    bed.document.content = keys("b")
    bed.advance(31.0)
    assert bed.kids == ["b"]


def test_a_server_that_is_down_is_not_pressed() -> None:
    """1, 2, 4, 8, 16 s, and then every `pause`; those who ask meanwhile are told at once."""
    bed = Bed()
    bed.document.at_once = True
    bed.document.content = DOWN
    for _ in range(61):
        bed.advance(1.0)
        bed.renew()
    assert bed.document.fetches == 6
    assert bed.told == [DOWN] * 61
    bed.document.content = keys("a")
    bed.advance(31.0)
    assert bed.kids == ["a"]


def test_what_is_there_is_given_at_once_and_what_is_not_is_waited_for() -> None:
    """Whoever needs any, and not a newer one, starts no fetch while there is a good one."""
    bed = Bed()
    bed.source.get(bed.told.append)
    assert (bed.told, bed.document.fetches) == ([], 1)
    bed.document.come()
    bed.source.get(bed.told.append)
    assert (bed.told, bed.document.fetches) == ([bed.source.good] * 2, 1)


def test_one_that_was_discarded_is_fetched_anew_for_who_needs_it() -> None:
    """Within the pause, who needs it is told why there is none; afterwards it comes of itself."""
    bed = Bed().started()
    bed.source.discard(DOWN)
    bed.source.get(bed.told.append)
    assert (bed.told, bed.document.fetches) == ([DOWN], 1)
    bed.document.content = keys("b")
    bed.advance(31.0)
    assert (bed.kids, bed.document.fetches) == (["b"], 2)


def test_every_fetch_is_counted_by_what_came_of_it() -> None:
    """And timed."""
    bed = Bed().started()
    bed.document.content = DOWN
    bed.advance(302.0)
    bed.document.content = keys("a")
    bed.advance(10.0)
    assert bed.metrics.results == {"ok": 2, "unavailable": 2}
    assert sum(bed.metrics.duration.counts) == 4


def test_trouble_is_logged_at_its_beginning_and_its_end(caplog: pytest.LogCaptureFixture) -> None:
    """Once each, not at every attempt."""
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


def test_a_closed_source_fetches_no_more_of_itself() -> None:
    """A configuration that took its place has its own."""
    bed = Bed().started()
    bed.source.close()
    bed.source.close()  # by each of those that have it
    bed.advance(1000.0)
    assert (bed.document.fetches, bed.document.closed) == (1, True)
    bed.renew()
    assert bed.document.fetches == 2


def test_keys_come_from_a_server() -> None:
    """A real socket, pool and ticker."""

    async def run(port: int) -> KeySet | IntrospectionError:
        loop = asyncio.get_running_loop()
        ticker = Ticker(loop)
        pool = Pool(ServerAddress(host="127.0.0.1", port=port), PoolSettings(), ticker, loop)
        endpoint = KnownEndpoint(HttpClient(pool, timeout=5.0, max_answer=65536), "auth.example.org", "/jwks")
        source = RemoteDocument(WHAT, DocumentFetcher(endpoint, parse), fresh(), ticker, FetchMetrics())
        told: asyncio.Future[KeySet | IntrospectionError] = loop.create_future()
        source.renew(told.set_result)
        outcome = await told
        assert source.good is outcome
        source.close()
        ticker.stop()
        return outcome

    with raw_server(lambda head, _: response(body("a", "b"), "200 OK", "Content-Type: application/json")) as server:
        outcome = asyncio.run(run(server.port))
        assert isinstance(outcome, KeySet)
        assert [one.kid for one in outcome.keys] == ["a", "b"]
        assert len(server.requests) == 1
