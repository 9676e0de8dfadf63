"""Upgrades: a tunnel if client, app and enforcer agree, an ordinary request otherwise."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pytest
from harness.clients import Client
from harness.configs import TOKEN, config
from harness.http2 import Http2Client
from harness.processes import Enforcer, enforcer
from harness.servers import Server
from harness.tunnels import SWITCHING_PROTOCOLS, UPGRADE_REQUEST, flood, read, read_all, read_until
from harness.upstreams import Incoming, Upstream, upstream
from harness.usage import open_descriptors, peak_memory
from harness.waiting import TIMEOUT, eventually, let_pass
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def websocket_proxy(authorization_server: Server) -> Iterator[Enforcer]:
    """An enforcer in front of a `websockets` server that echoes."""

    def echo(connection: ServerConnection) -> None:
        connection.send("welcome")
        for message in connection:
            connection.send(message)

    with serve(echo, "127.0.0.1", 0, max_size=2**22) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.socket.getsockname()[1]
        with enforcer(config(f"http://127.0.0.1:{port}", authorization_server.port)) as process:
            yield process
        server.shutdown()
        thread.join()


def test_websocket_messages_pass_both_ways(websocket_proxy: Enforcer) -> None:
    """Messages of any size pass both ways, and so does the closing handshake."""
    url = f"ws://localhost:{websocket_proxy.port}/socket"
    with connect(url, additional_headers=AUTHORIZED, max_size=2**22, proxy=None) as websocket:
        assert websocket.recv() == "welcome"
        for message in ("hello", b"\x00\xff" * 1_000_000, ""):
            websocket.send(message)
            assert websocket.recv() == message
    assert websocket.close_code == 1000


class StreamSocket:
    """A WebSocket on a stream of HTTP/2: the frames of one library in those of another."""

    def __init__(self, client: Http2Client, number: int) -> None:
        self._client = client
        self._number = number
        self._unsent = b""
        self.frames = Protocol(Side.CLIENT, max_size=2**22)
        self.received: list[bytes] = []

    def has_received(self, messages: Sequence[bytes]) -> bool:
        """Move bytes between stream and frames; return whether these messages have come, and the app's close frame."""
        client, number, frames = self._client, self._number, self.frames
        frames.receive_data(client.bodies.pop(number, b""))
        came = [event for event in frames.events_received() if isinstance(event, Frame)]
        self.received += [bytes(frame.data) for frame in came if frame.opcode is not Opcode.CLOSE]
        if self.received == messages and frames.close_sent is None:
            frames.send_close(1000)
        self._unsent += b"".join(frames.data_to_send())
        while size := min(client.machine.local_flow_control_window(number), 16_384, len(self._unsent)):
            client.machine.send_data(number, self._unsent[:size])
            self._unsent = self._unsent[size:]
        return frames.close_rcvd is not None


def test_websocket_messages_pass_over_http2(websocket_proxy: Enforcer) -> None:
    """RFC 8441: a real app does not notice, and an HTTP/2 connection carries several, and requests beside them."""
    token = ("authorization", f"Bearer {TOKEN}")
    client = Http2Client()
    with socket.create_connection(("127.0.0.1", websocket_proxy.port), TIMEOUT) as connection:

        def until(happened: Callable[[], bool]) -> None:
            while not happened():
                connection.sendall(client.take())
                client.receive(connection.recv(65_536))

        until(lambda: client.machine.remote_settings.enable_connect_protocol == 1)
        refused, *numbers = (client.connect("/socket", *fields) for fields in ([], [token], [token]))
        until(lambda: len(client.statuses) == 3)
        assert client.statuses == {refused: 401, **dict.fromkeys(numbers, 200)}
        messages = [b"welcome", b"hello", b"\x00\xff" * 1_000_000]
        for number in numbers:
            stream = StreamSocket(client, number)
            stream.frames.send_text(messages[1])
            stream.frames.send_binary(messages[2])
            until(partial(stream.has_received, messages))
            assert stream.frames.close_rcvd is not None
            assert (stream.received, stream.frames.close_rcvd.code) == (messages, 1000)


