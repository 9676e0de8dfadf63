"""A new snapshot: requests that use it at once, those that end by their own, and those that are authorized again."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness.clients import Client
from harness.configs import RULES, TOKENS, authorization_server, config
from harness.in_process import InProcessProxy, in_process_proxy
from harness.playbook import Pipe, Playbook, play
from harness.servers import Server, introspection_server, read_response
from harness.tunnels import SWITCHING_PROTOCOLS, UPGRADE_REQUEST, read_until
from harness.upstreams import Incoming, PeerClosedError, Upstream, upstream
from harness.waiting import TIMEOUT, eventually

from enforcer.proxy.connection import ClientConnection
from enforcer.tokens.purge import Purge

NOBODY = [{"name": "all else", "path": "/**", "scopes": ["never"]}]
SOME = [*NOBODY, {"name": "kept", "path": "/kept/**", "scopes": ["read"]}]
REQUEST = b"GET /thing HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer good-token\r\n\r\n"


class Stack:
    """An app, an authorization server, and the configurations for a data plane between them."""

    def __init__(self, app: Upstream, server: Server) -> None:
        self.app = app
        self.server = server

    def text(self, rules: list[dict[str, Any]] = RULES, **changes: Any) -> str:
        """Write a configuration."""
        return config(self.app.url, self.server.port, rules=rules, **changes)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with upstream() as app, introspection_server(TOKENS) as server:
        yield Stack(app, server)


@pytest.fixture
def app(stack: Stack) -> Iterator[Upstream]:
    stack.app.requests.clear()
    yield stack.app
    stack.app.handler = Incoming.respond
    stack.app.disconnect()


@pytest.fixture
def running(stack: Stack, app: Upstream) -> Iterator[InProcessProxy]:
    with in_process_proxy(stack.text()) as running:
        yield running


class Gate:
    """With an app that waits until the test continues."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def wait(self) -> None:
        self.reached.set()
        assert self.opened.wait(TIMEOUT)


def status(client: Client) -> bytes:
    """Read the answer to raw bytes, and return its status."""
    return read_response(client.socket)[9:12]


def chain(app: Upstream) -> set[bytes]:
    """Return which fields told the app of the last request's client."""
    return {name for name, _ in app.requests[-1].headers} & {b"x-forwarded-for", b"forwarded"}


def stream(incoming: Incoming) -> None:
    """Send events until the client leaves."""
    incoming.send_head()
    while not incoming.wait_for_close(0.02):
        incoming.send(b"event\n")


def tunnel(incoming: Incoming) -> None:
    """Switch protocols, and send back one byte at a time until the client leaves."""
    incoming.send_raw(SWITCHING_PROTOCOLS)
    while byte := incoming.socket.recv(1):
        incoming.send_raw(byte)


def open_stream(port: int, target: str, token: str | None = "good-token") -> tuple[Client, Iterator[bytes]]:
    """Begin to read a stream."""
    client = Client(port, token=token)
    client.begin("GET", target)
    client.end()
    assert client.read_head().status == 200
    pieces = client.pieces()
    assert next(pieces).startswith(b"event\n")
    return client, pieces


