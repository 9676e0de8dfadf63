"""Both ends of an upgrade by hand, for what a WebSocket library would not do: the handshake, and raw bytes."""

from __future__ import annotations

import socket
from contextlib import suppress

ASK = (
    b"GET /socket HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer good-token\r\n"
    b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nX-Key: 1\r\n\r\n"
)
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Accept: 2\r\n\r\n"


def flood(connection: socket.socket) -> None:
    """Send until nothing is taken any more."""
    connection.settimeout(0.2)
    with suppress(OSError):
        while True:
            connection.sendall(b"x" * 65536)


def read(connection: socket.socket, size: int) -> bytes:
    """Read so many bytes, or all until the end."""
    data = b""
    while len(data) < size and (piece := connection.recv(size - len(data))):
        data += piece
    return data


def read_until(connection: socket.socket, end: bytes) -> bytes:
    """Read until what was read ends so, or all."""
    data = b""
    while not data.endswith(end) and (piece := connection.recv(65536)):
        data += piece
    return data


def read_all(connection: socket.socket) -> bytes:
    """Read until the end."""
    return read(connection, 2**30)
