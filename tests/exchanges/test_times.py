"""Each time limit: who is too slow is cut or told so, and who is merely slow is not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from harness.clients import Client
from harness.configs import config
from harness.processes import Enforcer, enforcer
from harness.servers import Server
from harness.tunnels import flood, read_all, read_until
from harness.upstreams import Incoming, PeerClosedError, Upstream
from harness.usage import metric
from harness.waiting import eventually

SHORT = "300ms"
PAUSE = 0.1
HEAD = b" /thing HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer good-token\r\n"
ASK = b"GET" + HEAD + b"\r\n"


@pytest.fixture(scope="module")
def hurried(shared_app: Upstream, authorization_server: Server) -> Iterator[Enforcer]:
    """An enforcer that gives clients 300 ms for everything, and the app a little more than a second."""
    times = dict.fromkeys(("head", "body", "keep_alive", "linger"), SHORT)
    pool = {"response_timeout": "1200ms", "idle_timeout": SHORT, "keep_alive_timeout": SHORT}
    text = config(
        shared_app.url,
        authorization_server.port,
        timeouts=times,
        upstream={"url": shared_app.url, "pool": pool},
    )
    with enforcer(text) as process:
        yield process


def _drip(connection: socket.socket, data: bytes, pause: float = PAUSE) -> bool:
    """Send a byte now and then; tell whether the other side says something, or closes, before all is sent."""
    for at in range(len(data)):
        with suppress(ConnectionError):
            connection.sendall(data[at : at + 1])
        connection.settimeout(pause)
        try:
            connection.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            continue
        except ConnectionError:
            return True
        finally:
            connection.settimeout(10)
        return True
    return False


# The client


def test_a_client_that_says_nothing_is_closed(hurried: Enforcer) -> None:
    """After `timeouts.head`, without an answer: there was no request."""
    with Client(hurried.port) as client:
        assert client.closed()


def test_a_client_that_drips_its_head_is_cut(app: Upstream, hurried: Enforcer) -> None:
    """Each byte comes soon enough, and the head does not: 408."""
    with Client(hurried.port) as client:
        client.socket.sendall(ASK[:5])
        assert _drip(client.socket, ASK[5:])
        assert read_all(client.socket).startswith(b"HTTP/1.1 408 ")
    assert app.requests == []


def test_a_client_that_drips_its_second_head_is_cut(app: Upstream, hurried: Enforcer) -> None:
    """A kept connection gives no more time than a new one."""
    with Client(hurried.port) as client:
        assert client.request("GET", "/first").status == 200
        client.socket.sendall(ASK[:5])
        assert _drip(client.socket, ASK[5:])
        assert read_all(client.socket).startswith(b"HTTP/1.1 408 ")
    assert [request.target for request in app.requests] == [b"/first"]


def test_a_client_that_drips_blank_lines_is_closed(hurried: Enforcer) -> None:
    """What may stand before a request line is no request line."""
    with Client(hurried.port) as client:
        assert _drip(client.socket, b"\r\n" * 100)
        assert client.closed()


@pytest.mark.parametrize("framing", [b"Content-Length: 100000", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize("drips", [True, False])
def test_a_client_that_stalls_in_its_body_is_cut(app: Upstream, hurried: Enforcer, framing: bytes, drips: bool) -> None:
    """Be it that it sends nothing, or a byte now and then: 408, and the app sees that the body is not whole."""
    cut = threading.Event()

    def handler(incoming: Incoming) -> None:
        try:
            incoming.body()
        except PeerClosedError:
            cut.set()

    app.handler = handler
    with Client(hurried.port) as client:
        client.socket.sendall(b"POST" + HEAD + framing + b"\r\n\r\n4\r\nbody\r\n")
        if drips:
            assert _drip(client.socket, b"1\r\nx\r\n" * 50)
        assert read_all(client.socket).startswith(b"HTTP/1.1 408 ")
    assert cut.wait(10)


def test_a_slow_but_steady_upload_is_not_cut(app: Upstream, hurried: Enforcer) -> None:
    """It may take longer than every single time: the app's clock starts with the last byte."""
    app.handler = lambda incoming: incoming.respond(str(len(incoming.body())).encode())
    pause = threading.Event()
    with Client(hurried.port) as client:
        client.begin("POST", "/upload", [("Content-Length", "12000")])
        for _ in range(12):
            client.send(b"x" * 1000)
            pause.wait(0.13)
        client.end()
        answer = client.read_response()
        assert (answer.status, answer.body) == (200, b"12000")


