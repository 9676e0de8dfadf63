"""Streaming bodies: forwarded as they arrive, no faster than the receiver reads, and never buffered whole."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from functools import partial

import pytest
from harness.clients import Client
from harness.processes import Enforcer
from harness.upstreams import Incoming, PeerClosedError, Upstream
from harness.usage import resident_memory
from harness.waiting import TIMEOUT, eventually, settled

MANY = 256 * 1024**2
PIECE = b"x" * 65536
GROWTH = 16 * 1024**2


class Flood:
    """Sends `MANY` bytes, and counts the bytes that the peer accepts."""

    def __init__(self) -> None:
        self.sent = 0
        self.failed = threading.Event()

    def into(self, connection: socket.socket) -> None:
        """Send everything, or until the connection ends."""
        try:
            while self.sent < MANY:
                connection.sendall(PIECE)
                self.sent += len(PIECE)
        except OSError:
            self.failed.set()

    def is_blocked(self) -> bool:
        """Return whether sending stalls long before everything is sent."""
        return settled(lambda: self.sent) < MANY // 4


def test_a_client_that_reads_slowly_slows_the_app(app: Upstream, proxy: Enforcer) -> None:
    """The app's writes block, the enforcer's memory does not grow, and the rest arrives when the client reads it."""
    flood = Flood()

    def handler(incoming: Incoming) -> None:
        incoming.send_head(200, [("Content-Length", str(MANY))])
        flood.into(incoming.socket)

    app.handler = handler
    with Client(proxy.port, receive_buffer=65536, timeout=60) as client:
        before = resident_memory(proxy.process.pid)
        client.begin("GET", "/download")
        client.end()
        assert client.read_head().status == 200
        assert flood.is_blocked()
        assert sum(map(len, client.pieces())) == MANY
        assert resident_memory(proxy.process.pid) - before < GROWTH


def test_an_app_that_reads_slowly_slows_the_client(app: Upstream, proxy: Enforcer) -> None:
    """The client's writes block, the enforcer's memory does not grow, and the rest arrives when the app reads it."""
    read_on = threading.Event()
    received = []

    def handler(incoming: Incoming) -> None:
        incoming.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        assert read_on.wait(60)
        received.append(sum(map(len, incoming.pieces())))
        incoming.respond()

    app.handler = handler
    flood = Flood()
    with Client(proxy.port, timeout=60) as client:
        before = resident_memory(proxy.process.pid)
        client.begin("POST", "/upload", [("Content-Length", str(MANY))])
        writer = threading.Thread(target=flood.into, args=(client.socket,))
        writer.start()
        assert flood.is_blocked()
        read_on.set()
        writer.join(TIMEOUT)
        assert client.read_head().status == 200
        assert received == [MANY]
        assert resident_memory(proxy.process.pid) - before < GROWTH


def test_a_client_that_reads_nothing_gets_no_further_responses(app: Upstream, proxy: Enforcer) -> None:
    """Its next requests wait until it has read the responses before; other clients are served."""
    app.handler = lambda incoming: incoming.respond(b"x" * 60_000)
    request = b"GET /thing HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer good-token\r\n\r\n"
    with Client(proxy.port, receive_buffer=65536) as client:
        before = resident_memory(proxy.process.pid)
        sent = 0
        while sent < 400 and eventually(partial(_has_requests, app, sent), 0.5):
            client.socket.sendall(request)
            sent += 1
        assert sent < 150
        assert resident_memory(proxy.process.pid) - before < GROWTH
        app.handler = lambda incoming: incoming.respond()
        with Client(proxy.port) as other:
            assert other.request("GET", "/other").status == 200
        received = 0
        while received < (sent - 1) * 60_000:
            received += len(client.socket.recv(65536))
        assert eventually(lambda: len(app.requests) == sent + 1)


def _has_requests(app: Upstream, count: int) -> bool:
    return len(app.requests) == count


def test_each_event_of_a_stream_arrives_before_the_next_is_sent(app: Upstream, client: Client) -> None:
    """Server-sent events are not buffered: the client reads each one before the app continues."""
    read = threading.Semaphore(0)

    def handler(incoming: Incoming) -> None:
        incoming.send_head(200, [("Content-Type", "text/event-stream")])
        for number in range(5):
            incoming.send(b"data: %d\n\n" % number)
            assert read.acquire(timeout=TIMEOUT)
        incoming.end()

    app.handler = handler
    client.begin("GET", "/events")
    client.end()
    assert client.read_head().values("Content-Type") == [b"text/event-stream"]
    events = []
    for event in client.pieces():
        events.append(event)
        read.release()
    assert events == [b"data: %d\n\n" % number for number in range(5)]


def test_each_piece_of_an_upload_arrives_before_the_next_is_sent(app: Upstream, client: Client) -> None:
    """Request and response bodies stream at the same time."""

    def handler(incoming: Incoming) -> None:
        incoming.send_head()
        for piece in incoming.pieces():
            incoming.send(piece.upper())
        incoming.end()

    app.handler = handler
    client.begin("POST", "/conversation", [("Transfer-Encoding", "chunked")])
    client.send(b"one")
    assert client.read_head().status == 200
    pieces = client.pieces()
    assert next(pieces) == b"ONE"
    client.send(b"two")
    assert next(pieces) == b"TWO"
    client.end()
    assert list(pieces) == []


def test_a_response_before_the_end_of_the_upload_reaches_the_client(app: Upstream, proxy: Enforcer) -> None:
    """The app responds with 413 and stops reading; the client, still sending, can read the response."""

    def handler(incoming: Incoming) -> None:
        next(incoming.pieces())
        incoming.send_head(413, [("Content-Length", "5"), ("Connection", "close")])
        incoming.send(b"large")
        incoming.end()
        incoming.wait_for_close()

    app.handler = handler
    with Client(proxy.port) as client:
        client.begin("POST", "/upload", [("Content-Length", str(MANY))])
        writer = threading.Thread(target=Flood().into, args=(client.socket,))
        writer.start()
        response = client.read_response()
        assert (response.status, response.body, response.values("Connection")) == (413, b"large", [b"close"])
    writer.join(TIMEOUT)


def test_an_upstream_connection_with_an_incomplete_upload_is_not_reused(app: Upstream, proxy: Enforcer) -> None:
    """The app would take the next request for the rest of the body, and a client could forge another's request."""

    def handler(incoming: Incoming) -> None:
        if incoming.request.target == b"/upload":
            incoming.send_head(200, [("Content-Length", "5")])
            incoming.send(b"early")
            incoming.end()
            uploaded.append(b"".join(incoming.pieces()))
        else:
            incoming.respond(b"second")

    uploaded: list[bytes] = []
    app.handler = handler
    with Client(proxy.port) as first, Client(proxy.port) as second:
        first.begin("POST", "/upload", [("Content-Length", "100000")])
        first.send(b"half")
        assert first.read_head().status == 200
        assert second.request("GET", "/second").body == b"second"
    assert uploaded == []


