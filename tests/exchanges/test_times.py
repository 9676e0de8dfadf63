"""Each time limit: a peer that exceeds it is cut or gets an error, and one that is only slow is not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from harness.clients import Client
from harness.configs import config
from harness.ports import closed_port
from harness.processes import Enforcer, enforcer
from harness.servers import Server
from harness.tunnels import flood, read_all, read_until
from harness.upstreams import Incoming, PeerClosedError, Upstream
from harness.usage import metric
from harness.waiting import TIMEOUT, eventually, let_pass

SHORT = "300ms"
PAUSE = 0.1  # seconds, shorter than every limit; a busy machine may stretch it to several times as long
HEAD = b" /thing HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer good-token\r\n"
REQUEST = b"GET" + HEAD + b"\r\n"


@pytest.fixture(scope="module")
def impatient(shared_app: Upstream, authorization_server: Server) -> Iterator[Enforcer]:
    """An enforcer with limits of 300 ms, for peers that exceed them."""
    timeouts = {**dict.fromkeys(("head", "body", "linger"), SHORT), "keep_alive": "1s"}
    pool = {"response_timeout": "1200ms", "idle_timeout": SHORT, "keep_alive_timeout": SHORT}
    yield from _enforcer(shared_app, authorization_server, timeouts, pool)


@pytest.fixture(scope="module")
def patient(shared_app: Upstream, authorization_server: Server) -> Iterator[Enforcer]:
    """An enforcer with limits of one second, for peers that are slow and stay within them, even on a busy machine."""
    timeouts = dict.fromkeys(("head", "body", "keep_alive", "linger"), "1s")
    pool = {"response_timeout": "3s", "idle_timeout": "1s", "keep_alive_timeout": "1s"}
    yield from _enforcer(shared_app, authorization_server, timeouts, pool)


def _enforcer(app: Upstream, server: Server, timeouts: dict[str, str], pool: dict[str, str]) -> Iterator[Enforcer]:
    with enforcer(config(app.url, server.port, timeouts=timeouts, upstream={"url": app.url, "pool": pool})) as process:
        yield process


def _drip(connection: socket.socket, data: bytes, pause: float = PAUSE) -> bool:
    """Send one byte per pause; return whether the enforcer responds or closes before the last one."""
    for index in range(len(data)):
        with suppress(ConnectionError):
            connection.sendall(data[index : index + 1])
        connection.settimeout(pause)
        try:
            connection.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            continue
        except ConnectionError:
            return True
        finally:
            connection.settimeout(TIMEOUT)
        return True
    return False


# The client


def _wait(incoming: Incoming) -> None:
    incoming.wait_for_close()


def test_a_client_that_sends_nothing_is_closed(impatient: Enforcer) -> None:
    """After `timeouts.head`, without a response: there was no request."""
    with Client(impatient.port) as client:
        assert client.closed()


def test_a_client_that_drips_its_head_is_cut(app: Upstream, impatient: Enforcer) -> None:
    """The limit covers the head, not the pause between two bytes: 408."""
    with Client(impatient.port) as client:
        client.socket.sendall(REQUEST[:5])
        assert _drip(client.socket, REQUEST[5:])
        assert read_all(client.socket).startswith(b"HTTP/1.1 408 ")
    assert app.requests == []


def test_a_client_that_drips_its_second_head_is_cut(app: Upstream, impatient: Enforcer) -> None:
    """A persistent connection has no more time for a head than a new one."""
    with Client(impatient.port) as client:
        assert client.request("GET", "/first").status == 200
        client.socket.sendall(REQUEST[:5])
        assert _drip(client.socket, REQUEST[5:])
        assert read_all(client.socket).startswith(b"HTTP/1.1 408 ")
    assert [request.target for request in app.requests] == [b"/first"]


def test_a_client_that_drips_blank_lines_is_closed(impatient: Enforcer) -> None:
    """Blank lines before a request line (RFC 9112 §2.2) do not extend the time for the head."""
    with Client(impatient.port) as client:
        assert _drip(client.socket, b"\r\n" * 100)
        assert client.closed()


@pytest.mark.parametrize("framing", [b"Content-Length: 100000", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize("drips", [True, False])
def test_a_client_that_stalls_in_its_body_is_cut(
    app: Upstream, impatient: Enforcer, framing: bytes, drips: bool
) -> None:
    """Sending nothing and one byte at a time have the same result: 408, and the app sees an incomplete body."""
    cut = threading.Event()

    def handler(incoming: Incoming) -> None:
        try:
            incoming.body()
        except PeerClosedError:
            cut.set()

    app.handler = handler
    with Client(impatient.port) as client:
        client.socket.sendall(b"POST" + HEAD + framing + b"\r\n\r\n4\r\nbody\r\n")
        if drips:
            assert _drip(client.socket, b"1\r\nx\r\n" * 50)
        assert read_all(client.socket).startswith(b"HTTP/1.1 408 ")
    assert cut.wait(TIMEOUT)


def test_a_slow_but_steady_upload_is_not_cut(app: Upstream, patient: Enforcer) -> None:
    """The upload may take longer than each limit: the app's response time starts after the last byte."""
    app.handler = lambda incoming: incoming.respond(str(len(incoming.body())).encode())
    with Client(patient.port) as client:
        client.begin("POST", "/upload", [("Content-Length", "12000")])
        for _ in range(12):
            client.send(b"x" * 1000)
            let_pass(0.13)
        client.end()
        response = client.read_response()
        assert (response.status, response.body) == (200, b"12000")


