"""The life of client and upstream connections, and what HTTP/1.0 on either side changes."""

from __future__ import annotations

import threading

import pytest
from harness.clients import Client, pipelined
from harness.configs import config
from harness.processes import Enforcer, enforcer
from harness.servers import Server
from harness.upstreams import Incoming, PeerClosedError, Upstream
from harness.waiting import eventually


def test_connections_persist_on_both_sides(app: Upstream, client: Client) -> None:
    """Successive requests use one client connection and one upstream connection."""
    client.request("GET", "/0")
    before = app.connections
    for number in range(1, 20):
        assert client.request("POST", f"/{number}", body=b"x" * number).status == 200
    assert app.connections - before == 0


def test_connections_of_many_clients_share_one_to_the_app(app: Upstream, proxy: Enforcer) -> None:
    """An upstream connection is not tied to a client connection."""
    with Client(proxy.port) as client:
        client.request("GET", "/0")
    before = app.connections
    for number in range(5):
        with Client(proxy.port) as client:
            assert client.request("GET", f"/{number}").status == 200
    assert app.connections - before == 0


def test_a_client_that_asks_for_close_gets_it(app: Upstream, client: Client) -> None:
    """Connection: close ends the client connection, and not the upstream connection."""
    client.request("GET", "/0")
    before = app.connections
    response = client.request("GET", "/1", [("Connection", "close")])
    assert response.values("Connection") == [b"close"]
    assert client.closed()
    assert [value for name, value in app.requests[-1].headers if name == b"connection"] == []
    assert app.connections - before == 0


def test_an_app_that_closes_does_not_close_the_client_connection(app: Upstream, client: Client) -> None:
    """Connection: close in a response does not apply to the client connection."""
    app.handler = lambda incoming: incoming.respond(b"bye", headers=[("Connection", "close")])
    responses = [client.request("GET", "/0"), client.request("GET", "/1")]
    assert [(response.body, response.values("Connection")) for response in responses] == [(b"bye", []), (b"bye", [])]


def test_an_http_1_0_client_gets_its_response_and_the_close(app: Upstream, proxy: Enforcer) -> None:
    """By default, HTTP/1.0 connections do not persist."""
    with Client(proxy.port, http10=True) as client:
        response = client.request("POST", "/thing", body=b"body")
        assert (response.status, response.values("Connection")) == (200, [b"close"])
        assert client.closed()
    assert app.requests[-1].http_version == b"1.1"


def test_an_http_1_0_client_may_keep_its_connection(app: Upstream, proxy: Enforcer) -> None:
    """With Connection: keep-alive in the request, the response confirms it."""
    with Client(proxy.port, http10=True) as client:
        for _ in range(2):
            response = client.request("GET", "/thing", [("Connection", "keep-alive")])
            assert response.values("Connection") == [b"keep-alive"]


@pytest.mark.parametrize("keep", [[], [("Connection", "keep-alive")]])
def test_an_http_1_0_client_gets_a_chunked_response_without_the_chunks(
    app: Upstream, proxy: Enforcer, keep: list[tuple[str, str]]
) -> None:
    """It does not know the chunked coding: the response ends with the connection."""

    def handler(incoming: Incoming) -> None:
        incoming.send_head()
        incoming.send(b"one ")
        incoming.send(b"two")
        incoming.end([("X-Sum", "1")])

    app.handler = handler
    with Client(proxy.port, http10=True) as client:
        response = client.request("GET", "/thing", keep)
        assert (response.body, response.values("Transfer-Encoding")) == (b"one two", [])
        assert (response.values("Connection"), response.values("Trailer")) == ([b"close"], [])


def test_an_http_1_0_client_gets_no_interim_response(app: Upstream, proxy: Enforcer) -> None:
    """It would take the first head for the final response."""

    def handler(incoming: Incoming) -> None:
        incoming.send_interim(103, [("Link", "</style.css>")])
        incoming.respond(b"page")

    app.handler = handler
    with Client(proxy.port, http10=True) as client:
        response = client.request("GET", "/page")
        assert (response.body, response.interim) == (b"page", [])


