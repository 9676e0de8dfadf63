"""One authorization server, one upstream and one enforcer for all tests that use the default settings."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness.clients import Client
from harness.configs import TOKENS, config
from harness.processes import Enforcer, enforcer
from harness.servers import Server, introspection_server
from harness.upstreams import Incoming, Upstream, upstream


@pytest.fixture(scope="session")
def authorization_server() -> Iterator[Server]:
    with introspection_server(TOKENS) as server:
        yield server


@pytest.fixture(scope="session")
def shared_app() -> Iterator[Upstream]:
    with upstream() as server:
        yield server


@pytest.fixture(scope="session")
def proxy(shared_app: Upstream, authorization_server: Server) -> Iterator[Enforcer]:
    with enforcer(config(shared_app.url, authorization_server.port)) as process:
        yield process


@pytest.fixture
def app(shared_app: Upstream) -> Iterator[Upstream]:
    """The upstream of `proxy`; a test may set its handler."""
    shared_app.requests.clear()
    yield shared_app
    shared_app.handler = Incoming.respond
    shared_app.disconnect()


@pytest.fixture
def client(proxy: Enforcer) -> Iterator[Client]:
    """A connection to `proxy`."""
    with Client(proxy.port) as connection:
        yield connection
