"""A connection, without sockets: bytes in, bytes out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import pytest

from enforcer.kubernetes.webhook.serving.connection import Connection, Head, Response, State
from enforcer.kubernetes.webhook.serving.limits import Limits
from enforcer.shares import Shares

LIMITS = Limits(body=1000, bodies=4000, connections=8, peer_connections=4, head=256)


class Transport(asyncio.Transport):
    """Records what is written, and whether it reads and is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.reading = True
        self.closed: str | None = None

    def write(self, data: Any) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def close(self) -> None:
        self.closed = self.closed or "closed"

    def abort(self) -> None:
        self.closed = "aborted"


@dataclass
class App:
    """Accepts the path `/known`, and responds with the body once it is released."""

    heads: list[Head] = field(default_factory=list)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None

    def refusal(self, head: Head) -> Response | None:
        return None if head.path == "/known" else Response(HTTPStatus.FORBIDDEN)

    async def respond(self, head: Head, body: bytearray) -> Response:
        self.heads.append(head)
        await self.release.wait()
        if self.error is not None:
            raise self.error
        return Response(HTTPStatus.OK, bytes(body))


@dataclass
class Bed:
    """A connection with its surroundings."""

    app: App
    transport: Transport
    shares: Shares
    refused: list[int]
    connection: Connection

    def send(self, *parts: bytes) -> bytes:
        """Receive parts, and return what has been written so far."""
        for part in parts:
            self.connection.data_received(part)
        return self.transport.written

    async def respond(self) -> bytes:
        """Let the application respond, and return what has been written since."""
        before = len(self.transport.written)
        self.app.release.set()
        await self.turns()
        return self.transport.written[before:]

    async def turns(self) -> None:
        """Let the event loop do what is due."""
        for _ in range(10):
            await asyncio.sleep(0)


def play(script: Callable[[Bed], Awaitable[None]], limits: Limits = LIMITS) -> None:
    """Play a script with a connection."""

    async def run() -> None:
        refused: list[int] = []
        app, transport, shares = App(), Transport(), Shares(limits.bodies, 50)
        connection = Connection("10.0.0.1", app, shares, limits, lambda status, peer: refused.append(status))
        connection.connection_made(transport)
        await script(Bed(app, transport, shares, refused, connection))

    asyncio.run(run())


def request(body: bytes = b"", path: bytes = b"/known", line: bytes = b"") -> bytes:
    """Return a request with a Content-Length."""
    return b"POST %b?timeout=5s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%b\r\n" % (path, len(body), line) + body


def test_requests_follow_each_other() -> None:
    """Each is complete before its response, and the connection waits for the next one."""

    async def script(bed: Bed) -> None:
        for text in (b"one", b"", b"three"):
            data = request(text)
            bed.send(*(bytes((byte,)) for byte in data[:-1]))
            assert await bed.respond() == b""
            bed.send(data[-1:])
            response = await bed.respond()
            assert response.startswith(b"HTTP/1.1 200 OK\r\n")
            assert response.endswith(b"\r\n\r\n" + text)
        assert bed.app.heads == [Head("POST", "/known", "10.0.0.1")] * 3
        assert await bed.connection.accepted
        assert bed.refused == []

    play(script)


