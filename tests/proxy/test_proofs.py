"""Bound tokens while the configuration changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from harness.clients import Client
from harness.configs import RULES, config
from harness.in_process import InProcessProxy, in_process_proxy
from harness.servers import introspection_server
from harness.signing import key, proof
from harness.upstreams import Headers, Incoming, PeerClosedError, Upstream, upstream

MINE = key("ES256")
TOKEN = "keyed"
NOBODY = [{"name": "all else", "path": "/**", "scopes": ["never"]}]


class Stack:
    """A data plane before an app, and the configurations for it."""

    def __init__(self, app: Upstream, port: int) -> None:
        self.app = app
        self._port = port
        self.running: InProcessProxy

    def text(self, rules: Any = RULES, **changes: Any) -> str:
        """Write a configuration."""
        return config(self.app.url, self._port, rules=rules, **changes)

    def shown(self, client: Client) -> Headers:
        """Write the fields of a request for `/thing` with the token and a new proof."""
        written = proof(MINE, TOKEN, "GET", f"http://{client.host}/thing")
        return [("Authorization", f"DPoP {TOKEN}"), ("DPoP", written)]


@pytest.fixture
def stack() -> Iterator[Stack]:
    tokens = {TOKEN: {"scope": "read", "cnf": {"jkt": MINE.thumbprint()}}}
    with upstream() as app, introspection_server(tokens) as server:
        made = Stack(app, server.port)
        with in_process_proxy(made.text()) as made.running:
            yield made


def test_a_proof_that_was_used_stays_used_whatever_the_configuration(stack: Stack) -> None:
    """A reload would otherwise make every stolen proof good once more."""
    with Client(stack.running.port, token=None) as client:
        shown = stack.shown(client)
        assert client.request("GET", "/thing", shown).status == 200
        for changes in ({}, {"dpop": {"max_age": "10m"}}, {"dpop": {"replays": 2}, "log": {"level": "debug"}}):
            stack.running.swap(stack.text(**changes))
            assert client.request("GET", "/thing", shown).status == 401
        assert client.request("GET", "/thing", stack.shown(client)).status == 200
        assert client.request("GET", "/thing", stack.shown(client)).status == 503


def test_a_stream_of_a_bound_token_goes_on_while_the_rules_allow_it(stack: Stack) -> None:
    """Its proof was for the request that began it, and is not asked for again."""

    def stream(incoming: Incoming) -> None:
        incoming.send_head()
        while not incoming.wait_for_close(0.02):
            incoming.send(b"event\n")

    stack.app.handler = stream
    with Client(stack.running.port, token=None) as client:
        client.begin("GET", "/thing", stack.shown(client))
        client.end()
        assert client.read_head().status == 200
        pieces = client.pieces()
        stack.running.swap(stack.text(cache={"ttl": "1s"}))
        for _ in range(20):
            assert next(pieces) == b"event\n"
        stack.running.swap(stack.text(NOBODY))
        with pytest.raises(PeerClosedError):
            list(pieces)