@pytest.mark.parametrize(("fields", "status"), [({}, 401), ({"Authorization": "Bearer other-token"}, 403)])
def test_a_websocket_that_no_token_allows_is_refused(
    websocket_proxy: Enforcer, fields: dict[str, str], status: int
) -> None:
    """The handshake is authorized as any request."""
    with pytest.raises(InvalidStatus) as refusal:
        connect(f"ws://localhost:{websocket_proxy.port}/socket", additional_headers=fields, proxy=None)
    assert refusal.value.response.status_code == status
    assert "WWW-Authenticate" in refusal.value.response.headers


def test_bytes_right_after_the_handshake_pass_both_ways(app: Upstream, client: Client) -> None:
    """Bytes in one packet with either head are the first of the tunnel."""

    def handler(incoming: Incoming) -> None:
        incoming.send_raw(SWITCHING_PROTOCOLS + b"first from the app")
        received = bytes(incoming.wire.trailing_data[0])
        incoming.send_raw(b", got: " + received + read(incoming.socket, len(first) - len(received)))

    first = b"first from the client"
    app.handler = handler
    client.socket.sendall(UPGRADE_REQUEST + first)
    head, _, rest = read_until(client.socket, b"client").partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 101 Switching Protocols",
        b"X-Accept: 2",
        b"Connection: Upgrade",
        b"Upgrade: websocket",
    ]
    assert rest == b"first from the app, got: first from the client"


def test_bytes_after_a_pipelined_handshake_belong_to_the_tunnel(app: Upstream, client: Client) -> None:
    """Also if another request precedes the upgrade."""
    first = b"first from the client"

    def handler(incoming: Incoming) -> None:
        if incoming.request.target == b"/before":
            incoming.respond(b"before")
            return
        incoming.send_raw(SWITCHING_PROTOCOLS)
        received = bytes(incoming.wire.trailing_data[0])
        incoming.send_raw(b"got: " + received + read(incoming.socket, len(first) - len(received)))

    app.handler = handler
    client.socket.sendall(b"GET /before HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer good-token\r\n\r\n")
    client.socket.sendall(UPGRADE_REQUEST + first)
    assert read_until(client.socket, b"client").endswith(b"\r\n\r\ngot: first from the client")


