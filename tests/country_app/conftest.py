"""Fixtures: a country app with the countries of ISO 3166-1 in memory."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from country_app.app import build
from country_app.store import CountryStore, open_store


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def store() -> Iterator[CountryStore]:
    with open_store(None) as store:
        yield store


@pytest.fixture
async def http(store: CountryStore) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of the country app."""
    transport = httpx.ASGITransport(app=build(store))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8090") as client:
        yield client
