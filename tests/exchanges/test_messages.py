"""Each kind of HTTP/1.1 message, between an h11 client and an h11 server."""

from __future__ import annotations

import threading

import pytest
from harness.clients import Client, pipelined
from harness.processes import Enforcer
from harness.upstreams import Incoming, Upstream
from harness.waiting import TIMEOUT, settled

MIXED = bytes(range(256)) * 400


@pytest.mark.parametrize("size", [0, 1, 1_000, 300_000])
def test_a_sized_body_is_forwarded_both_ways(app: Upstream, client: Client, size: int) -> None:
    """A body with Content-Length keeps it."""
    app.handler = lambda incoming: incoming.respond(incoming.body()[::-1])
    body = (MIXED * 4)[:size]
    response = client.request("POST", "/echo", body=body)
    assert (response.status, response.body) == (200, body[::-1])
    assert response.values("Content-Length") == [b"%d" % size]
    assert response.values("Transfer-Encoding") == []


def test_a_chunked_body_is_forwarded_both_ways(app: Upstream, client: Client) -> None:
    """A body of unknown length stays chunked."""

    def handler(incoming: Incoming) -> None:
        assert incoming.values("Transfer-Encoding") == [b"chunked"]
        incoming.send_head()
        for piece in incoming.pieces():
            incoming.send(piece)
        incoming.end()

    app.handler = handler
    client.begin("POST", "/echo", [("Transfer-Encoding", "chunked")])
    for start in range(0, len(MIXED), 10_000):
        client.send(MIXED[start : start + 10_000])
    client.end()
    response = client.read_response()
    assert response.body == MIXED
    assert response.values("Transfer-Encoding") == [b"chunked"]


def test_a_response_to_head_has_the_fields_and_no_body(app: Upstream, client: Client) -> None:
    """It has the length that the response to GET would have, and the connection stays open."""

    def handler(incoming: Incoming) -> None:
        incoming.send_head(200, [("Content-Length", "1234"), ("ETag", '"x"')])
        incoming.end()

    app.handler = handler
    response = client.request("HEAD", "/thing")
    assert (response.status, response.body, response.values("Content-Length")) == (200, b"", [b"1234"])
    assert client.request("HEAD", "/thing").status == 200
    assert app.requests[-1].method == b"HEAD"


def test_a_response_to_head_of_unknown_length_ends_with_its_head(app: Upstream, client: Client) -> None:
    """Transfer-Encoding in a response to HEAD announces no body."""
    app.handler = lambda incoming: incoming.send_raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert client.request("HEAD", "/thing").body == b""


@pytest.mark.parametrize(
    "head",
    [
        b"204 No Content\r\n",
        b'304 Not Modified\r\nETag: "x"\r\n',
        b"304 Not Modified\r\nContent-Length: 1234\r\n",
        b"304 Not Modified\r\nTransfer-Encoding: chunked\r\n",
    ],
)
def test_a_response_without_a_body_ends_with_its_head(app: Upstream, client: Client, head: bytes) -> None:
    """204 and 304 end with their head, whatever length it declares, and the connection stays open."""
    app.handler = lambda incoming: incoming.send_raw(b"HTTP/1.1 %b\r\n" % head)
    for _ in range(2):
        response = client.request("GET", "/thing")
        assert (b"%d" % response.status, response.body) == (head[:3], b"")


def test_early_hints_arrive_before_the_response(app: Upstream, client: Client) -> None:
    """103 is forwarded at once, with its fields."""

    def handler(incoming: Incoming) -> None:
        incoming.send_interim(103, [("Link", "</style.css>; rel=preload")])
        incoming.send_interim(103, [("Link", "</script.js>; rel=preload")])
        assert go_on.wait(TIMEOUT)
        incoming.respond(b"page")

    go_on = threading.Event()
    app.handler = handler
    client.begin("GET", "/page")
    client.end()
    hints = [client.read_interim(), client.read_interim()]
    go_on.set()
    assert [(hint.status_code, list(hint.headers)) for hint in hints] == [
        (103, [(b"link", b"</style.css>; rel=preload")]),
        (103, [(b"link", b"</script.js>; rel=preload")]),
    ]
    assert client.read_response().body == b"page"


