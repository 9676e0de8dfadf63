"""Each limit: what is within it passes, one more is refused, and the refusal can be read."""

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
from harness.waiting import eventually

LIMITS = {
    "head": "4KiB",
    "fields": 20,
    "target": "1KiB",
    "token": "512B",
    "body": "64KiB",
}
OWN = 2  # fields that the client always sends


@pytest.fixture(scope="module")
def tight(shared_app: Upstream, authorization_server: Server) -> Iterator[Enforcer]:
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
        ("/thing", [(f"X-{number}", "") for number in range(20 - OWN)], 200),
        ("/thing", [(f"X-{number}", "") for number in range(21 - OWN)], 431),
        ("/thing", [("TE", "trailers")] * 21, 431),
    ],
)
def test_a_head_beyond_a_limit_is_refused(
    app: Upstream, tight: Enforcer, target: str, headers: Headers, status: int
) -> None:
    """Target, fields and size are bounded, and the client reads why, even one that is still sending."""
    with Client(tight.port) as client:
        answer = client.request("GET", target, headers)
        assert answer.status == status
        assert answer.values("Connection") == ([] if status == 200 else [b"close"])
    assert len(app.requests) == (status == 200)


@pytest.mark.parametrize(("size", "status"), [(512, 401), (513, 431)])
def test_a_token_beyond_its_limit_is_refused_before_anybody_is_asked(
    tight: Enforcer, authorization_server: Server, size: int, status: int
) -> None:
    """Nothing is computed from it."""
    before = len(authorization_server.requests)
    with Client(tight.port, token="t" * size) as client:
        assert client.request("GET", "/thing").status == status
    assert len(authorization_server.requests) - before == (status == 401)


@pytest.mark.parametrize(("size", "status"), [(65_536, 200), (65_537, 413), (50_000_000, 413)])
def test_a_body_that_is_declared_too_large_is_refused(app: Upstream, tight: Enforcer, size: int, status: int) -> None:
    """Content-Length is believed where it is too large; nothing reaches the app, and the client can read that."""
    with Client(tight.port) as client:
        writer = threading.Thread(target=_write, args=(client, size, [("Content-Length", str(size))]))
        writer.start()
        assert client.read_response().status == status
        writer.join(10)
    assert len(app.requests) == (status == 200)


@pytest.mark.parametrize(("size", "status"), [(65_536, 200), (65_537, 413), (50_000_000, 413)])
def test_a_body_that_grows_too_large_is_cut(app: Upstream, tight: Enforcer, size: int, status: int) -> None:
    """Chunks are counted as they come; the app sees that the body is not whole, the client a refusal."""
    whole, cut = threading.Event(), threading.Event()

    def handler(incoming: Incoming) -> None:
        try:
            incoming.respond(str(len(incoming.body())).encode())
            whole.set()
        except PeerClosedError:
            cut.set()

    app.handler = handler
    with Client(tight.port) as client:
        writer = threading.Thread(target=_write, args=(client, size, [("Transfer-Encoding", "chunked")]))
        writer.start()
        assert client.read_response().status == status
        writer.join(10)
    if status == 200:
        assert whole.wait(10)
    else:
        arrived = any(request.target == b"/%d" % size for request in app.requests)
        assert not arrived or cut.wait(10)


def _write(client: Client, size: int, headers: Headers) -> None:
    try:
        client.begin("POST", f"/{size}", headers)
        for sent in range(0, size, 1 << 16):
            client.send(b"x" * min(1 << 16, size - sent))
        client.end()
    except OSError:
        return  # the refusal came first


def test_a_pipelined_body_that_grows_too_large_is_refused_in_its_turn(app: Upstream, tight: Enforcer) -> None:
    """The answer before it is not disturbed, and it is refused once."""
    go_on = threading.Event()

    def handler(incoming: Incoming) -> None:
        assert go_on.wait(10)
        incoming.respond(b"first")

    app.handler = handler
    head = b" /%b HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer good-token\r\n"
    chunk = b"c000\r\n" + b"x" * 0xC000 + b"\r\n"
    with Client(tight.port) as client:
        client.socket.sendall(b"GET" + head % b"first" + b"\r\n")
        assert eventually(lambda: len(app.requests) == 1)
        upload = b"POST" + head % b"upload" + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 2
        client.socket.sendall(upload)
        go_on.set()
        answers = read_all(client.socket)
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"413"]
    assert [request.target for request in app.requests] in ([b"/first"], [b"/first", b"/upload"])


