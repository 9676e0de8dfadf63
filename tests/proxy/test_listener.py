"""The listener: which protocol a new connection gets, and how a TLS handshake ends."""

from __future__ import annotations

import asyncio
import ssl
from types import SimpleNamespace
from typing import Any

import pytest
from harness.playbook import Pipe, Playbook, play

from enforcer.proxy.connection import ClientConnection
from enforcer.proxy.listener import Handshake, Listener


def server_context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


def connect(listener: Listener, connections: set[Any], address: str = "192.0.2.1") -> tuple[Any, Pipe]:
    """Open a connection to a listener whose server counts `connections`."""
    protocol: Any = listener.protocol(server_state=SimpleNamespace(connections=connections))
    pipe = Pipe(protocol, address=address)
    protocol.connection_made(pipe)
    return protocol, pipe


@pytest.mark.parametrize(("tls", "kind"), [(None, ClientConnection), (server_context(), Handshake)])
def test_a_new_connection_is_counted_at_once(tls: ssl.SSLContext | None, kind: type) -> None:
    """Whether or not TLS comes first; it is no longer counted after its end."""

    async def script() -> None:
        connections: set[Any] = set()
        protocol, pipe = connect(Listener(Playbook().registry, tls), connections)
        assert isinstance(protocol, kind)
        assert connections == {protocol}
        pipe.protocol.connection_lost(None)
        assert connections == set()

    play(script())


def test_a_handshake_over_the_limit_is_dropped() -> None:
    """It could not read a response."""

    async def script() -> None:
        listener = Listener(Playbook(limits={"connections": 1}).registry, server_context())
        connections: set[Any] = set()
        _, first = connect(listener, connections)
        _, second = connect(listener, connections, "198.51.100.7")
        assert (first.aborted, second.aborted, second.written) == (False, True, b"")
        assert len(connections) == 1

    play(script())


def test_a_handshake_ends_in_time_and_at_once_on_shutdown() -> None:
    """`timeouts.handshake`; no request was received on it, so it holds up nothing."""

    async def script() -> None:
        playbook = Playbook(timeouts={"handshake": "5s"})
        listener = Listener(playbook.registry, server_context())
        handshake, pipe = connect(listener, set())
        now = playbook.ticker.next
        handshake.sweep(now + 4, 0.0)
        handshake.drain()
        assert (pipe.aborted, handshake.busy, handshake.renew()) == (False, False, True)
        handshake.sweep(now + 5, 0.0)
        assert pipe.aborted
        stopped, other = connect(listener, set())
        stopped.shutdown()
        assert other.aborted

    play(script())


def test_the_first_bytes_go_to_tls() -> None:
    """Nothing is read before TLS has taken the transport over; then it gets what came first."""

    class Tls:
        """Stands for the protocol that the event loop puts on a transport."""

        def __init__(self) -> None:
            self.buffer = bytearray(100)
            self.received = b""

        def get_buffer(self, size: int) -> bytearray:
            return self.buffer

        def buffer_updated(self, size: int) -> None:
            self.received += self.buffer[:size]

    async def script() -> None:
        playbook = Playbook()
        tls = Tls()
        secured = Pipe()

        async def start_tls(transport: Pipe, *_: object, **__: object) -> Pipe:
            assert transport.paused
            transport.set_protocol(tls)
            await asyncio.sleep(0)
            return secured

        asyncio.get_running_loop().start_tls = start_tls  # type: ignore[method-assign,assignment]
        connections: set[Any] = set()
        _, pipe = connect(Listener(playbook.registry, server_context()), connections)
        pipe.receive(b"hello")
        await playbook.settle()
        assert tls.received == b"hello"
        assert isinstance(secured.protocol, ClientConnection)
        assert connections == {secured.protocol}

    play(script())


def test_a_failed_handshake_leaves_nothing() -> None:
    """The connection is no longer counted."""

    async def script() -> None:
        playbook = Playbook()

        async def start_tls(transport: Pipe, *_: object, **__: object) -> None:
            transport.abort()
            raise ssl.SSLError(1, "not TLS")

        asyncio.get_running_loop().start_tls = start_tls  # type: ignore[method-assign,assignment]
        connections: set[Any] = set()
        _, pipe = connect(Listener(playbook.registry, server_context()), connections)
        pipe.receive(b"GET / HTTP/1.1\r\n")
        await playbook.settle()
        assert connections == set()

    play(script())


def test_a_swap_also_changes_the_certificate_of_new_connections() -> None:
    """The registry's snapshot and the TLS context change together."""

    async def script() -> None:
        playbook = Playbook()
        listener = Listener(playbook.registry)
        snapshot, context = playbook.snapshot(), server_context()
        await listener.swap(snapshot, context)
        assert (listener.tls, playbook.registry.snapshot) == (context, snapshot)

    play(script())
