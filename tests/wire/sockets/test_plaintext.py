"""The decrypted input of TLS connections: one buffer, and everything else as the protocol on top would have it."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from pathlib import Path
from typing import Any

import pytest
import uvloop
from harness.certificates import Authority

from enforcer.wire.sockets.plaintext import PlaintextReader, set_protocol


class Received(asyncio.Protocol):
    """A protocol that keeps its input and events."""

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.events: list[str] = []
        self.ended = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.data.append(data)

    def eof_received(self) -> bool:
        self.events.append("end")
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.events.append("lost")
        self.ended.set_result(None)


async def _serve(sizes: list[int], tls: bool) -> tuple[Received, type]:
    """Send pieces to a server whose connection is read with `set_protocol`; return what it got, and its protocol."""
    loop = asyncio.get_running_loop()
    received = Received()
    protocols: list[type] = []

    class Accepted(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            set_protocol(transport, received)
            protocols.append(type(transport.get_protocol()))

    server_context = client_context = None
    if tls:
        with tempfile.TemporaryDirectory() as folder:
            certificate, key = Authority(Path(folder)).issue("localhost")
            server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            server_context.load_cert_chain(certificate, key)
        client_context = ssl.create_default_context()
        client_context.check_hostname, client_context.verify_mode = False, ssl.CERT_NONE
    server = await loop.create_server(Accepted, "127.0.0.1", 0, ssl=server_context)
    port = server.sockets[0].getsockname()[1]
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client_context)
    for number, size in enumerate(sizes):
        writer.write(bytes([number]) * size)
        await writer.drain()
    writer.close()
    await received.ended
    server.close()
    return received, protocols[0]


@pytest.mark.parametrize("new_loop", [uvloop.new_event_loop, asyncio.new_event_loop])
@pytest.mark.parametrize("tls", [True, False])
def test_all_bytes_arrive_in_order_and_then_the_end(new_loop: Any, tls: bool) -> None:
    """Also those that fill the buffer several times; a plain connection has no buffer between."""
    sizes = [1, 70_000, 3, 65_536, 300_000]
    with asyncio.Runner(loop_factory=new_loop) as runner:
        received, protocol = runner.run(_serve(sizes, tls))
    assert b"".join(received.data) == b"".join(bytes([number]) * size for number, size in enumerate(sizes))
    assert received.events == ["end", "lost"]
    assert protocol is (PlaintextReader if tls else Received)


def test_flow_control_reaches_the_protocol_on_top() -> None:
    """The event loop tells the reader, which is the transport's protocol."""
    events = []

    class Protocol:
        def pause_writing(self) -> None:
            events.append("full")

        def resume_writing(self) -> None:
            events.append("drained")

    reader = PlaintextReader(Protocol())
    reader.pause_writing()
    reader.resume_writing()
    assert events == ["full", "drained"]


def test_a_read_is_a_copy() -> None:
    """The next one uses the same buffer."""
    data: list[bytes] = []

    class Protocol:
        def data_received(self, received: bytes) -> None:
            data.append(received)

    reader = PlaintextReader(Protocol())
    for text in (b"first", b"then"):
        reader.get_buffer(-1)[: len(text)] = text
        reader.buffer_updated(len(text))
    assert data == [b"first", b"then"]
