"""Connections to a name with several addresses: a resolver of the test, real sockets, and addresses that are dead.

All addresses are of loopback (127.0.0.0/8), so that each can have a listener of its own on one port.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Sequence
from functools import partial

import pytest
from harness.outcomes import outcome
from harness.ports import silent_address
from harness.servers import Server, raw_server, response
from harness.waiting import TIMEOUT

from enforcer.errors import UpstreamError, UpstreamFailure
from enforcer.settings.connections.pool import PoolSettings
from enforcer.wire.dialing.address_list import Address, AddressList
from enforcer.wire.dialing.connector import ServerAddress
from enforcer.wire.dialing.dialer import Dialer
from enforcer.wire.http_client import HttpClient, HttpResponse
from enforcer.wire.pool import Pool
from enforcer.wire.ticker import Ticker

REFUSING, SILENT, OTHER = "127.0.0.2", "127.0.0.3", "127.0.0.4"


class Names:
    """A resolver with the addresses of one name; it counts how often it is asked. Without addresses it fails."""

    def __init__(self, *hosts: str) -> None:
        self.hosts = hosts
        self.asked = 0

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        self.asked += 1
        await asyncio.sleep(0)
        if not self.hosts:
            raise OSError(-2, "Name or service not known")
        return [Address(socket.AF_INET, (address, port)) for address in self.hosts]


def fetch(server: Server, names: Names, count: int = 1, **settings: float) -> list[int | UpstreamFailure]:
    """Send requests to the name, one after the other, each on a connection of its own: their statuses or failures."""

    async def run() -> list[int | UpstreamFailure]:
        loop = asyncio.get_running_loop()
        ticker = Ticker(loop)
        pool = Pool(
            ServerAddress(host="app.test", port=server.port),
            PoolSettings(**settings),  # type: ignore[arg-type]
            ticker,
            loop,
            resolver=names,
        )
        client = HttpClient(pool, timeout=TIMEOUT, max_body=1000)
        request = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"
        results: list[HttpResponse | UpstreamError] = [
            await outcome(partial(client.send, request, "client")) for _ in range(count)
        ]
        pool.close()
        ticker.stop()
        return [result.status if isinstance(result, HttpResponse) else result.reason for result in results]

    return asyncio.run(run())


@pytest.fixture
def server() -> Iterator[Server]:
    """Run a server on 127.0.0.1 that closes each connection after its response."""
    with raw_server(lambda head, body: response(b"", "200 OK", "Connection: close")) as running:
        yield running


def test_an_address_that_refuses_connections_is_no_outage(server: Server) -> None:
    """The next address is tried at once."""
    assert fetch(server, Names(REFUSING, "127.0.0.1")) == [200]


def test_an_address_that_does_not_respond_is_no_outage(server: Server) -> None:
    """RFC 8305 §5: the next address is tried after 250 ms, long before the attempt times out."""
    with silent_address(SILENT, server.port):
        assert fetch(server, Names(SILENT, "127.0.0.1"), connect_timeout=15.0) == [200]


def test_a_dead_address_is_tried_last_for_a_while(server: Server) -> None:
    """Only the first connection is delayed by it: the second one is there before its only attempt would time out."""
    with silent_address(SILENT, server.port):
        assert fetch(server, Names(SILENT, "127.0.0.1"), 5, connect_timeout=15.0) == [200] * 5


def test_without_an_address_that_responds_the_server_is_unavailable(server: Server) -> None:
    """If all refuse, at once; if one is silent, after the timeout."""
    assert fetch(server, Names(REFUSING, OTHER)) == [UpstreamFailure.UNAVAILABLE]
    with silent_address(SILENT, server.port):
        assert fetch(server, Names(REFUSING, SILENT), connect_timeout=0.4) == [UpstreamFailure.TIMEOUT]


def test_a_name_is_resolved_when_connections_are_opened_and_its_addresses_reused(server: Server) -> None:
    """Every connection may see a new address, and a burst of connections does not flood the name server."""
    names = Names("127.0.0.1")
    assert fetch(server, names, 5) == [200] * 5
    assert names.asked == 1
    assert fetch(server, names, 5, address_lifetime=1e-9) == [200] * 5
    assert names.asked == 6


def test_a_name_that_cannot_be_resolved_is_unavailable(server: Server) -> None:
    """It is resolved again for the next connection."""
    names = Names()
    assert fetch(server, names, 2) == [UpstreamFailure.UNAVAILABLE] * 2
    assert names.asked >= 2


class Bed:
    """A dialer, its resolver, and its addresses."""

    def __init__(self, port: int, *hosts: str, lifetime: float = 60.0) -> None:
        self.names = Names(*hosts)
        self.addresses = AddressList(lifetime, 60.0)
        self.dialer = Dialer("app.test", port, self.addresses, asyncio.get_running_loop(), self.names)

    async def connect(self) -> str:
        """Open a connection, and return the address that accepted it."""
        sock, address = await self.dialer.connect()
        sock.close()
        return address.host


def test_connections_that_are_opened_together_resolve_the_name_once(server: Server) -> None:
    """Also if the one that began to resolve it gives up meanwhile."""

    async def run() -> None:
        bed = Bed(server.port, "127.0.0.1")
        first, *others = [asyncio.ensure_future(bed.connect()) for _ in range(4)]
        await asyncio.sleep(0)
        first.cancel()
        assert await asyncio.gather(*others) == ["127.0.0.1"] * 3
        assert bed.names.asked == 1

    asyncio.run(run())


def test_the_last_addresses_are_used_while_the_name_cannot_be_resolved(server: Server) -> None:
    """An outage of the name server ends no connection, and prevents none."""

    async def run() -> None:
        bed = Bed(server.port, "127.0.0.1", lifetime=1e-9)
        await bed.connect()
        bed.names.hosts = ()
        assert await bed.connect() == "127.0.0.1"
        assert bed.names.asked == 2

    asyncio.run(run())


def test_the_order_changes_by_what_connections_experience(server: Server) -> None:
    """A refusal, or no response within the delay, puts an address behind the others."""

    async def run() -> None:
        now = asyncio.get_running_loop().time()
        with silent_address(SILENT, server.port):
            bed = Bed(server.port, REFUSING, SILENT, "127.0.0.1")
            assert await bed.connect() == "127.0.0.1"
        assert [address.host for address in bed.addresses.in_order(now)] == ["127.0.0.1", REFUSING, SILENT]

    asyncio.run(run())


def test_a_cancelled_connection_leaves_no_socket_and_no_task(server: Server) -> None:
    """The connect timeout of the pool ends all attempts."""

    async def run() -> None:
        with silent_address(SILENT, server.port):
            bed = Bed(server.port, SILENT)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await bed.connect()
            await asyncio.sleep(0)
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())