def open_tunnel(port: int, target: bytes) -> Client:
    """Open a tunnel."""
    client = Client(port)
    client.socket.sendall(UPGRADE_REQUEST.replace(b"/socket", target))
    assert read_until(client.socket, b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
    return client


def test_the_deadlines_of_many_connections_are_checked_in_steps() -> None:
    """And streams are ended by a purge in steps. Requests are served in between."""

    async def script() -> None:
        playbook = Playbook(timeouts={"head": "1s"}, limits={"client_share": "100%"})
        registry = playbook.registry
        assert list(registry.revoke(Purge("token", "x"))) == []
        pipes = []
        for _ in range(1000):
            connection = ClientConnection(registry)
            pipes.append(Pipe(connection))
            connection.connection_made(pipes[-1])
        assert len(list(registry.revoke(Purge("token", "x")))) == 4
        later: list[Callable[[], None]] = []
        playbook.ticker.call_soon = later.append
        registry.tick(playbook.ticker.next + 2.0)
        closed = [sum(pipe.closed for pipe in pipes)]
        while later:
            later.pop()()
            closed.append(sum(pipe.closed for pipe in pipes))
        assert closed == [256, 512, 768, 1000]

    play(script())


def test_a_request_on_a_kept_connection_is_judged_by_the_new_rules(stack: Stack, running: InProcessProxy) -> None:
    """The very next one, on every connection, however many there are."""
    clients = [Client(running.port) for _ in range(250)]
    for rules, expected in ((RULES, 200), (NOBODY, 403), (RULES, 200)):
        running.swap(stack.text(rules))
        assert {client.request("GET", "/thing").status for client in clients} == {expected}
    for client in clients:
        client.close()


def test_a_request_on_a_kept_connection_is_forwarded_by_the_new_settings(
    stack: Stack, app: Upstream, running: InProcessProxy
) -> None:
    """Forwarding fields are written again."""
    with Client(running.port) as client:
        for kind, expected in (("x-forwarded", {b"x-forwarded-for"}), ("forwarded", {b"forwarded"}), ("none", set())):
            running.swap(stack.text(forwarding={"chain": kind}))
            for _ in range(2):
                assert client.request("GET", "/thing").status == 200
                assert chain(app) == expected


def test_a_request_whose_head_has_begun_keeps_its_rules_and_settings(
    stack: Stack, app: Upstream, running: InProcessProxy
) -> None:
    """The one behind it, on the same connection, has the new ones."""
    with Client(running.port) as client:
        client.socket.sendall(REQUEST[:40])
        assert eventually(lambda: any(not client.idle for client in running.registry.connections))
        running.swap(stack.text(NOBODY, forwarding={"chain": "forwarded"}))
        client.socket.sendall(REQUEST[40:])
        assert status(client) == b"200"
        assert chain(app) == {b"x-forwarded-for"}
        client.socket.sendall(REQUEST)
        assert status(client) == b"403"
        running.swap(stack.text(forwarding={"chain": "forwarded"}))
        client.socket.sendall(REQUEST)
        assert status(client) == b"200"
        assert chain(app) == {b"forwarded"}


def test_a_request_that_waits_for_its_answer_keeps_its_rules(
    stack: Stack, app: Upstream, running: InProcessProxy
) -> None:
    """A request that waits behind it on its connection is decided by the new rules."""
    gate = Gate()

    def handler(incoming: Incoming) -> None:
        gate.wait()
        incoming.respond()

    app.handler = handler
    with Client(running.port) as client:
        client.socket.sendall(REQUEST + REQUEST)
        assert gate.reached.wait(TIMEOUT)
        assert eventually(lambda: any(client.has_queued for client in running.registry.connections))  # type: ignore[attr-defined]
        running.swap(stack.text(NOBODY))
        gate.opened.set()
        received = read_until(client.socket, b"}")
        assert [answer[:3] for answer in received.split(b"HTTP/1.1 ")[1:]] == [b"200", b"403"]
        assert len(app.requests) == 1


def test_a_request_behind_a_stream_is_never_judged_by_removed_rules(stack: Stack, running: InProcessProxy) -> None:
    """If the forwarding settings changed as well, it cannot be forwarded by the new ones, and its connection ends."""
    gate = Gate()

    def handler(incoming: Incoming) -> None:
        gate.wait()
        incoming.respond()

    stack.app.handler = handler
    with Client(running.port) as client:
        client.socket.sendall(REQUEST + REQUEST)
        assert gate.reached.wait(TIMEOUT)
        assert eventually(lambda: any(client.has_queued for client in running.registry.connections))  # type: ignore[attr-defined]
        running.swap(stack.text(NOBODY, forwarding={"chain": "forwarded"}))
        gate.opened.set()
        received = read_until(client.socket, b"sent again")
        assert [response[:3] for response in received.split(b"HTTP/1.1 ")[1:]] == [b"200", b"503"]
        assert len(stack.app.requests) == 1


def test_a_stream_that_the_new_rules_deny_is_cut_and_others_go_on(
    stack: Stack, app: Upstream, running: InProcessProxy
) -> None:
    """It does not look as if it had ended, and the app is let go."""
    app.handler = stream
    denied, cut = open_stream(running.port, "/events")
    allowed, pieces = open_stream(running.port, "/kept/events")
    running.swap(stack.text(SOME))
    with pytest.raises(PeerClosedError):
        list(cut)
    assert eventually(lambda: app.open == 1)
    for _ in range(20):
        assert not next(pieces).replace(b"event\n", b"")
    assert running.telemetry.route("all else").ended_by_reload == 1
    running.swap(stack.text(NOBODY))
    with pytest.raises(PeerClosedError):
        list(pieces)
    denied.close()
    allowed.close()


def test_a_stream_that_begins_after_the_swap_is_cut_too(stack: Stack, app: Upstream, running: InProcessProxy) -> None:
    """Its request was forwarded before, and may be answered; a longer exchange is authorized again."""
    gate = Gate()

    def handler(incoming: Incoming) -> None:
        gate.wait()
        stream(incoming)

    app.handler = handler
    with Client(running.port) as client:
        client.begin("GET", "/events")
        client.end()
        assert gate.reached.wait(TIMEOUT)
        running.swap(stack.text(NOBODY))
        gate.opened.set()
        with pytest.raises(PeerClosedError):
            client.read_response()


def test_a_stream_ends_where_what_its_token_is_worth_is_not_known(
    stack: Stack, app: Upstream, running: InProcessProxy
) -> None:
    """A rule that let everybody pass, and now wants a token; one that now asks another authorization server."""
    app.handler = stream
    clients = [open_stream(running.port, "/public/events", None), open_stream(running.port, "/events")]
    other = authorization_server(stack.server.port, name="other")
    rules = [{"name": "all else", "path": "/**", "scopes": ["read"], "authorization_server": "other"}]
    running.swap(stack.text(rules, authorization_servers=[authorization_server(stack.server.port), other]))
    for client, pieces in clients:
        with pytest.raises(PeerClosedError):
            list(pieces)
        client.close()


def test_an_upload_that_the_new_rules_deny_is_refused_and_others_go_on(
    stack: Stack, app: Upstream, running: InProcessProxy
) -> None:
    """The client gets a refusal, and its connection is closed."""
    read = threading.Semaphore(0)

    def handler(incoming: Incoming) -> None:
        for _ in incoming.pieces():
            read.release()
        incoming.respond()

    app.handler = handler
    with Client(running.port) as denied, Client(running.port) as allowed:
        for client, target in ((denied, "/thing"), (allowed, "/kept/thing")):
            client.begin("POST", target, [("Transfer-Encoding", "chunked")])
            client.send(b"piece")
            assert read.acquire(timeout=TIMEOUT)
        running.swap(stack.text(SOME))
        assert denied.read_response().status == 403
        assert denied.closed()
        allowed.send(b"piece")
        allowed.end()
        assert allowed.read_response().status == 200


def test_a_tunnel_that_the_new_rules_deny_is_cut_and_others_go_on(
    stack: Stack, app: Upstream, running: InProcessProxy
) -> None:
    """Both its sides end."""
    app.handler = tunnel
    with open_tunnel(running.port, b"/socket") as denied, open_tunnel(running.port, b"/kept/socket") as allowed:
        running.swap(stack.text(SOME))
        assert denied.closed()
        assert eventually(lambda: app.open == 1)
        allowed.socket.sendall(b"x")
        assert allowed.socket.recv(1) == b"x"


def test_a_tunnel_that_opens_after_the_swap_is_judged_again(
    stack: Stack, app: Upstream, running: InProcessProxy
) -> None:
    """Its request was forwarded before, and only that was allowed."""
    gate = Gate()

    def handler(incoming: Incoming) -> None:
        gate.wait()
        tunnel(incoming)

    app.handler = handler
    with Client(running.port) as client:
        client.socket.sendall(UPGRADE_REQUEST)
        assert gate.reached.wait(TIMEOUT)
        running.swap(stack.text(NOBODY))
        gate.opened.set()
        assert eventually(lambda: app.open == 0)


def test_no_snapshot_outlives_what_is_judged_by_it(stack: Stack, app: Upstream, running: InProcessProxy) -> None:
    """Kept connections, streams, uploads and tunnels that go on hold none but the newest."""
    app.handler = stream
    streaming, _ = open_stream(running.port, "/events")
    app.handler = tunnel
    tunnelling = open_tunnel(running.port, b"/socket")
    app.handler = Incoming.respond
    with streaming, tunnelling, Client(running.port) as idle, Client(running.port) as uploading:
        assert idle.request("GET", "/thing").status == 200
        uploading.begin("POST", "/thing", [("Transfer-Encoding", "chunked")])
        uploading.send(b"piece")
        assert eventually(lambda: len(app.requests) == 4)
        lives = []
        for _ in range(3):
            lives.append(weakref.ref(running.registry.snapshot.lifetime_token))
            running.swap(stack.text())
        assert eventually(lambda: not any(life() for life in lives))
        assert running.registry.snapshot.routes.matcher.find([b"thing"], b"GET", b"localhost") is not None


def test_nothing_of_a_request_is_left_to_the_collector(running: InProcessProxy) -> None:
    """Objects that hold a token are freed with the request, not by the garbage collector, which a reload may delay."""
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for number in range(20):
            for token, expected in ((b"good-token", b"200"), (b"unknown-%d" % number, b"401")):
                with Client(running.port) as client:
                    client.socket.sendall(REQUEST.replace(b"good-token", token))
                    assert status(client) == expected
        assert eventually(lambda: not running.registry.connections)
        gc.collect()
        left = {type(one).__module__ for one in gc.garbage}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert not [module for module in left if module.startswith("enforcer.")]
