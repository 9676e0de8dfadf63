"""Each limit: a request within it passes, one beyond it is refused, and the client can read the refusal."""

from __future__ import annotations

import re
import select
import socket
import threading
from collections.abc import Iterator

import pytest
from harness.clients import Client
from harness.configs import config
from harness.processes import Enforcer, enforcer
from harness.servers import Server
from harness.tunnels import read_all
from harness.upstreams import Headers, Incoming, PeerClosedError, Upstream
from harness.usage import metric
from harness.waiting import TIMEOUT, eventually

LIMITS = {"head": "4KiB", "fields": 20, "target": "1KiB", "token": "512B", "body": "64KiB"}
OWN_FIELDS = 2  # Host and Authorization, which the client always sends


@pytest.fixture(scope="module")
def strict(shared_app: Upstream, authorization_server: Server) -> Iterator[Enforcer]:
    """An enforcer with small limits."""
    with enforcer(config(shared_app.url, authorization_server.port, limits=LIMITS)) as process:
        yield process


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        ("/" + "a" * 1023, [], 200),
        ("/" + "a" * 1024, [], 414),
        ("/" + "a" * 100_000, [], 414),
        ("/thing?" + "a" * 1024, [], 414),
        ("/thing", [("X-Large", "a" * 3900)], 200),
        ("/thing", [("X-Large", "a" * 4096)], 431),
        ("/thing", [("X-Large", "a" * 1_000_000)], 431),
        ("/thing", [(f"X-{number}", "a" * 400) for number in range(12)], 431),
        ("/thing", [(f"X-{number}", "") for number in range(20 - OWN_FIELDS)], 200),
        ("/thing", [(f"X-{number}", "") for number in range(21 - OWN_FIELDS)], 431),
        ("/thing", [("TE", "trailers")] * 21, 431),
    ],
)
def test_a_head_beyond_a_limit_is_refused(
    app: Upstream, strict: Enforcer, target: str, headers: Headers, status: int
) -> None:
    """Target, fields and size are limited; the client can read the refusal even if it is still sending."""
    with Client(strict.port) as client:
        response = client.request("GET", target, headers)
        assert response.status == status
        assert response.values("Connection") == ([] if status == 200 else [b"close"])
    assert len(app.requests) == (status == 200)


@pytest.mark.parametrize(("size", "status"), [(512, 401), (513, 431)])
def test_a_token_beyond_its_limit_is_refused_without_introspection(
    strict: Enforcer, authorization_server: Server, size: int, status: int
) -> None:
    """It is neither hashed nor introspected."""
    before = len(authorization_server.requests)
    with Client(strict.port, token="t" * size) as client:
        assert client.request("GET", "/thing").status == status
    assert len(authorization_server.requests) - before == (status == 401)


@pytest.mark.parametrize(("size", "status"), [(65_536, 200), (65_537, 413), (50_000_000, 413)])
def test_a_body_that_is_declared_too_large_is_refused(app: Upstream, strict: Enforcer, size: int, status: int) -> None:
    """By its Content-Length: nothing reaches the app, and the client can read the refusal."""
    with Client(strict.port) as client:
        writer = threading.Thread(target=_write, args=(client, size, [("Content-Length", str(size))]))
        writer.start()
        assert client.read_response().status == status
        writer.join(TIMEOUT)
    assert len(app.requests) == (status == 200)


@pytest.mark.parametrize(("size", "status"), [(65_536, 200), (65_537, 413), (50_000_000, 413)])
def test_a_body_that_grows_too_large_is_cut(app: Upstream, strict: Enforcer, size: int, status: int) -> None:
    """Chunks are counted as they arrive; the app sees an incomplete body, the client a refusal."""
    whole, cut = threading.Event(), threading.Event()

    def handler(incoming: Incoming) -> None:
        try:
            incoming.respond(str(len(incoming.body())).encode())
            whole.set()
        except PeerClosedError:
            cut.set()

    app.handler = handler
    with Client(strict.port) as client:
        writer = threading.Thread(target=_write, args=(client, size, [("Transfer-Encoding", "chunked")]))
        writer.start()
        assert client.read_response().status == status
        writer.join(TIMEOUT)
    if status == 200:
        assert whole.wait(TIMEOUT)
    else:
        arrived = any(request.target == b"/%d" % size for request in app.requests)
        assert not arrived or cut.wait(TIMEOUT)


def _write(client: Client, size: int, headers: Headers) -> None:
    try:
        client.begin("POST", f"/{size}", headers)
        for sent in range(0, size, 1 << 16):
            client.send(b"x" * min(1 << 16, size - sent))
        client.end()
    except OSError:
        return  # refused before the end


