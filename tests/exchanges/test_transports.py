"""Transports: TLS on either side, and a Unix socket to the app."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from harness.certificates import Authority
from harness.clients import Client
from harness.configs import config
from harness.processes import Enforcer, enforcer
from harness.servers import Server
from harness.tunnels import SWITCHING_PROTOCOLS, UPGRADE_REQUEST, read, read_until
from harness.upstreams import Incoming, PeerClosedError, Upstream, upstream
from harness.usage import metric, open_descriptors, resident_memory
from harness.waiting import TIMEOUT, eventually

LARGE = bytes(range(256)) * 8192
FEW = 4


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An untrusted authority that issues the same names."""
    return Authority(tmp_path_factory.mktemp("strange-certificates"))


@pytest.fixture(scope="module")
def secure(authority: Authority, authorization_server: Server) -> Iterator[tuple[Enforcer, Upstream]]:
    """TLS on both sides, with a client certificate towards the app."""
    context = authority.server_context("app.example", require_client_certificate=True)
    server_names: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: server_names.append(name)
    certificate, key = authority.issue("enforcer")
    listener, listener_key = authority.issue("localhost")
    with upstream(tls=context) as app:
        app.server_names = server_names
        tls = {"ca": str(authority.ca), "server_name": "app.example", "certificate": str(certificate), "key": str(key)}
        text = config(
            app.url,
            authorization_server.port,
            listener={"tls": {"certificate": str(listener), "key": str(listener_key)}},
            upstream={"url": app.url, "tls": tls},
        )
        with enforcer(text) as process:
            yield process, app


@pytest.fixture
def client(secure: tuple[Enforcer, Upstream], authority: Authority) -> Iterator[Client]:
    process, app = secure
    app.requests.clear()
    app.handler = Incoming.respond
    with Client(process.port, tls=authority.client_context()) as connection:
        yield connection


def test_messages_pass_through_tls_on_both_sides(secure: tuple[Enforcer, Upstream], client: Client) -> None:
    """Large bodies both ways on persistent connections; the app gets X-Forwarded-Proto and its own server name."""
    _, app = secure
    app.handler = lambda incoming: incoming.respond(incoming.body())
    for _ in range(3):
        response = client.request("POST", "/echo", body=LARGE)
        assert (response.status, response.body) == (200, LARGE)
    assert [value for name, value in app.requests[0].headers if name == b"x-forwarded-proto"] == [b"https"]
    assert (app.connections, app.server_names) == (1, ["app.example"])


def test_flow_control_works_through_tls(secure: tuple[Enforcer, Upstream], client: Client) -> None:
    """A stream in both directions at once arrives complete."""
    _, app = secure

    def handler(incoming: Incoming) -> None:
        incoming.send_head()
        for piece in incoming.pieces():
            incoming.send(piece)
        incoming.end()

    app.handler = handler
    client.begin("POST", "/echo", [("Transfer-Encoding", "chunked")])
    client.send(LARGE)
    client.end()
    assert client.read_response().body == LARGE


def test_a_tunnel_passes_through_tls(secure: tuple[Enforcer, Upstream], client: Client) -> None:
    """Bytes right after the handshake, and the end, arrive on both sides."""
    _, app = secure
    over = threading.Event()

    def handler(incoming: Incoming) -> None:
        incoming.send_raw(SWITCHING_PROTOCOLS + b"first")
        incoming.send_raw(read(incoming.socket, 4))
        if incoming.wait_for_close():
            over.set()

    app.handler = handler
    client.socket.sendall(UPGRADE_REQUEST)
    assert read_until(client.socket, b"first").startswith(b"HTTP/1.1 101 ")
    client.socket.sendall(b"echo")
    assert read(client.socket, 4) == b"echo"
    client.close()
    assert over.wait(TIMEOUT)


def test_a_refusal_passes_through_tls(secure: tuple[Enforcer, Upstream], authority: Authority) -> None:
    """The client can read its refusal while it is still sending."""
    process, _ = secure
    with Client(process.port, token=None, tls=authority.client_context()) as client:
        client.begin("POST", "/upload", [("Content-Length", "10000000")])
        response = client.read_response()
        assert (response.status, response.values("Connection")) == (401, [b"close"])