def test_a_client_that_expects_100_gets_the_apps_own(app: Upstream, client: Client) -> None:
    """Expect is forwarded to the app, its 100 to the client, and then the body."""

    def handler(incoming: Incoming) -> None:
        assert incoming.values("Expect") == [b"100-continue"]
        assert incoming.wire.they_are_waiting_for_100_continue
        incoming.send_interim(100)
        incoming.respond(incoming.body())

    app.handler = handler
    client.begin("PUT", "/thing", [("Content-Length", "4"), ("Expect", "100-continue")])
    assert client.read_interim().status_code == 100
    client.send(b"body")
    client.end()
    assert client.read_response().body == b"body"


def test_a_client_that_expects_100_can_be_refused_by_the_app(app: Upstream, client: Client) -> None:
    """The app's final response is forwarded, and the body is never sent."""

    def handler(incoming: Incoming) -> None:
        incoming.send_head(417, [("Content-Length", "2")])
        incoming.send(b"no")
        incoming.end()

    app.handler = handler
    client.begin("PUT", "/thing", [("Content-Length", "4"), ("Expect", "100-continue")])
    response = client.read_response()
    assert (response.status, response.body, response.interim) == (417, b"no", [])


def test_a_client_that_expects_100_is_refused_without_a_token(app: Upstream, proxy: Enforcer) -> None:
    """The refusal comes instead of 100, and nothing reaches the app."""
    with Client(proxy.port, token=None) as client:
        client.begin("PUT", "/thing", [("Content-Length", "4"), ("Expect", "100-continue")])
        response = client.read_response()
        assert (response.status, response.interim, response.values("Connection")) == (401, [], [b"close"])
    assert app.requests == []


def test_trailers_are_forwarded_both_ways(app: Upstream, client: Client) -> None:
    """Trailer fields are forwarded, except for fields that are not allowed in trailers."""
    received = []

    def handler(incoming: Incoming) -> None:
        body = incoming.body()
        received.append(incoming.trailers)
        incoming.send_head(200, [("Trailer", "Digest")])
        incoming.send(body)
        incoming.end([("Digest", "sha-256=abc"), ("X-Timing", "5")])

    app.handler = handler
    client.begin("POST", "/thing", [("Transfer-Encoding", "chunked"), ("TE", "trailers"), ("Trailer", "X-Sum")])
    client.send(b"body")
    client.end([("X-Sum", "17"), ("X-Auth-Subject", "mallory"), ("Authorization", "Bearer other-token")])
    response = client.read_response()
    assert received == [[(b"X-Sum", b"17")]]
    assert response.trailers == [(b"Digest", b"sha-256=abc"), (b"X-Timing", b"5")]
    assert [value for name, value in app.requests[0].headers if name == b"te"] == [b"trailers"]


def test_responses_to_pipelined_requests_come_in_order(app: Upstream, proxy: Enforcer) -> None:
    """The first is the slowest and has a body; each response belongs to its request."""

    def handler(incoming: Incoming) -> None:
        body = incoming.body()
        if incoming.request.target == b"/0":
            assert settled(lambda: len(app.requests), 0.1) == 1
        incoming.respond(incoming.request.target + b" " + body)

    app.handler = handler
    requests = [("POST", "/0", b"x" * 50_000), ("GET", "/1", None), ("PUT", "/2", b"y" * 50_000), ("GET", "/3", None)]
    responses = pipelined(proxy.port, requests)
    assert [response.body for response in responses] == [b"/0 " + b"x" * 50_000, b"/1 ", b"/2 " + b"y" * 50_000, b"/3 "]


def test_the_framing_of_an_interim_response_does_not_apply_to_the_final_one(app: Upstream, client: Client) -> None:
    """An interim response has no body, whatever it declares, and the final response its own framing."""
    app.handler = lambda incoming: incoming.send_raw(
        b"HTTP/1.1 103 Early Hints\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\n\r\nwhole"
    )
    response = client.request("GET", "/thing")
    assert (response.body, response.values("Transfer-Encoding")) == (b"whole", [b"chunked"])


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.0 200 OK\nContent-Length: 4\nX-Kept: 1\n\nbody",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\nX-Kept: 1\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 4\r\nX-Kept: 1\r\n\r\nbody",
    ],
)
def test_an_old_response_with_one_reading_passes(app: Upstream, client: Client, sent: bytes) -> None:
    """In our own framing."""
    app.handler = lambda incoming: incoming.send_raw(sent)
    response = client.request("GET", "/thing")
    assert (response.status, response.body) == (200, b"body")
    assert sorted(response.fields) == [(b"Content-Length", b"4"), (b"X-Kept", b"1")]
