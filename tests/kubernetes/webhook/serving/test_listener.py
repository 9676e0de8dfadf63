"""Connections of several peers to one listener, with real sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import pytest
import uvloop
from harness.certificates import Authority
from harness.waiting import TIMEOUT

from enforcer.kubernetes.webhook.serving.connection import Head, Response
from enforcer.kubernetes.webhook.serving.limits import Limits
from enforcer.kubernetes.webhook.serving.listener import Listener
from enforcer.kubernetes.webhook.serving.refusals import LIMIT

HONEST, STRANGER, OTHER = "127.0.0.1", "127.0.0.2", "127.0.0.3"
REQUEST = b"POST /known HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
GONE = (OSError, asyncio.IncompleteReadError)
"""The errors of a client whose connection was closed or reset."""
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class App:
    """Accepts the path `/known`; `/wait` is accepted, and gets its response once it is released."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.running = asyncio.Event()

    def refusal(self, head: Head) -> Response | None:
        return None if head.path in ("/known", "/wait") else Response(HTTPStatus.FORBIDDEN)

    async def respond(self, head: Head, body: bytearray) -> Response:
        if head.path == "/wait":
            self.running.set()
            await self.release.wait()
        return Response(HTTPStatus.OK, bytes(body))


@dataclass
class Bed:
    """A listener with its clients."""

    app: App
    listener: Listener
    port: int
    client: ssl.SSLContext | None
    refused: list[tuple[int, str]]
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def dial(self, peer: str, *, plain: bool = False) -> Streams:
        """Connect as a peer."""
        tls: dict[str, Any] = (
            {} if plain or self.client is None else {"ssl": self.client, "server_hostname": "localhost"}
        )
        streams = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(peer, 0), **tls)
        self.writers.append(streams[1])
        return streams

    async def ask(self, peer: str, request: bytes = REQUEST) -> bytes:
        """Send a request on a connection of its own, and return the status line."""
        reader, writer = await self.dial(peer)
        writer.write(request)
        try:
            return (await reader.readuntil(b"\r\n")).strip()
        finally:
            writer.close()


def play(
    script: Callable[[Bed], Awaitable[None]],
    authority: Authority | None,
    names: frozenset[str] = frozenset(),
    **more: Any,
) -> None:
    """Play a script with a listener, with TLS if there is an authority."""

    async def run() -> None:
        app, refused = App(), []
        limits = Limits(**{"body": 1000, "bodies": 8000, "connections": 100, "peer_connections": 50, **more})
        context = None
        if authority is not None:
            context = authority.server_context("localhost", require_client_certificate=bool(names))
        listener = Listener(app, limits, lambda status, peer: refused.append((status, peer)), context, names)
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.setblocking(False)
            await listener.start([server])
            client = None if authority is None else authority.client_context()
            bed = Bed(app, listener, server.getsockname()[1], client, refused)
            try:
                async with asyncio.timeout(TIMEOUT):
                    await script(bed)
            finally:
                for writer in bed.writers:
                    writer.transport.abort()
                await listener.stop(grace=0)

    uvloop.run(run())


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.mark.parametrize("with_tls", [True, False])
def test_many_connections_of_a_peer_are_served(authority: Authority, with_tls: bool) -> None:
    """More than may begin at once: the others wait for their turn, and none is refused."""

    async def script(bed: Bed) -> None:
        lines = await asyncio.gather(*(bed.ask(HONEST) for _ in range(20)))
        assert set(lines) == {b"HTTP/1.1 200 OK"}
        assert bed.refused == []

    play(script, authority if with_tls else None)


def test_silent_connections_of_a_peer_do_not_delay_another(authority: Authority) -> None:
    """Whether they send nothing, or the beginning of a handshake."""

    async def script(bed: Bed) -> None:
        silent = [await bed.dial(STRANGER, plain=True) for _ in range(20)]
        for _, writer in silent[::2]:
            writer.write(b"\x16\x03\x01\x02\x00\x01")
        assert await bed.ask(HONEST) == b"HTTP/1.1 200 OK"
        assert bed.refused == []

    play(script, authority)