def test_an_app_may_take_longer_than_the_clients_pauses(app: Upstream, hurried: Enforcer) -> None:
    """Once the body is there, the client's time for it has no say."""

    def handler(incoming: Incoming) -> None:
        body = incoming.body()
        threading.Event().wait(0.7)
        incoming.respond(body)

    app.handler = handler
    with Client(hurried.port) as client:
        client.begin("POST", "/slow", [("Content-Length", "8")])
        client.send(b"half")
        assert eventually(lambda: len(app.requests) == 1)
        client.send(b"half")
        client.end()
        answer = client.read_response()
        assert (answer.status, answer.body) == (200, b"halfhalf")


EXPECT = [("Content-Length", "4"), ("Expect", "100-continue")]


def test_a_client_that_waits_for_100_is_not_slow(app: Upstream, hurried: Enforcer) -> None:
    """It sends nothing because the app has not asked yet: the app's time runs, and not the client's."""

    def handler(incoming: Incoming) -> None:
        threading.Event().wait(0.7)
        incoming.send_interim(100)
        incoming.respond(incoming.body())

    app.handler = handler
    with Client(hurried.port) as client:
        client.begin("PUT", "/thing", EXPECT)
        assert client.read_interim().status_code == 100
        client.send(b"body")
        client.end()
        assert client.read_response().body == b"body"


def test_an_app_that_never_asks_for_the_body_is_a_504(app: Upstream, hurried: Enforcer) -> None:
    """It is not the client that is slow."""
    app.handler = lambda incoming: incoming.wait_for_close() and None
    with Client(hurried.port) as client:
        client.begin("PUT", "/thing", EXPECT)
        assert client.read_response().status == 504


def test_a_client_that_was_asked_for_its_body_and_sends_none_is_cut(app: Upstream, hurried: Enforcer) -> None:
    """After 100, the client's time runs."""
    app.handler = lambda incoming: (incoming.send_interim(100), incoming.wait_for_close())[0]
    with Client(hurried.port) as client:
        client.begin("PUT", "/thing", EXPECT)
        assert client.read_interim().status_code == 100
        assert client.read_response().status == 408


def test_a_client_that_expects_100_and_does_not_wait_is_not_slow(app: Upstream, hurried: Enforcer) -> None:
    """Its upload may take longer than the app's time to answer."""
    app.handler = lambda incoming: incoming.respond(incoming.body())
    pause = threading.Event()
    with Client(hurried.port) as client:
        head = HEAD + b"Expect: 100-continue\r\nContent-Length: 12000\r\n\r\n"
        client.socket.sendall(b"PUT" + head)
        for _ in range(12):
            client.socket.sendall(b"x" * 1000)
            pause.wait(0.13)
        answer = read_until(client.socket, b"x" * 12_000)
    assert answer.endswith(b"\r\n\r\n" + b"x" * 12_000)


def test_a_connection_without_a_request_is_closed(app: Upstream, hurried: Enforcer) -> None:
    """After `timeouts.keep_alive`, without a word."""
    with Client(hurried.port) as client:
        assert client.request("GET", "/thing").status == 200
        assert client.closed()


def test_a_connection_whose_answer_was_read_slowly_is_closed_too(app: Upstream, hurried: Enforcer) -> None:
    """The time between two requests runs, however the answer before was read."""
    app.handler = lambda incoming: incoming.respond(b"x" * 6_000_000)
    with Client(hurried.port, receive_buffer=65536) as client:
        client.begin("GET", "/thing")
        client.end()
        assert client.read_head().status == 200
        assert sum(map(len, client.pieces())) == 6_000_000
        assert client.closed()