def test_the_app_gets_the_request_for_an_upgrade(app: Upstream, client: Client) -> None:
    """The enforcer writes Connection and Upgrade itself, with the same meaning."""
    app.handler = lambda incoming: incoming.send_raw(SWITCHING_PROTOCOLS)
    client.socket.sendall(UPGRADE_REQUEST)
    assert read_until(client.socket, b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
    fields = app.requests[0].headers
    assert [value for name, value in fields if name in (b"connection", b"upgrade")] == [b"websocket", b"Upgrade"]


def test_an_upgrade_that_the_app_refuses_has_an_ordinary_response(app: Upstream, client: Client) -> None:
    """The refusal is forwarded, and the connection continues with whatever the client sent next."""
    app.handler = lambda incoming: incoming.respond(incoming.request.target, 426, [("Upgrade", "websocket")])
    upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket")]
    response = client.request("GET", "/socket", upgrade)
    assert (response.status, response.body) == (426, b"/socket")
    assert (response.values("Upgrade"), response.values("Connection")) == ([b"websocket"], [b"upgrade"])
    assert client.request("GET", "/next").body == b"/next"
    client.socket.sendall(UPGRADE_REQUEST + UPGRADE_REQUEST.replace(b"/socket", b"/behind"))
    assert read_until(client.socket, b"/behind").count(b"HTTP/1.1 426 ") == 2


@pytest.mark.parametrize("body", [None, b"body"])
def test_an_upgrade_to_h2c_is_an_ordinary_request(app: Upstream, client: Client, body: bytes | None) -> None:
    """Its fields are removed, because requests inside the h2c connection would bypass authorization."""
    app.handler = lambda incoming: incoming.respond(incoming.body())
    fields = [
        ("Connection", "Upgrade, HTTP2-Settings"),
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", "AAMAAABkAAQAoAAAAAIAAAAA"),
    ]
    for _ in range(2):
        response = client.request("POST", "/thing", fields, body)
        assert (response.status, response.body) == (200, body or b"")
    names = {name for name, _ in app.requests[-1].headers}
    assert names & {b"connection", b"upgrade", b"http2-settings"} == set()


def test_an_upgrade_with_a_chunked_body_is_an_ordinary_request(app: Upstream, client: Client) -> None:
    """The body belongs to the request, and the next request begins after it."""
    app.handler = lambda incoming: incoming.respond(incoming.body())
    client.socket.sendall(
        UPGRADE_REQUEST.replace(b"GET", b"POST").replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n")
        + b"4\r\nbody\r\n0\r\n\r\n"
        + UPGRADE_REQUEST.replace(b"Upgrade: websocket\r\n", b"").replace(b"/socket", b"/behind")
    )
    assert eventually(lambda: len(app.requests) == 2)
    assert [request.target for request in app.requests] == [b"/socket", b"/behind"]
    first, _, second = read_until(client.socket, b"Content-Length: 0\r\n\r\n").partition(b"body")
    assert [part[:13] for part in (first, second)] == [b"HTTP/1.1 200 "] * 2


@pytest.mark.parametrize("fields", [[], [("Connection", "Upgrade"), ("Upgrade", "h2c")]])
def test_a_101_without_an_upgrade_request_is_an_upstream_error(
    app: Upstream, client: Client, fields: list[tuple[str, str]]
) -> None:
    """No connection becomes a tunnel without an authorized upgrade request."""
    app.handler = lambda incoming: incoming.send_raw(SWITCHING_PROTOCOLS)
    assert client.request("GET", "/thing", fields).status == 502


def test_a_101_without_a_protocol_is_an_upstream_error(app: Upstream, client: Client) -> None:
    """A 101 response must name the protocol."""
    app.handler = lambda incoming: incoming.send_raw(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
    assert client.request("GET", "/thing", [("Connection", "Upgrade"), ("Upgrade", "websocket")]).status == 502


def test_either_end_of_a_tunnel_may_stop_sending_first(app: Upstream, proxy: Enforcer) -> None:
    """The other end may still send; both connections close when both have stopped."""

    def handler(incoming: Incoming) -> None:
        incoming.send_raw(SWITCHING_PROTOCOLS)
        received.append(read_all(incoming.socket))
        incoming.send_raw(b"final bytes")
        incoming.socket.shutdown(socket.SHUT_WR)
        assert over.wait(TIMEOUT)

    received: list[bytes] = []
    over = threading.Event()
    app.handler = handler
    app.disconnect()
    with Client(proxy.port) as client:
        client.socket.sendall(UPGRADE_REQUEST)
        read_until(client.socket, b"\r\n\r\n")
        before = open_descriptors(proxy.process.pid)
        client.socket.sendall(b"question")
        client.socket.shutdown(socket.SHUT_WR)
        assert read_all(client.socket) == b"final bytes"
        assert received == [b"question"]
        assert eventually(lambda: open_descriptors(proxy.process.pid) <= before - 2)
        over.set()


@pytest.mark.parametrize("leaver", ["client", "app"])
def test_a_tunnel_ends_for_both_when_one_leaves(app: Upstream, client: Client, leaver: str) -> None:
    """The last bytes of the side that leaves still arrive."""

    def handler(incoming: Incoming) -> None:
        incoming.send_raw(SWITCHING_PROTOCOLS)
        if leaver == "app":
            incoming.send_raw(b"bye")
            incoming.socket.close()
        else:
            received.append(read_all(incoming.socket))

    received: list[bytes] = []
    app.handler = handler
    client.socket.sendall(UPGRADE_REQUEST)
    head = read_until(client.socket, b"\r\n\r\n")
    if leaver == "app":
        assert (head + read_all(client.socket)).endswith(b"\r\n\r\nbye")
    else:
        client.socket.sendall(b"bye")
        client.socket.close()
        assert eventually(lambda: received == [b"bye"])


@pytest.fixture(scope="module")
def short_lived(authorization_server: Server) -> Iterator[tuple[Enforcer, Upstream]]:
    """An enforcer whose tunnels may be idle for one second."""
    timeouts = {"tunnel": "1s"}
    with upstream() as app, enforcer(config(app.url, authorization_server.port, timeouts=timeouts)) as process:
        yield process, app


def test_an_idle_tunnel_is_cut(short_lived: tuple[Enforcer, Upstream]) -> None:
    """Bytes in either direction extend it; an idle time of `timeouts.tunnel` ends it on both sides."""
    process, app = short_lived
    ended = threading.Event()

    def handler(incoming: Incoming) -> None:
        incoming.send_raw(SWITCHING_PROTOCOLS)
        for _ in range(4):
            incoming.send_raw(read(incoming.socket, 1))
        if incoming.wait_for_close():
            ended.set()

    app.handler = handler
    with Client(process.port) as client:
        client.socket.sendall(UPGRADE_REQUEST)
        read_until(client.socket, b"\r\n\r\n")
        for _ in range(4):
            let_pass(0.3)  # four pauses are longer than the limit, one is much shorter
            client.socket.sendall(b".")
            assert client.socket.recv(1) == b"."
        assert client.closed()
        assert ended.wait(TIMEOUT)


@pytest.mark.parametrize("reader", ["client", "app"])
def test_the_idle_limit_applies_to_a_tunnel_with_a_blocked_reader(
    short_lived: tuple[Enforcer, Upstream], reader: str
) -> None:
    """If one end sends and the other does not read, the time limit still closes both connections."""
    process, app = short_lived

    def handler(incoming: Incoming) -> None:
        incoming.send_raw(SWITCHING_PROTOCOLS)
        assert ready.wait(TIMEOUT)
        if reader == "client":
            flood(incoming.socket)
        assert over.wait(TIMEOUT)

    ready, over = threading.Event(), threading.Event()
    app.handler = handler
    app.disconnect()
    with Client(process.port, receive_buffer=65536) as client:
        client.socket.sendall(UPGRADE_REQUEST)
        read_until(client.socket, b"\r\n\r\n")
        before = open_descriptors(process.process.pid)
        ready.set()
        if reader == "app":
            flood(client.socket)
        assert eventually(lambda: open_descriptors(process.process.pid) <= before - 2)
    over.set()


def test_many_upgrade_requests_in_one_read_are_parsed_in_linear_time(authorization_server: Server) -> None:
    """The parser pauses after each; the rest is neither copied for each request nor parsed recursively."""
    request = b"GET /any HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
    count = 4000
    with enforcer(config("http://127.0.0.1:9", authorization_server.port)) as process:
        before = peak_memory(process.process.pid)
        with socket.create_connection(("127.0.0.1", process.port), timeout=60) as client:
            os.kill(process.process.pid, signal.SIGSTOP)  # so that it reads everything at once
            client.sendall(request * count)
            os.kill(process.process.pid, signal.SIGCONT)
            responses = b""
            while responses.count(b"HTTP/1.1 401 ") < count:
                data = client.recv(1 << 20)
                assert data, responses.count(b"HTTP/1.1 401 ")
                responses += data
        assert peak_memory(process.process.pid) - before < 48 << 20
        assert not [line for line in process.lines if "ERROR" in line]
