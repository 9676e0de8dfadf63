"""One authorization server, one upstream and one enforcer for all tests that need no settings of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness.clients import Client
from harness.configs import TOKENS, config
from harness.processes import Enforcer, enforcer
from harness.servers import Server, authorization
from harness.upstreams import Incoming, Upstream, upstream


@pytest.fixture(scope="session")
def authorization_server() -> Iterator[Server]:
    with authorization(TOKENS) as server:
        yield server


@pytest.fixture(scope="session")
def _shared_app() -> Iterator[Upstream]:
    with upstream() as server:
        yield server


@pytest.fixture(scope="session")
def proxy(_shared_app: Upstream, authorization_server: Server) -> Iterator[Enforcer]:
    with enforcer(config(_shared_app.url, authorization_server.port)) as process:
        yield process


@pytest.fixture
def app(_shared_app: Upstream) -> Iterator[Upstream]:
    """The upstream behind `proxy`; a test sets its handler."""
    _shared_app.requests.clear()
    yield _shared_app
    _shared_app.handler = Incoming.answer
    _shared_app.disconnect()


@pytest.fixture
def client(proxy: Enforcer) -> Iterator[Client]:
    """A connection to `proxy`."""
    with Client(proxy.port) as connection:
        yield connection
