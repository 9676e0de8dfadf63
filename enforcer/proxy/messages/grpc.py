"""Refusals in the form that gRPC clients understand. Pure.

1. A gRPC call ends with a status in fields, whatever the HTTP status is: a response of another form becomes a guess.
2. The status follows gRPC's own mapping of HTTP statuses, so that a client does the same as behind any other proxy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from enforcer.wire.fields import OWS

GRPC: Final = b"application/grpc"
GRPC_WEB: Final = b"application/grpc-web"

_UNKNOWN: Final = 2
_RESOURCE_EXHAUSTED: Final = 8
_INTERNAL: Final = 13
_STATUSES: Final[Mapping[int, int]] = {
    400: _INTERNAL,
    401: 16,  # UNAUTHENTICATED
    403: 7,  # PERMISSION_DENIED
    404: 12,  # UNIMPLEMENTED
    413: _RESOURCE_EXHAUSTED,
    414: _RESOURCE_EXHAUSTED,
    429: 14,  # UNAVAILABLE: the client may try again
    431: _RESOURCE_EXHAUSTED,
    500: _INTERNAL,
    502: 14,
    503: 14,
    504: 14,
}
"""gRPC's "HTTP to gRPC Status Code Mapping"; limits that a call exceeds, and our own errors, have better codes."""
_IN_MESSAGE: Final = "".join(chr(byte) for byte in range(0x20, 0x7F) if byte != ord("%"))


def content_type_of_call(lines: list[bytes]) -> bytes:
    """Return the content type of the response to a gRPC call; empty for any other request. `lines` are in pieces."""
    for index in range(0, len(lines), 4):
        name = lines[index]
        if len(name) == len(b"content-type") and name.lower() == b"content-type":
            media_type = lines[index + 2].partition(b";")[0].strip(OWS).lower()
            if media_type.startswith(GRPC_WEB):
                return GRPC_WEB
            return GRPC if media_type == GRPC or media_type.startswith(b"application/grpc+") else b""
    return b""


def status_fields(content_type: bytes, status: int, message: str) -> list[str]:
    """Return the field lines of a response that only has a gRPC status: that of an HTTP status, and a message."""
    return [
        f"Content-Type: {content_type.decode()}",
        f"Grpc-Status: {_STATUSES.get(status, _UNKNOWN)}",
        f"Grpc-Message: {quote(message, safe=_IN_MESSAGE)}",
    ]
