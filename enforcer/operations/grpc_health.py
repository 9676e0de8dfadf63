"""A client of gRPC health checking (grpc.health.v1.Health/Check): one HTTP/2 call (RFC 9113) without TLS.

It needs no HTTP/2 library, because the call is always the same and its result is in one DATA frame: no header is read.
"""

from __future__ import annotations

import asyncio
from typing import Final

_DATA, _RESET, _SETTINGS, _GO_AWAY = 0, 3, 4, 7
_END_STREAM, _END_HEADERS, _PADDED = 1, 4, 8
_SERVING: Final = b"\x08\x01"  # the field `status`, with the value SERVING
_MAX_FRAMES: Final = 50
"""Frames to read before giving up. A server sends about four before its response."""
_MAX_FRAME_SIZE: Final = 16_384
"""Bytes of a frame: the default limit of RFC 9113 §4.2."""


async def is_serving(host: str, port: int, service: str) -> bool:
    """Return whether the server reports SERVING for a service ("": for itself). Raises OSError and EOFError."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(_call(f"{host}:{port}", service.encode()))
        for _ in range(_MAX_FRAMES):
            header = await reader.readexactly(9)
            size, kind, flags = int.from_bytes(header[:3], "big"), header[3], header[4]
            if size > _MAX_FRAME_SIZE or kind in (_RESET, _GO_AWAY):
                return False
            payload = await reader.readexactly(size)
            if kind == _SETTINGS and not flags & 1:
                writer.write(_frame(_SETTINGS, 1, 0, b""))
            elif kind == _DATA:
                return not flags & _PADDED and payload[5:] == _SERVING
        return False
    finally:
        writer.close()


def _call(authority: str, service: bytes) -> bytes:
    message = b"\x0a" + bytes((len(service),)) + service if service else b""
    # Header names as indexes of the static table (RFC 7541, appendix A)
    fields = (
        b"\x83\x86"  # :method POST, :scheme http
        + _literal(b"\x04", b"/grpc.health.v1.Health/Check")
        + _literal(b"\x01", authority.encode())
        + _literal(b"\x0f\x10", b"application/grpc")
        + _literal(b"\x00\x02te", b"trailers")
    )
    return (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + _frame(_SETTINGS, 0, 0, b"")
        + _frame(1, _END_HEADERS, 1, fields)
        + _frame(_DATA, _END_STREAM, 1, b"\0" + len(message).to_bytes(4, "big") + message)
    )


def _literal(name: bytes, value: bytes) -> bytes:
    return name + bytes((len(value),)) + value


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload
