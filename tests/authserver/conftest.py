"""Fixtures: an authorization server with the packaged clients, a store in memory and a clock that the test sets."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import httpx
import pytest

from authserver.app import build
from authserver.clients import Clients, packaged_clients
from authserver.signing import generate_key
from authserver.store import TokenStore, open_store

ISSUER = "http://localhost:8085/ms-auth-server"


@dataclass
class Clock:
    """Unix time in seconds, set by the test."""

    now: float = 1_800_000_000.25

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def issuer() -> str:
    return ISSUER


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def jwk() -> str:
    """A signing key, created only once because that is slow."""
    return generate_key()


@pytest.fixture
def clients() -> Clients:
    return packaged_clients()


@pytest.fixture
def store(jwk: str) -> Iterator[TokenStore]:
    with open_store(None) as store:
        store.signing_key(lambda: jwk)
        yield store


@pytest.fixture
async def http(clients: Clients, store: TokenStore, clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of the authorization server."""
    transport = httpx.ASGITransport(app=build(clients, store, ISSUER, clock))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8085") as client:
        yield client
