"""What an app may answer: nothing of it becomes another answer, and nothing that is cut looks whole."""

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
    """An app that answers `/public/attack` with what the test has put into `answer`."""

    def __init__(self) -> None:
        self.answer = b""
        self.closes = False

    def __call__(self, head: bytes, body: bytes) -> bytes | None:
        if b" /public/attack " in head:
            return self.answer
        return response(b"the next one")


@pytest.fixture(scope="module")
def ground() -> Iterator[tuple[Testbed, _App]]:
    app = _App()
    with run_testbed(app) as laid:
        yield laid, app


@pytest.mark.parametrize(("case", "answer"), corpora.responses("upstream"))
def test_answer_stays_one_answer(ground: tuple[Testbed, _App], case: dict[str, Any], answer: str) -> None:
    """The client gets one answer to one request, whole or visibly cut, and the next answer is the next request's."""
    laid, app = ground
    app.answer = answer.encode("latin-1")
    laid.upstream.close_after_response = case.get("closes", not answer)
    with Client(laid.enforcer.port, token=None) as client:
        if case.get("cut"):
            with pytest.raises(PeerClosedError):
                client.request("GET", "/public/attack")
            return
        got = client.request("GET", "/public/attack")
        assert got.status == case["status"]
        if "body" in case:
            assert got.body == case["body"].encode()
        for name in case.get("absent", ()):
            assert got.values(name) == []
        if "trailers" in case:
            assert got.trailers == case["trailers"]
        assert [
            interim.headers.raw_items() for interim in got.interim if b"content-length" in dict(interim.headers)
        ] == []
        following = client.request("GET", "/public/next")
        assert (following.status, following.body) == (200, b"the next one")
    with Client(laid.enforcer.port, token=None) as another:
        assert another.request("GET", "/public/next").body == b"the next one"


def test_answer_to_head_with_a_body_is_nobodys(ground: tuple[Testbed, _App]) -> None:
    """A body that an app sends where HEAD asked is not taken for the answer to the next request."""
    laid, app = ground
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nevil!"
    app.answer = response(body)
    for _ in range(20):
        with Client(laid.enforcer.port, token=None) as client:
            assert client.request("HEAD", "/public/attack").body == b""
        with Client(laid.enforcer.port, token=None) as client:
            assert client.request("GET", "/public/next").body == b"the next one"


def test_second_answer_is_not_another_clients() -> None:
    """Two answers to one request poison no connection that another client's request then takes."""
    twice = response(b"one") + response(b"evil")
    with run_testbed(lambda head, body: twice, upstream={"pool": {"connections": 1}}) as laid:
        for _ in range(20):
            with Client(laid.enforcer.port, token=None) as client:
                assert client.request("GET", "/public/x").body == b"one"


def test_request_that_is_answered_early_keeps_no_connection() -> None:
    """An app that answers before it has the body is sent no other request where the rest of the body was due."""
    with run_testbed(upstream={"pool": {"connections": 1}}) as laid:
        for _ in range(5):
            with Client(laid.enforcer.port, token=None) as client:
                client.begin("POST", "/public/x", [("Content-Length", "100")])
                client.send(b"0123456789")
            with Client(laid.enforcer.port, token=None) as victim:
                assert victim.request("GET", "/public/victim", [("X-Secret", "kept")]).status == 200
        bodies = [body for _, body in laid.upstream.requests]
        assert [body for body in bodies if b"kept" in body] == []


def test_client_of_this_corpus_is_strict() -> None:
    """The client that reads the answers refuses what another might split."""
    wire = h11.Connection(h11.CLIENT)
    wire.send(h11.Request(method="GET", target="/", headers=[("Host", "app")]))
    wire.receive_data(b"HTTP/1.1 200 O\x00K\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(h11.RemoteProtocolError):
        wire.next_event()
