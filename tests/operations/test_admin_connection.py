"""Connections to the admin server, without sockets and in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvicorn
from harness import virtual_time
from uvicorn.server import ServerState

from enforcer.operations.admin_access import AdminAccess, Refused
from enforcer.operations.admin_connection import AdminConnection, AdminConnections
from enforcer.settings.connections.servers import Admin

TIMEOUT, LONGEST = 5.0, 30.0
REQUEST = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"


class Transport(asyncio.Transport):
    """The transport of a client's connection. It records the response, and the time at which the connection ended."""

    def __init__(self, address: str) -> None:
        super().__init__({"peername": (address, 1)})
        self.sent = b""
        self.unsent = 0
        self.ended: float | None = None
        self.protocol: AdminConnection

    def write(self, data: Any) -> None:
        self.sent += data

    def close(self) -> None:
        if self.ended is None:
            self.ended = asyncio.get_running_loop().time()
            self.protocol.connection_lost(None)

    def abort(self) -> None:
        self.close()

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.ended is not None

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Bed:
    """An admin server whose application responds after `delay` seconds."""

    def __init__(self, delay: float = 0.0, connections: int = 100) -> None:
        self.access = AdminAccess(lambda: Admin(timeout=TIMEOUT, connections=connections), lambda: 0.0)
        self.requests = 0
        self._delay = delay
        self._connections = AdminConnections(self.access, LONGEST)
        self._config = uvicorn.Config(
            self._application, interface="asgi3", ws="none", lifespan="off", log_config=None, access_log=False
        )

    async def _application(self, scope: object, receive: object, send: Any) -> None:
        self.requests += 1
        await asyncio.sleep(self._delay)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    def connect(self, address: str = "192.0.2.1") -> Transport:
        """Return the transport of a new connection from an address."""
        transport = Transport(address)
        protocol = self._connections.protocol(config=self._config, server_state=ServerState(), app_state={})
        transport.protocol = protocol
        protocol.connection_made(transport)
        return transport


@pytest.mark.parametrize(
    ("pieces", "ended"),
    [
        pytest.param([], TIMEOUT, id="before a request"),
        pytest.param([REQUEST[:10], REQUEST[10:12]], TIMEOUT, id="within a head, however it arrives"),
        pytest.param([REQUEST], 1.0 + TIMEOUT, id="after a response"),
    ],
)
def test_a_connection_that_waits_is_ended(pieces: list[bytes], ended: float) -> None:
    """After `admin.timeout`."""

    async def run() -> Transport:
        connection = Bed().connect()
        for piece in pieces:
            await asyncio.sleep(1.0)
            connection.protocol.data_received(piece)
        await asyncio.sleep(100.0)
        return connection

    assert virtual_time.run(run()).ended == ended


@pytest.mark.parametrize(("delay", "status"), [(LONGEST - 1.0, b"HTTP/1.1 200 "), (LONGEST + 1.0, b"")])
def test_a_request_may_take_as_long_as_the_longest_probe(delay: float, status: bytes) -> None:
    """Otherwise a probe that the admin server relays would fail before its own timeout."""

    async def run() -> Transport:
        connection = Bed(delay).connect()
        connection.protocol.data_received(REQUEST)
        await asyncio.sleep(100.0)
        return connection

    connection = virtual_time.run(run())
    assert connection.sent[: len(status)] == status
    assert bool(connection.sent) == bool(status)
    assert connection.ended == (delay + TIMEOUT if status else LONGEST)


def test_for_one_connection_too_many_an_idle_one_of_the_largest_client_ends() -> None:
    """The oldest idle one, or the oldest if all have a request; a client with few connections keeps them."""

    async def run() -> None:
        bed = Bed(delay=1.0, connections=3)
        small = bed.connect("192.0.2.2")
        busy, idle = bed.connect(), bed.connect()
        busy.protocol.data_received(REQUEST)
        newer = bed.connect()
        assert [connection.is_closing() for connection in (small, busy, idle, newer)] == [False, False, True, False]
        newer.protocol.data_received(REQUEST)
        small.protocol.data_received(REQUEST)
        newest = bed.connect("192.0.2.3")
        assert [connection.is_closing() for connection in (small, busy, newer, newest)] == [False, True, False, False]
        assert bed.access.refused[Refused.CONNECTIONS] == 2

    virtual_time.run(run())


def test_a_connection_whose_response_has_not_left_is_not_idle() -> None:
    """Its end would cut the response, and a client that reads slowly would take it for a fault of the server."""

    async def run() -> None:
        bed = Bed(connections=2)
        reading, idle = bed.connect(), bed.connect()
        reading.protocol.data_received(REQUEST)
        await asyncio.sleep(0.1)
        assert reading.sent.endswith(b"ok")
        reading.unsent = 2
        bed.connect()
        assert [connection.is_closing() for connection in (reading, idle)] == [False, True]
        reading.unsent = 0
        bed.connect()
        assert reading.is_closing()

    virtual_time.run(run())


def test_a_closed_connection_does_not_count() -> None:
    """A client that connects again and again keeps its place."""

    async def run() -> None:
        bed = Bed(connections=1)
        for _ in range(5):
            bed.connect().close()
        last = bed.connect()
        assert not last.is_closing()
        assert bed.access.refused[Refused.CONNECTIONS] == 0

    virtual_time.run(run())


def test_a_head_that_is_too_large_ends_the_connection() -> None:
    """With what arrived before: it is in memory, too. The size of each head is counted by itself."""

    async def run() -> Bed:
        bed = Bed()
        connection = bed.connect()
        for _ in range(3):
            connection.protocol.data_received(REQUEST[:-2] + b"X: " + b"x" * 40_000 + b"\r\n\r\n")
            await asyncio.sleep(0.1)
        assert not connection.is_closing()
        for piece in (REQUEST[:-2] + b"X: ", b"x" * 40_000, b"x" * 40_000):
            connection.protocol.data_received(piece)
        assert connection.is_closing()
        return bed

    assert virtual_time.run(run()).requests == 3


def test_requests_are_not_pipelined() -> None:
    """A request before the last response is a bad request, and the connection ends."""

    async def run() -> Bed:
        bed = Bed(delay=1.0)
        connection = bed.connect()
        connection.protocol.data_received(REQUEST + REQUEST)
        await asyncio.sleep(100.0)
        assert connection.sent.startswith(b"HTTP/1.1 400 ")
        assert connection.ended == 0.0
        return bed

    assert virtual_time.run(run()).requests <= 1