def test_an_http_1_0_client_sees_that_a_chunked_response_was_cut(app: Upstream, proxy: Enforcer) -> None:
    """The connection is reset, because a plain close would look like the end of the response."""
    app.handler = lambda incoming: incoming.send_raw(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nwor"
    )
    with Client(proxy.port, http10=True) as client, pytest.raises(PeerClosedError):
        client.request("GET", "/thing")


@pytest.mark.parametrize(
    ("head", "framing"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\n", [b"chunked"]),
        (b"HTTP/1.1 200 OK\r\n\r\n", [b"chunked"]),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 11\r\n\r\n", []),
    ],
)
def test_a_response_may_end_with_the_apps_connection(
    app: Upstream, client: Client, head: bytes, framing: list[bytes]
) -> None:
    """The client gets a framed response, and its connection persists."""
    app.handler = lambda incoming: incoming.send_raw(head + b"hello world")
    for _ in range(2):
        response = client.request("GET", "/thing")
        assert (response.body, response.values("Transfer-Encoding")) == (b"hello world", framing)


def test_an_http_1_0_app_may_keep_its_connection(app: Upstream, client: Client) -> None:
    """With Connection: keep-alive it gets the next request on the same connection."""
    head = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"

    def handler(incoming: Incoming) -> None:
        for _ in range(3):
            incoming.send_raw(head)
            incoming.socket.recv(65536)

    app.handler = handler
    before = app.connections
    assert [client.request("GET", f"/{number}").body for number in range(3)] == [b"ok"] * 3
    assert app.connections - before == 1


LARGE = b"x" * 20_000


@pytest.mark.parametrize("body", [None, b"x", b"x" * 10_000])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PROPFIND", "REPORT", "SEARCH"])
def test_a_request_on_a_connection_that_the_app_had_closed_is_sent_again(
    app: Upstream, client: Client, method: str, body: bytes | None
) -> None:
    """A request with an idempotent method is retried once, on a new connection, with its body if that is small."""
    fail_once = _closing_once(app, client)
    response = client.request(method, "/again", body=body)
    assert fail_once.is_set()
    assert (response.status, response.body) == (200, b"" if method == "HEAD" else body or b"")
    assert [request.target for request in app.requests] == [b"/first", b"/again", b"/again"]


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("POST", None),
        ("PATCH", None),
        ("LOCK", None),
        ("POST", b"body"),
        ("PUT", b"x" * 20_000),
        ("PROPFIND", b"x" * 20_000),
    ],
)
def test_a_request_that_is_not_safe_to_repeat_is_not_sent_again(
    app: Upstream, client: Client, method: str, body: bytes | None
) -> None:
    """The client gets 502, and may retry itself; a larger body was streamed and cannot be sent again."""
    _closing_once(app, client)
    assert client.request(method, "/again", body=body).status == 502
    assert [request.target for request in app.requests] == [b"/first", b"/again"]


def test_a_request_on_a_new_connection_is_not_sent_again(app: Upstream, client: Client) -> None:
    """An app that closes on the first request of a connection would do so again."""
    app.disconnect()
    assert eventually(lambda: app.open == 0)
    app.handler = lambda incoming: incoming.socket.close()
    assert client.request("GET", "/once").status == 502
    assert [request.target for request in app.requests] == [b"/once"]


def _closing_once(app: Upstream, client: Client) -> threading.Event:
    """Make the app close its connection once, on the next request and before a response."""
    app.disconnect()
    assert eventually(lambda: app.open == 0)
    assert client.request("GET", "/first").status == 200
    failed = threading.Event()

    def handler(incoming: Incoming) -> None:
        body = incoming.body()
        if failed.is_set():
            incoming.respond(b"" if incoming.request.method == b"HEAD" else body)
        else:
            failed.set()
            incoming.wait_for_close(0)
            raise PeerClosedError

    app.handler = handler
    return failed


def test_many_pipelined_requests_are_answered_in_order(app: Upstream, authorization_server: Server) -> None:
    """However many come in one read: one is forwarded at a time, and the rest is not parsed before."""
    with enforcer(config(app.url, authorization_server.port)) as process:
        app.handler = lambda incoming: incoming.respond(incoming.request.target)
        requests = [("GET", f"/{number}", None) for number in range(300)]
        responses = pipelined(process.port, requests)
    assert [response.body for response in responses] == [b"/%d" % number for number in range(300)]
    assert [request.target for request in app.requests] == [b"/%d" % number for number in range(300)]
