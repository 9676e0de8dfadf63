"""Floods: clients that send as much work as they can, until the process is ended.

`python -m fairness.floods NAME PORT CONNECTIONS`, in `tests`.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import uvloop
from hpack import Encoder
from hyperframe.frame import ContinuationFrame, HeadersFrame, PriorityFrame, SettingsFrame

_PAUSE = 0.05  # seconds before a connection that was closed is opened again
_BLOCK = 100_000  # bytes that a flood writes at once


class Flood(NamedTuple):
    """One kind of flood: `begin` is sent once, then `block` without end. `tls`: in records of one byte."""

    begin: bytes
    block: bytes
    tls: bool = False


def _repeated(unit: bytes) -> bytes:
    return unit * (_BLOCK // len(unit) + 1)


def _request(line: str, *fields: str) -> bytes:
    return "\r\n".join((f"{line} HTTP/1.1", "Host: a", *fields, "", "")).encode()


def _streams(*fields: tuple[str, str]) -> bytes:
    """Return requests of HTTP/2, each on a stream of its own, until a block is full."""
    encoder, block, number = Encoder(), bytearray(), 1
    head = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/"), *fields]
    while len(block) < _BLOCK:
        section = encoder.encode(head)
        first = HeadersFrame(number, section[:16_000], flags=["END_STREAM"])
        rest = ContinuationFrame(number, section[16_000:], flags=["END_HEADERS"])
        block += first.serialize() + rest.serialize()
        number += 2
    return bytes(block)


_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SettingsFrame(0).serialize()

FLOODS: Mapping[str, Flood] = {
    "refusals": Flood(b"", _repeated(_request("GET /"))),
    "heads": Flood(b"", _repeated(_request("GET /", *(f"X-{number}: {'x' * 300}" for number in range(95))))),
    "chunks": Flood(_request("POST /public/sink", "Transfer-Encoding: chunked"), _repeated(b"1\r\nx\r\n")),
    "early answers": Flood(_request("POST /", "Content-Length: 1000000000"), _repeated(b"x")),
    "tunnels": Flood(_request("GET /public/sink", "Connection: Upgrade", "Upgrade: websocket"), _repeated(b"x")),
    "pieces": Flood(_request("GET /public/pieces"), b""),
    "streams": Flood(_PREFACE, _streams()),
    "sections": Flood(_PREFACE, _streams(*((f"x-{number}", "aZ0-" * 60) for number in range(90)))),
    "frames": Flood(_PREFACE, _repeated(PriorityFrame(1, depends_on=3).serialize())),
    "records": Flood(_request("POST /public/sink", "Content-Length: 1000000000"), b"x", tls=True),
}
"""By name. `pieces` floods with the app's response, the others with requests."""


class _Client(asyncio.Protocol):
    """One connection of a flood; it reads whatever comes."""

    _transport: Any

    def __init__(self, flood: Flood, port: int) -> None:
        self._flood = flood
        self._port = port
        self._full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        if self._flood.tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            self._tls = context.wrap_bio(self._incoming, self._outgoing)
            self._shake_hands()
        else:
            self._transport.write(self._flood.begin)
            self._pump()

    def data_received(self, data: bytes) -> None:
        if self._flood.tls and not self._tls.version():
            self._incoming.write(data)
            self._shake_hands()

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._transport.write(self._outgoing.read())
        else:
            self._tls.write(self._flood.begin)
            self._pump()

    def _pump(self) -> None:
        if self._full or self._transport.is_closing() or not self._flood.block:
            return
        if self._flood.tls:
            for _ in range(2000):
                self._tls.write(self._flood.block)
            self._transport.write(self._outgoing.read())
        else:
            self._transport.write(self._flood.block)
        asyncio.get_running_loop().call_soon(self._pump)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._pump()

    def connection_lost(self, error: Exception | None) -> None:
        asyncio.get_running_loop().call_later(_PAUSE, start, self._flood, self._port)


_tasks: set[asyncio.Task[None]] = set()


def start(flood: Flood, port: int) -> None:
    """Open a connection of a flood, and again whenever it ends."""
    task = asyncio.get_running_loop().create_task(_connect(flood, port))
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


async def _connect(flood: Flood, port: int) -> None:
    loop = asyncio.get_running_loop()
    try:
        await loop.create_connection(lambda: _Client(flood, port), "127.0.0.1", port)
    except OSError:
        loop.call_later(_PAUSE, start, flood, port)


async def _run(name: str, port: int, connections: int) -> None:
    for _ in range(connections):
        start(FLOODS[name], port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