def test_an_app_may_take_longer_than_the_clients_pauses(app: Upstream, patient: Enforcer) -> None:
    """Once the body is complete, the client's body limit no longer applies."""

    def handler(incoming: Incoming) -> None:
        body = incoming.body()
        let_pass(1.3)
        incoming.respond(body)

    app.handler = handler
    with Client(patient.port) as client:
        client.begin("POST", "/slow", [("Content-Length", "8")])
        client.send(b"half")
        assert eventually(lambda: len(app.requests) == 1)
        client.send(b"half")
        client.end()
        response = client.read_response()
        assert (response.status, response.body) == (200, b"halfhalf")


EXPECT = [("Content-Length", "4"), ("Expect", "100-continue")]


def test_a_client_that_waits_for_100_is_not_slow(app: Upstream, patient: Enforcer) -> None:
    """While the client waits for 100 Continue, the app's limit applies, not the client's."""

    def handler(incoming: Incoming) -> None:
        let_pass(1.3)
        incoming.send_interim(100)
        incoming.respond(incoming.body())

    app.handler = handler
    with Client(patient.port) as client:
        client.begin("PUT", "/thing", EXPECT)
        assert client.read_interim().status_code == 100
        client.send(b"body")
        client.end()
        assert client.read_response().body == b"body"


def test_an_app_that_sends_no_100_is_a_504(app: Upstream, impatient: Enforcer) -> None:
    """The app is slow, not the client."""
    app.handler = _wait
    with Client(impatient.port) as client:
        client.begin("PUT", "/thing", EXPECT)
        assert client.read_response().status == 504


def test_a_client_that_sends_no_body_after_100_is_cut(app: Upstream, impatient: Enforcer) -> None:
    """After 100 Continue, the client's limit applies."""

    def handler(incoming: Incoming) -> None:
        incoming.send_interim(100)
        incoming.wait_for_close()

    app.handler = handler
    with Client(impatient.port) as client:
        client.begin("PUT", "/thing", EXPECT)
        assert client.read_interim().status_code == 100
        assert client.read_response().status == 408


def test_a_client_that_expects_100_and_does_not_wait_is_not_slow(app: Upstream, patient: Enforcer) -> None:
    """Its upload may take longer than the app's response time."""
    app.handler = lambda incoming: incoming.respond(incoming.body())
    with Client(patient.port) as client:
        head = HEAD + b"Expect: 100-continue\r\nContent-Length: 12000\r\n\r\n"
        client.socket.sendall(b"PUT" + head)
        for _ in range(12):
            client.socket.sendall(b"x" * 1000)
            let_pass(0.13)
        response = read_until(client.socket, b"x" * 12_000)
    assert response.endswith(b"\r\n\r\n" + b"x" * 12_000)


def test_a_connection_without_a_request_is_closed(app: Upstream, impatient: Enforcer) -> None:
    """After `timeouts.keep_alive`, without a response."""
    with Client(impatient.port) as client:
        assert client.request("GET", "/thing").status == 200
        assert client.closed()


def test_a_connection_whose_response_was_read_slowly_is_closed_too(app: Upstream, impatient: Enforcer) -> None:
    """`timeouts.keep_alive` applies however slowly the response before was read."""
    app.handler = lambda incoming: incoming.respond(b"x" * 6_000_000)
    with Client(impatient.port, receive_buffer=65536) as client:
        client.begin("GET", "/thing")
        client.end()
        assert client.read_head().status == 200
        assert sum(map(len, client.pieces())) == 6_000_000
        assert client.closed()


@pytest.mark.parametrize("closing", [b"", b"Connection: close\r\n"])
@pytest.mark.parametrize("size", [6_000_000, 60_000_000])
def test_a_client_that_reads_nothing_is_cut(app: Upstream, impatient: Enforcer, closing: bytes, size: int) -> None:
    """Even if the app has no more to send, and for any next request of the client."""
    ended = threading.Event()

    def handler(incoming: Incoming) -> None:
        with suppress(OSError):
            incoming.respond(b"x" * size)
        ended.set()

    app.handler = handler
    with Client(impatient.port, receive_buffer=4096) as client:
        client.socket.sendall(b"GET" + HEAD + closing + b"\r\n")
        assert eventually(lambda: len(app.requests) == 1)
        with suppress(ConnectionError):
            client.socket.sendall(REQUEST)
        assert eventually(lambda: metric(impatient, "enforcer_connections") == 0)
        assert ended.wait(TIMEOUT)