@pytest.mark.parametrize("closing", [b"", b"Connection: close\r\n"])
@pytest.mark.parametrize("size", [6_000_000, 60_000_000])
def test_a_client_that_reads_nothing_is_cut(app: Upstream, hurried: Enforcer, closing: bytes, size: int) -> None:
    """Whether the app has more to send or not, and whatever the client asks for behind."""
    ended = threading.Event()

    def handler(incoming: Incoming) -> None:
        with suppress(OSError):
            incoming.respond(b"x" * size)
        ended.set()

    app.handler = handler
    with Client(hurried.port, receive_buffer=4096) as client:
        client.socket.sendall(b"GET" + HEAD + closing + b"\r\n")
        assert eventually(lambda: len(app.requests) == 1)
        with suppress(ConnectionError):
            client.socket.sendall(ASK)
        assert eventually(lambda: metric(hurried, "enforcer_connections") == 0)
        assert ended.wait(10)


def test_a_client_that_reads_slowly_is_not_cut(app: Upstream, hurried: Enforcer) -> None:
    """However long the answer takes, as long as some of it is read."""
    body = b"x" * 4_000_000
    app.handler = lambda incoming: incoming.respond(body)
    with Client(hurried.port, receive_buffer=4096) as client:
        client.socket.sendall(b"GET" + HEAD + b"\r\n")
        received = b""
        for _ in range(20):  # two seconds, of which 300 ms without a byte would be too many
            received += client.socket.recv(20_000)
            threading.Event().wait(PAUSE)
        while not received.endswith(body[-1:]) or len(received) < len(body):
            received += client.socket.recv(1_000_000)
    assert received.partition(b"\r\n\r\n")[2] == body


def test_a_client_that_goes_on_sending_after_its_refusal_is_cut(hurried: Enforcer) -> None:
    """It has `timeouts.linger` to read the refusal."""
    with Client(hurried.port, token=None) as client:
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


def test_an_app_that_does_not_answer_in_time_is_a_504(app: Upstream, hurried: Enforcer) -> None:
    """The app is let go, and the client's connection goes on."""
    ended: list[bool] = []
    app.handler = lambda incoming: ended.append(incoming.wait_for_close())
    with Client(hurried.port) as client:
        assert client.request("GET", "/slow").status == 504
        assert eventually(lambda: ended == [True])
        app.handler = Incoming.respond
        assert client.request("GET", "/fast").status == 200


def test_an_app_that_does_not_read_the_body_is_a_504(app: Upstream, hurried: Enforcer) -> None:
    """It is not the client that is slow."""
    go_on = threading.Event()
    app.handler = lambda incoming: go_on.wait(10) and None
    with Client(hurried.port) as client:
        client.begin("POST", "/upload", [("Content-Length", "100000000")])
        flood(client.socket)
        client.socket.settimeout(10)
        assert client.read_response().status == 504
    go_on.set()


@pytest.mark.parametrize("framing", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
def test_an_app_that_pauses_too_long_in_its_answer_breaks_it(app: Upstream, hurried: Enforcer, framing: bytes) -> None:
    """The client sees that the answer is not whole, and the app is let go."""
    ended: list[bool] = []

    def handler(incoming: Incoming) -> None:
        incoming.send_raw(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n4\r\nhalf\r\n" % framing)
        ended.append(incoming.wait_for_close())

    app.handler = handler
    with Client(hurried.port) as client:
        client.begin("GET", "/thing")
        client.end()
        with pytest.raises(PeerClosedError):
            client.read_response()
    assert eventually(lambda: ended == [True])


def test_a_connection_to_the_app_without_a_request_is_closed(app: Upstream, hurried: Enforcer) -> None:
    """After `upstream.pool.keep_alive_timeout`, and the next request opens another."""
    with Client(hurried.port) as client:
        assert client.request("GET", "/thing").status == 200
        assert app.open == 1
    assert eventually(lambda: app.open == 0)


@pytest.mark.parametrize(
    "answer",
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
def test_an_answer_that_cannot_be_read_is_a_502(app: Upstream, client: Client, answer: bytes) -> None:
    """Nothing of it is passed on, and the client's connection goes on."""
    app.handler = lambda incoming: incoming.send_raw(answer)
    refusal = client.request("GET", "/thing")
    assert (refusal.status, refusal.values("Content-Type")) == (502, [b"application/problem+json"])
    app.handler = Incoming.respond
    assert client.request("GET", "/thing").status == 200


def test_an_app_that_is_not_there_is_a_502(authorization_server: Server) -> None:
    """As soon as the connection is refused, and the client's own goes on."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        text = config(f"http://127.0.0.1:{nobody.getsockname()[1]}", authorization_server.port)
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