def test_a_refused_upload_can_read_its_refusal(app: Upstream, tight: Enforcer) -> None:
    """The client is still sending when it is refused; a reset would destroy the answer before it is read."""
    with Client(tight.port, token=None) as client:
        writer = threading.Thread(target=_write, args=(client, 50_000_000, [("Content-Length", "50000000")]))
        writer.start()
        writer.join(10)
        assert client.read_response().status in (401, 413)
    assert app.requests == []


@pytest.fixture
def few(app: Upstream, authorization_server: Server) -> Iterator[Enforcer]:
    """An enforcer that has three client connections at most."""
    with enforcer(config(app.url, authorization_server.port, limits={"connections": 3})) as process:
        yield process


def test_a_connection_beyond_the_limit_is_refused_at_once(app: Upstream, few: Enforcer) -> None:
    """503 before a byte of a request, and room again when another has left."""
    clients = [Client(few.port) for _ in range(3)]
    assert [client.request("GET", "/thing").status for client in clients] == [200] * 3
    with socket.create_connection(("127.0.0.1", few.port), 10) as refused:
        head = read_all(refused).partition(b"\r\n\r\n")[0].split(b"\r\n")
        assert (head[0], b"Retry-After: 1" in head) == (b"HTTP/1.1 503 Service Unavailable", True)
    with Client(few.port) as refused_too:
        answer = refused_too.request("GET", "/thing")
        assert (answer.status, answer.values("Connection")) == (503, [b"close"])
    clients.pop().close()
    assert eventually(lambda: metric(few, "enforcer_connections") == 2)
    with Client(few.port) as client:
        assert client.request("GET", "/thing").status == 200
    for client in clients:
        client.close()


class Crowd:
    """An app that answers nobody until told to, and counts how many it has at once."""

    def __init__(self, app: Upstream) -> None:
        self._lock = threading.Lock()
        self._go_on = threading.Event()
        self.now = self.most = 0
        app.handler = self

    def __call__(self, incoming: Incoming) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        assert self._go_on.wait(20)
        with self._lock:
            self.now -= 1
        incoming.respond()

    def disperse(self) -> None:
        """Answer all."""
        self._go_on.set()


@pytest.fixture(scope="module")
def narrow(shared_app: Upstream, authorization_server: Server) -> Iterator[Enforcer]:
    """An enforcer with two connections to the app, and two places to wait for one, for at most a second."""
    pool = {"connections": 2, "queue": 2, "queue_timeout": "1s"}
    settings = {"url": shared_app.url, "pool": pool}
    with enforcer(config(shared_app.url, authorization_server.port, upstream=settings)) as process:
        yield process


def _ask(process: Enforcer, count: int) -> list[Client]:
    """Send a request on each of so many connections."""
    clients = [Client(process.port) for _ in range(count)]
    for client in clients:
        client.begin("GET", "/thing")
        client.end()
    return clients


def _answered(clients: list[Client]) -> list[socket.socket]:
    return select.select([client.socket for client in clients], [], [], 0)[0]


def test_connections_to_the_app_are_bounded_and_so_is_the_queue(app: Upstream, narrow: Enforcer) -> None:
    """Two are with the app, two wait, and the others are told 503 at once; who waits too long is told so too."""
    crowd = Crowd(app)
    clients = _ask(narrow, 7)
    assert eventually(lambda: len(_answered(clients)) == 5)
    crowd.disperse()
    answers = [client.read_response() for client in clients]
    assert sorted(answer.status for answer in answers) == [200] * 2 + [503] * 5
    assert {tuple(answer.values("Retry-After")) for answer in answers if answer.status == 503} == {(b"1",)}
    assert (crowd.most, len(app.requests)) == (2, 2)
    assert [client.request("GET", "/again").status for client in clients] == [200] * 7
    for client in clients:
        client.close()


def test_who_waits_is_answered_when_a_connection_is_free(app: Upstream, narrow: Enforcer) -> None:
    """More than there are connections, and no more than may wait: all are answered, two at a time."""
    crowd = Crowd(app)
    clients = _ask(narrow, 4)
    assert eventually(lambda: crowd.now == 2)
    crowd.disperse()
    assert [client.read_response().status for client in clients] == [200] * 4
    assert (crowd.most, len(app.requests)) == (2, 4)
    for client in clients:
        client.close()