def test_a_pipelined_body_that_grows_too_large_is_refused_in_its_turn(app: Upstream, strict: Enforcer) -> None:
    """The response before it is complete, and there is one refusal."""
    go_on = threading.Event()

    def handler(incoming: Incoming) -> None:
        assert go_on.wait(TIMEOUT)
        incoming.respond(b"first")

    app.handler = handler
    head = b" /%b HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer good-token\r\n"
    chunk = b"c000\r\n" + b"x" * 0xC000 + b"\r\n"
    with Client(strict.port) as client:
        client.socket.sendall(b"GET" + head % b"first" + b"\r\n")
        assert eventually(lambda: len(app.requests) == 1)
        upload = b"POST" + head % b"upload" + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 2
        client.socket.sendall(upload)
        go_on.set()
        responses = read_all(client.socket)
    assert re.findall(rb"HTTP/1.1 (\d+)", responses) == [b"200", b"413"]
    assert [request.target for request in app.requests] in ([b"/first"], [b"/first", b"/upload"])


def test_a_refused_upload_can_read_its_refusal(app: Upstream, strict: Enforcer) -> None:
    """The client is still sending when it is refused; a reset would discard the response before it is read."""
    with Client(strict.port, token=None) as client:
        writer = threading.Thread(target=_write, args=(client, 50_000_000, [("Content-Length", "50000000")]))
        writer.start()
        writer.join(TIMEOUT)
        assert client.read_response().status in (401, 413)
    # A request of the test before may still arrive: the app is shared.
    assert [request for request in app.requests if request.target == b"/50000000"] == []


@pytest.fixture
def limited(app: Upstream, authorization_server: Server) -> Iterator[Enforcer]:
    """An enforcer that accepts three client connections."""
    with enforcer(
        config(app.url, authorization_server.port, limits={"connections": 3, "client_share": "100%"})
    ) as process:
        yield process


def test_a_connection_beyond_the_limit_is_refused_at_once(app: Upstream, limited: Enforcer) -> None:
    """503 before the first byte of a request; there is room again after another connection closes."""
    clients = [Client(limited.port) for _ in range(3)]
    assert [client.request("GET", "/thing").status for client in clients] == [200] * 3
    with socket.create_connection(("127.0.0.1", limited.port), TIMEOUT) as refused:
        head = read_all(refused).partition(b"\r\n\r\n")[0].split(b"\r\n")
        assert (head[0], b"Retry-After: 1" in head) == (b"HTTP/1.1 503 Service Unavailable", True)
    with Client(limited.port) as refused_too:
        response = refused_too.request("GET", "/thing")
        assert (response.status, response.values("Connection")) == (503, [b"close"])
    clients.pop().close()
    assert eventually(lambda: metric(limited, "enforcer_connections") == 2)
    with Client(limited.port) as client:
        assert client.request("GET", "/thing").status == 200
    for client in clients:
        client.close()


class HeldRequests:
    """A handler that holds all requests until `respond`, and counts how many it holds at once."""

    def __init__(self, app: Upstream) -> None:
        self._lock = threading.Lock()
        self._go_on = threading.Event()
        self.current = self.peak = 0
        app.handler = self

    def __call__(self, incoming: Incoming) -> None:
        with self._lock:
            self.current += 1
            self.peak = max(self.peak, self.current)
        assert self._go_on.wait(TIMEOUT)
        with self._lock:
            self.current -= 1
        incoming.respond()

    def respond(self) -> None:
        """Respond to all requests, and to later ones at once."""
        self._go_on.set()


@pytest.fixture(scope="module")
def narrow(shared_app: Upstream, authorization_server: Server) -> Iterator[Enforcer]:
    """An enforcer with two upstream connections, and a queue of two that wait for at most two seconds."""
    pool = {"connections": 2, "queue": 2, "queue_timeout": "2s"}
    settings = {"url": shared_app.url, "pool": pool}
    with enforcer(config(shared_app.url, authorization_server.port, upstream=settings)) as process:
        yield process


def _send(process: Enforcer, count: int) -> list[Client]:
    """Send a request on each of `count` new connections."""
    clients = [Client(process.port) for _ in range(count)]
    for client in clients:
        client.begin("GET", "/thing")
        client.end()
    return clients


def _readable(clients: list[Client]) -> list[socket.socket]:
    return select.select([client.socket for client in clients], [], [], 0)[0]


def test_connections_to_the_app_are_bounded_and_so_is_the_queue(app: Upstream, narrow: Enforcer) -> None:
    """Two reach the app, two wait until their timeout, and the other three get 503 at once."""
    app_load = HeldRequests(app)
    clients = _send(narrow, 7)
    assert eventually(lambda: len(_readable(clients)) == 5)
    app_load.respond()
    responses = [client.read_response() for client in clients]
    assert sorted(response.status for response in responses) == [200] * 2 + [503] * 5
    assert {tuple(response.values("Retry-After")) for response in responses if response.status == 503} == {(b"1",)}
    assert (app_load.peak, len(app.requests)) == (2, 2)
    assert [client.request("GET", "/again").status for client in clients] == [200] * 7
    for client in clients:
        client.close()


def test_a_queued_request_is_forwarded_when_a_connection_is_free(app: Upstream, narrow: Enforcer) -> None:
    """Requests in the queue are forwarded as connections become free, two at a time."""
    app_load = HeldRequests(app)
    clients = _send(narrow, 4)
    assert eventually(lambda: app_load.current == 2)
    app_load.respond()
    assert [client.read_response().status for client in clients] == [200] * 4
    assert (app_load.peak, len(app.requests)) == (2, 4)
    for client in clients:
        client.close()
