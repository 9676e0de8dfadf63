"""The keys' source, driven by an advanced clock, with every fetch counted; and once against a real server."""

import asyncio
import json
import logging
from collections.abc import Callable

import pytest
from harness.servers import response, serving
from harness.signing import key, public

from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.tokens.fetcher import Done, Fetcher
from enforcer.tokens.jwks import KeySet
from enforcer.tokens.jwt_settings import KeySettings
from enforcer.tokens.keysource import KeySource
from enforcer.wire.call import Caller
from enforcer.wire.client import Endpoint, Pool, PoolSettings
from enforcer.wire.ticker import RESOLUTION, Ticker

SETTINGS = KeySettings(refresh=300.0, max_age=3600.0, pause=30.0)
DOWN = IntrospectionError(IntrospectionFailure.UNAVAILABLE, "down")


def body(*kids: str) -> bytes:
    return json.dumps({"keys": [public(key("ES256"), kid=kid) for kid in kids]}).encode()


class Clock:
    """As much of an event loop as a ticker needs; time goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._due: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None]) -> None:
        self._due.append((self.now + delay, callback))

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while (at := min((at for at, _ in self._due), default=end + 1)) <= end:
            due, self._due = [one for one in self._due if one[0] <= at], [one for one in self._due if one[0] > at]
            self.now = at
            for _, callback in due:
                callback()
        self.now = end


class Document:
    """A key set in memory: it comes when it is told to, and counts how often it was fetched."""

    def __init__(self) -> None:
        self.content: bytes | IntrospectionError = body("a")
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
        self.ticker = Ticker(self.clock)  # type: ignore[arg-type]
        self.source = KeySource("main", self.document, SETTINGS, self.ticker)
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
        keys = self.source.keys
        return [] if keys is None else [one.kid for one in keys.keys]


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
    assert bed.told == [bed.source.keys] * 6


def test_keys_are_fetched_anew_while_nobody_waits() -> None:
    """The old ones serve until the new ones are there."""
    bed = Bed().started()
    bed.document.at_once = False
    bed.document.content = body("b")
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
    assert (bed.told, bed.document.fetches) == ([bed.source.keys], 1)
    bed.advance(31.0)
    bed.document.content = body("a", "b")
    bed.renew()
    assert (bed.kids, bed.document.fetches) == (["a", "b"], 2)
    assert bed.told[1] is bed.source.keys
    for _ in range(1000):
        bed.renew()
    assert bed.document.fetches == 2
    assert all(told is bed.source.keys for told in bed.told[1:])


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
    bed.document.content = body("b")
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
    bed.document.content = body("a")
    bed.advance(31.0)
    assert bed.kids == ["a"]


def test_a_set_that_cannot_be_read_takes_no_ones_place() -> None:
    """It is an error like another."""
    bed = Bed().started()
    bed.document.content = b"<html>"
    bed.advance(301.0)
    assert bed.kids == ["a"]
    bed.renew()
    (told,) = bed.told
    assert isinstance(told, IntrospectionError)
    assert told.reason is IntrospectionFailure.MALFORMED


def test_trouble_is_logged_at_its_beginning_and_its_end(caplog: pytest.LogCaptureFixture) -> None:
    """Once each, not at every attempt."""
    caplog.set_level(logging.INFO, "enforcer.tokens")
    bed = Bed().started()
    bed.document.content = DOWN
    bed.advance(400.0)
    bed.document.content = body("a")
    bed.advance(700.0)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", "the keys of authorization server main cannot be fetched: unavailable: down"),
        ("INFO", "the keys of authorization server main can be fetched again"),
    ]


def test_a_closed_source_fetches_no_more_of_itself() -> None:
    """A configuration that took its place has its own."""
    bed = Bed().started()
    bed.source.close()
    bed.advance(1000.0)
    assert (bed.document.fetches, bed.document.closed) == (1, True)


def test_keys_come_from_a_server() -> None:
    """A real socket, pool and ticker."""

    async def run(port: int) -> KeySet | IntrospectionError:
        loop = asyncio.get_running_loop()
        ticker = Ticker(loop)
        pool = Pool(Endpoint(host="127.0.0.1", port=port), PoolSettings(), ticker, loop)
        fetcher = Fetcher(Caller(pool, timeout=5.0, max_answer=65536), "auth.example.org", "/jwks")
        source = KeySource("main", fetcher, SETTINGS, ticker)
        told: asyncio.Future[KeySet | IntrospectionError] = loop.create_future()
        source.renew(told.set_result)
        outcome = await told
        assert source.keys is outcome
        source.close()
        ticker.stop()
        pool.close()
        return outcome

    with serving(lambda head, _: response(body("a", "b"), "200 OK", "Content-Type: application/json")) as server:
        outcome = asyncio.run(run(server.port))
        assert isinstance(outcome, KeySet)
        assert [one.kid for one in outcome.keys] == ["a", "b"]
        assert len(server.requests) == 1