HEAD = b"POST /known HTTP/1.1\r\nHost: a\r\n"
REFUSED: dict[str, tuple[bytes, int]] = {
    "another path": (request(path=b"/inject"), 403),
    "another path, with a body": (request(b"x" * 5000, b"/inject"), 403),
    "a body that is too large": (HEAD + b"Content-Length: 1001\r\n\r\n", 413),
    "a body without a length": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", 411),
    "two lengths": (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    "a length and chunks": (HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "a length with letters": (HEAD + b"Content-Length: x\r\n\r\n", 400),
    "an endless head": (HEAD + b"a: b\r\n" * 1000, 431),
    "an endless field": (HEAD + b"a: " + b"b" * 1000, 431),
    "an endless target": (b"POST /" + b"x" * 1000, 431),
    "no HTTP": (b"\x16\x03\x01\x02\x00", 400),
    "an upgrade": (b"GET /known HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 400),
    "a second request before the response": (request(b"one") + request(b"two"), 400),
}


@pytest.mark.parametrize(("data", "status"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("size", [1, 10_000])
def test_invalid_requests_are_refused(data: bytes, status: int, size: int) -> None:
    """In pieces of any size; the application does not see them, and the connection ends."""

    async def script(bed: Bed) -> None:
        bed.send(*(data[start : start + size] for start in range(0, len(data), size)))
        await bed.respond()
        assert bed.transport.written.startswith(b"HTTP/1.1 %d " % status)
        assert bed.transport.written.count(b"HTTP/1.1") == 1
        assert b"Connection: close\r\n" in bed.transport.written
        assert bed.refused == [status]
        assert bed.connection.state is State.CLOSING
        assert bed.app.heads == []
        assert bed.shares.used == 0

    play(script)


def test_a_stranger_is_not_read_any_more() -> None:
    """Bytes that have arrived already are dropped."""

    async def script(bed: Bed) -> None:
        before = bed.send(request(b"", b"/inject"))
        assert not bed.transport.reading
        assert bed.send(request(b"two")) == before
        bed.connection.resume_writing()
        assert not bed.transport.reading

    play(script)


def test_memory_is_taken_before_a_body_is_received() -> None:
    """Without any left, the client is asked to try again; it is given back after the response."""

    async def script(bed: Bed) -> None:
        assert bed.shares.take("10.0.0.1", 2000)
        assert bed.send(request(b"x" * 1000)[:-1000]).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"Retry-After: 1\r\n" in bed.transport.written
        assert bed.refused == [503]

    async def again(bed: Bed) -> None:
        for _ in range(5):
            bed.send(request(b"x" * 1000)[:-1])
            assert bed.shares.used == 1000
            bed.send(b"x")
            await bed.respond()
            assert bed.shares.used == 0

    play(script)
    play(again)


def test_a_lost_connection_gives_its_memory_back() -> None:
    """And its response is not needed any more."""

    async def script(bed: Bed) -> None:
        bed.send(request(b"x" * 1000))
        await asyncio.sleep(0)
        bed.connection.connection_lost(None)
        assert await bed.respond() == b""
        assert bed.shares.used == 0
        assert bed.connection.closed.done()

    play(script)


def test_a_connection_without_an_accepted_request_is_known_as_such() -> None:
    """When it ends."""

    async def script(bed: Bed) -> None:
        bed.send(request(path=b"/inject"))
        assert not bed.connection.accepted.done()
        bed.connection.connection_lost(None)
        assert not await bed.connection.accepted

    play(script)


def test_a_slow_body_is_refused() -> None:
    """After the timeout, with 408."""

    async def script(bed: Bed) -> None:
        bed.send(request(b"x" * 100)[:-1])
        await bed.turns()
        assert bed.transport.written.startswith(b"HTTP/1.1 408 ")
        assert bed.refused == [408]

    play(script, Limits(body=1000, bodies=4000, connections=8, peer_connections=4, body_seconds=0.0))


def test_a_slow_response_is_replaced() -> None:
    """After the timeout, with 503; the client may try again."""

    async def script(bed: Bed) -> None:
        bed.send(request(b"x"))
        await bed.turns()
        assert bed.transport.written.startswith(b"HTTP/1.1 503 ")
        assert bed.refused == [503]

    play(script, Limits(body=1000, bodies=4000, connections=8, peer_connections=4, response_seconds=0.0))


def test_an_idle_connection_is_aborted() -> None:
    """Also one whose client does not read its response."""

    async def script(bed: Bed) -> None:
        await bed.turns()
        assert bed.transport.written == b""

    play(script, Limits(body=1000, bodies=4000, connections=8, peer_connections=4, idle_seconds=0.0))


def test_a_failure_of_the_application_is_a_500() -> None:
    """The next request has its chance."""

    async def script(bed: Bed) -> None:
        bed.app.error = ValueError("broken")
        bed.send(request(b"one"))
        assert (await bed.respond()).startswith(b"HTTP/1.1 500 ")
        bed.app.error = None
        bed.send(request(b"two"))
        assert (await bed.respond()).startswith(b"HTTP/1.1 200 ")

    play(script)


def test_a_client_that_does_not_read_causes_no_further_response() -> None:
    """Reading pauses while the transport's buffer is full."""

    async def script(bed: Bed) -> None:
        bed.connection.pause_writing()
        assert not bed.transport.reading
        bed.connection.resume_writing()
        assert bed.transport.reading

    play(script)


@pytest.mark.parametrize("line", [b"Connection: close\r\n", b""], ids=["client", "server"])
def test_a_connection_closes_if_either_side_wants_it(line: bytes) -> None:
    """The client says so in its request; we do when the process stops, after the running response."""

    async def script(bed: Bed) -> None:
        bed.send(request(b"one", line=line))
        if not line:
            bed.connection.stop()
        assert bed.transport.closed is None
        assert b"Connection: close\r\n" in await bed.respond()
        assert bed.transport.closed == "closed"

    play(script)


def test_an_idle_connection_stops_at_once() -> None:
    """It has no request to wait for."""

    async def script(bed: Bed) -> None:
        bed.connection.stop()
        assert bed.transport.closed == "closed"

    play(script)