@pytest.mark.parametrize(
    ("begin", "rest"),
    [
        (b"Content-Length: 100\r\n\r\nhalf", b""),
        (b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", b""),
        (b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", b"0\r\n"),
        (b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", b"nonsense\r\n\r\n"),
    ],
)
def test_a_response_that_is_cut_short_breaks_the_client_connection(
    app: Upstream, client: Client, begin: bytes, rest: bytes
) -> None:
    """It never ends as if it were complete."""

    def handler(incoming: Incoming) -> None:
        incoming.send_raw(b"HTTP/1.1 200 OK\r\n" + begin)
        begun.wait(TIMEOUT)  # an error that comes together with the head is answered with 502
        incoming.send_raw(rest)

    begun = threading.Event()
    app.handler = handler
    client.begin("GET", "/thing")
    client.end()
    assert client.read_head().status == 200
    begun.set()
    with pytest.raises(PeerClosedError):
        list(client.pieces())


@pytest.mark.parametrize("framing", [("Content-Length", str(MANY)), ("Transfer-Encoding", "chunked")])
def test_the_answer_of_an_app_that_closes_during_an_upload_is_passed_on(
    app: Upstream, proxy: Enforcer, framing: tuple[str, str]
) -> None:
    """Although a write fails before its answer is read: the rest of the upload is on its way when it closes."""

    def handler(incoming: Incoming) -> None:
        incoming.send_raw(b"HTTP/1.1 413 Too Much\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
        incoming.socket.close()  # it has not read the body, so this is a reset

    app.handler = handler
    for _ in range(10):
        with Client(proxy.port) as client:
            client.begin("POST", "/upload", [framing])
            with suppress(OSError):
                for _ in range(200):
                    client.send(PIECE)
            response = client.read_response()
            assert (response.status, response.body) == (413, b"big")
