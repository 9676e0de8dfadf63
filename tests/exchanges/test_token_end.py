"""Streams and tunnels are cut when the token that allowed them expires (`exp`)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from harness.clients import Client
from harness.configs import config
from harness.processes import Enforcer, enforcer
from harness.servers import introspection_server
from harness.tunnels import SWITCHING_PROTOCOLS, UPGRADE_REQUEST, echo_once, read_until
from harness.upstreams import Incoming, PeerClosedError, Upstream, upstream
from harness.waiting import eventually


class Stack(NamedTuple):
    """Two enforcers in front of one app, of which one lets streams outlast their tokens, and the tokens' claims."""

    strict: Enforcer
    lenient: Enforcer
    app: Upstream
    tokens: dict[str, dict[str, object]]

    def short_token(self, name: str) -> float:
        """Add a token that expires in 1.5 s, and return the time."""
        expires = time.time() + 1.5
        self.tokens[name] = {"scope": "read", "exp": expires}
        return expires


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    tokens: dict[str, dict[str, object]] = {}
    with upstream() as app, introspection_server(tokens) as server:
        strict = config(app.url, server.port)
        lenient = config(app.url, server.port, forwarding={"end_with_token": False})
        with enforcer(strict) as first, enforcer(lenient) as second:
            yield Stack(first, second, app, tokens)


def _stream(incoming: Incoming) -> None:
    incoming.send_head()
    while not incoming.wait_for_close(0.1):
        incoming.send(b"event\n")


def _tunnel(incoming: Incoming) -> None:
    incoming.send_raw(SWITCHING_PROTOCOLS)
    incoming.wait_for_close()


def test_a_stream_ends_when_its_token_does(stack: Stack) -> None:
    """The response is cut rather than ended, and the upstream connection is closed."""
    stack.app.handler = _stream
    expires = stack.short_token("stream")
    with Client(stack.strict.port, token="stream") as client:
        client.begin("GET", "/events")
        client.end()
        with pytest.raises(PeerClosedError):
            client.read_response()
    assert time.time() >= expires
    assert eventually(lambda: stack.app.open == 0)


def test_a_tunnel_ends_when_its_token_does(stack: Stack) -> None:
    """Both connections are closed."""
    stack.app.handler = _tunnel
    expires = stack.short_token("tunnel")
    with Client(stack.strict.port) as client:
        client.socket.sendall(UPGRADE_REQUEST.replace(b"good-token", b"tunnel"))
        read_until(client.socket, b"\r\n\r\n")
        assert client.closed()
    assert time.time() >= expires
    assert eventually(lambda: stack.app.open == 0)


def test_a_stream_and_a_tunnel_outlast_their_token_if_configured(stack: Stack) -> None:
    """With `forwarding.end_with_token: false`."""
    expires = stack.short_token("lasting")
    with Client(stack.lenient.port, token="lasting") as streaming, Client(stack.lenient.port) as tunnelling:
        stack.app.handler = _stream
        streaming.begin("GET", "/events")
        streaming.end()
        pieces = streaming.pieces() if streaming.read_head().status == 200 else iter(())
        stack.app.handler = echo_once
        tunnelling.socket.sendall(UPGRADE_REQUEST.replace(b"good-token", b"lasting"))
        read_until(tunnelling.socket, b"\r\n\r\n")
        assert any(time.time() > expires + 0.3 for _ in pieces)
        tunnelling.socket.sendall(b"echo")
        assert tunnelling.socket.recv(4) == b"echo"