def test_a_response_cut_short_is_seen_through_tls(secure: tuple[Enforcer, Upstream], client: Client) -> None:
    """It does not end as if it were complete."""
    _, app = secure
    app.handler = lambda incoming: incoming.send_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    client.begin("GET", "/thing")
    client.end()
    with pytest.raises((PeerClosedError, ssl.SSLError)):
        client.read_response()


def test_a_client_that_leaves_is_seen_through_tls(secure: tuple[Enforcer, Upstream], client: Client) -> None:
    """The upstream connection closes."""
    _, app = secure
    ended: list[bool] = []
    app.handler = lambda incoming: ended.append(incoming.wait_for_close())
    client.begin("GET", "/slow")
    client.end()
    assert eventually(lambda: len(app.requests) == 1)
    client.close()
    assert eventually(lambda: ended == [True])


def test_plain_text_on_a_tls_port_is_not_a_request(secure: tuple[Enforcer, Upstream]) -> None:
    """The connection is closed without a response, and nothing reaches the app."""
    process, app = secure
    before = len(app.requests)
    with socket.create_connection(("127.0.0.1", process.port), TIMEOUT) as plain:
        plain.sendall(b"GET /thing HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer good-token\r\n\r\n")
        with suppress(ConnectionError):
            assert b"HTTP/1.1" not in plain.recv(1000)
    assert len(app.requests) == before


@contextmanager
def tls_enforcer(
    authority: Authority, authorization_server: Server, app: Upstream, client_ca: Path | None = None, **changes: Any
) -> Iterator[Enforcer]:
    """Run an enforcer whose listener speaks TLS."""
    certificate, key = authority.issue("localhost")
    tls = {"certificate": str(certificate), "key": str(key)}
    if client_ca is not None:
        tls["client_ca"] = str(client_ca)
    with enforcer(config(app.url, authorization_server.port, listener={"tls": tls}, **changes)) as process:
        yield process


def client_hello() -> bytes:
    """Return the first bytes of a client's handshake."""
    outgoing = ssl.MemoryBIO()
    handshake = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with suppress(ssl.SSLWantReadError):
        handshake.do_handshake()
    return outgoing.read()


def begin_handshake(port: int, first: bytes = b"") -> socket.socket:
    """Connect, and send only the beginning of a handshake."""
    connection = socket.create_connection(("127.0.0.1", port), TIMEOUT)
    connection.sendall(first)
    return connection


