"""A client that closes its connection ends all work that was done for its request."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from harness.clients import Client
from harness.configs import config
from harness.processes import Enforcer, enforcer
from harness.servers import Server, raw_server, response
from harness.upstreams import Incoming, Upstream
from harness.usage import metric
from harness.waiting import TIMEOUT, eventually


class CloseRecorder:
    """A handler that records when its request arrived, and when the enforcer closed the connection."""

    def __init__(self, begin: bytes = b"") -> None:
        self.arrived = threading.Event()
        self.ended = threading.Event()
        self._begin = begin

    def __call__(self, incoming: Incoming) -> None:
        if self._begin:
            incoming.send_raw(self._begin)
        self.arrived.set()
        if incoming.wait_for_close():
            self.ended.set()


@pytest.mark.parametrize("half", [False, True])
def test_a_client_that_leaves_while_the_app_works_ends_the_work(app: Upstream, proxy: Enforcer, half: bool) -> None:
    """The upstream connection closes, whether the client closes its connection or only its sending side."""
    app.handler = recorder = CloseRecorder()
    with Client(proxy.port) as client:
        client.begin("GET", "/slow")
        client.end()
        assert recorder.arrived.wait(TIMEOUT)
        if half:
            client.socket.shutdown(socket.SHUT_WR)
        else:
            client.close()
        assert recorder.ended.wait(TIMEOUT)


def test_a_client_that_leaves_during_the_response_ends_it(app: Upstream, proxy: Enforcer) -> None:
    """The upstream connection closes in the middle of a stream."""
    app.handler = recorder = CloseRecorder(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
    with Client(proxy.port) as client:
        client.begin("GET", "/stream")
        client.end()
        assert client.read_head().status == 200
    assert recorder.ended.wait(TIMEOUT)


def test_a_client_that_leaves_during_its_upload_ends_it(app: Upstream, proxy: Enforcer) -> None:
    """The app sees that the body is incomplete."""
    app.handler = recorder = CloseRecorder()
    with Client(proxy.port) as client:
        client.begin("PUT", "/upload", [("Content-Length", "1000")])
        client.send(b"half")
        assert recorder.arrived.wait(TIMEOUT)
    assert recorder.ended.wait(TIMEOUT)


def test_a_client_that_leaves_during_the_introspection_never_reaches_the_app(app: Upstream) -> None:
    """The introspection completes, because other requests may wait for it, but the request is not forwarded."""
    introspected, go_on = threading.Event(), threading.Event()

    def introspect(head: bytes, body: bytes) -> bytes:
        introspected.set()
        assert go_on.wait(TIMEOUT)
        return response(b'{"active": true, "scope": "read"}')

    with raw_server(introspect) as server, enforcer(config(app.url, server.port)) as process:
        with Client(process.port) as client:
            client.begin("GET", "/left")
            client.end()
            assert introspected.wait(TIMEOUT)
        assert eventually(lambda: metric(process, "enforcer_connections") == 0)
        go_on.set()
        with Client(process.port) as client:
            assert client.request("GET", "/stayed").status == 200
    assert [request.target for request in app.requests] == [b"/stayed"]
    assert len(server.lookups) == 1


@pytest.fixture
def narrow(app: Upstream, authorization_server: Server) -> Iterator[Enforcer]:
    """An enforcer with one upstream connection."""
    settings = {"url": app.url, "pool": {"connections": 1}}
    with enforcer(config(app.url, authorization_server.port, upstream=settings)) as process:
        yield process


def test_a_client_that_leaves_the_queue_never_reaches_the_app(app: Upstream, narrow: Enforcer) -> None:
    """A client that leaves while it waits for an upstream connection gives up its place."""
    go_on = threading.Event()

    def handler(incoming: Incoming) -> None:
        assert go_on.wait(TIMEOUT)
        incoming.respond()

    app.handler = handler
    with Client(narrow.port) as first:
        first.begin("GET", "/first")
        first.end()
        assert eventually(lambda: len(app.requests) == 1)
        with Client(narrow.port) as second:
            second.begin("GET", "/left")
            second.end()
            assert eventually(lambda: metric(narrow, "enforcer_requests_in_flight") == 2)
        assert eventually(lambda: metric(narrow, "enforcer_connections") == 1)
        go_on.set()
        assert first.read_response().status == 200
        assert first.request("GET", "/third").status == 200
    assert [request.target for request in app.requests] == [b"/first", b"/third"]
