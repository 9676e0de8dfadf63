"""What carries the messages: TLS on either side, and a Unix socket to the app."""

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
from harness.waiting import eventually

LARGE = bytes(range(256)) * 8192
FEW = 4


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that nobody trusts, with the same names."""
    return Authority(tmp_path_factory.mktemp("strange-certificates"))


@pytest.fixture(scope="module")
def secure(authority: Authority, authorization_server: Server) -> Iterator[tuple[Enforcer, Upstream]]:
    """TLS on both sides, with a certificate of the enforcer's own towards the app."""
    context = authority.server_context("app.example", require_client_certificate=True)
    seen: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: seen.append(name)
    certificate, key = authority.issue("enforcer")
    front, front_key = authority.issue("localhost")
    with upstream(tls=context) as app:
        app.server_names = seen
        tls = {
            "ca": str(authority.ca),
            "server_name": "app.example",
            "certificate": str(certificate),
            "key": str(key),
        }
        text = config(
            app.url,
            authorization_server.port,
            listener={"tls": {"certificate": str(front), "key": str(front_key)}},
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
    """Large bodies both ways, connections kept; the app is told of https, and asked for by its name."""
    _, app = secure
    app.handler = lambda incoming: incoming.respond(incoming.body())
    for _ in range(3):
        answer = client.request("POST", "/echo", body=LARGE)
        assert (answer.status, answer.body) == (200, LARGE)
    assert [value for name, value in app.requests[0].headers if name == b"x-forwarded-proto"] == [b"https"]
    assert (app.connections, app.server_names) == (1, ["app.example"])


def test_back_pressure_passes_through_tls(secure: tuple[Enforcer, Upstream], client: Client) -> None:
    """A stream in both directions at once arrives whole."""
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
    """Bytes right behind the handshake, and its end, arrive on both sides."""
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
    assert over.wait(10)


def test_a_refusal_passes_through_tls(secure: tuple[Enforcer, Upstream], authority: Authority) -> None:
    """The client is still sending; it reads its refusal all the same."""
    process, _ = secure
    with Client(process.port, token=None, tls=authority.client_context()) as client:
        client.begin("POST", "/upload", [("Content-Length", "10000000")])
        answer = client.read_response()
        assert (answer.status, answer.values("Connection")) == (401, [b"close"])


def test_an_answer_cut_short_is_seen_through_tls(secure: tuple[Enforcer, Upstream], client: Client) -> None:
    """It does not end as if it were whole."""
    _, app = secure
    app.handler = lambda incoming: incoming.send_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    client.begin("GET", "/thing")
    client.end()
    with pytest.raises((PeerClosedError, ssl.SSLError)):
        client.read_response()


def test_a_client_that_leaves_is_seen_through_tls(secure: tuple[Enforcer, Upstream], client: Client) -> None:
    """The app's connection closes."""
    _, app = secure
    ended: list[bool] = []
    app.handler = lambda incoming: ended.append(incoming.wait_for_close())
    client.begin("GET", "/slow")
    client.end()
    assert eventually(lambda: len(app.requests) == 1)
    client.close()
    assert eventually(lambda: ended == [True])


def test_plain_text_on_a_tls_port_is_no_request(secure: tuple[Enforcer, Upstream]) -> None:
    """It is closed, and TLS is served on."""
    process, app = secure
    before = len(app.requests)
    with socket.create_connection(("127.0.0.1", process.port), 10) as plain:
        plain.sendall(b"GET /thing HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer good-token\r\n\r\n")
        with suppress(ConnectionError):
            assert b"HTTP/1.1" not in plain.recv(1000)
    assert len(app.requests) == before


@contextmanager
def tls_enforcer(
    authority: Authority, authorization_server: Server, app: Upstream, client_ca: Path | None = None, **changes: Any
) -> Iterator[Enforcer]:
    """An enforcer that its clients speak TLS with."""
    certificate, key = authority.issue("localhost")
    tls = {"certificate": str(certificate), "key": str(key)}
    if client_ca is not None:
        tls["client_ca"] = str(client_ca)
    with enforcer(config(app.url, authorization_server.port, listener={"tls": tls}, **changes)) as process:
        yield process


def hello() -> bytes:
    """Return what a client begins a handshake with."""
    outgoing = ssl.MemoryBIO()
    handshake = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with suppress(ssl.SSLWantReadError):
        handshake.do_handshake()
    return outgoing.read()


def begin(port: int, first: bytes = b"") -> socket.socket:
    """Connect, and send no more than the beginning of a handshake."""
    connection = socket.create_connection(("127.0.0.1", port), 10)
    connection.sendall(first)
    return connection


def ended(connection: socket.socket) -> bool:
    """Tell whether the enforcer closes the connection without a byte."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize("part", ["nothing", "half", "all"])
def test_a_handshake_that_is_not_over_is_a_connection(
    authority: Authority, authorization_server: Server, app: Upstream, part: str
) -> None:
    """Over the limit, one more is dropped before it costs anything; there is room again when one has left."""
    first = {"nothing": b"", "half": hello()[:100], "all": hello()}[part]
    with ExitStack() as stack:
        process = stack.enter_context(tls_enforcer(authority, authorization_server, app, limits={"connections": FEW}))
        begun = [stack.enter_context(begin(process.port, first)) for _ in range(FEW)]
        assert eventually(lambda: metric(process, "enforcer_connections") == FEW)
        assert ended(stack.enter_context(begin(process.port)))
        begun.pop().close()
        assert eventually(lambda: metric(process, "enforcer_connections") == FEW - 1)
        with Client(process.port, tls=authority.client_context()) as client:
            assert client.request("GET", "/thing").status == 200
            assert ended(stack.enter_context(begin(process.port)))


def test_a_handshake_that_stalls_is_cut(authority: Authority, authorization_server: Server, app: Upstream) -> None:
    """Whether it drips or says nothing; others are served meanwhile, and nothing is raised."""
    with tls_enforcer(authority, authorization_server, app, timeouts={"handshake": "300ms"}) as process:
        first = hello()
        silent, dripping = begin(process.port), begin(process.port, first[:1])
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
    """However many begin one, there is memory and there are descriptors for as many as are let in."""
    first = hello()
    with ExitStack() as stack:
        process = stack.enter_context(tls_enforcer(authority, authorization_server, app, limits={"connections": FEW}))
        for _ in range(FEW):
            stack.enter_context(begin(process.port, first))
        assert eventually(lambda: metric(process, "enforcer_connections") == FEW)
        pid = process.process.pid
        before = resident_memory(pid), open_descriptors(pid)
        for _ in range(1000):
            with suppress(ConnectionError), begin(process.port, first) as refused:
                assert ended(refused)
        assert resident_memory(pid) - before[0] < 2 * 1024**2
        assert eventually(lambda: open_descriptors(pid) <= before[1])


def test_a_handshake_holds_no_stop_up(authority: Authority, authorization_server: Server, app: Upstream) -> None:
    """No request was heard on it: it ends when the server stops, with nothing raised."""
    with tls_enforcer(authority, authorization_server, app) as process, begin(process.port, hello()[:100]) as begun:
        assert eventually(lambda: metric(process, "enforcer_connections") == 1)
        assert process.stop() == 0
        assert ended(begun)
        assert "Traceback" not in process.log()


def test_a_client_that_shows_no_good_certificate_is_not_heard(
    authority: Authority, stranger: Authority, authorization_server: Server, app: Upstream
) -> None:
    """Where `client_ca` is set; one that shows a certificate from there is."""
    with tls_enforcer(authority, authorization_server, app, client_ca=authority.ca) as process:
        for issuer in (None, stranger, authority):
            context = authority.client_context()
            if issuer is not None:
                context.load_cert_chain(*issuer.issue("client"))
            if issuer is authority:
                with Client(process.port, tls=context) as client:
                    assert client.request("GET", "/thing").status == 200
            else:
                # TLS 1.3 has no answer to a client's certificate: the refusal comes with the first read.
                with pytest.raises((PeerClosedError, OSError)), Client(process.port, tls=context) as client:
                    client.request("GET", "/thing")
        assert len(app.requests) == 1
        assert "Traceback" not in process.log()


@pytest.mark.parametrize("wrong", ["authority", "name", "no certificate of ours"])
def test_an_app_that_cannot_be_trusted_gets_nothing(
    authority: Authority, stranger: Authority, authorization_server: Server, wrong: str
) -> None:
    """502, and not a byte of the request: not when its authority or name is wrong, or it does not trust us."""
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
    """Bodies both ways on one kept connection; when the socket is gone, 502."""
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