def ended(connection: socket.socket) -> bool:
    """Return whether the enforcer closes the connection without sending a byte."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize("part", ["nothing", "half", "all"])
def test_an_unfinished_handshake_counts_as_a_connection(
    authority: Authority, authorization_server: Server, app: Upstream, part: str
) -> None:
    """It counts towards the limit; one more is dropped before it costs anything, and there is room after one closes."""
    first = {"nothing": b"", "half": client_hello()[:100], "all": client_hello()}[part]
    with ExitStack() as stack:
        process = stack.enter_context(
            tls_enforcer(authority, authorization_server, app, limits={"connections": FEW, "client_share": "100%"})
        )
        connections = [stack.enter_context(begin_handshake(process.port, first)) for _ in range(FEW)]
        assert eventually(lambda: metric(process, "enforcer_connections") == FEW)
        assert ended(stack.enter_context(begin_handshake(process.port)))
        connections.pop().close()
        assert eventually(lambda: metric(process, "enforcer_connections") == FEW - 1)
        with Client(process.port, tls=authority.client_context()) as client:
            assert client.request("GET", "/thing").status == 200
            assert ended(stack.enter_context(begin_handshake(process.port)))


def test_a_handshake_that_stalls_is_cut(authority: Authority, authorization_server: Server, app: Upstream) -> None:
    """Also if it sends a byte at a time; other clients are served meanwhile, and nothing is raised."""
    with tls_enforcer(authority, authorization_server, app, timeouts={"handshake": "1s"}) as process:
        first = client_hello()
        silent, dripping = begin_handshake(process.port), begin_handshake(process.port, first[:1])
        with Client(process.port, tls=authority.client_context()) as client, silent, dripping:
            assert client.request("GET", "/thing").status == 200
            dripped = 1
            with suppress(ConnectionError):
                while dripped < len(first) and not select.select([dripping], [], [], 0.05)[0]:
                    dripping.sendall(first[dripped : dripped + 1])
                    dripped += 1
            assert dripped < len(first)
            assert ended(silent)
            assert client.request("GET", "/thing").status == 200
        assert eventually(lambda: metric(process, "enforcer_connections") == 0)
        assert "Traceback" not in process.log()


def test_a_flood_of_handshakes_takes_no_memory(
    authority: Authority, authorization_server: Server, app: Upstream
) -> None:
    """Memory and descriptors are bounded by the limit on connections, however many handshakes begin."""
    first = client_hello()
    with ExitStack() as stack:
        process = stack.enter_context(
            tls_enforcer(authority, authorization_server, app, limits={"connections": FEW, "client_share": "100%"})
        )
        for _ in range(FEW):
            stack.enter_context(begin_handshake(process.port, first))
        assert eventually(lambda: metric(process, "enforcer_connections") == FEW)
        pid = process.process.pid
        before = resident_memory(pid), open_descriptors(pid)
        for _ in range(1000):
            with suppress(ConnectionError), begin_handshake(process.port, first) as refused:
                assert ended(refused)
        assert resident_memory(pid) - before[0] < 2 * 1024**2
        assert eventually(lambda: open_descriptors(pid) <= before[1])


def test_a_handshake_does_not_delay_the_stop(authority: Authority, authorization_server: Server, app: Upstream) -> None:
    """It has no request yet, so that it ends at once when the server stops."""
    with (
        tls_enforcer(authority, authorization_server, app) as process,
        begin_handshake(process.port, client_hello()[:100]) as unfinished,
    ):
        assert eventually(lambda: metric(process, "enforcer_connections") == 1)
        assert process.stop() == 0
        assert ended(unfinished)
        assert "Traceback" not in process.log()


def test_a_client_without_a_valid_certificate_is_not_served(
    authority: Authority, stranger: Authority, authorization_server: Server, app: Upstream
) -> None:
    """With `client_ca`, only clients with a certificate of this authority are served."""
    with tls_enforcer(authority, authorization_server, app, client_ca=authority.ca) as process:
        for issuer in (None, stranger, authority):
            context = authority.client_context()
            if issuer is not None:
                context.load_cert_chain(*issuer.issue("client"))
            if issuer is authority:
                with Client(process.port, tls=context) as client:
                    assert client.request("GET", "/thing").status == 200
            else:
                # In TLS 1.3 the client learns of the refusal only with its first read.
                with pytest.raises((PeerClosedError, OSError)), Client(process.port, tls=context) as client:
                    client.request("GET", "/thing")
        assert len(app.requests) == 1
        assert "Traceback" not in process.log()


@pytest.mark.parametrize("wrong", ["authority", "name", "no certificate of ours"])
def test_an_untrusted_app_gets_nothing(
    authority: Authority, stranger: Authority, authorization_server: Server, wrong: str
) -> None:
    """502, and not a byte of the request: wrong authority, wrong name, or an app that refuses us."""
    issuer = stranger if wrong == "authority" else authority
    name = "other.example" if wrong == "name" else "app.example"
    context = issuer.server_context(name, require_client_certificate=wrong.startswith("no"))
    tls: dict[str, Any] = {"ca": str(authority.ca), "server_name": "app.example"}
    with ExitStack() as stack:
        app = stack.enter_context(upstream(tls=context))
        text = config(app.url, authorization_server.port, upstream={"url": app.url, "tls": tls})
        client = stack.enter_context(Client(stack.enter_context(enforcer(text)).port))
        assert client.request("GET", "/thing").status == 502
        assert client.request("POST", "/thing", body=b"body").status == 502
        assert app.requests == []


def test_an_app_behind_a_unix_socket_is_reached(tmp_path: Path, authorization_server: Server) -> None:
    """Bodies both ways on one persistent connection; 502 after the socket is gone."""
    path = tmp_path / "app.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with (
            upstream(lambda incoming: incoming.respond(incoming.body()), listener) as app,
            enforcer(config(f"unix:{path}", authorization_server.port)) as process,
            Client(process.port) as client,
        ):
            for _ in range(3):
                assert client.request("POST", "/echo", body=LARGE).body == LARGE
            assert app.connections == 1
            app.disconnect()
            path.unlink()
            assert client.request("GET", "/thing").status == 502
