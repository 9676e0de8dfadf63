"""Hostile upstream responses: they never become another request's response, and an incomplete one looks incomplete."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import h11
import pytest
from harness import corpora
from harness.clients import Client
from harness.servers import response
from harness.testbed import Testbed, run_testbed
from harness.upstreams import PeerClosedError


class _App:
    """An app whose response to `/public/attack` is `response`."""

    def __init__(self) -> None:
        self.response = b""

    def __call__(self, head: bytes, body: bytes) -> bytes | None:
        if b" /public/attack " in head:
            return self.response
        return response(b"the next one")


@pytest.fixture(scope="module")
def stack() -> Iterator[tuple[Testbed, _App]]:
    app = _App()
    with run_testbed(app) as running:
        yield running, app


@pytest.mark.parametrize(("case", "text"), corpora.responses("upstream"))
def test_response_stays_one_response(stack: tuple[Testbed, _App], case: dict[str, Any], text: str) -> None:
    """The client gets one response to one request, complete or visibly cut, and then the next request's response."""
    testbed, app = stack
    app.response = text.encode("latin-1")
    testbed.upstream.close_after_response = case.get("closes", not text)
    with Client(testbed.enforcer.port, token=None) as client:
        if case.get("cut"):
            with pytest.raises(PeerClosedError):
                client.request("GET", "/public/attack")
            return
        received = client.request("GET", "/public/attack")
        assert received.status == case["status"]
        if "body" in case:
            assert received.body == case["body"].encode()
        for name in case.get("absent", ()):
            assert received.values(name) == []
        if "trailers" in case:
            assert received.trailers == case["trailers"]
        assert [
            interim.headers.raw_items() for interim in received.interim if b"content-length" in dict(interim.headers)
        ] == []
        following = client.request("GET", "/public/next")
        assert (following.status, following.body) == (200, b"the next one")
    with Client(testbed.enforcer.port, token=None) as another:
        assert another.request("GET", "/public/next").body == b"the next one"


def test_body_of_a_response_to_head_is_discarded(stack: tuple[Testbed, _App]) -> None:
    """A body that an app sends in response to HEAD is not taken for the next response."""
    testbed, app = stack
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nevil!"
    app.response = response(body)
    for _ in range(20):
        with Client(testbed.enforcer.port, token=None) as client:
            assert client.request("HEAD", "/public/attack").body == b""
        with Client(testbed.enforcer.port, token=None) as client:
            assert client.request("GET", "/public/next").body == b"the next one"


def test_second_response_does_not_reach_another_client() -> None:
    """Two responses to one request do not poison the pooled connection for another client."""
    twice = response(b"one") + response(b"evil")
    with run_testbed(lambda head, body: twice, upstream={"pool": {"connections": 1}}) as testbed:
        for _ in range(20):
            with Client(testbed.enforcer.port, token=None) as client:
                assert client.request("GET", "/public/x").body == b"one"


def test_connection_with_an_early_response_is_not_reused() -> None:
    """After an early response, no other request is sent in place of the missing rest of the body."""
    with run_testbed(upstream={"pool": {"connections": 1}}) as testbed:
        for _ in range(5):
            with Client(testbed.enforcer.port, token=None) as client:
                client.begin("POST", "/public/x", [("Content-Length", "100")])
                client.send(b"0123456789")
            with Client(testbed.enforcer.port, token=None) as victim:
                assert victim.request("GET", "/public/victim", [("X-Secret", "kept")]).status == 200
        bodies = [body for _, body in testbed.upstream.requests]
        assert [body for body in bodies if b"kept" in body] == []


def test_client_of_this_corpus_is_strict() -> None:
    """The client of these tests rejects a response that another client might split."""
    wire = h11.Connection(h11.CLIENT)
    wire.send(h11.Request(method="GET", target="/", headers=[("Host", "app")]))
    wire.receive_data(b"HTTP/1.1 200 O\x00K\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(h11.RemoteProtocolError):
        wire.next_event()
