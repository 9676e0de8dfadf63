"""The app behind the enforcer: answers at once, takes everything without an answer, or answers in pieces without end.

`python -m fairness.app`, in `tests`, prints its port.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any

import uvloop

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
_SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_PIECES = b"1\r\nx\r\n" * 10_000


class _Server(asyncio.Protocol):
    def __init__(self) -> None:
        self._head = b""
        self._takes_all = self._full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        if self._takes_all:
            return
        self._head += data
        while (end := self._head.find(b"\r\n\r\n")) >= 0 and not self._takes_all:
            head, self._head = self._head[:end], self._head[end + 4 :]
            target = head.split(b" ", 2)[1]
            self._takes_all = target != b"/ok"
            if target == b"/ok":
                self._transport.write(OK)
            elif target == b"/public/pieces":
                self._transport.write(_CHUNKED)
                self._pump()
            elif b"\r\nUpgrade:" in head:
                self._transport.write(_SWITCHING)

    def _pump(self) -> None:
        if not self._full and not self._transport.is_closing():
            self._transport.write(_PIECES)
            asyncio.get_running_loop().call_soon(self._pump)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._pump()


async def _run() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    await asyncio.get_running_loop().create_server(_Server, sock=listener)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_run())