def test_a_connection_must_have_an_accepted_request_in_time(authority: Authority) -> None:
    """Otherwise it ends, as do those that wait for their turn."""

    async def script(bed: Bed) -> None:
        silent = [await bed.dial(STRANGER, plain=True) for _ in range(6)]
        secured, _ = await bed.dial(OTHER)
        for reader in (*(reader for reader, _ in silent), secured):
            with suppress(ConnectionError):
                assert await reader.read() == b""
        assert {(LIMIT, STRANGER), (LIMIT, OTHER)} <= set(bed.refused)

    play(script, authority, newcomer_seconds=0.5, penalty_seconds=0.0)


def test_a_peer_has_a_limit_on_connections(authority: Authority) -> None:
    """Further connections are reset; other peers are not affected."""

    async def script(bed: Bed) -> None:
        held = [await bed.dial(STRANGER, plain=True) for _ in range(3)]
        with pytest.raises(GONE):
            await bed.ask(STRANGER)
        assert bed.refused == [(LIMIT, STRANGER)]
        assert await bed.ask(HONEST) == b"HTTP/1.1 200 OK"
        assert len(held) == 3

    play(script, authority, peer_connections=3)


def test_the_most_numerous_peer_makes_room(authority: Authority) -> None:
    """If there are too many connections, one of its connections without an accepted request ends."""

    async def script(bed: Bed) -> None:
        held = [await bed.dial(STRANGER, plain=True) for _ in range(10)]
        assert await bed.ask(HONEST) == b"HTTP/1.1 200 OK"
        assert bed.refused == [(LIMIT, STRANGER)]
        assert len(held) == 10

    play(script, authority, connections=10)


def test_accepted_connections_do_not_make_room(authority: Authority) -> None:
    """They are of API servers."""

    async def script(bed: Bed) -> None:
        for _ in range(3):
            _, writer = await bed.dial(HONEST)
            writer.write(b"POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            await bed.app.running.wait()
            bed.app.running.clear()
        with pytest.raises(GONE):
            await bed.ask(STRANGER)

    play(script, authority, connections=3)


def test_a_head_in_tiny_records_delays_nobody(authority: Authority) -> None:
    """A head that comes in tiny records is read in turns, and its connection ends in time."""

    async def script(bed: Bed) -> None:
        reader, writer = await bed.dial(STRANGER)
        writer.write(b"POST /known HTTP/1.1\r\n")
        ended = asyncio.create_task(reader.read())
        while not ended.done():
            for _ in range(100):
                writer.write(b"a")
            await asyncio.wait([ended], timeout=0.001)
        assert await bed.ask(HONEST) == b"HTTP/1.1 200 OK"

    play(script, authority, head=1 << 20, newcomer_seconds=0.5)


def test_a_large_body_of_an_accepted_request_is_read(authority: Authority) -> None:
    """In slices."""

    async def script(bed: Bed) -> None:
        size = 1 << 20
        head = b"POST /known HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size
        reader, writer = await bed.dial(HONEST)
        writer.write(head + b"x" * size)
        assert await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(size) == b"x" * size

    play(script, authority, body=1 << 20, bodies=1 << 22)


@pytest.mark.parametrize(("name", "served"), [("apiserver", True), ("other", False), (None, False)])
def test_a_client_certificate_must_have_one_of_the_names(authority: Authority, name: str | None, served: bool) -> None:
    """And be from the authority."""

    async def script(bed: Bed) -> None:
        assert bed.client is not None
        if name is not None:
            bed.client.load_cert_chain(*authority.issue(name))
        if served:
            assert await bed.ask(HONEST) == b"HTTP/1.1 200 OK"
        else:
            with pytest.raises(GONE):
                await bed.ask(HONEST)
            assert bed.refused == [(LIMIT, HONEST)]

    play(script, authority, frozenset({"apiserver"}))


def test_a_stop_waits_for_running_requests(authority: Authority) -> None:
    """And for nothing else."""

    async def script(bed: Bed) -> None:
        await bed.dial(STRANGER, plain=True)
        reader, writer = await bed.dial(HONEST)
        writer.write(b"POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        await bed.app.running.wait()
        stopping = asyncio.create_task(bed.listener.stop(grace=20))
        await asyncio.sleep(0)
        bed.app.release.set()
        assert await reader.readuntil(b"\r\n") == b"HTTP/1.1 200 OK\r\n"
        writer.close()
        await stopping

    play(script, authority)