def test_a_client_that_reads_slowly_is_not_cut(app: Upstream, patient: Enforcer) -> None:
    """However long the response takes, as long as the client keeps reading."""
    body = b"x" * 4_000_000
    app.handler = lambda incoming: incoming.respond(body)
    with Client(patient.port, receive_buffer=4096) as client:
        client.socket.sendall(b"GET" + HEAD + b"\r\n")
        received = b""
        for _ in range(20):  # two seconds, of which one without a byte would be too many
            received += client.socket.recv(20_000)
            let_pass(PAUSE)
        while not received.endswith(body[-1:]) or len(received) < len(body):
            received += client.socket.recv(1_000_000)
    assert received.partition(b"\r\n\r\n")[2] == body


def test_a_client_that_goes_on_sending_after_its_refusal_is_cut(impatient: Enforcer) -> None:
    """It has `timeouts.linger` to read the refusal."""
    with Client(impatient.port, token=None) as client:
        client.begin("POST", "/upload", [("Content-Length", "1000000000")])
        assert client.read_response().status == 401
        assert eventually(lambda: _broken(client.socket))


def _broken(connection: socket.socket) -> bool:
    try:
        connection.sendall(b"x" * 1000)
    except ConnectionError:
        return True
    return False


# The app


def test_an_app_that_does_not_respond_in_time_is_a_504(app: Upstream, impatient: Enforcer) -> None:
    """The upstream connection is closed, and the client connection stays open."""
    ended: list[bool] = []
    app.handler = lambda incoming: ended.append(incoming.wait_for_close())
    with Client(impatient.port) as client:
        assert client.request("GET", "/slow").status == 504
        assert eventually(lambda: ended == [True])
        app.handler = Incoming.respond
        assert client.request("GET", "/fast").status == 200


def test_an_app_that_does_not_read_the_body_is_a_504(app: Upstream, impatient: Enforcer) -> None:
    """The app is slow, not the client."""
    go_on = threading.Event()

    def handler(incoming: Incoming) -> None:
        go_on.wait(TIMEOUT)

    app.handler = handler
    with Client(impatient.port) as client:
        client.begin("POST", "/upload", [("Content-Length", "100000000")])
        flood(client.socket)
        client.socket.settimeout(TIMEOUT)
        assert client.read_response().status == 504
    go_on.set()


@pytest.mark.parametrize("framing", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
def test_an_app_that_pauses_too_long_in_its_response_breaks_it(
    app: Upstream, impatient: Enforcer, framing: bytes
) -> None:
    """The client sees that the response is incomplete, and the upstream connection is closed."""
    ended: list[bool] = []

    def handler(incoming: Incoming) -> None:
        incoming.send_raw(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n4\r\nhalf\r\n" % framing)
        ended.append(incoming.wait_for_close())

    app.handler = handler
    with Client(impatient.port) as client:
        client.begin("GET", "/thing")
        client.end()
        with pytest.raises(PeerClosedError):
            client.read_response()
    assert eventually(lambda: ended == [True])


def test_a_connection_to_the_app_without_a_request_is_closed(app: Upstream, impatient: Enforcer) -> None:
    """After `upstream.pool.keep_alive_timeout`; the next request opens another."""
    with Client(impatient.port) as client:
        assert client.request("GET", "/thing").status == 200
        assert app.open == 1
    assert eventually(lambda: app.open == 0)


@pytest.mark.parametrize(
    "response",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 twohundred OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-Large: y\r\n" * 20_000,
        b"HTTP/1.1 200 OK\r\nX-Half",
        b"",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_a_response_that_cannot_be_parsed_is_a_502(app: Upstream, client: Client, response: bytes) -> None:
    """None of it is forwarded, and the client connection stays open."""
    app.handler = lambda incoming: incoming.send_raw(response)
    refusal = client.request("GET", "/thing")
    assert (refusal.status, refusal.values("Content-Type")) == (502, [b"application/problem+json"])
    app.handler = Incoming.respond
    assert client.request("GET", "/thing").status == 200


def test_an_unreachable_app_is_a_502(authorization_server: Server) -> None:
    """As soon as the connection is refused; the client connection stays open."""
    with closed_port() as port:
        text = config(f"http://127.0.0.1:{port}", authorization_server.port)
        with enforcer(text) as process, Client(process.port) as client:
            assert [client.request("GET", "/thing").status for _ in range(2)] == [502, 502]
            assert client.request("POST", "/thing", body=b"x" * 100_000).status == 502


def test_an_app_that_does_not_accept_in_time_is_a_504(authorization_server: Server) -> None:
    """After `upstream.pool.connect_timeout`."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.socket() as first, socket.socket() as second:
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        settings = {"url": url, "pool": {"connect_timeout": SHORT}}
        text = config(url, authorization_server.port, upstream=settings)
        with enforcer(text) as process, Client(process.port) as client:
            assert client.request("GET", "/thing").status == 504
