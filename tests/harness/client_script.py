"""A client connection as a script: bytes and events go in, states and bytes come out."""

from __future__ import annotations

import re
from typing import Any

from enforcer.proxy.connection import ClientConnection
from harness.playbook import Pipe, Playbook

GET = b"GET /public/thing HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /public/thing HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = b"Connection: close\r\n\r\n"
UPGRADE = b"GET /public/socket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
UPGRADE_WITH_BODY = UPGRADE[:-2] + b"Content-Length: 5\r\n\r\n"
UPGRADE_TO_TCP = UPGRADE_WITH_BODY.replace(b"websocket", b"tcp")
SWITCHING = b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Script:
    """One client connection, and the servers behind it."""

    def __init__(self, **changes: Any) -> None:
        self.playbook = Playbook(**changes)
        self.connection = ClientConnection(self.playbook.registry)
        self.pipe = Pipe(self.connection)
        self.connection.connection_made(self.pipe)

    async def receive(self, data: bytes) -> None:
        """Let bytes arrive from the client."""
        self.pipe.receive(data)
        await self.playbook.settle()

    async def respond(self, data: bytes = OK) -> None:
        """Let bytes arrive from the upstream."""
        self.playbook.upstream.receive(data)
        await self.playbook.settle()

    async def end_input(self) -> None:
        """Let the client close its side."""
        self.connection.eof_received()

    async def respond_last(self) -> None:
        """Respond while the connection drains."""
        self.connection.drain()
        await self.respond()

    @property
    def statuses(self) -> list[bytes]:
        """The status codes of the responses that the client has got."""
        return re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", self.pipe.written)
