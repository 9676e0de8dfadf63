"""Both ends of an upgrade as raw bytes, for what a WebSocket library refuses to do."""

from __future__ import annotations

import socket
from contextlib import suppress

from harness.upstreams import Incoming

UPGRADE_REQUEST = (
    b"GET /socket HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer good-token\r\n"
    b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nX-Key: 1\r\n\r\n"
)
SWITCHING_PROTOCOLS = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Accept: 2\r\n\r\n"
)


def echo_once(incoming: Incoming) -> None:
    """Accept an upgrade as the app, and return the first four bytes to the client."""
    incoming.send_raw(SWITCHING_PROTOCOLS)
    incoming.send_raw(incoming.socket.recv(4))


def hold_tunnel(incoming: Incoming) -> None:
    """Accept an upgrade as the app, and wait until the enforcer closes the connection."""
    incoming.send_raw(SWITCHING_PROTOCOLS)
    incoming.wait_for_close()


def flood(connection: socket.socket) -> None:
    """Send until the peer stops reading, that is, until a write blocks for 0.2 s."""
    connection.settimeout(0.2)
    with suppress(OSError):
        while True:
            connection.sendall(b"x" * 65536)


def read(connection: socket.socket, size: int) -> bytes:
    """Return `size` bytes, or fewer if the connection ends before."""
    data = b""
    while len(data) < size and (piece := connection.recv(size - len(data))):
        data += piece
    return data


def read_until(connection: socket.socket, end: bytes) -> bytes:
    """Return all bytes up to and including `end`, or all if the connection ends before."""
    data = b""
    while not data.endswith(end) and (piece := connection.recv(65536)):
        data += piece
    return data


def read_all(connection: socket.socket) -> bytes:
    """Return all bytes until the connection ends."""
    return read(connection, 2**30)
