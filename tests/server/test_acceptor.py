"""How many connections are accepted between two polls of the sockets."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import uvloop
from harness.waiting import TIMEOUT

from enforcer.server.acceptor import LONGEST, Acceptor

_COST = 0.001
"""Seconds that accepting a connection takes here."""


class Process:
    """A process that accepts connections: its clock, which only work advances, and the number accepted at each poll."""

    def __init__(self, listening: socket.socket, *, work: float = 0.0) -> None:
        self.now = 0.0
        self.batches: list[int] = []
        self.transports: list[asyncio.BaseTransport] = []
        self._listening = listening
        self._work = work  # seconds that everything else takes between two polls
        self._accepted = 0

    def clock(self) -> float:
        return self.now

    def factory(self) -> asyncio.Protocol:
        self.now += _COST
        self._accepted += 1
        process = self

        class Accepted(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                process.transports.append(transport)

        return Accepted()

    async def accept(self, count: int, *, idle: float = 0.0) -> None:
        """Accept connections until there are `count`; before that, nothing happens for `idle` seconds."""
        acceptor = Acceptor(asyncio.get_running_loop(), self._listening, self.factory, self.clock)
        self.now += idle
        while len(self.transports) < count:
            self.now += self._work
            before = self._accepted
            await asyncio.sleep(0)
            if self._accepted > before:
                self.batches.append(self._accepted - before)
        for transport in self.transports:
            transport.close()
        acceptor.close()


@contextmanager
def listening(clients: int) -> Iterator[socket.socket]:
    """Listen on a free port, to which some clients have connected."""
    with ExitStack() as opened:
        server = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=256))
        server.setblocking(False)
        for _ in range(clients):
            opened.enter_context(socket.create_connection(server.getsockname(), TIMEOUT))
        yield server


def test_accepting_takes_a_sixth_of_the_time_of_everything_else() -> None:
    """Busy connections do not keep new ones waiting for long, nor new ones the requests of the busy ones."""
    with listening(60) as server:
        process = Process(server, work=0.030)
        uvloop.run(process.accept(60))
    assert process.batches == [5] * 12


def test_a_connection_is_accepted_at_each_poll() -> None:
    """Even if nothing else takes any time, which would leave none for accepting."""
    with listening(4) as server:
        process = Process(server)
        uvloop.run(process.accept(4))
    assert process.batches == [1] * 4


def test_accepting_takes_a_limited_time_after_a_long_one_without_connections() -> None:
    """The requests of connections that were just accepted do not wait until all the others are."""
    with listening(50) as server:
        process = Process(server, work=0.006)
        uvloop.run(process.accept(50, idle=3600.0))
    assert process.batches == [round(LONGEST / _COST), *([1] * 30)]


def test_a_connection_without_a_protocol_is_closed() -> None:
    """An internal error costs only the connection that it happened to."""

    async def accept(server: socket.socket) -> bytes:
        protocols = [asyncio.Protocol()]

        def factory() -> asyncio.Protocol:
            if len(protocols) == 1:
                protocols.append(asyncio.Protocol())
                raise ValueError("no protocol")
            return protocols[0]

        loop = asyncio.get_running_loop()
        acceptor = Acceptor(loop, server, factory)
        reader, writer = await asyncio.open_connection(*server.getsockname())
        rest = await asyncio.wait_for(reader.read(), TIMEOUT)
        writer.close()
        _, other = await asyncio.open_connection(*server.getsockname())
        other.close()
        acceptor.close()
        return rest

    with listening(0) as server:
        assert uvloop.run(accept(server)) == b""


class Exhausted(socket.socket):
    """A listening socket for whose connections there are no descriptors."""

    def accept(self) -> tuple[socket.socket, object]:
        raise OSError(errno.EMFILE, "Too many open files")


def test_without_descriptors_it_tries_again_later(caplog: pytest.LogCaptureFixture) -> None:
    """The process does not spin, and goes on when a connection has ended."""

    class Loop:
        """Records what an acceptor asks of its event loop."""

        def __init__(self) -> None:
            self.readers: list[Callable[[], None]] = []
            self.later: list[tuple[float, Callable[[], None]]] = []

        def add_reader(self, _: object, callback: Callable[[], None]) -> None:
            self.readers.append(callback)

        def remove_reader(self, _: object) -> None:
            self.readers.pop()

        def call_later(self, delay: float, callback: Callable[[], None]) -> None:
            self.later.append((delay, callback))

    loop = Loop()
    with Exhausted() as server, caplog.at_level(logging.WARNING):
        Acceptor(loop, server, asyncio.Protocol)  # type: ignore[arg-type]
        loop.readers[0]()
        assert not loop.readers
        [(delay, resume)] = loop.later
        resume()
        assert len(loop.readers) == 1
    assert delay == 1.0
    assert "no connection can be accepted: Too many open files; trying again in 1 s" in caplog.text


def test_a_closed_acceptor_listens_no_more() -> None:
    """New clients are refused, and those that have connected are served."""

    async def run(server: socket.socket) -> bytes:
        class Greeting(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                transport.write(b"hello")
                transport.close()

        address = server.getsockname()
        acceptor = Acceptor(asyncio.get_running_loop(), server, Greeting)
        reader, writer = await asyncio.open_connection(*address)
        received = await asyncio.wait_for(reader.read(), TIMEOUT)
        writer.close()
        acceptor.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address)
        return received

    with listening(0) as server:
        assert uvloop.run(run(server)) == b"hello"
