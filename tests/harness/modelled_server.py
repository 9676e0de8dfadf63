"""An authorization server without sockets, for tests of outages: how it responds depends on the token and the time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from harness.servers import response

LATENCY = 0.01
"""Seconds until the server responds, if it is not slow."""


@dataclass(frozen=True)
class Behaviour:
    """A treatment of a token: `sent` after `delay` seconds; None: it sends nothing.

    `resets`: it closes the connection instead.
    """

    sent: bytes | None
    delay: float = LATENCY
    resets: bool = False


def _error(status: str, body: bytes = b"{}", *fields: str) -> Behaviour:
    return Behaviour(response(body, status, *fields))


def verdict(*, active: bool, delay: float = LATENCY) -> Behaviour:
    """Return the behaviour of a server that responds as RFC 7662 describes."""
    members = {"active": True, "sub": "user", "scope": "read"} if active else {"active": False}
    return Behaviour(response(json.dumps(members).encode()), delay)


FAULTS = {
    "500": _error("500 Internal Server Error"),
    "502": _error("502 Bad Gateway", b"<html>"),
    "401": _error("401 Unauthorized"),
    "401 access_denied": _error("401 Unauthorized", b'{"error": "access_denied"}'),
    "403": _error("403 Forbidden"),
    "400": _error("400 Bad Request", b'{"error": "invalid_request"}'),
    "reset": Behaviour(b"", resets=True),
    "hang": Behaviour(None),
    "garbage": Behaviour(b"\x16\x03garbage\r\n\r\n"),
    "slow": verdict(active=False, delay=1.5),
}
"""Treatments of unknown tokens by servers in use, instead of the response that the token is not active."""


class ModelledServer:
    """The server: `behaviour(token)` says what it does; while it is not `reachable`, no connection to it opens.

    `requests` counts introspection requests, `connections` are those that are open.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, behaviour: Callable[[str], Behaviour]) -> None:
        self.loop = loop
        self.behaviour = behaviour
        self.reachable = True
        self.requests = 0
        self.connections: set[_Connection] = set()
        loop.create_connection = self._connect  # type: ignore[method-assign,assignment]

    def stop(self) -> None:
        """Close all connections, and refuse new ones."""
        self.reachable = False
        for connection in tuple(self.connections):
            connection.close()

    async def _connect(self, factory: Any, *_: object, **__: object) -> tuple[_Connection, Any]:
        await asyncio.sleep(LATENCY / 10)
        if not self.reachable:
            raise ConnectionRefusedError(111, "Connection refused")
        protocol = factory()
        connection = _Connection(self, protocol)
        self.connections.add(connection)
        protocol.connection_made(connection)
        return connection, protocol


class _Connection(asyncio.Transport):
    """The transport of one connection to the server. A request arrives in one write."""

    def __init__(self, server: ModelledServer, protocol: Any) -> None:
        super().__init__()
        self._server = server
        self._protocol = protocol
        self._closing = False

    def write(self, data: Any) -> None:
        form = bytes(data).partition(b"\r\n\r\n")[2]
        self._server.requests += 1
        behaviour = self._server.behaviour(parse_qs(form.decode())["token"][0])
        if behaviour.sent is not None:
            self._server.loop.call_later(behaviour.delay, self._respond, behaviour)

    def _respond(self, behaviour: Behaviour) -> None:
        if self._closing:
            return
        if behaviour.resets:
            self.close()
        elif behaviour.sent is not None:
            self._protocol.data_received(behaviour.sent)

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._server.connections.discard(self)
            self._server.loop.call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0
