"""The work of a request, counted and not timed: connections, introspection requests, function calls."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import counting
from harness.clients import Client
from harness.configs import TOKEN, config
from harness.processes import Enforcer, enforcer
from harness.servers import Server, introspection_server
from harness.upstreams import Incoming, Upstream, upstream
from harness.usage import metric
from harness.waiting import TIMEOUT, eventually

REQUESTS = 600

# Raise these only with a good reason: they are the present numbers and a tenth.
ALLOWED_CALLS = 54
ALLOWED_C_CALLS = 37
REFUSED_CALLS = 40
REFUSED_C_CALLS = 39
DECISION_CALLS = 77
DECISION_C_CALLS = 82


class Stack:
    """A new enforcer with an app and an authorization server, none of which has had a connection or a request yet."""

    def __init__(self, process: Enforcer, app: Upstream, server: Server) -> None:
        self.process = process
        self.app = app
        self.server = server

    def send(self, token: str, count: int = 1) -> None:
        """Send requests with a token, one after the other on one connection."""
        with Client(self.process.port, token=token) as client:
            assert {client.request("GET", "/thing").status for _ in range(count)} == {200}


@pytest.fixture
def stack() -> Iterator[Stack]:
    tokens = {f"token-{number}": {"scope": "read"} for number in range(20)}
    with upstream() as app, introspection_server(tokens) as server, enforcer(config(app.url, server.port)) as process:
        yield Stack(process, app, server)


def test_many_requests_are_one_introspection_and_one_connection_to_the_app(stack: Stack) -> None:
    """A cached token is not introspected again, and a free connection is reused."""
    stack.send("token-0", 100)
    assert (len(stack.server.lookups), stack.server.connections) == (1, 1)
    assert (len(stack.app.requests), stack.app.connections) == (100, 1)


def test_every_unseen_token_is_one_introspection_on_the_same_connection(stack: Stack) -> None:
    """The connection to the authorization server is reused too."""
    for number in range(20):
        stack.send(f"token-{number}", 2)
    assert (len(stack.server.lookups), stack.server.connections) == (20, 1)
    assert (len(stack.app.requests), stack.app.connections) == (40, 1)


def test_concurrent_requests_with_an_unseen_token_are_one_introspection(stack: Stack) -> None:
    """All of them wait for the same introspection response."""
    clients = [Client(stack.process.port, token="token-0") for _ in range(20)]
    respond, released = stack.server.respond, threading.Event()
    stack.server.respond = lambda head, body: respond(head, body) if released.wait(TIMEOUT) else None
    for client in clients:
        client.begin("GET", "/thing")
        client.end()
    assert eventually(lambda: metric(stack.process, "enforcer_requests_in_flight") == 20)
    released.set()
    assert [client.read_response().status for client in clients] == [200] * 20
    for client in clients:
        client.close()
    assert len(stack.server.lookups) == 1
    assert stack.app.connections <= 20


def test_a_refused_request_opens_nothing(stack: Stack) -> None:
    """A request without a valid token causes no connection to the upstream or the authorization server."""
    for token in (None, "tok!en"):
        with Client(stack.process.port, token=token) as client:
            assert client.request("GET", "/thing").status == 401
    assert (stack.server.connections, stack.app.connections) == (0, 0)


def calls_of_each(tmp_path: Path, text: str, serve: Callable[[Enforcer], None]) -> dict[str, int]:
    """Return the calls made for each of REQUESTS requests, without calls made for only some requests."""
    counts = tmp_path / "counts.json"
    # With a credential denials are recorded, which is part of the work.
    with enforcer(text, {"COUNTS": str(counts), "CREDENTIAL": "operator"}, [counting.__file__]) as process:
        serve(process)
        assert process.stop() == 0
    totals: dict[str, int] = json.loads(counts.read_text())
    return {name: total // REQUESTS for name, total in totals.items() if total >= REQUESTS}


def within(counts: dict[str, int], python: int, other: int) -> None:
    """Hold the limits of calls within the package, and from it into other packages."""
    own = {name: count for name, count in counts.items() if ">" not in name}
    others = {name: count for name, count in counts.items() if ">" in name}
    assert sum(own.values()) <= python, own
    assert sum(others.values()) <= other, others


@pytest.mark.parametrize(
    ("token", "status", "python", "other"),
    [(TOKEN, 200, ALLOWED_CALLS, ALLOWED_C_CALLS), (None, 401, REFUSED_CALLS, REFUSED_C_CALLS)],
)
def test_the_work_of_a_request_does_not_grow(
    tmp_path: Path, token: str | None, status: int, python: int, other: int
) -> None:
    """Function calls for a GET on an open connection."""

    def serve(process: Enforcer) -> None:
        with Client(process.port, token=token) as client:
            for _ in range(REQUESTS):
                assert client.request("GET", "/thing").status == status

    with upstream(Incoming.respond) as app, introspection_server({TOKEN: {"scope": "read"}}) as server:
        text = config(app.url, server.port, admin={"credential": {"env": "CREDENTIAL"}})
        within(calls_of_each(tmp_path, text, serve), python, other)


def test_the_work_of_a_decision_does_not_grow(tmp_path: Path) -> None:
    """Function calls for a subrequest of nginx, whose contract describes the client's request in four fields."""
    fields = [("X-Original-Method", "GET"), ("X-Original-URI", "/thing")]
    fields += [("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "http")]
    listener = {"address": "127.0.0.1:0", "trusted_proxies": ["127.0.0.1"], "contract": "nginx"}

    def serve(process: Enforcer) -> None:
        with Client(process.decision_ports["nginx"], token=TOKEN) as client:
            for _ in range(REQUESTS):
                assert client.request("GET", "/decide", fields).status == 200

    with introspection_server({TOKEN: {"scope": "read"}}) as server:
        admin = {"credential": {"env": "CREDENTIAL"}}
        text = config("http://127.0.0.1:1", server.port, upstream=None, decision=[listener], admin=admin)
        within(calls_of_each(tmp_path, text, serve), DECISION_CALLS, DECISION_C_CALLS)
